"""The vision models that a request may use, with LiteLLM's own objects."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from cachetools import TTLCache
from litellm.proxy._types import (
    LiteLLM_OrganizationTable,
    LiteLLM_UserTable,
    UserAPIKeyAuth,
)
from litellm.proxy.common_utils.user_api_key_cache import UserApiKeyCache
from litellm.proxy.utils import ProxyLogging
from litellm.router import Router
from support.contexts import proxy_context
from support.features import denied_status
from support.routers import ANYONE, TEAM, deployment, router_of, router_with_eyes

from litellm_image_analysis import log
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import access, vision_choice

DEFAULTS = ImageAnalysisConfig()
NO_ACCESS = "Image analysis needs a vision model that this key, its team or its user may not call"
LISTED = ImageAnalysisConfig(allowed_vision_models=("eyes", "ears", "deepseek-chat"))
STRICT = ImageAnalysisConfig(require_key_access=True)
NO_ROWS = object()
"""A database that is never queried."""


async def remember(proxy_module: ModuleType, **rows: Any) -> None:
    """Put rows of the database into LiteLLM's cache."""
    cache = UserApiKeyCache()
    for key, row in rows.items():
        await cache.async_set_cache(key=key.replace("_id_", "_id:"), value=row, model_type=type(row))
    logging = ProxyLogging(user_api_key_cache=cache)
    vars(proxy_module).update(prisma_client=NO_ROWS, user_api_key_cache=cache, proxy_logging_obj=logging)


def user(*models: str) -> LiteLLM_UserTable:
    return LiteLLM_UserTable(user_id="ada", user_email="ada@example.com", models=list(models))


def organization(*models: str) -> LiteLLM_OrganizationTable:
    return LiteLLM_OrganizationTable(
        organization_id="acme", budget_id="b", models=list(models), created_by="admin", updated_by="admin"
    )


