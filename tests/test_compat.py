"""Views of a Router: the real one of the installed LiteLLM, and doubles of other versions."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.router import Router
from litellm.types.router import RouterGeneralSettings
from support.features import needs_routing_groups, needs_shutdown_grace, needs_team_names
from support.routers import OTHER_TEAM, TEAM, deployment, router_of

from litellm_image_analysis.compat import counted_as_request, tracer_provider, view_of


class Logger:
    """A double for LiteLLM's OpenTelemetry callback."""

    def __init__(self, provider: object) -> None:
        self._tracer_provider = provider


class NewLogger:
    """A double for the one that ``LITELLM_OTEL_V2`` switches on."""

    def __init__(self, provider: object) -> None:
        self.tracer_provider = provider


class TestTracerProvider:
    @pytest.fixture(autouse=True)
    def modules(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old, new = SimpleNamespace(OpenTelemetry=Logger), SimpleNamespace(OpenTelemetryV2=NewLogger)
        monkeypatch.setitem(sys.modules, "litellm.integrations.opentelemetry", old)
        monkeypatch.setitem(sys.modules, "litellm.integrations.otel.logger", new)
        for name in ("callbacks", "success_callback", "_async_success_callback"):
            monkeypatch.setattr(litellm, name, [])

    @pytest.mark.parametrize("kind", [Logger, NewLogger])
    @pytest.mark.parametrize("name", ["callbacks", "success_callback", "_async_success_callback"])
    def test_it_is_that_of_the_callback(self, name: str, kind: type[Logger | NewLogger]) -> None:
        getattr(litellm, name).extend(["langfuse", kind("the provider")])
        assert tracer_provider() == "the provider"

    @pytest.mark.parametrize("module", [None, SimpleNamespace()])
    def test_there_is_none_without_the_callback(self, monkeypatch: pytest.MonkeyPatch, module: object) -> None:
        litellm.callbacks.append("prometheus")
        assert tracer_provider() is None
        logger: Any = Logger("the provider")
        litellm.callbacks.append(logger)
        monkeypatch.setitem(sys.modules, "litellm.integrations.opentelemetry", module)
        assert tracer_provider() is None

    def test_of_several_it_is_that_of_the_proxy_s_own_spans(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first: Any = Logger("first")
        second: Any = Logger("second")
        litellm.callbacks += [first, second]
        proxy = SimpleNamespace(open_telemetry_logger=second)
        monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", proxy)
        assert tracer_provider() == "second"
        litellm.callbacks.remove(second)  # a callback of an earlier test or program
        assert tracer_provider() == "first"


class TestCountedAsRequest:
    @needs_shutdown_grace
    def test_a_proxy_has_one_more_request_in_flight_during_the_block(self) -> None:
        from litellm.proxy.middleware.in_flight_requests_middleware import get_in_flight_requests

        before = get_in_flight_requests()
        with suppress(KeyError), counted_as_request():
            during = get_in_flight_requests()
            raise KeyError
        assert (during, get_in_flight_requests()) == (before + 1, before)

    @pytest.mark.parametrize("module", [None, SimpleNamespace(InFlightRequestsMiddleware=object())])
    def test_where_nothing_is_counted_nothing_happens(self, monkeypatch: pytest.MonkeyPatch, module: object) -> None:
        monkeypatch.setitem(sys.modules, "litellm.proxy.middleware.in_flight_requests_middleware", module)
        with counted_as_request():
            pass


class TestInstalled:
    def test_its_groups_are_its_models_names(self, router: Router) -> None:
        assert {"deepseek-chat", "openai/*"} <= set(view_of(router).groups())
        assert "chat" not in view_of(router).groups()

    @needs_routing_groups
    def test_it_has_routing_groups(self, router: Router) -> None:
        assert list(view_of(router).routing_groups()) == ["chats"]

    @needs_team_names
    def test_it_has_names_of_teams(self, router: Router) -> None:
        assert set(view_of(router).team_names()) == {"team-eyes", "team-scan-ocr"}

    def test_it_lists_models_and_visible_aliases(self, router: Router) -> None:
        names = view_of(router).listed_names(team_id=None)
        assert {"deepseek-chat", "chat"} <= set(names)
        assert not {"hidden", "team-eyes"} & set(names)
        assert "team-eyes" in view_of(router).listed_names(TEAM)

    def test_it_finds_deployments_by_id_by_name_and_all(self, router: Router) -> None:
        view = view_of(router)
        assert view.has_deployment("deployment-1")
        assert not view.has_deployment("deployment-2")
        assert [each["model_info"]["id"] for each in view.deployments("chat")] == ["deployment-1"]
        assert view.deployments("unheard-of") == []
        assert len(view.deployments()) == 8

    def test_a_team_s_name_is_that_team_s_alone(self, router: Router) -> None:
        assert view_of(router).team_group("team-eyes", TEAM) is not None
        assert view_of(router).team_group("team-eyes", OTHER_TEAM) is None

    def test_it_knows_its_wildcards(self, router: Router) -> None:
        assert view_of(router).matches_wildcard("openai/anything")
        assert not view_of(router).matches_wildcard("anthropic/anything")
        assert not view_of(router_of()).matches_wildcard("openai/anything")

    @pytest.mark.parametrize("passes", [True, False])
    def test_it_says_whether_it_passes_names_through(self, passes: bool) -> None:
        router = router_of(router_general_settings=RouterGeneralSettings(pass_through_all_models=passes))
        assert view_of(router).serves_any_name() is passes

    def test_aliases_are_read_where_they_were_put(self) -> None:
        router = router_of(deployment("deepseek-chat"), model_group_alias={"chat": "deepseek-chat"})
        assert view_of(router).aliases() == {"chat": "deepseek-chat"}
        aliases = {"talk": "deepseek-chat"}
        view_of(router).replace_aliases(aliases)
        assert view_of(router).aliases() is aliases
        assert view_of(router).listed_names(team_id=None) == ["talk", "deepseek-chat"]

    def test_a_retired_one_leaves_no_callbacks(self) -> None:
        import litellm

        before = list(litellm._async_success_callback)
        view_of(router_of(deployment("deepseek-chat"))).retire()
        assert litellm._async_success_callback == before


class TestBefore1109:
    def test_what_1_84_lacks_is_empty(self) -> None:
        view = view_of(SimpleNamespace(model_group_alias=None, model_list=None))  # type: ignore[arg-type]
        assert not view.routing_groups()
        assert not view.team_names()
        assert view.aliases() == {}
        assert view.deployments() == []

    def test_a_default_deployment_serves_any_name(self) -> None:
        settings = RouterGeneralSettings()
        old: Any = SimpleNamespace(router_general_settings=settings, default_deployment=deployment("any"))
        assert view_of(old).serves_any_name()


class Registry:
    """The methods of LiteLLM 1.109's registry that are used. The aliases are those of the Router behind it."""

    def __init__(self, core: Any) -> None:
        self._router = core

    def names(self, kind: str | None = None, team_id: str | None = None) -> Any:
        return {"group_set": {"deepseek-chat"}, "team_public": frozenset({"ours"})}.get(kind or "", [f"for {team_id}"])

    def routing_groups(self) -> dict[str, Any]:
        return {"chats": ["deepseek-chat"]}

    def has_deployment(self, model_id: str) -> bool:
        return model_id == "deployment-1"

    def all(self) -> list[Any]:
        return [deployment("deepseek-chat")]

    def deployments(self, name: str, team_id: str | None) -> list[Any] | None:
        return [deployment(name, team_id=team_id)] if name == "deepseek-chat" else None

    def resolve(self, name: str, kind: str, team_id: str) -> str | None:
        return f"{name} as {kind} of {team_id}"

    def patterns(self) -> Any:
        return SimpleNamespace(patterns={"openai/(.*)": []}, route=lambda name: name.startswith("openai/") or None)

    def aliases(self) -> dict[str, Any] | None:
        aliases: dict[str, Any] | None = self._router._core_model_group_alias
        return aliases


class Newer:
    """A double of a Router of LiteLLM 1.109 or newer, with the parts that are read."""

    def __init__(self, *, tells_settings: bool = True, default_deployment: Any = None) -> None:
        self.core = SimpleNamespace(_core_model_group_alias=None)
        if tells_settings:
            self.core._core_get_settings = dict
        self.default_deployment = default_deployment
        self.is_retired = False
        self.fallbacks: list[Any] | None = None

    def registry(self) -> Registry:
        return Registry(self.core)

    def settings(self) -> SimpleNamespace:
        return SimpleNamespace(
            router_general_settings=RouterGeneralSettings(),
            default_deployment=self.default_deployment,
            fallbacks=self.fallbacks,
        )

    def retire(self) -> None:
        self.is_retired = True


class TestFrom1109On:
    def test_names_and_deployments_are_the_registry_s(self) -> None:
        view = view_of(Newer())  # type: ignore[arg-type]
        assert view.groups() == {"deepseek-chat"}
        assert list(view.routing_groups()) == ["chats"]
        assert view.team_names() == {"ours"}
        assert view.listed_names(TEAM) == [f"for {TEAM}"]
        assert view.has_deployment("deployment-1")
        assert [each["model_name"] for each in view.deployments()] == ["deepseek-chat"]
        assert [each["model_info"] for each in view.deployments("deepseek-chat", TEAM)] == [{"team_id": TEAM}]
        assert view.deployments("unheard-of") == []
        assert view.team_group("ours", TEAM) == f"ours as team_model of {TEAM}"
        assert view.matches_wildcard("openai/anything")
        assert not view.matches_wildcard("anthropic/anything")

    @pytest.mark.parametrize("default", [None, deployment("any")])
    def test_a_default_deployment_serves_any_name(self, default: Any) -> None:
        router: Any = Newer(default_deployment=default)
        assert view_of(router).serves_any_name() is (default is not None)

    def test_fallbacks_and_those_for_all_are_told(self) -> None:
        router: Any = Newer()
        assert view_of(router).fallbacks() == []
        router.fallbacks = [{"old": ["new"]}, "odd", {"*": ["new"]}]
        assert view_of(router).fallbacks() == [{"old": ["new"]}, {"*": ["new"]}]

    def test_aliases_are_read_where_they_were_put(self) -> None:
        router: Any = Newer()
        assert view_of(router).aliases() == {}
        aliases = {"chat": "deepseek-chat"}
        view_of(router).replace_aliases(aliases)
        assert view_of(router).aliases() is aliases

    def test_settings_are_told_where_there_is_something_that_tells_them(self) -> None:
        router: Any = Newer()
        assert view_of(router).alias_settings == (router.core, "_core_get_settings")
        silent: Any = Newer(tells_settings=False)
        assert view_of(silent).alias_settings is None

    def test_it_can_be_retired(self) -> None:
        router: Any = Newer()
        view_of(router).retire()
        assert router.is_retired
