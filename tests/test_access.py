"""Who may call which model, with a real router and LiteLLM's own checks."""

from __future__ import annotations

import pytest
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.auth import auth_checks
from litellm.router import Router
from support.routers import ANYONE, TEAM, deployment, router_of, router_with_eyes

from litellm_image_analysis import access
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.wire_errors import http_error


@pytest.mark.usefixtures("proxy_module")
class TestAccess:
    async def test_a_key_may_call_what_it_is_allowed_to(self, router: Router) -> None:
        await access.check_access(["eyes", "gpt-4o-mini"], router, UserAPIKeyAuth(models=["eyes", "gpt-4o-mini"]))

    async def test_a_key_without_a_list_may_call_anything(self, router: Router) -> None:
        await access.check_access(["eyes", "gpt-4o-mini"], router, ANYONE)

    @pytest.mark.parametrize(
        "caller",
        [
            pytest.param(UserAPIKeyAuth(models=["deepseek-chat"]), id="key"),
            pytest.param(UserAPIKeyAuth(team_id=TEAM, team_models=["deepseek-chat"]), id="team"),
        ],
    )
    async def test_anything_else_is_litellms_own_403(self, router: Router, caller: UserAPIKeyAuth) -> None:
        with pytest.raises(access.AccessDeniedError, match="eyes") as caught:
            await access.check_access(["deepseek-chat", "eyes"], router, caller)
        assert caught.value.status_code == 403
        assert http_error(caught.value) is caught.value.denied

    async def test_an_older_litellm_is_told_the_status_of_its_own_error(self, router: Router) -> None:
        with pytest.raises(access.AccessDeniedError) as caught:
            await access.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))
        assert vars(http_error(caught.value))["status_code"] == 403

    async def test_on_google_s_route_it_has_google_s_shape(self, router: Router) -> None:
        with pytest.raises(access.AccessDeniedError) as caught:
            await access.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))
        error = http_error(caught.value, "agenerate_content").to_dict()
        assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")

    async def test_an_older_litellm_checks_the_key(self, router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(auth_checks, "can_key_call_resolved_model")
        with pytest.raises(access.AccessDeniedError, match="eyes"):
            await access.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))

    async def test_a_key_is_held_to_its_list_without_a_router_too(self) -> None:
        with pytest.raises(access.AccessDeniedError, match="eyes"):
            await access.check_access(["eyes"], None, UserAPIKeyAuth(models=["deepseek-chat"]))


@pytest.mark.usefixtures("proxy_module")
class TestChosen:
    @pytest.mark.parametrize("name", ["eyes", "openai/gpt-4o", "deepseek-chat"])
    async def test_a_served_model_the_caller_may_call_passes(self, router: Router, name: str) -> None:
        await access.check_chosen(name, router, ANYONE)

    async def test_a_served_model_the_caller_may_not_call_is_litellms_own_403(self, router: Router) -> None:
        with pytest.raises(access.AccessDeniedError) as caught:
            await access.check_chosen("eyes", router, UserAPIKeyAuth(models=["deepseek-chat"]))
        assert caught.value.status_code == 403

    async def test_without_a_router_only_access_counts(self) -> None:
        await access.check_chosen("anything", None, ANYONE)

    async def test_a_model_nobody_serves_is_the_callers_mistake(self, router: Router) -> None:
        with pytest.raises(RequestError) as caught:
            await access.check_chosen("ears", router, ANYONE)
        error = caught.value
        assert (error.status_code, error.param, error.code) == (400, "ocr_model", "invalid_ocr_model")
        assert error.message == (
            "ocr_model: this gateway serves no model 'ears'. Vision models you may call: eyes, gpt-4o-mini."
        )

    @pytest.mark.parametrize(
        ("models", "offer"),
        [
            (["deepseek-chat", "eyes"], "Vision models you may call: eyes."),
            (["deepseek-chat"], "It has no vision model that you may call."),
        ],
    )
    async def test_only_models_the_caller_may_call_are_offered(
        self, router: Router, models: list[str], offer: str
    ) -> None:
        error = await access.wrong_choice("it is no good.", router, UserAPIKeyAuth(models=models))
        assert error.message == f"ocr_model: it is no good. {offer}"

    async def test_ten_models_are_offered_by_name(self) -> None:
        error = await access.wrong_choice("it is no good.", router_with_eyes(12), ANYONE)
        assert error.message.endswith("eyes-08, eyes-09 and 2 more.")

    async def test_without_a_router_nothing_is_offered(self) -> None:
        error = await access.wrong_choice("it is no good.", None, ANYONE)
        assert error.message.endswith("It has no vision model that you may call.")


@pytest.mark.usefixtures("proxy_module")
class TestDefault:
    @pytest.mark.parametrize("name", ["eyes", "openai/gpt-4o"])
    async def test_a_served_one_passes(self, router: Router, name: str) -> None:
        await access.check_default(name, router, ANYONE)

    async def test_a_teams_own_one_passes(self, router: Router) -> None:
        await access.check_default("team-eyes", router, UserAPIKeyAuth(team_id=TEAM))

    async def test_without_a_router_it_is_not_known_to_be_missing(self) -> None:
        await access.check_default("ears", None, ANYONE)

    async def test_one_that_nobody_serves_is_an_error(self, router: Router) -> None:
        with pytest.raises(RequestError, match="this gateway serves no model 'ears'") as caught:
            await access.check_default("ears", router, ANYONE)
        assert caught.value.code == "vision_model_not_served"

    @pytest.mark.parametrize(
        ("models", "mend"),
        [
            ([], ", or set vision_model to one of: eyes, gpt-4o-mini."),
            (["deepseek-chat", "eyes"], ", or set vision_model to one of: eyes."),
            (["deepseek-chat"], " to model_list."),
        ],
    )
    async def test_a_caller_is_only_told_of_models_it_may_call(
        self, router: Router, models: list[str], mend: str
    ) -> None:
        with pytest.raises(RequestError) as caught:
            await access.check_default("ears", router, UserAPIKeyAuth(models=models))
        assert caught.value.message.endswith(mend)

    def test_the_operator_reads_how_to_mend_it(self, router: Router) -> None:
        assert access.unserved_default("ears", router) == (
            "callback_settings.image_analysis.vision_model: this gateway serves no model 'ears'."
            " Add a deployment with model_name: ears to model_list,"
            " or set vision_model to one of: eyes, gpt-4o-mini."
        )

    def test_a_gateway_without_vision_models_has_none_to_offer(self) -> None:
        assert access.unserved_default("ears", router_of(deployment("deepseek-chat"))) == (
            "callback_settings.image_analysis.vision_model: this gateway serves no model 'ears'."
            " Add a deployment with model_name: ears to model_list."
        )

    def test_ten_models_are_offered_by_name(self) -> None:
        assert access.unserved_default("ears", router_with_eyes(12)).endswith("eyes-08, eyes-09.")
