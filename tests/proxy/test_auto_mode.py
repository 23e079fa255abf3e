"""The steps before the vision call for an attempt on a proxy that may need image analysis."""

from __future__ import annotations

from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from support.images import image, message, text
from support.routers import ANYONE

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy.auto_mode import NOTHING_TO_DO, AutoMode
from litellm_image_analysis.proxy.deferred import DeferredAnalysis
from litellm_image_analysis.request import chat

AUTO = ImageAnalysisConfig(mode="auto", vision_model="eyes", max_image_parts=1)
BLIND = {"supports_vision": False}
WRONG = UserAPIKeyAuth(metadata={"image_analysis": {"prompt": 5}})
TWO_IMAGES = [message(text("?"), image("a"), image("b"))]


@pytest.fixture(autouse=True)
def running(proxy_module: ModuleType, router: Router) -> None:
    vars(proxy_module).update(llm_router=router)


async def attempted(config: ImageAnalysisConfig = AUTO, caller: UserAPIKeyAuth = ANYONE, **kwargs: Any) -> Any:
    attempts = AutoMode(config, Analyzer(config), lambda: None)
    standby = DeferredAnalysis(config, caller, {})
    called = {"model": "openai/blind", "model_info": BLIND, "messages": TWO_IMAGES, "metadata": {}, **kwargs}
    before = dict(called)
    try:
        if not attempts.may_apply(called, standby):
            return NOTHING_TO_DO
        return await attempts.before_call(called, "acompletion", chat, standby)
    finally:
        assert called == before


@pytest.mark.parametrize("kwargs", [{"messages": []}, {"model_info": {"supports_vision": True}}, {"model_info": {}}])
async def test_what_needs_none_is_left_alone(kwargs: dict[str, Any]) -> None:
    assert await attempted(caller=WRONG, **kwargs) == NOTHING_TO_DO


async def test_the_request_s_limits_hold() -> None:
    with pytest.raises(RequestError, match="max_image_parts"):
        await attempted()


@pytest.mark.parametrize("limits", [{"max_messages": 1}, {"max_nesting_depth": 3}])
async def test_so_do_those_of_its_shape(limits: dict[str, int]) -> None:
    with pytest.raises(RequestError, match=next(iter(limits))):
        await attempted(AUTO.model_copy(update=limits), messages=[message(text("?")), *TWO_IMAGES])


async def test_a_request_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Mock(wraps=chat.find)
    monkeypatch.setattr(chat, "find", search)
    with pytest.raises(RequestError, match="max_image_parts"):
        await attempted()
    assert search.call_count == 1


async def test_wrong_metadata_are_told_now() -> None:
    with pytest.raises(RequestError, match=r"key metadata: image_analysis\.prompt"):
        await attempted(caller=WRONG)


async def test_a_vision_model_nobody_serves_is_a_failure_of_the_images() -> None:
    settings = {"vision_model": "ears", "max_image_parts": 2}
    request, _ = await attempted(AUTO.model_copy(update=settings))
    assert str(request["messages"]).count("could not be read: the gateway's vision model is not set up correctly.") == 2
    with pytest.raises(RequestError, match="not set up correctly") as caught:
        await attempted(AUTO.model_copy(update={**settings, "on_failure": "reject"}))
    assert (caught.value.status_code, caught.value.code) == (502, "image_analysis_misconfigured")


def decided(config: ImageAnalysisConfig = AUTO, **data: Any) -> tuple[Any, bool]:
    """What is decided before routing, and whether deployments need not decide."""
    request: dict[str, Any] = {"model": "blindfolded", "messages": TWO_IMAGES, "metadata": {}, **data}
    deferred = DeferredAnalysis(config, ANYONE, request["metadata"], request)
    requested = AutoMode(config, Analyzer(config), lambda: None).before_routing(request, chat, deferred)
    return requested, deferred.is_settled


def test_images_are_due_before_routing_if_no_deployment_takes_them() -> None:
    requested, is_settled = decided(timeout=3)
    assert is_settled
    assert (requested.is_asked, requested.chosen_by_caller, requested.context.vision_model) == (False, False, "eyes")
    assert requested.context.rules.timeout_seconds == 3


def test_plain_text_is_settled_then() -> None:
    assert decided(messages=[message(text("?"))]) == (None, True)


@pytest.mark.parametrize("name", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "user_config"])
def test_a_request_with_routes_of_its_own_is_left_to_its_deployments(name: str) -> None:
    routes: dict[str, Any] = {name: ["eyes"]}
    assert decided(**routes) == (None, False)


@pytest.mark.parametrize("data", [{"model": "eyes"}, {"model": None}, {"model": "deepseek-chat"}])
def test_so_is_one_whose_deployments_may_take_images(data: dict[str, Any]) -> None:
    assert decided(**data) == (None, False)


def test_so_is_every_request_on_request() -> None:
    assert decided(AUTO.model_copy(update={"mode": "on_request"})) == (None, False)


def test_a_deployment_does_not_decide_again() -> None:
    kwargs = {"model": "openai/blind", "model_info": BLIND, "messages": TWO_IMAGES, "metadata": {}}
    settled = DeferredAnalysis(AUTO, ANYONE, {}, is_settled=True)
    assert not AutoMode(AUTO, Analyzer(AUTO), lambda: None).may_apply(kwargs, settled)
