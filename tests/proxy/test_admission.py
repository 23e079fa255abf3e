"""Admission of a request: its activation, and the checks of its caller."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from litellm.caching.dual_cache import DualCache
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.hooks.model_max_budget_limiter import _PROXY_VirtualKeyModelMaxBudgetLimiter
from litellm.router import Router
from support.contexts import proxy_context
from support.routers import ANYONE

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine import routing
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import admission
from litellm_image_analysis.proxy.access import AccessDeniedError
from litellm_image_analysis.proxy.admission import RequestedAnalysis
from litellm_image_analysis.proxy.deferred import DeferredAnalysis

DEFAULTS = ImageAnalysisConfig(vision_model="gpt-4o-mini")
FOR_CHAT = {"models": ["deepseek-chat"]}


@pytest.fixture(autouse=True)
def running(proxy_module: ModuleType, router: Router) -> None:
    vars(proxy_module).update(llm_router=router)


def caller(own: object = None, team: object = None, **auth: Any) -> UserAPIKeyAuth:
    """A caller whose key and team have these settings."""
    return UserAPIKeyAuth(metadata={"image_analysis": own}, team_metadata={"image_analysis": team}, **auth)


async def taken(data: dict[str, Any], who: UserAPIKeyAuth = ANYONE) -> RequestedAnalysis | DeferredAnalysis | None:
    return await admission.admit(data, DEFAULTS, who)


def requested(
    name: str, config: ImageAnalysisConfig = DEFAULTS, who: UserAPIKeyAuth = ANYONE, *, chosen: bool = False
) -> RequestedAnalysis:
    return RequestedAnalysis(proxy_context(name, config, routing.running_router(), who), chosen_by_caller=chosen)


class TestRequest:
    async def test_for_what_asks_for_nothing_analysis_stands_by(self) -> None:
        home: dict[str, Any] = {}
        data = {"model": "deepseek-chat", "messages": [], "metadata": home}
        found = await taken(data)
        assert isinstance(found, DeferredAnalysis)
        assert found.home is home
        assert (found.context.config, found.context.caller, found.problem) == (DEFAULTS, ANYONE, None)
        assert data == {"model": "deepseek-chat", "messages": [], "metadata": {}}

    async def test_a_key_s_or_a_team_s_own_mode_holds(self) -> None:
        found = await taken({"model": "deepseek-chat"}, caller({"mode": "auto"}, {"prompt": "Read."}))
        assert isinstance(found, DeferredAnalysis)
        assert found.context.config == DEFAULTS.model_copy(update={"mode": "auto", "prompt": "Read."})

    async def test_wrong_metadata_are_told_only_if_they_come_to_be_needed(self) -> None:
        found = await taken({"model": "deepseek-chat"}, caller({"mode": "sometimes"}))
        assert isinstance(found, DeferredAnalysis)
        assert found.problem is not None
        assert "image_analysis.mode: got 'sometimes'" in found.problem.message

    @pytest.mark.parametrize(
        ("data", "who"),
        [
            ({"model": "deepseek-chat", "ocr_model": False}, ANYONE),
            ({"model": "deepseek-chat-ocr", "ocr_model": False}, ANYONE),
        ],
    )
    async def test_a_request_that_switches_it_off_has_none(self, data: dict[str, Any], who: UserAPIKeyAuth) -> None:
        assert await taken(data, who) is None
        assert data == {"model": "deepseek-chat"}

    async def test_a_key_may_be_switched_off(self) -> None:
        found = await taken({"model": "deepseek-chat"}, caller({"enabled": False}))
        assert isinstance(found, DeferredAnalysis)
        assert found.context.withheld is FailureReason.DISABLED

    @pytest.mark.parametrize("asked", [{"model": "deepseek-cht-ocr"}, {"model": "deepseek-cht", "ocr_model": "eyes"}])
    async def test_a_model_that_nobody_serves_is_refused(self, asked: dict[str, Any]) -> None:
        with pytest.raises(RequestError, match="Invalid model name passed in model=deepseek-cht") as refused:
            await taken(asked)
        assert (refused.value.status_code, refused.value.code) == (400, "model_not_found")

    async def test_the_suffix_asks_for_the_default(self) -> None:
        data = {"model": "deepseek-chat-ocr"}
        assert await taken(data) == requested("gpt-4o-mini")
        assert data == {"model": "deepseek-chat"}

    async def test_the_parameter_asks_for_what_it_names(self) -> None:
        data = {"model": "deepseek-chat", "ocr_model": "eyes"}
        assert await taken(data) == requested("eyes", chosen=True)
        assert data == {"model": "deepseek-chat"}

    async def test_a_parameter_that_makes_no_sense_is_told(self) -> None:
        with pytest.raises(RequestError, match="ocr_model: it must be the name of a vision model"):
            await taken({"model": "deepseek-chat", "ocr_model": 5})

    async def test_a_suffix_opens_no_model(self) -> None:
        with pytest.raises(AccessDeniedError):
            await taken({"model": "eyes-ocr"}, caller(**FOR_CHAT))


class TestTerms:
    async def test_the_key_s_own_settings_hold(self) -> None:
        who = caller({"vision_model": "eyes", "prompt": "Read."})
        asked = await taken({"model": "deepseek-chat-ocr"}, who)
        own = DEFAULTS.model_copy(update={"vision_model": "eyes", "prompt": "Read."})
        assert asked == requested("eyes", config=own, who=who)

    async def test_the_request_s_choice_goes_before_them(self) -> None:
        who = caller({"vision_model": "eyes", "prompt": "Read."})
        asked = await taken({"model": "deepseek-chat", "ocr_model": "gpt-4o-mini"}, who)
        assert isinstance(asked, RequestedAnalysis)
        assert (asked.context.vision_model, asked.chosen_by_caller, asked.context.config.prompt) == (
            "gpt-4o-mini",
            True,
            "Read.",
        )

    @pytest.mark.parametrize("data", [{"model": "deepseek-chat-ocr"}, {"model": "deepseek-chat", "ocr_model": "eyes"}])
    async def test_switched_off_the_vision_model_is_not_checked(self, data: dict[str, Any]) -> None:
        asked = await taken(data, caller(team={"enabled": False}, **FOR_CHAT))
        assert isinstance(asked, RequestedAnalysis)
        assert asked.context.withheld is FailureReason.DISABLED
        await admission.check_vision(asked, data, DEFAULTS)

    async def test_wrong_metadata_are_told_to_who_asks_for_analysis(self) -> None:
        with pytest.raises(RequestError, match=r"key metadata: image_analysis\.enabled"):
            await taken({"model": "deepseek-chat-ocr"}, caller({"enabled": "no"}))

    async def test_they_disturb_nobody_else(self) -> None:
        data = {"model": "deepseek-chat"}
        await taken(data, caller({"enabled": "no"}))
        assert data["model"] == "deepseek-chat"


class TestVision:
    async def check(self, name: str, who: UserAPIKeyAuth, router: Router, *, chosen: bool = False) -> None:
        asked = RequestedAnalysis(proxy_context(name, DEFAULTS, router, who), chosen_by_caller=chosen)
        await admission.check_vision(asked, {"model": "deepseek-chat"}, DEFAULTS)

    async def test_the_default_needs_no_permission(self, router: Router) -> None:
        await self.check("gpt-4o-mini", caller(**FOR_CHAT), router)

    async def test_a_key_s_own_model_does(self, router: Router) -> None:
        with pytest.raises(RequestError, match="this key, its team or its user may not call") as refused:
            await self.check("eyes", caller(**FOR_CHAT), router)
        assert "eyes" not in refused.value.message
        assert (refused.value.status_code, refused.value.code) in {
            (403, "vision_model_not_allowed"),
            (401, "vision_model_not_allowed"),  # LiteLLM 1.84
        }

    async def test_the_request_s_choice_was_checked_before(self, router: Router) -> None:
        await self.check("eyes", caller(**FOR_CHAT), router, chosen=True)


class TestBudgets:
    """LiteLLM's own limiter, with a spend of 2 USD for a model whose budget is 1."""

    @staticmethod
    async def spender(proxy_module: ModuleType, model: str) -> UserAPIKeyAuth:
        limiter = _PROXY_VirtualKeyModelMaxBudgetLimiter(DualCache())
        await limiter.dual_cache.async_set_cache(key=f"virtual_key_spend:hashed:{model}:1d", value=2.0)
        vars(proxy_module).update(model_max_budget_limiter=limiter)
        budget = {model: {"max_budget": 1.0, "budget_duration": "1d"}}
        return UserAPIKeyAuth(token="hashed", model_max_budget=budget)

    async def test_a_suffix_is_no_way_around_one(self, proxy_module: ModuleType) -> None:
        who = await self.spender(proxy_module, "deepseek-chat")
        with pytest.raises(AccessDeniedError, match="deepseek-chat"):
            await taken({"model": "deepseek-chat-ocr"}, who)

    async def test_nor_is_one_on_another_route(self, proxy_module: ModuleType) -> None:
        who = await self.spender(proxy_module, "deepseek-chat")
        with pytest.raises(AccessDeniedError, match="deepseek-chat"):
            await admission.check_suffixed_name({"model": "deepseek-chat-ocr"}, DEFAULTS, who)

    async def test_a_vision_model_s_ends_its_calls(self, proxy_module: ModuleType, router: Router) -> None:
        who = await self.spender(proxy_module, "gpt-4o-mini")
        asked = await taken({"model": "deepseek-chat-ocr"}, who)
        assert isinstance(asked, RequestedAnalysis)
        with pytest.raises(AccessDeniedError, match="gpt-4o-mini"):
            await admission.check_vision(asked, {"model": "deepseek-chat"}, DEFAULTS)


