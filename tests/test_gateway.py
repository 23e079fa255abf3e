"""What is read from a running proxy, here a real router without a network: names, access, errors."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.auth import auth_checks
from litellm.router import Router
from litellm.types.router import RouterGeneralSettings

from litellm_image_analysis import gateway
from litellm_image_analysis.dialects import FoundImage
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.images import ImageSource

TEAM, OTHER_TEAM = "team-1", "team-2"
ANYONE = UserAPIKeyAuth()


def deployment(name: str, model: str | None = None, **model_info: Any) -> dict[str, Any]:
    """A deployment whose backend LiteLLM knows nothing about, unless ``model`` names one it knows."""
    params = {"model": model or f"openai/unheard-of-{name}", "api_key": "none"}
    return {"model_name": name, "litellm_params": params, "model_info": model_info}


def team_deployment(name: str, **model_info: Any) -> dict[str, Any]:
    return deployment(f"{name}_{TEAM}_internal", team_id=TEAM, team_public_model_name=name, **model_info)


def router_of(*deployments: dict[str, Any], **kwargs: Any) -> Router:
    return Router(model_list=list(deployments), **kwargs)


def router_with_eyes(count: int) -> Router:
    return router_of(*(deployment(f"eyes-{number:02}", supports_vision=True) for number in range(count)))


@pytest.fixture(scope="module")
def router() -> Router:
    return router_of(
        deployment("deepseek-chat", id="deployment-1"),
        deployment("scan-ocr"),
        deployment("eyes", supports_vision=True),
        deployment("gpt-4o-mini", "openai/gpt-4o-mini"),
        deployment("blindfolded", "openai/gpt-4.1-nano", supports_vision=False),
        deployment("openai/*", "openai/*", supports_vision=True),
        team_deployment("team-eyes", supports_vision=True),
        team_deployment("team-scan-ocr"),
        model_group_alias={"chat": "deepseek-chat", "hidden": {"model": "deepseek-chat", "hidden": True}},
        routing_groups=[{"group_name": "chats", "models": ["deepseek-chat"], "routing_strategy": "simple-shuffle"}],
    )


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What a proxy's own module shows of itself; importing the real one would start half of a proxy."""
    module = ModuleType("litellm.proxy.proxy_server")
    vars(module).update(
        llm_router=None, store_model_in_db=False, prisma_client=None, proxy_logging_obj=None, user_api_key_cache=None
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


class TestRunningRouter:
    def test_it_is_the_proxys(self, proxy: ModuleType, router: Router) -> None:
        vars(proxy).update(llm_router=router)
        assert gateway.running_router() is router

    @pytest.mark.usefixtures("proxy")
    def test_there_is_none_before_the_proxy_is_up(self) -> None:
        assert gateway.running_router() is None

    def test_there_is_none_without_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
        assert gateway.running_router() is None


class TestNames:
    @pytest.mark.parametrize(
        ("name", "is_real"),
        [
            ("deepseek-chat", True),
            ("scan-ocr", True),
            ("chat", True),
            ("hidden", True),
            ("chats", True),
            ("deployment-1", True),
            ("gpt-4o", True),
            ("team-scan-ocr", True),
            ("openai/anything", False),
            ("deepseek-chat-ocr", False),
            ("", False),
        ],
    )
    def test_a_real_name_is_listed_or_in_the_cost_map(self, router: Router, name: str, is_real: bool) -> None:
        assert gateway.bears_name(router, name) is is_real

    @pytest.mark.parametrize(("name", "is_real"), [("gpt-4o", True), ("deepseek-chat-ocr", False)])
    def test_without_a_router_a_real_name_is_in_the_cost_map(self, name: str, is_real: bool) -> None:
        assert gateway.bears_name(None, name) is is_real

    def test_a_router_without_routing_groups_lists_its_models(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LiteLLM 1.84 knows no routing groups."""
        monkeypatch.setattr(Router, "get_routing_group", None)
        assert gateway.bears_name(router_of(deployment("eyes")), "eyes")
        assert not gateway.bears_name(router_of(deployment("eyes")), "ears")


class TestServes:
    @pytest.mark.parametrize(
        ("name", "served"),
        [
            ("deepseek-chat", True),
            ("chat", True),
            ("hidden", True),
            ("chats", True),
            ("deployment-1", True),
            ("openai/anything", True),
            ("anthropic/anything", False),
            ("gpt-4o", False),
            ("team-eyes", False),
            ("deepseek-chat-ocr", False),
            ("", False),
        ],
    )
    def test_names_aliases_groups_ids_and_wildcards_are_served(self, router: Router, name: str, served: bool) -> None:
        assert gateway.serves(router, name, team_id=None) is served

    @pytest.mark.parametrize(("team_id", "served"), [(TEAM, True), (OTHER_TEAM, False)])
    def test_a_teams_model_is_served_to_that_team(self, router: Router, team_id: str, served: bool) -> None:
        assert gateway.serves(router, "team-eyes", team_id) is served

    def test_a_default_deployment_serves_every_model(self) -> None:
        router = router_of()
        vars(router).update(default_deployment=deployment("any"))
        assert gateway.serves(router, "anything", team_id=None)

    def test_a_router_that_passes_all_models_through_serves_every_model(self) -> None:
        router = router_of(router_general_settings=RouterGeneralSettings(pass_through_all_models=True))
        assert gateway.serves(router, "anything", team_id=None)


class TestVisionGroups:
    def test_they_are_models_known_to_take_images_and_no_wildcards(self, router: Router) -> None:
        assert gateway.vision_groups(router, team_id=None) == ["eyes", "gpt-4o-mini"]

    def test_a_team_has_its_own_too(self, router: Router) -> None:
        assert gateway.vision_groups(router, TEAM) == ["eyes", "gpt-4o-mini", "team-eyes"]

    def test_what_the_operator_declares_goes_before_what_litellm_knows(self) -> None:
        """The router teaches LiteLLM the last declaration for a backend, here that it sees."""
        declared = router_of(
            deployment("blindfolded", "openai/gpt-4.1-mini", supports_vision=False),
            deployment("eyes", "openai/gpt-4.1-mini", supports_vision=True),
        )
        assert gateway.vision_groups(declared, team_id=None) == ["eyes"]

    def test_one_seeing_deployment_makes_a_seeing_group(self) -> None:
        mixed = router_of(deployment("mixed"), deployment("mixed", supports_vision=True))
        assert gateway.vision_groups(mixed, team_id=None) == ["mixed"]

    def test_an_alias_of_a_seeing_model_is_one(self) -> None:
        aliased = router_of(deployment("eyes", supports_vision=True), model_group_alias={"alias": "eyes"})
        assert gateway.vision_groups(aliased, team_id=None) == ["alias", "eyes"]


@pytest.mark.usefixtures("proxy")
class TestAccess:
    async def test_a_key_may_call_what_it_is_allowed_to(self, router: Router) -> None:
        await gateway.check_access(["eyes", "gpt-4o-mini"], router, UserAPIKeyAuth(models=["eyes", "gpt-4o-mini"]))

    async def test_a_key_without_a_list_may_call_anything(self, router: Router) -> None:
        await gateway.check_access(["eyes", "gpt-4o-mini"], router, ANYONE)

    @pytest.mark.parametrize(
        "caller",
        [
            pytest.param(UserAPIKeyAuth(models=["deepseek-chat"]), id="key"),
            pytest.param(UserAPIKeyAuth(team_id=TEAM, team_models=["deepseek-chat"]), id="team"),
        ],
    )
    async def test_anything_else_is_litellms_own_403(self, router: Router, caller: UserAPIKeyAuth) -> None:
        with pytest.raises(gateway.AccessDeniedError, match="eyes") as caught:
            await gateway.check_access(["deepseek-chat", "eyes"], router, caller)
        assert caught.value.status_code == 403
        assert gateway.http_error(caught.value) is caught.value.denied

    async def test_an_older_litellm_is_told_the_status_of_its_own_error(self, router: Router) -> None:
        with pytest.raises(gateway.AccessDeniedError) as caught:
            await gateway.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))
        assert vars(gateway.http_error(caught.value))["status_code"] == 403

    async def test_on_google_s_route_it_has_google_s_shape(self, router: Router) -> None:
        with pytest.raises(gateway.AccessDeniedError) as caught:
            await gateway.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))
        error = gateway.http_error(caught.value, "agenerate_content").to_dict()
        assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")

    async def test_an_older_litellm_checks_the_key(self, router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(auth_checks, "can_key_call_resolved_model")
        with pytest.raises(gateway.AccessDeniedError, match="eyes"):
            await gateway.check_access(["eyes"], router, UserAPIKeyAuth(models=["deepseek-chat"]))

    async def test_a_key_is_held_to_its_list_without_a_router_too(self) -> None:
        with pytest.raises(gateway.AccessDeniedError, match="eyes"):
            await gateway.check_access(["eyes"], None, UserAPIKeyAuth(models=["deepseek-chat"]))


@pytest.mark.usefixtures("proxy")
class TestChosen:
    @pytest.mark.parametrize("name", ["eyes", "openai/gpt-4o", "deepseek-chat"])
    async def test_a_served_model_the_caller_may_call_passes(self, router: Router, name: str) -> None:
        await gateway.check_chosen(name, router, ANYONE)

    async def test_a_served_model_the_caller_may_not_call_is_litellms_own_403(self, router: Router) -> None:
        with pytest.raises(gateway.AccessDeniedError) as caught:
            await gateway.check_chosen("eyes", router, UserAPIKeyAuth(models=["deepseek-chat"]))
        assert caught.value.status_code == 403

    async def test_without_a_router_only_access_counts(self) -> None:
        await gateway.check_chosen("anything", None, ANYONE)

    async def test_a_model_nobody_serves_is_the_callers_mistake(self, router: Router) -> None:
        with pytest.raises(RequestError) as caught:
            await gateway.check_chosen("ears", router, ANYONE)
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
        error = await gateway.wrong_choice("it is no good.", router, UserAPIKeyAuth(models=models))
        assert error.message == f"ocr_model: it is no good. {offer}"

    async def test_ten_models_are_offered_by_name(self) -> None:
        error = await gateway.wrong_choice("it is no good.", router_with_eyes(12), ANYONE)
        assert error.message.endswith("eyes-08, eyes-09 and 2 more.")

    async def test_without_a_router_nothing_is_offered(self) -> None:
        error = await gateway.wrong_choice("it is no good.", None, ANYONE)
        assert error.message.endswith("It has no vision model that you may call.")


@pytest.mark.usefixtures("proxy")
class TestDefault:
    @pytest.mark.parametrize("name", ["eyes", "openai/gpt-4o"])
    async def test_a_served_one_passes(self, router: Router, name: str) -> None:
        await gateway.check_default(name, router, ANYONE)

    async def test_a_teams_own_one_passes(self, router: Router) -> None:
        await gateway.check_default("team-eyes", router, UserAPIKeyAuth(team_id=TEAM))

    async def test_without_a_router_it_is_not_known_to_be_missing(self) -> None:
        await gateway.check_default("ears", None, ANYONE)

    async def test_one_that_nobody_serves_is_an_error(self, router: Router) -> None:
        with pytest.raises(RequestError, match="this gateway serves no model 'ears'") as caught:
            await gateway.check_default("ears", router, ANYONE)
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
            await gateway.check_default("ears", router, UserAPIKeyAuth(models=models))
        assert caught.value.message.endswith(mend)

    def test_the_operator_reads_how_to_mend_it(self, router: Router) -> None:
        assert gateway.unserved_default("ears", router) == (
            "callback_settings.image_analysis.vision_model: this gateway serves no model 'ears'."
            " Add a deployment with model_name: ears to model_list,"
            " or set vision_model to one of: eyes, gpt-4o-mini."
        )

    def test_a_gateway_without_vision_models_has_none_to_offer(self) -> None:
        assert gateway.unserved_default("ears", router_of(deployment("deepseek-chat"))) == (
            "callback_settings.image_analysis.vision_model: this gateway serves no model 'ears'."
            " Add a deployment with model_name: ears to model_list."
        )

    def test_ten_models_are_offered_by_name(self) -> None:
        assert gateway.unserved_default("ears", router_with_eyes(12)).endswith("eyes-08, eyes-09.")


class TestHolders:
    HELD = FoundImage(("input", 0), ImageSource("file-1", holder="openai"), 1, 1, "")
    INLINE = FoundImage(("input", 1), ImageSource("data:image/png;base64,aaaa"), 1, 1, "")

    def test_nobody_asks_unless_an_image_is_a_file_somewhere(self, router: Router) -> None:
        assert gateway.holders([self.INLINE], router, "eyes") == set()

    def test_they_are_the_providers_of_all_deployments(self) -> None:
        both = router_of(deployment("eyes", "openai/gpt-4o"), deployment("eyes", "anthropic/claude-sonnet-4-5"))
        assert gateway.holders([self.INLINE, self.HELD], both, "eyes") == {"openai", "anthropic"}

    @pytest.mark.parametrize(("model", "provider"), [("gpt-4o", "openai"), ("gemini/gemini-2.0-flash", "gemini")])
    def test_without_a_router_it_is_the_model_s(self, model: str, provider: str) -> None:
        assert gateway.holders([self.HELD], None, model) == {provider}

    def test_a_model_litellm_does_not_know_has_none(self) -> None:
        assert gateway.holders([self.HELD], None, "no-such-model") == {""}


class TestHttpError:
    def test_it_is_openais_error_object_with_the_right_status(self) -> None:
        error = gateway.http_error(
            RequestError("too large", status_code=413, param="messages[0]", code="image_too_large")
        )
        assert error.to_dict() == {
            "message": "too large",
            "type": "invalid_request_error",
            "param": "messages[0]",
            "code": "413",
        }

    @pytest.mark.parametrize(
        ("status", "name"),
        [(400, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (418, "FAILED_PRECONDITION"), (500, "INTERNAL")],
    )
    @pytest.mark.parametrize("call_type", ["agenerate_content", "agenerate_content_stream"])
    def test_on_google_s_route_it_is_google_s_error_object(self, status: int, name: str, call_type: str) -> None:
        error = gateway.http_error(RequestError("no", status_code=status), call_type)
        assert error.to_dict() == {"code": status, "message": "no", "status": name}

    def test_an_older_litellm_is_told_the_status_too(self) -> None:
        assert vars(gateway.http_error(RequestError("too large", status_code=413)))["status_code"] == 413

    def test_the_machine_readable_reason_is_not_lost(self) -> None:
        assert gateway.http_error(RequestError("too large", code="image_too_large")).openai_code == "image_too_large"

    @pytest.mark.parametrize(("seconds", "headers"), [(7, {"retry-after": "7"}), (0, {"retry-after": "0"}), (None, {})])
    def test_when_to_try_again_is_a_header(self, seconds: int | None, headers: dict[str, str]) -> None:
        assert gateway.http_error(RequestError("later", retry_after_seconds=seconds)).headers == headers


class TestReportAtStart:
    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gateway, "_POLL_SECONDS", 0.0)

    async def test_a_served_model_is_nothing_to_report(
        self, proxy: ModuleType, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        vars(proxy).update(llm_router=router)
        await gateway.report_unserved_default("eyes")
        assert caplog.messages == []

    async def test_a_model_nobody_serves_is_an_error(
        self, proxy: ModuleType, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        vars(proxy).update(llm_router=router)
        await gateway.report_unserved_default("ears")
        [record] = caplog.records
        assert (record.name, record.levelno) == ("LiteLLM.image_analysis", logging.ERROR)
        assert record.getMessage() == gateway.unserved_default("ears", router)

    async def test_the_router_is_waited_for(
        self, proxy: ModuleType, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(gateway.report_unserved_default, "ears")
            await checkpoint()
            assert caplog.messages == []
            vars(proxy).update(llm_router=router)
        assert caplog.messages == [gateway.unserved_default("ears", router)]

    async def test_models_in_the_database_are_waited_for(
        self, proxy: ModuleType, caplog: pytest.LogCaptureFixture
    ) -> None:
        vars(proxy).update(llm_router=router_of(), store_model_in_db=True)
        async with anyio.create_task_group() as group:
            group.start_soon(gateway.report_unserved_default, "eyes")
            await checkpoint()
            vars(proxy).update(llm_router=router_of(deployment("eyes")))
        assert caplog.messages == []

    @pytest.mark.parametrize("in_database", [False, True])
    async def test_waiting_ends(
        self,
        proxy: ModuleType,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        in_database: bool,
    ) -> None:
        monkeypatch.setattr(gateway, "_STARTUP_SECONDS", 0.0)
        vars(proxy).update(store_model_in_db=in_database)
        await gateway.report_unserved_default("eyes")
        assert caplog.messages == [gateway.unserved_default("eyes", None)]


def test_an_announcement_is_the_last_thing_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    gateway.announce_at_exit("wrong settings")
    assert capsys.readouterr().err == ""
    [announce] = at_exit
    announce()
    assert capsys.readouterr().err == "\nwrong settings\n"
