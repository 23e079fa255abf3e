"""The instance of a proxy, and its background tasks."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.proxy.types_utils.utils import get_instance_fn
from litellm.router import Router
from support.routers import deployment, router_of

import litellm_image_analysis
from litellm_image_analysis import ConfigError, ImageAnalysisConfig, instance, log, plugin
from litellm_image_analysis.proxy import startup, vision_choice
from litellm_image_analysis.proxy.aliases import advertise


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``callback_settings.image_analysis`` as LiteLLM sets it, in a proxy without a database."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    settings: dict[str, Any] = {}
    monkeypatch.setattr(litellm, "callback_settings", {"image_analysis": settings})
    return settings


@pytest.fixture
def last_words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages that would be written when the process ends."""
    words: list[str] = []
    monkeypatch.setattr(startup, "announce_at_exit", words.append)
    return words


def test_a_program_gets_the_instance_with_litellm_s_settings(settings: dict[str, Any]) -> None:
    settings["vision_model"] = "some-vision"
    assert instance.from_proxy_settings().config.vision_model == "some-vision"


def test_without_settings_it_has_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "callback_settings", None)
    assert instance.from_proxy_settings().config == ImageAnalysisConfig()


def test_a_program_with_wrong_settings_gets_the_error_and_no_last_words(
    settings: dict[str, Any], last_words: list[str]
) -> None:
    settings["vison_model"] = "x"
    with pytest.raises(ConfigError, match="did you mean vision_model"):
        instance.from_proxy_settings()
    assert last_words == []


@pytest.mark.usefixtures("proxy_module")
async def test_a_proxy_with_wrong_settings_says_so_once_more_when_it_ends(
    settings: dict[str, Any], last_words: list[str]
) -> None:
    settings["vison_model"] = "x"
    with pytest.raises(ConfigError) as raised:
        instance.from_proxy_settings()
    assert last_words == [str(raised.value)]


@pytest.mark.usefixtures("copied_aliases", "proxy_module")
class TestALiteLLMThatWouldNotUnderstandTheSuffix:
    async def test_the_proxy_does_not_start_and_says_why(self, settings: dict[str, Any], last_words: list[str]) -> None:
        settings["vision_model"] = "some-vision"
        with pytest.raises(ConfigError, match="would not understand names that end in '-ocr'") as raised:
            instance.from_proxy_settings()
        assert last_words == [str(raised.value)]

    @pytest.mark.usefixtures("background")
    @pytest.mark.parametrize("given", [{"suffix": None}, {"advertise": False}], ids=str)
    async def test_one_that_need_not_understand_it_starts(self, settings: dict[str, Any], given: Any) -> None:
        settings.update(given)
        instance.from_proxy_settings()