class TestOtherRoutes:
    @pytest.mark.parametrize("model", ["deepseek-chat-ocr", "deepseek-chat", "scan-ocr", None, 5])
    async def test_a_name_the_caller_may_call_passes(self, model: object) -> None:
        await admission.check_suffixed_name({"model": model}, DEFAULTS, caller(models=["deepseek-chat", "scan-ocr"]))

    async def test_there_is_nothing_to_analyse_so_the_suffix_goes(self) -> None:
        """LiteLLM 1.110 does not route a name that is only an alias of this plugin."""
        data = {"model": "deepseek-chat-ocr"}
        await admission.check_suffixed_name(data, DEFAULTS, caller(**FOR_CHAT))
        assert data == {"model": "deepseek-chat"}

    async def test_a_provider_s_own_name_stays(self) -> None:
        data = {"model": "deepseek-chat-ocr"}
        await admission.check_suffixed_name(data, DEFAULTS, caller(**FOR_CHAT), is_routed=False)
        assert data == {"model": "deepseek-chat-ocr"}

    async def test_a_suffix_opens_no_model_there(self) -> None:
        with pytest.raises(AccessDeniedError):
            await admission.check_suffixed_name({"model": "eyes-ocr"}, DEFAULTS, caller(**FOR_CHAT))