@pytest.mark.usefixtures("proxy_module")
class TestChosen:
    @pytest.mark.parametrize("name", ["eyes", "openai/gpt-4o", "deepseek-chat"])
    async def test_a_served_model_the_caller_may_call_passes(self, router: Router, name: str) -> None:
        await vision_choice.check_chosen(proxy_context(name, DEFAULTS, router, ANYONE))

    async def test_a_served_model_the_caller_may_not_call_is_litellms_own_refusal(self, router: Router) -> None:
        with pytest.raises(access.AccessDeniedError) as caught:
            await vision_choice.check_chosen(
                proxy_context("eyes", DEFAULTS, router, UserAPIKeyAuth(models=["deepseek-chat"]))
            )
        assert caught.value.status_code == denied_status()

    async def test_without_a_router_only_access_counts(self) -> None:
        await vision_choice.check_chosen(proxy_context("anything", DEFAULTS, None, ANYONE))

    async def test_one_of_the_operator_s_list_passes(self, router: Router) -> None:
        await vision_choice.check_chosen(proxy_context("eyes", LISTED, router, ANYONE))

    async def test_one_of_the_operator_s_list_still_needs_access(self, router: Router) -> None:
        with pytest.raises(access.AccessDeniedError):
            await vision_choice.check_chosen(
                proxy_context("eyes", LISTED, router, UserAPIKeyAuth(models=["deepseek-chat"]))
            )

    @pytest.mark.parametrize("name", ["gpt-4o-mini", "unheard-of"])
    async def test_any_other_is_refused_with_those_that_are_left(self, router: Router, name: str) -> None:
        with pytest.raises(RequestError) as caught:
            await vision_choice.check_chosen(proxy_context(name, LISTED, router, ANYONE))
        error = caught.value
        assert not isinstance(error, access.AccessDeniedError)
        assert (error.status_code, error.param, error.code) == (403, "ocr_model", "invalid_ocr_model")
        assert error.message == (
            f"ocr_model: {name!r} is not an allowed vision model of this gateway. Vision models you may call: eyes."
        )

    async def test_an_empty_list_leaves_no_choice(self, router: Router) -> None:
        none = ImageAnalysisConfig(allowed_vision_models=())
        with pytest.raises(RequestError, match="It has no vision model that you may call"):
            await vision_choice.check_chosen(proxy_context("eyes", none, router, ANYONE))

    async def test_a_listed_one_that_nobody_serves_is_the_callers_mistake(self, router: Router) -> None:
        with pytest.raises(RequestError, match="this gateway serves no model 'ears'") as caught:
            await vision_choice.check_chosen(proxy_context("ears", LISTED, router, ANYONE))
        assert caught.value.status_code == 400

    async def test_the_user_of_a_personal_key_has_to_be_allowed(self, proxy_module: ModuleType, router: Router) -> None:
        await remember(proxy_module, ada=user("deepseek-chat"))
        with pytest.raises(access.AccessDeniedError, match="eyes"):
            await vision_choice.check_chosen(proxy_context("eyes", DEFAULTS, router, UserAPIKeyAuth(user_id="ada")))

    @pytest.mark.parametrize("models", [["eyes"], ["all-proxy-models"], []])
    async def test_what_the_organization_may_call_passes(
        self, proxy_module: ModuleType, router: Router, models: list[str]
    ) -> None:
        await remember(proxy_module, org_id_acme=organization(*models))
        await vision_choice.check_chosen(proxy_context("eyes", DEFAULTS, router, UserAPIKeyAuth(org_id="acme")))

    async def test_what_it_may_not_call_is_litellms_own_refusal(self, proxy_module: ModuleType, router: Router) -> None:
        await remember(proxy_module, org_id_acme=organization("deepseek-chat"))
        with pytest.raises(access.AccessDeniedError, match="eyes") as caught:
            await vision_choice.check_chosen(proxy_context("eyes", DEFAULTS, router, UserAPIKeyAuth(org_id="acme")))
        assert caught.value.status_code == denied_status()

    async def test_a_model_nobody_serves_is_the_callers_mistake(self, router: Router) -> None:
        with pytest.raises(RequestError) as caught:
            await vision_choice.check_chosen(proxy_context("ears", DEFAULTS, router, ANYONE))
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
        error = await vision_choice.wrong_choice(
            "it is no good.", proxy_context("", DEFAULTS, router, UserAPIKeyAuth(models=models))
        )
        assert error.message == f"ocr_model: it is no good. {offer}"

    async def test_ten_models_are_offered_by_name(self) -> None:
        error = await vision_choice.wrong_choice(
            "it is no good.", proxy_context("", DEFAULTS, router_with_eyes(12), ANYONE)
        )
        assert error.message.endswith("eyes-08, eyes-09 and 2 more.")

    async def test_without_a_router_nothing_is_offered(self) -> None:
        error = await vision_choice.wrong_choice("it is no good.", proxy_context("", DEFAULTS, None, ANYONE))
        assert error.message.endswith("It has no vision model that you may call.")


@pytest.mark.usefixtures("proxy_module")
class TestPreferred:
    """The vision model in the metadata of a key or team."""

    async def test_one_the_caller_may_call_passes(self, router: Router) -> None:
        await vision_choice.check_preferred(
            proxy_context("eyes", DEFAULTS, router, UserAPIKeyAuth(models=["deepseek-chat", "eyes"]))
        )

    async def test_without_the_operator_s_list_it_needs_access(self, router: Router) -> None:
        with pytest.raises(RequestError, match=NO_ACCESS):
            await vision_choice.check_preferred(
                proxy_context("eyes", DEFAULTS, router, UserAPIKeyAuth(models=["deepseek-chat"]))
            )

    async def test_one_of_the_operator_s_list_needs_none(self, router: Router) -> None:
        await vision_choice.check_preferred(
            proxy_context("eyes", LISTED, router, UserAPIKeyAuth(models=["deepseek-chat"]))
        )

    async def test_unless_access_is_required(self, router: Router) -> None:
        strict = LISTED.model_copy(update={"require_key_access": True})
        with pytest.raises(RequestError, match=NO_ACCESS):
            await vision_choice.check_preferred(
                proxy_context("eyes", strict, router, UserAPIKeyAuth(models=["deepseek-chat"]))
            )

    @pytest.mark.parametrize(
        ("name", "config", "status", "problem"),
        [
            (
                "gpt-4o-mini",
                LISTED,
                403,
                "'gpt-4o-mini' is not an allowed vision model of this gateway. Vision models you may",
            ),
            ("ears", DEFAULTS, 400, "this gateway serves no model 'ears'. Vision models you may call: eyes,"),
        ],
    )
    async def test_any_other_is_refused_with_the_place_where_it_stands(
        self, router: Router, name: str, config: ImageAnalysisConfig, status: int, problem: str
    ) -> None:
        with pytest.raises(RequestError) as caught:
            await vision_choice.check_preferred(proxy_context(name, config, router, ANYONE))
        assert caught.value.status_code == status
        source = "image_analysis.vision_model in the key's or team's metadata"
        assert caught.value.message.startswith(f"{source}: {problem}")


