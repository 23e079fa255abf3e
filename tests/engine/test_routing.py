"""Names and deployments of a real router without a network."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.router import Router
from litellm.types.router import RouterGeneralSettings
from support.features import needs_routing_groups, needs_team_names
from support.routers import OTHER_TEAM, TEAM, deployment, router_of, team_deployment

from litellm_image_analysis.compat import proxy_global, view_of
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine import routing
from litellm_image_analysis.proxy.aliases import advertise
from litellm_image_analysis.request import FoundImage
from litellm_image_analysis.request.activation import Active, Inactive
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.vision.gate import ModelGroup


@pytest.fixture
def advertised() -> Router:
    """A router with suffixed names among its aliases."""
    router = router_of(
        deployment("deepseek-chat"),
        deployment("scan-ocr"),
        deployment("look-ocr", supports_vision=True),
        deployment("eyes", supports_vision=True),
        team_deployment("team-eyes", supports_vision=True),
        team_deployment("team-scan-ocr"),
        model_group_alias={"chat": "deepseek-chat", "hidden": {"model": "eyes", "hidden": True}, "sight": "eyes"},
        routing_groups=[{"group_name": "chats", "models": ["deepseek-chat"], "routing_strategy": "simple-shuffle"}],
    )
    advertise(router, "-ocr")
    return router


class TestProxyGlobal:
    def test_it_is_read_when_asked_for(self, proxy_module: ModuleType) -> None:
        assert proxy_global("master_key") is None
        vars(proxy_module).update(master_key="sk-master")
        assert proxy_global("master_key") == "sk-master"

    def test_a_program_has_none_and_starts_no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
        assert proxy_global("master_key") is None
        assert "litellm.proxy.proxy_server" not in sys.modules


class TestModelsInDatabase:
    @pytest.mark.parametrize(("value", "stored"), [(True, True), (False, False), (None, False)])
    def test_the_proxy_says_whether_there_are_any(self, proxy_module: ModuleType, value: object, stored: bool) -> None:
        vars(proxy_module).update(store_model_in_db=value)
        assert routing.models_in_database() is stored

    def test_a_program_has_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
        assert routing.models_in_database() is False


class TestRunningRouter:
    def test_it_is_the_proxys(self, proxy_module: ModuleType, router: Router) -> None:
        vars(proxy_module).update(llm_router=router)
        assert routing.running_router() is router

    @pytest.mark.usefixtures("proxy_module")
    def test_there_is_none_before_the_proxy_is_up(self) -> None:
        assert routing.running_router() is None

    def test_there_is_none_without_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
        assert routing.running_router() is None


class TestNames:
    @pytest.mark.parametrize(
        ("name", "is_real"),
        [
            ("deepseek-chat", True),
            ("scan-ocr", True),
            ("chat", True),
            ("hidden", True),
            pytest.param("chats", True, marks=needs_routing_groups),
            ("deployment-1", True),
            ("gpt-4o", True),
            pytest.param("team-scan-ocr", True, marks=needs_team_names),
            ("openai/anything", False),
            ("deepseek-chat-ocr", False),
            ("", False),
        ],
    )
    def test_a_real_name_is_listed_or_in_the_cost_map(self, router: Router, name: str, is_real: bool) -> None:
        assert routing.bears_name(router, name) is is_real

    @pytest.mark.parametrize(("name", "is_real"), [("gpt-4o", True), ("deepseek-chat-ocr", False)])
    def test_without_a_router_a_real_name_is_in_the_cost_map(self, name: str, is_real: bool) -> None:
        assert routing.bears_name(None, name) is is_real

    @pytest.mark.parametrize("name", ["deepseek-chat-ocr", "chat-ocr", "unheard-of-ocr", "scan-ocr-ocr"])
    def test_an_advertised_name_is_no_real_one(self, advertised: Router, name: str) -> None:
        assert name in view_of(advertised).aliases()
        assert not routing.bears_name(advertised, name)

    @pytest.mark.parametrize(
        "name",
        [
            *("deepseek-chat", "scan-ocr", "chat", "hidden"),
            pytest.param("chats", marks=needs_routing_groups),
            pytest.param("team-scan-ocr", marks=needs_team_names),
        ],
    )
    def test_a_real_name_stays_one_when_names_are_advertised(self, advertised: Router, name: str) -> None:
        assert routing.bears_name(advertised, name)


class TestServes:
    @pytest.mark.parametrize(
        ("name", "served"),
        [
            ("deepseek-chat", True),
            ("chat", True),
            ("hidden", True),
            pytest.param("chats", True, marks=needs_routing_groups),
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
        assert routing.serves(router, name, team_id=None) is served

    @pytest.mark.parametrize(("team_id", "served"), [(TEAM, True), (OTHER_TEAM, False)])
    def test_a_teams_model_is_served_to_that_team(self, router: Router, team_id: str, served: bool) -> None:
        assert routing.serves(router, "team-eyes", team_id) is served

    @pytest.mark.parametrize(("name", "served"), [("eyes", True), ("eyes-ocr", False), ("unheard-of-ocr", False)])
    def test_an_advertised_name_is_served_under_its_own_name_only(
        self, advertised: Router, name: str, served: bool
    ) -> None:
        assert routing.serves(advertised, name, team_id=None) is served

    def test_a_router_that_passes_all_models_through_serves_every_model(self) -> None:
        router = router_of(router_general_settings=RouterGeneralSettings(pass_through_all_models=True))
        assert routing.serves(router, "anything", team_id=None)


class TestVisionGroups:
    def test_they_are_models_known_to_take_images_and_no_wildcards(self, router: Router) -> None:
        assert routing.vision_groups(router, team_id=None) == ["eyes", "gpt-4o-mini"]

    def test_a_team_has_its_own_too(self, router: Router) -> None:
        assert routing.vision_groups(router, TEAM) == ["eyes", "gpt-4o-mini", "team-eyes"]

    def test_what_the_operator_declares_goes_before_what_litellm_knows(self) -> None:
        """The router registers the last declaration for a model in LiteLLM, here that it accepts images."""
        declared = router_of(
            deployment("blindfolded", "openai/gpt-4.1-mini", supports_vision=False),
            deployment("eyes", "openai/gpt-4.1-mini", supports_vision=True),
        )
        assert routing.vision_groups(declared, team_id=None) == ["eyes"]

    def test_one_seeing_deployment_makes_a_seeing_group(self) -> None:
        mixed = router_of(deployment("mixed"), deployment("mixed", supports_vision=True))
        assert routing.vision_groups(mixed, team_id=None) == ["mixed"]

    def test_an_alias_of_a_seeing_model_is_one(self) -> None:
        aliased = router_of(deployment("eyes", supports_vision=True), model_group_alias={"alias": "eyes"})
        assert routing.vision_groups(aliased, team_id=None) == ["alias", "eyes"]

    def test_advertised_names_are_left_out(self, advertised: Router) -> None:
        assert "eyes-ocr" in view_of(advertised).listed_names(team_id=None)
        assert routing.vision_groups(advertised, team_id=None) == ["eyes", "look-ocr", "sight"]


class TestHolders:
    HELD = FoundImage(("input", 0), ImageSource("file-1", holder="openai"), 1, 1, "")
    INLINE = FoundImage(("input", 1), ImageSource("data:image/png;base64,aaaa"), 1, 1, "")

    def test_nobody_asks_unless_an_image_is_a_file_somewhere(self, router: Router) -> None:
        assert routing.file_providers([self.INLINE], router, "eyes") == set()

    def test_they_are_the_providers_of_all_deployments(self) -> None:
        both = router_of(deployment("eyes", "openai/gpt-4o"), deployment("eyes", "anthropic/claude-sonnet-4-5"))
        assert routing.file_providers([self.INLINE, self.HELD], both, "eyes") == {"openai", "anthropic"}

    @pytest.mark.parametrize(("model", "provider"), [("gpt-4o", "openai"), ("gemini/gemini-2.0-flash", "gemini")])
    def test_without_a_router_it_is_the_model_s(self, model: str, provider: str) -> None:
        assert routing.file_providers([self.HELD], None, model) == {provider}

    def test_a_model_litellm_does_not_know_has_none(self) -> None:
        assert routing.file_providers([self.HELD], None, "no-such-model") == {""}


class TestCalledGroup:
    """The model group that the router calls for the name of a vision model. Each has its own circuit."""

    @pytest.mark.parametrize(
        ("name", "team_id", "group"),
        [
            ("deepseek-chat", None, ModelGroup("deepseek-chat")),
            ("chat", None, ModelGroup("deepseek-chat")),
            ("hidden", None, ModelGroup("deepseek-chat")),
            ("team-eyes", OTHER_TEAM, ModelGroup("team-eyes", is_listed=False)),
            ("openai/invented", None, ModelGroup("openai/invented", is_listed=False)),
        ],
    )
    def test_it_is_the_target(self, router: Router, name: str, team_id: str | None, group: ModelGroup) -> None:
        assert routing.called_group(router, name, team_id) == group

    def test_a_teams_own_model_is_not_another_of_the_same_name(self, router: Router) -> None:
        group = routing.called_group(router, "team-eyes", TEAM)
        assert group.is_teams
        assert group.name.startswith(f"team-eyes_{TEAM}")

    def test_without_a_router_it_is_the_model(self) -> None:
        assert routing.called_group(None, "openai/gpt-4o", None) == ModelGroup("openai/gpt-4o")


class TestOcrModel:
    @pytest.mark.parametrize(
        ("named", "vision_model"),
        [
            ("eyes-ocr", "eyes"),
            ("scan-ocr", "scan-ocr"),
            ("wild/got-ocr", "wild/got-ocr"),
            ("wild/got-ocr-ocr", "wild/got-ocr-ocr"),
            ("unheard-of-ocr", "unheard-of"),
        ],
    )
    def test_a_wildcards_model_may_end_in_the_suffix(self, named: str, vision_model: str) -> None:
        router = router_of(deployment("eyes"), deployment("scan-ocr"), deployment("wild/*", "openai/*"))
        activation = routing.activation_of("blind", ImageAnalysisConfig(), router, named)
        assert activation == Active("blind", vision_model, chosen_by_caller=True)

    def test_a_model_that_litellm_knows_loses_the_suffix_behind_a_wildcard_too(self) -> None:
        router = router_of(deployment("openai/*", "openai/*"))
        activation = routing.activation_of("blind", ImageAnalysisConfig(), router, "gpt-4o-mini-ocr")
        assert activation == Active("blind", "gpt-4o-mini", chosen_by_caller=True)


@pytest.mark.parametrize("target", ["deepseek-chat-ocr", {"model": "deepseek-chat-ocr", "hidden": True}])
def test_an_alias_onto_a_suffixed_name_asks_for_analysis(target: Any) -> None:
    router = router_of(deployment("deepseek-chat"), model_group_alias={"fast": target, "slow": "deepseek-chat"})
    config = ImageAnalysisConfig()
    assert routing.activation_of("fast", config, router) == Active("fast", "gpt-4o-mini", chosen_by_caller=False)
    assert routing.activation_of("slow", config, router) == Inactive("slow")
    assert routing.activation_of("fast", config, router, False) == Inactive("fast", is_refused=True)


names = st.builds("".join, st.lists(st.sampled_from(["a", "b", "-ocr", ",", " ", "/*"]), max_size=4))
targets = st.one_of(names, st.none(), st.builds(lambda model: {"model": model, "hidden": True}, names | st.none()))


@given(
    models=st.lists(names.filter(bool), max_size=3),
    own=st.dictionaries(names, targets.filter(bool), max_size=3),
    asked=names | st.none() | st.integers(),
    suffix=st.sampled_from(["-ocr", None]),
    is_advertised=st.booleans(),
)
def test_a_name_that_may_not_ask_does_not(
    models: list[str], own: dict[str, Any], asked: object, suffix: str | None, is_advertised: bool
) -> None:
    router = router_of(*map(deployment, models), model_group_alias=own)
    if is_advertised:
        advertise(router, "-ocr")
    if not routing.may_ask(asked, suffix, router):
        config = ImageAnalysisConfig(suffix=suffix)
        assert routing.activation_of(asked, config, router) == Inactive(asked)
