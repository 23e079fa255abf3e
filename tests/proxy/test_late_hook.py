"""The last hook: its place, and the guardrails that run again after it."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.caching.dual_cache import DualCache
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.common_utils.user_api_key_cache import UserApiKeyCache
from litellm.proxy.utils import ProxyLogging
from support.features import needs_guardrails_only

from litellm_image_analysis.compat import has_own_limits
from litellm_image_analysis.proxy.late_hook import LateHook, can_rerun_guardrails, rerun_guardrails

CALLER = UserAPIKeyAuth(api_key="sk-a")


class Old:
    """LiteLLM's proxy before it could run guardrails alone."""

    async def pre_call_hook(self, user_api_key_dict: Any, data: Any, call_type: str) -> None:
        raise AssertionError


class Guards:
    """A double of LiteLLM's proxy with guardrails that return ``answer``. Other parts are optional."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    async def pre_call_hook(
        self, user_api_key_dict: Any, data: Any, call_type: str, guardrails_only: bool = False
    ) -> dict[str, Any]:
        self.asked.append((user_api_key_dict, dict(data), call_type, guardrails_only))
        return data if self.answer is None else self.answer


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """LiteLLM's callbacks, for this test only."""
    found: list[Any] = []
    monkeypatch.setattr(litellm, "callbacks", found)
    return found


@pytest.fixture
def hook() -> LateHook:
    async def run(caller: UserAPIKeyAuth, data: dict[str, Any], call_type: str) -> None:
        data["ran"] = caller, call_type

    return LateHook(run)


def test_litellm_finds_the_hook_on_the_class_itself() -> None:
    assert "async_pre_call_hook" in vars(LateHook)


async def test_it_runs_what_it_is_given(hook: LateHook) -> None:
    data: dict[str, Any] = {}
    assert await hook.async_pre_call_hook(CALLER, DualCache(), data, "acompletion") is data
    assert data == {"ran": (CALLER, "acompletion")}


def test_it_goes_behind_whatever_came_later(callbacks: list[Any], hook: LateHook, proxy_module: ModuleType) -> None:
    vars(proxy_module).update(proxy_logging_obj=Guards())
    first, later = CustomLogger(), CustomLogger()
    callbacks.append(first)
    assert not hook.is_in_place
    for _ in range(2):
        hook.keep_in_place()
        assert callbacks == [first, hook]
        assert hook.is_in_place
    callbacks.append(later)
    hook.keep_in_place()
    assert callbacks == [first, later, hook]


@pytest.mark.parametrize("logging", [None, Old()], ids=["no proxy", "an older LiteLLM"])
def test_without_guardrails_that_run_alone_it_stays_away(
    callbacks: list[Any], hook: LateHook, proxy_module: ModuleType, logging: object
) -> None:
    """Otherwise guardrails would not see the texts that replace images."""
    vars(proxy_module).update(proxy_logging_obj=logging)
    assert not can_rerun_guardrails()
    hook.keep_in_place()
    assert callbacks == []


@needs_guardrails_only
def test_this_litellm_can_run_guardrails_alone(proxy_module: ModuleType) -> None:
    vars(proxy_module).update(proxy_logging_obj=ProxyLogging(user_api_key_cache=UserApiKeyCache()))
    assert can_rerun_guardrails()


def test_limits_are_in_place_once_the_proxy_has_added_them(proxy_module: ModuleType) -> None:
    hooks: dict[str, object] = {}
    for logging, expected in ((None, False), (SimpleNamespace(proxy_hook_mapping=hooks), False)):
        vars(proxy_module).update(proxy_logging_obj=logging)
        assert has_own_limits() is expected
    hooks["parallel_request_limiter"] = object()
    assert has_own_limits()


async def run_guardrails(data: dict[str, Any]) -> None:
    run = rerun_guardrails(data, CALLER, "acompletion")
    assert run is not None
    await run()


async def test_guardrails_alone_see_the_rewritten_request(proxy_module: ModuleType) -> None:
    guards = Guards()
    vars(proxy_module).update(proxy_logging_obj=guards)
    data = {"messages": ["a text"]}
    await run_guardrails(data)
    assert guards.asked == [(CALLER, {"messages": ["a text"]}, "acompletion", True)]
    assert data == {"messages": ["a text"]}


async def test_what_guardrails_make_of_it_goes_out(proxy_module: ModuleType) -> None:
    vars(proxy_module).update(proxy_logging_obj=Guards({"messages": ["masked"]}))
    data: dict[str, Any] = {"messages": ["a text"], "left": "out"}
    await run_guardrails(data)
    assert data == {"messages": ["masked"]}


@pytest.mark.parametrize("logging", [None, Old()], ids=["no proxy", "an older LiteLLM"])
def test_where_guardrails_cannot_run_alone_there_is_nothing_to_run(proxy_module: ModuleType, logging: object) -> None:
    vars(proxy_module).update(proxy_logging_obj=logging)
    assert rerun_guardrails({}, CALLER, "acompletion") is None