class TestDefault:
    @pytest.mark.parametrize("name", ["eyes", "openai/gpt-4o"])
    async def test_one_may_be_served(self, router: Router, name: str) -> None:
        assert await vision_choice.is_default_served(proxy_context(name, DEFAULTS, router, ANYONE))

    async def test_one_may_be_a_team_s_own(self, router: Router) -> None:
        who = UserAPIKeyAuth(team_id=TEAM)
        assert await vision_choice.is_default_served(proxy_context("team-eyes", DEFAULTS, router, who))

    async def test_without_a_router_it_is_not_known_to_be_missing(self) -> None:
        assert await vision_choice.is_default_served(proxy_context("ears", DEFAULTS, None, ANYONE))

    async def test_it_needs_no_permission_of_the_key(self, router: Router) -> None:
        await vision_choice.check_default(
            proxy_context("eyes", DEFAULTS, router, UserAPIKeyAuth(models=["deepseek-chat"]))
        )

    async def test_it_need_not_be_in_the_operator_s_list(self, router: Router) -> None:
        await vision_choice.check_default(proxy_context("gpt-4o-mini", LISTED, router, ANYONE))

    async def test_with_required_access_a_key_that_may_call_it_passes(self, router: Router) -> None:
        await vision_choice.check_default(
            proxy_context("eyes", STRICT, router, UserAPIKeyAuth(models=["deepseek-chat", "eyes"]))
        )

    async def test_with_required_access_any_other_key_is_told_what_it_lacks(
        self, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The caller did not name the vision model, so the error does not, either. The log names it."""
        who = UserAPIKeyAuth(models=["deepseek-chat"], key_alias="research")
        with pytest.raises(RequestError, match=NO_ACCESS) as caught:
            await vision_choice.check_default(proxy_context("eyes", STRICT, router, who))
        assert caught.value.status_code == denied_status()
        assert "eyes" not in caught.value.message
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert "a key has no access to its vision model: key_alias=research vision_model=eyes." in record.getMessage()

    async def test_one_that_nobody_serves_is_told_to_the_operator_once_a_minute(
        self, router: Router, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log, "_told", TTLCache(10, ttl=60))
        for models in ([], ["deepseek-chat"]):
            who = UserAPIKeyAuth(models=models)
            assert not await vision_choice.is_default_served(proxy_context("ears", DEFAULTS, router, who))
        assert caplog.messages == [f"image analysis: {vision_choice.unserved_default('ears', router)}"]

    def test_the_operator_reads_how_to_mend_it(self, router: Router) -> None:
        assert vision_choice.unserved_default("ears", router) == (
            "callback_settings.image_analysis.vision_model: this gateway serves no model 'ears'."
            " Add a deployment with model_name: ears to model_list,"
            " or set vision_model to one of: eyes, gpt-4o-mini."
        )

    def test_a_gateway_without_vision_models_has_none_to_offer(self) -> None:
        assert vision_choice.unserved_default("ears", router_of(deployment("deepseek-chat"))) == (
            "callback_settings.image_analysis.vision_model: this gateway serves no model 'ears'."
            " Add a deployment with model_name: ears to model_list."
        )

    def test_ten_models_are_offered_by_name(self) -> None:
        assert vision_choice.unserved_default("ears", router_with_eyes(12)).endswith("eyes-08, eyes-09.")