@pytest.fixture
async def background(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[set[asyncio.Task[None]]]:
    """Run the background tasks of a proxy without waiting times, and end them with the test."""
    tasks: set[asyncio.Task[None]] = set()
    monkeypatch.setattr(instance, "_in_background", tasks)
    monkeypatch.setattr(plugin, "_WATCH_SECONDS", 0.0)
    monkeypatch.setattr(startup, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(log, "show_requests", lambda: None)
    monkeypatch.setattr(litellm, "callbacks", [])
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def start() -> None:
    litellm.callbacks.append(instance.from_proxy_settings())


async def a_few_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def limits_are_up(proxy_module: ModuleType) -> None:
    hooks = {"parallel_request_limiter": object()}
    vars(proxy_module).update(proxy_logging_obj=SimpleNamespace(proxy_hook_mapping=hooks))


@pytest.mark.parametrize("name", ["plugin", "ImageAnalysis", "image_analysys"])
def test_another_name_as_a_callback_is_told_the_right_one(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    for known in {name} & set(vars(litellm_image_analysis)):
        monkeypatch.delattr(litellm_image_analysis, known)
    path = f"litellm_image_analysis.{name}"
    advice = f"litellm_settings.callbacks: {path} is not a callback. Write litellm_image_analysis.image_analysis"
    with pytest.raises(ConfigError, match=re.escape(advice)):
        get_instance_fn(path)
    [announce] = at_exit
    announce()
    assert capsys.readouterr().err == f"\n{advice}\n"


@pytest.mark.usefixtures("background", "proxy_module")
class TestAProxyThatStarts:
    async def test_it_checks_its_vision_model_once_it_is_up(
        self, settings: dict[str, Any], proxy_module: ModuleType, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "LiteLLM.image_analysis")
        router = router_of(deployment("deepseek-chat"))
        settings["vision_model"] = "some-vision"
        start()
        await a_few_turns()
        assert caplog.messages == []
        vars(proxy_module).update(llm_router=router)
        await a_few_turns()
        ready, problem = caplog.messages
        assert ready.startswith("image analysis: ready version=")
        assert problem == vision_choice.unserved_default("some-vision", router)

    async def test_a_list_of_callbacks_that_is_called_after_requests_is_an_error(
        self, settings: dict[str, Any], proxy_module: ModuleType, caplog: pytest.LogCaptureFixture
    ) -> None:
        del settings
        vars(proxy_module).update(llm_router=router_of(deployment("deepseek-chat"), deployment("gpt-4o-mini")))
        litellm.success_callback.append(instance.from_proxy_settings())
        await a_few_turns()
        [problem] = caplog.messages
        assert problem.startswith("image analysis: litellm_settings.callbacks does not name")

    @pytest.mark.parametrize(
        ("given", "names"),
        [
            ({}, ["deepseek-chat-ocr"]),
            ({"suffix": "+eyes"}, ["deepseek-chat+eyes"]),
            ({"suffix": None}, []),
            ({"advertise": False}, []),
            ({"advertise": False, "suffix": "+eyes"}, []),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("with_limits", [False, True])
    async def test_it_advertises_its_suffix_if_it_is_to(
        self,
        settings: dict[str, Any],
        proxy_module: ModuleType,
        given: dict[str, Any],
        names: list[str],
        with_limits: bool,
    ) -> None:
        settings.update(given)
        if with_limits:
            limits_are_up(proxy_module)
        start()
        await a_few_turns()
        router = router_of(deployment("deepseek-chat"))
        vars(proxy_module).update(llm_router=router)
        await a_few_turns()
        assert list(router.model_group_alias) == names

    async def test_it_advertises_again_after_aliases_were_replaced(
        self, settings: dict[str, Any], proxy_module: ModuleType
    ) -> None:
        del settings
        router = router_of(deployment("deepseek-chat"))
        vars(proxy_module).update(llm_router=router)
        limits_are_up(proxy_module)
        start()
        await a_few_turns()
        router.model_group_alias = {"chat": "deepseek-chat"}
        await a_few_turns()
        assert {"chat", "deepseek-chat-ocr"} <= set(router.model_group_alias)

    async def test_it_advertises_with_a_new_router_too(
        self, settings: dict[str, Any], proxy_module: ModuleType
    ) -> None:
        del settings
        later = router_of(deployment("newcomer"))
        vars(proxy_module).update(llm_router=router_of(deployment("deepseek-chat")))
        limits_are_up(proxy_module)
        start()
        await a_few_turns()
        vars(proxy_module).update(llm_router=None)
        await a_few_turns()
        vars(proxy_module).update(llm_router=later)
        await a_few_turns()
        assert list(later.model_group_alias) == ["newcomer-ocr"]

    async def test_a_bug_does_not_end_its_watch(
        self,
        settings: dict[str, Any],
        proxy_module: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        del settings
        monkeypatch.setattr(plugin, "_SECONDS_AFTER_A_BUG", 0.0)
        bugs, secret = iter(range(3)), "SECRET"

        def advertise_at_last(router: Router, suffix: str, vision_model: str) -> None:
            if next(bugs, None) is not None:
                raise ValueError(secret)
            advertise(router, suffix, vision_model)

        monkeypatch.setattr(plugin, "advertise", advertise_at_last)
        router = router_of(deployment("deepseek-chat"), deployment("gpt-4o-mini"))
        vars(proxy_module).update(llm_router=router)
        limits_are_up(proxy_module)
        start()
        await a_few_turns()
        assert list(router.model_group_alias) == ["deepseek-chat-ocr"]
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert [message.splitlines()[0] for message in errors] == [
            "image analysis: internal error while waiting for the proxy:",
            *["image analysis: internal error while keeping aliases and the late hook:"] * 2,
        ]
        assert secret not in caplog.text

    async def test_a_router_that_comes_late_is_not_missed(
        self, settings: dict[str, Any], proxy_module: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del settings
        monkeypatch.setattr(startup, "_STARTUP_SECONDS", 0.0)
        start()
        await a_few_turns()
        router = router_of(deployment("deepseek-chat"))
        vars(proxy_module).update(llm_router=router)
        await a_few_turns()
        assert list(router.model_group_alias) == ["deepseek-chat-ocr"]

    async def test_wrong_settings_start_nothing(
        self, settings: dict[str, Any], last_words: list[str], background: set[asyncio.Task[None]]
    ) -> None:
        settings["vison_model"] = "x"
        with pytest.raises(ConfigError):
            start()
        assert last_words
        assert background == set()

    def test_without_an_event_loop_nothing_starts(
        self, settings: dict[str, Any], background: set[asyncio.Task[None]]
    ) -> None:
        del settings
        start()
        assert background == set()


async def test_a_program_with_an_event_loop_starts_nothing(
    settings: dict[str, Any], background: set[asyncio.Task[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
    settings["vision_model"] = "some-vision"
    assert instance.from_proxy_settings().config.vision_model == "some-vision"
    assert background == set()
