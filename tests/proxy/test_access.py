"""Access of callers to models, with a real router and LiteLLM's own checks."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import litellm
import pytest
from litellm.proxy._types import (
    LiteLLM_ProjectTableCachedObj,
    LiteLLM_TeamTableCachedObj,
    LiteLLM_UserTable,
    UserAPIKeyAuth,
)
from litellm.proxy.auth import auth_checks
from litellm.proxy.common_utils.user_api_key_cache import UserApiKeyCache
from litellm.proxy.utils import ProxyLogging
from litellm.router import Router
from support.features import denied_status, needs_key_aliases
from support.routers import ANYONE, TEAM

from litellm_image_analysis.compat import apply_model_aliases
from litellm_image_analysis.proxy import access
from litellm_image_analysis.proxy.http_errors import http_error

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
    async def test_anything_else_is_litellms_own_refusal(self, router: Router, caller: UserAPIKeyAuth) -> None:
        with pytest.raises(access.AccessDeniedError, match="eyes") as caught:
            await access.check_access(["deepseek-chat", "eyes"], router, caller)
        assert caught.value.status_code == denied_status()
        assert http_error(caught.value) is caught.value.denied

    async def test_an_older_litellm_is_told_the_status_of_its_own_error(self, router: Router) -> None:
        with pytest.raises(access.AccessDeniedError) as caught:
            await access.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))
        assert vars(http_error(caught.value))["status_code"] == denied_status()

    async def test_on_google_s_route_it_has_google_s_shape(self, router: Router) -> None:
        with pytest.raises(access.AccessDeniedError) as caught:
            await access.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))
        error = http_error(caught.value, "agenerate_content").to_dict()
        assert (error["code"], error["status"]) == (
            denied_status(),
            {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}[denied_status()],
        )

    async def test_a_key_is_held_to_its_list_without_a_router_too(self) -> None:
        with pytest.raises(access.AccessDeniedError, match="eyes"):
            await access.check_access(["eyes"], None, UserAPIKeyAuth(models=["deepseek-chat"]))


class TestOneByOne:
    """LiteLLM 1.84 has no check of all lists at once."""

    @pytest.fixture(autouse=True)
    def _older(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(auth_checks, "can_key_call_resolved_model", raising=False)

    @pytest.mark.parametrize(
        "caller",
        [
            pytest.param(UserAPIKeyAuth(models=["eyes"]), id="key"),
            pytest.param(UserAPIKeyAuth(team_id=TEAM, team_models=["eyes"]), id="team"),
            pytest.param(UserAPIKeyAuth(models=["all-team-models"], team_id=TEAM, team_models=["eyes"]), id="both"),
            pytest.param(UserAPIKeyAuth(project_id="p"), id="project"),
        ],
    )
    async def test_what_is_on_them_may_be_called_and_nothing_else(
        self, proxy_module: ModuleType, router: Router, caller: UserAPIKeyAuth
    ) -> None:
        by: dict[str, Any] = {"created_by": "admin", "updated_by": "admin"}
        project = LiteLLM_ProjectTableCachedObj(project_id="p", models=["eyes"], **by)
        await remember(proxy_module, project_id_p=project)
        await access.check_access(["eyes"], router, caller)
        with pytest.raises(access.AccessDeniedError, match="scan-ocr"):
            await access.check_access(["eyes", "scan-ocr"], router, caller)

    async def test_a_team_s_row_goes_before_what_the_key_tells_of_it(
        self, proxy_module: ModuleType, router: Router, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def no_membership(**_: Any) -> None: ...

        monkeypatch.setattr(auth_checks, "get_team_membership", no_membership)
        await remember(proxy_module, team_id_team1=LiteLLM_TeamTableCachedObj(team_id="team1", models=["eyes"]))
        caller = UserAPIKeyAuth(user_id="ada", team_id="team1", team_models=["scan-ocr"])
        await access.check_access(["eyes"], router, caller)
        with pytest.raises(access.AccessDeniedError, match="scan-ocr"):
            await access.check_access(["scan-ocr"], router, caller)


class TestUser:
    """LiteLLM checks the user's models if a key belongs to no team."""

    async def test_a_personal_key_may_call_what_its_user_may(self, proxy_module: ModuleType, router: Router) -> None:
        await remember(proxy_module, ada=user("eyes"))
        await access.check_access(["eyes"], router, UserAPIKeyAuth(user_id="ada"))

    @pytest.mark.parametrize("models", [["deepseek-chat"], ["no-default-models"]])
    async def test_it_may_call_nothing_else(self, proxy_module: ModuleType, router: Router, models: list[str]) -> None:
        await remember(proxy_module, ada=user(*models))
        with pytest.raises(access.AccessDeniedError, match="eyes") as caught:
            await access.check_access(["eyes"], router, UserAPIKeyAuth(user_id="ada"))
        assert caught.value.status_code == denied_status()

    async def test_the_key_s_own_list_counts_too(self, proxy_module: ModuleType, router: Router) -> None:
        await remember(proxy_module, ada=user("eyes", "deepseek-chat"))
        with pytest.raises(access.AccessDeniedError, match="eyes"):
            await access.check_access(["eyes"], router, UserAPIKeyAuth(user_id="ada", models=["deepseek-chat"]))

    @needs_key_aliases
    async def test_the_key_s_name_for_a_model_of_its_user_is_as_good(
        self, proxy_module: ModuleType, router: Router
    ) -> None:
        await remember(proxy_module, ada=user("deepseek-chat"))
        caller = UserAPIKeyAuth(user_id="ada", models=["deepseek-chat"], aliases={"mine": "deepseek-chat"})
        await access.check_access(["mine"], router, caller)

    async def test_a_team_s_key_is_held_to_the_team_alone(self, proxy_module: ModuleType, router: Router) -> None:
        await remember(proxy_module, ada=user("deepseek-chat"))
        await access.check_access(["eyes"], router, UserAPIKeyAuth(user_id="ada", team_id=TEAM, team_models=["eyes"]))

    async def test_a_user_without_a_row_is_held_to_the_key_alone(
        self, proxy_module: ModuleType, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        await remember(proxy_module)
        with caplog.at_level(logging.DEBUG, "LiteLLM.image_analysis"):
            await access.check_access(["eyes"], router, UserAPIKeyAuth(user_id="ada"))
        assert "no row for the caller: ValueError" in caplog.messages

    async def test_without_a_database_there_is_no_user(self, proxy_module: ModuleType, router: Router) -> None:
        await remember(proxy_module, ada=user("deepseek-chat"))
        vars(proxy_module).update(prisma_client=None)
        await access.check_access(["eyes"], router, UserAPIKeyAuth(user_id="ada"))


class TestAliases:
    @pytest.fixture(autouse=True)
    def gateway_s_own(self, proxy_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        del proxy_module
        monkeypatch.setattr(litellm, "model_alias_map", {"gateway-s": "deepseek-chat", "on-to-gateway-s": "gateway-s"})

    @pytest.mark.parametrize(
        ("model", "applied"),
        [
            ("deepseek-chat", "deepseek-chat"),
            ("team-s", "of-team"),
            ("key-s", "of-key"),
            ("gateway-s", "deepseek-chat"),
            ("team-s-for-key-s", "of-key"),
            ("key-s-for-gateway-s", "deepseek-chat"),
            ("on-to-gateway-s", "gateway-s"),
        ],
    )
    def test_they_are_applied_in_litellm_s_order(self, model: str, applied: str) -> None:
        caller = UserAPIKeyAuth(
            team_id=TEAM,
            team_model_aliases={"team-s": "of-team", "team-s-for-key-s": "key-s"},
            aliases={"key-s": "of-key", "key-s-for-gateway-s": "gateway-s"},
        )
        assert apply_model_aliases(model, caller) == applied

    @pytest.mark.parametrize("model", ["team-s", "key-s"])
    def test_those_of_others_are_not(self, model: str) -> None:
        assert apply_model_aliases(model, ANYONE) == model
