"""Names with the suffix, with a real router and LiteLLM's own checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import litellm
import pytest
from fastapi.encoders import jsonable_encoder
from hypothesis import given
from hypothesis import strategies as st
from litellm.proxy._types import LiteLLM_TeamTableCachedObj, ProxyException, UserAPIKeyAuth
from litellm.proxy.auth import auth_checks
from litellm.router import Router
from litellm.types.router import Deployment
from support.features import denied_status, needs_forgotten_models, needs_routing_groups, needs_team_names
from support.routers import TEAM, deployment, router_of, team_deployment

from litellm_image_analysis import ConfigError, ImageAnalysis, ImageAnalysisConfig
from litellm_image_analysis.compat import RouterView, view_of
from litellm_image_analysis.engine.routing import bears_name
from litellm_image_analysis.proxy.aliases import SuffixedAliases, advertise, advertise_again, check_suffix, withdraw

SUFFIX = "-ocr"
HIDDEN = {"model": "deepseek-chat", "hidden": True}
SHOWN = {"model": "deepseek-chat", "hidden": False}
OWN: dict[str, Any] = {"chat": "deepseek-chat", "shown": SHOWN, "hidden": HIDDEN, "read-ocr": "scan-ocr"}
MISSING = object()


def advertising(*deployments: dict[str, Any], **kwargs: Any) -> Router:
    router = router_of(*deployments, **kwargs)
    advertise(router, SUFFIX)
    return router


def group(name: str, *models: str, strategy: str = "simple-shuffle") -> dict[str, Any]:
    return {"group_name": name, "models": list(models), "routing_strategy": strategy}


def aliases_of(router: Router) -> dict[str, Any]:
    return view_of(router).aliases()


def update(router: Router, **settings: Any) -> None:
    router.update_settings(**settings)  # type: ignore[no-untyped-call]


@pytest.fixture
def rich() -> Router:
    """A router with all kinds of names."""
    return advertising(
        deployment("deepseek-chat", id="deployment-1"),
        deployment("deepseek-chat"),
        deployment("scan-ocr"),
        deployment("grouped", access_groups=["chats"]),
        deployment("wild/*", "openai/*"),
        team_deployment("team-eyes"),
        team_deployment("team-scan-ocr"),
        model_group_alias=dict(OWN),
        routing_groups=[group("talk", "deepseek-chat"), group("see-ocr", "scan-ocr")],
    )


class TestWhatANameStandsFor:
    @pytest.mark.parametrize(
        ("name", "target"),
        [
            pytest.param("deepseek-chat-ocr", "deepseek-chat", id="model"),
            pytest.param("chat-ocr", "chat", id="alias"),
            pytest.param("hidden-ocr", "hidden", id="hidden alias"),
            pytest.param("wild/anything-ocr", "wild/anything", id="wildcard"),
            pytest.param("team-eyes-ocr", "team-eyes", id="team's model"),
            pytest.param("talk-ocr", "talk", id="routing group"),
            pytest.param("deployment-1-ocr", "deployment-1", id="deployment"),
            pytest.param("unheard-of-ocr", "unheard-of", id="no model at all"),
            pytest.param("scan-ocr-ocr", "scan-ocr", id="real name that ends in the suffix"),
            pytest.param("deepseek-chat-ocr-ocr", "deepseek-chat-ocr", id="twice: one is taken off at a time"),
            pytest.param("chat", "deepseek-chat", id="alias itself"),
            pytest.param("hidden", HIDDEN, id="hidden alias itself"),
            pytest.param("read-ocr", "scan-ocr", id="alias that ends in the suffix"),
        ],
    )
    def test_it_is_found_however_it_is_asked_for(self, rich: Router, name: str, target: object) -> None:
        aliases = aliases_of(rich)
        assert name in aliases
        assert aliases[name] == aliases.get(name) == aliases.get(name, MISSING) == target

    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("deepseek-chat", id="model"),
            pytest.param("scan-ocr", id="model that ends in the suffix"),
            pytest.param("team-scan-ocr", id="team's model that ends in the suffix", marks=needs_team_names),
            pytest.param("see-ocr", id="routing group that ends in the suffix", marks=needs_routing_groups),
            pytest.param("-ocr", id="suffix alone"),
            pytest.param("deepseek-chat-OCR", id="other case"),
            pytest.param("", id="empty"),
            pytest.param(None, id="no string"),
        ],
    )
    def test_any_other_name_stands_for_nothing(self, rich: Router, name: Any) -> None:
        aliases = aliases_of(rich)
        assert name not in aliases
        assert aliases.get(name) is None
        assert aliases.get(name, MISSING) is MISSING
        with pytest.raises(KeyError):
            aliases[name]

    def test_the_suffix_is_the_operator_s(self) -> None:
        router = router_of(deployment("deepseek-chat"))
        advertise(router, "+eyes")
        assert aliases_of(router).copy() == {"deepseek-chat+eyes": "deepseek-chat"}
        assert "deepseek-chat-ocr" not in aliases_of(router)


class TestWhatIsListed:
    def test_own_aliases_then_models_and_visible_aliases_once_each(self, rich: Router) -> None:
        """Wildcards, team models, hidden aliases and names that already have the suffix are not listed."""
        names = [*OWN, "deepseek-chat-ocr", "grouped-ocr", "chat-ocr", "shown-ocr"]
        assert list(aliases_of(rich)) == names

    def test_every_view_shows_the_same(self, rich: Router) -> None:
        aliases = aliases_of(rich)
        names = list(aliases)
        assert len(aliases) == len(names)
        assert list(aliases.keys()) == list(dict(aliases)) == list({**aliases}) == names
        assert list(aliases.items()) == list(zip(names, aliases.values(), strict=True))
        assert aliases.copy() == dict(aliases.items())
        assert [aliases.copy()[name] for name in ("chat", "hidden", "grouped-ocr")] == [
            "deepseek-chat",
            HIDDEN,
            "grouped",
        ]

    def test_a_copy_stays_as_it_is(self) -> None:
        router = advertising(deployment("deepseek-chat"))
        copied = aliases_of(router).copy()
        router.add_deployment(Deployment(**deployment("newcomer")))
        assert type(copied) is dict
        assert copied == {"deepseek-chat-ocr": "deepseek-chat"}

    @pytest.mark.parametrize(
        ("router", "is_true"),
        [
            pytest.param(advertising(), False, id="empty"),
            pytest.param(advertising(deployment("openai/*"), deployment("scan-ocr")), False, id="nothing to list"),
            pytest.param(advertising(deployment("deepseek-chat")), True, id="a model"),
        ],
    )
    def test_they_are_true_when_there_are_any(self, router: Router, is_true: bool) -> None:
        assert bool(aliases_of(router)) is is_true

    def test_they_equal_the_aliases_the_router_has_of_its_own(self, rich: Router) -> None:
        """LiteLLM then sees no change if it gets the same settings again."""
        assert aliases_of(rich) == OWN
        assert aliases_of(rich) != {**OWN, "another": "deepseek-chat"}

    def test_a_name_that_is_taken_is_not_listed_for_the_suffix(self) -> None:
        router = advertising(deployment("deepseek-chat"), deployment("deepseek-chat-ocr"))
        assert list(aliases_of(router)) == []

    def test_a_listing_asks_the_router_once_for_all_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy may have thousands of models, and some versions of LiteLLM compute the names each time."""
        router = advertising(*(deployment(f"model-{number}") for number in range(20)))
        view, asked = type(view_of(router)), Counter[str]()

        def counted(name: str) -> Callable[[RouterView], Any]:
            get = getattr(view, name)
            return lambda self: (asked.update([name]), get(self))[1]

        for name in ("groups", "team_names", "routing_groups"):
            monkeypatch.setattr(view, name, counted(name))
        assert len(aliases_of(router).copy()) == 20
        assert asked == {"groups": 1, "team_names": 1, "routing_groups": 1}

    def test_models_come_and_go(self) -> None:
        router = advertising(deployment("deepseek-chat"))
        router.add_deployment(Deployment(**deployment("newcomer", id="new")))
        assert list(aliases_of(router)) == ["deepseek-chat-ocr", "newcomer-ocr"]
        router.delete_deployment("new")
        assert list(aliases_of(router)) == ["deepseek-chat-ocr"]

    @needs_forgotten_models
    def test_a_model_that_takes_a_suffixed_name_has_it_at_once(self) -> None:
        router = advertising(deployment("deepseek-chat"))
        router.add_deployment(Deployment(**deployment("deepseek-chat-ocr", id="new")))
        assert "deepseek-chat-ocr" not in aliases_of(router)
        router.delete_deployment("new")
        assert aliases_of(router)["deepseek-chat-ocr"] == "deepseek-chat"

    @needs_routing_groups
    def test_a_routing_group_that_takes_a_suffixed_name_has_it_at_once(self) -> None:
        router = advertising(deployment("deepseek-chat"), deployment("other"))
        update(router, routing_groups=[group("deepseek-chat-ocr", "other")])
        assert list(aliases_of(router)) == ["other-ocr"]


class TestTheRouter:
    def test_it_lists_models_with_the_suffix(self, rich: Router) -> None:
        names = rich.get_model_names()
        assert {"deepseek-chat", "deepseek-chat-ocr", "grouped-ocr", "chat"} <= set(names)
        assert not {"scan-ocr-ocr", "hidden", "hidden-ocr", "wild/*-ocr", "team-eyes-ocr"} & set(names)

    @needs_routing_groups
    def test_it_lists_routing_groups_as_they_are_called(self, rich: Router) -> None:
        assert {"talk", "see-ocr"} <= set(rich.get_model_names())

    def test_it_lists_aliases_with_the_suffix(self, rich: Router) -> None:
        assert {"chat-ocr", "shown-ocr"} <= set(rich.get_model_names())

    def test_a_name_with_the_suffix_has_the_deployments_of_the_name_without(self, rich: Router) -> None:
        deployments = rich.get_model_list("deepseek-chat-ocr") or []
        plain = rich.get_model_list("deepseek-chat") or []
        assert {each["model_name"] for each in deployments} == {"deepseek-chat-ocr"}
        assert [each["model_info"]["id"] for each in deployments] == [each["model_info"]["id"] for each in plain]

    @needs_routing_groups
    def test_routing_of_other_names_stays_as_it_was(self) -> None:
        def routes(router: Router) -> dict[str, Any]:
            names = ("deepseek-chat", "chat", "hidden", "scan-ocr", "read-ocr", "see-ocr", "wild/anything")
            return {name: router.get_candidate_model_ids_for_route(name) for name in names}

        router = router_of(
            deployment("deepseek-chat"),
            deployment("scan-ocr"),
            deployment("wild/*", "openai/*"),
            model_group_alias={"chat": "deepseek-chat", "hidden": HIDDEN, "read-ocr": "scan-ocr"},
            routing_groups=[group("see-ocr", "scan-ocr")],
        )
        before = routes(router)
        advertise(router, SUFFIX)
        assert routes(router) == before
        assert all(before.values())

    @needs_routing_groups
    @pytest.mark.parametrize("strategy", ["simple-shuffle", "latency-based-routing"])
    def test_a_routing_group_that_ends_in_the_suffix_is_called_by_its_name(self, strategy: str) -> None:
        router = advertising(deployment("eyes"), routing_groups=[group("see-ocr", "eyes", strategy=strategy)])
        found = router.get_routing_group("see-ocr")
        assert found is not None
        assert found.models == ["eyes"]

    def test_advertised_twice_is_advertised_once(self, rich: Router) -> None:
        aliases, names = aliases_of(rich), list(aliases_of(rich))
        advertise(rich, SUFFIX)
        assert aliases_of(rich) is aliases
        assert list(aliases_of(rich)) == names

    def test_new_settings_leave_the_suffixed_names_known(self, rich: Router) -> None:
        update(rich, model_group_alias={"new": "deepseek-chat"})
        assert {"deepseek-chat-ocr", "new-ocr"} <= set(aliases_of(rich))
        assert "chat" not in aliases_of(rich)

    def test_a_router_that_was_given_no_aliases_can_advertise(self) -> None:
        router = router_of(deployment("deepseek-chat"))
        view_of(router).replace_aliases(None)  # type: ignore[arg-type]
        advertise(router, SUFFIX)
        assert list(aliases_of(router)) == ["deepseek-chat-ocr"]

    def test_settings_read_and_saved_as_litellm_s_ui_does_make_no_suffixed_name_real(self) -> None:
        """The UI sends back all aliases that it got. A real name would switch image analysis off."""
        router = advertising(deployment("deepseek-chat"))
        shown = jsonable_encoder(router.get_settings()["model_group_alias"])  # type: ignore[no-untyped-call]
        update(router, model_group_alias={**shown, "new": "deepseek-chat"})
        advertise(router, SUFFIX)
        assert bears_name(router, "new")
        assert not bears_name(router, "deepseek-chat-ocr")

    @pytest.mark.parametrize("how", ["settings", "attribute"])
    def test_aliases_read_from_the_router_and_written_back_make_none_real(self, how: str) -> None:
        router = advertising(deployment("deepseek-chat"), model_group_alias={"chat": "deepseek-chat"})
        changed = {**aliases_of(router), "new": "deepseek-chat"}
        if how == "settings":
            update(router, model_group_alias=changed)
        else:
            view_of(router).replace_aliases(changed)
            advertise_again(router)
        assert set(dict.keys(aliases_of(router))) == {"chat", "new"}
        assert {"deepseek-chat-ocr", "chat-ocr", "new-ocr"} <= set(aliases_of(router))
        assert not bears_name(router, "deepseek-chat-ocr")

    def test_an_alias_that_an_operator_has_of_that_name_stays_his_own(self, rich: Router) -> None:
        update(rich, model_group_alias={**aliases_of(rich), "grouped-ocr": "deepseek-chat"})
        assert dict.__getitem__(aliases_of(rich), "read-ocr") == "scan-ocr"
        assert dict.__getitem__(aliases_of(rich), "grouped-ocr") == "deepseek-chat"

    def test_another_suffix_takes_the_place_of_the_first(self) -> None:
        router = advertising(deployment("deepseek-chat"))
        advertise(router, "-see")
        update(router, model_group_alias={"new": "deepseek-chat"})
        assert {"deepseek-chat-see", "new-see"} == set(aliases_of(router)) - {"new"}

    def test_withdrawn_it_has_its_own_and_may_advertise_again(self, rich: Router) -> None:
        withdraw(rich)
        advertise_again(rich)
        assert aliases_of(rich) == OWN
        update(rich, model_group_alias={"new": "deepseek-chat"})
        assert set(aliases_of(rich)) == {"new"}
        advertise(rich, SUFFIX)
        assert "new-ocr" in aliases_of(rich)

    def test_a_router_that_never_advertised_has_nothing_to_withdraw(self) -> None:
        router = router_of(deployment("deepseek-chat"))
        withdraw(router)
        advertise_again(router)
        assert dict(aliases_of(router)) == {}


class TestSelfCheck:
    """The check detects a LiteLLM that does not resolve a name with the suffix to the name without it."""

    UNDERSTOOD_NOT = r"callback_settings\..*suffix: LiteLLM .* would not understand names that end in '-ocr'"

    def test_the_installed_litellm_passes_and_is_left_as_it_was(self) -> None:
        before = len(litellm.callbacks), len(litellm._async_success_callback), set(litellm.model_cost)
        check_suffix(SUFFIX)
        assert (len(litellm.callbacks), len(litellm._async_success_callback), set(litellm.model_cost)) == before

    @pytest.mark.usefixtures("copied_aliases")
    def test_one_that_copies_what_it_is_given_is_an_error(self) -> None:
        with pytest.raises(ConfigError, match=self.UNDERSTOOD_NOT):
            check_suffix(SUFFIX)
        with pytest.raises(ConfigError, match=self.UNDERSTOOD_NOT):
            advertise(router_of(deployment("deepseek-chat")), SUFFIX)

    @pytest.mark.usefixtures("copied_aliases")
    def test_a_router_is_not_half_attached(self) -> None:
        router = router_of(deployment("deepseek-chat"))
        before = dict(vars(router))
        callbacks = list(litellm.callbacks)
        with pytest.raises(ConfigError, match=self.UNDERSTOOD_NOT):
            ImageAnalysis().attach(router)
        assert vars(router) == before
        assert litellm.callbacks == callbacks

    @pytest.mark.usefixtures("copied_aliases")
    def test_without_a_suffix_there_is_nothing_to_understand(self) -> None:
        ImageAnalysis(ImageAnalysisConfig(suffix=None)).attach(router_of(deployment("deepseek-chat")))

    def test_one_that_looks_names_up_elsewhere_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The aliases can be read back, but LiteLLM does not use them."""
        view = type(view_of(router_of()))
        monkeypatch.setattr(view, "deployments", lambda *_: [])
        with pytest.raises(ConfigError, match=self.UNDERSTOOD_NOT):
            check_suffix(SUFFIX)


@pytest.mark.usefixtures("proxy_module")
class TestLiteLLMsAccessCheck:
    @staticmethod
    async def check(router: Router, model: str, caller: UserAPIKeyAuth) -> None:
        if caller.team_id is not None and not hasattr(auth_checks, "can_key_call_resolved_model"):
            team = LiteLLM_TeamTableCachedObj(team_id=caller.team_id, models=caller.team_models)
            await auth_checks.can_team_access_model(model=model, team_object=team, llm_router=router)
            return
        check = getattr(auth_checks, "can_key_call_resolved_model", auth_checks.can_key_call_model)
        await check(model=model, llm_model_list=router.model_list, valid_token=caller, llm_router=router)

    @pytest.mark.parametrize(
        ("models", "model"),
        [
            pytest.param(["deepseek-chat"], "deepseek-chat-ocr", id="model"),
            pytest.param(["chat"], "chat-ocr", id="alias"),
            pytest.param(["hidden"], "hidden-ocr", id="hidden alias"),
            pytest.param(["wild/*"], "wild/anything-ocr", id="wildcard"),
            pytest.param(["talk"], "talk-ocr", id="routing group", marks=needs_routing_groups),
            pytest.param(["chats"], "grouped-ocr", id="access group"),
            pytest.param(["scan-ocr"], "scan-ocr", id="real name"),
            pytest.param(["scan-ocr"], "scan-ocr-ocr", id="real name and suffix"),
            pytest.param([], "deepseek-chat-ocr", id="no list"),
        ],
    )
    async def test_it_lets_whoever_may_call_a_model_call_it_with_the_suffix(
        self, rich: Router, models: list[str], model: str
    ) -> None:
        await self.check(rich, model, UserAPIKeyAuth(models=models))
        await self.check(rich, model, UserAPIKeyAuth(team_id=TEAM, team_models=models))

    @pytest.mark.parametrize(
        ("models", "model"),
        [
            pytest.param(["deepseek-chat"], "grouped-ocr", id="model"),
            pytest.param(["deepseek-chat"], "scan-ocr", id="real name"),
            pytest.param(["scan"], "scan-ocr", id="real name without its end"),
            pytest.param(["see"], "see-ocr", id="routing group without its end", marks=needs_routing_groups),
            pytest.param(["deepseek-chat"], "wild/anything-ocr", id="wildcard"),
            pytest.param(["deepseek-chat"], "unheard-of-ocr", id="no model at all"),
            pytest.param(["deepseek-chat"], "-ocr", id="suffix alone"),
            pytest.param(["deepseek-chat"], "grouped-ocr-ocr", id="two suffixes"),
            pytest.param(["chats"], "deepseek-chat-ocr", id="access group"),
        ],
    )
    async def test_it_refuses_everybody_else(self, rich: Router, models: list[str], model: str) -> None:
        for caller in (UserAPIKeyAuth(models=models), UserAPIKeyAuth(team_id=TEAM, team_models=models)):
            with pytest.raises(ProxyException) as denied:
                await self.check(rich, model, caller)
            assert denied.value.code == str(denied_status())

    async def test_without_it_the_suffix_is_refused(self) -> None:
        with pytest.raises(ProxyException):
            await self.check(
                router_of(deployment("deepseek-chat")), "deepseek-chat-ocr", UserAPIKeyAuth(models=["deepseek-chat"])
            )


@pytest.mark.parametrize("target", ["deepseek-chat-ocr", {"model": "deepseek-chat-ocr", "hidden": True}])
def test_an_alias_of_the_operators_onto_a_suffixed_name_leads_to_its_model(target: Any) -> None:
    """LiteLLM follows one alias, not two. The settings that it shows keep the operator's alias."""
    router = router_of(deployment("deepseek-chat"), model_group_alias={"fast": target})
    advertise(router, SUFFIX)
    aliases = aliases_of(router)
    assert aliases["fast"] == aliases.get("fast") == dict(aliases.items())["fast"]
    assert str(aliases["fast"]) == str(target).replace("-ocr", "")
    if isinstance(target, str):  # LiteLLM 1.84 does not look up hidden aliases here
        assert len(router.get_model_list("fast") or []) == 1
    assert dict(dict.items(aliases)) == {"fast": target}


@pytest.mark.parametrize(
    ("listed", "info"),
    [
        (True, {}),
        (True, {"mode": "chat"}),
        (True, {"mode": "responses"}),
        (True, {"base_model": "gpt-4o"}),
        (False, {"mode": "embedding"}),
        (False, {"mode": "audio_transcription"}),
        (False, {"base_model": "text-embedding-3-small"}),
    ],
)
def test_models_that_do_not_chat_are_not_listed_with_the_suffix(listed: bool, info: dict[str, Any]) -> None:
    aliases = aliases_of(advertising(deployment("some", **info)))
    assert list(aliases) == (["some-ocr"] if listed else [])
    assert "some-ocr" in aliases


def test_a_model_of_litellms_cost_map_is_known_without_its_provider() -> None:
    assert list(aliases_of(advertising(deployment("some", "openai/text-embedding-3-small")))) == []


def test_the_default_vision_model_is_not_listed_with_the_suffix_and_accepted() -> None:
    router = router_of(deployment("eyes"), deployment("blind"))
    advertise(router, SUFFIX, "eyes")
    assert list(aliases_of(router)) == ["blind-ocr"]
    assert aliases_of(router)["eyes-ocr"] == "eyes"
    advertise(router, SUFFIX, "blind")
    assert list(aliases_of(router)) == ["eyes-ocr"]


stems = st.text("ab", max_size=2)
names = st.builds("".join, st.tuples(stems, st.sampled_from(["", SUFFIX, SUFFIX * 2, "/*"]))).filter(bool)
targets = st.one_of(names, st.builds(lambda model, hidden: {"model": model, "hidden": hidden}, names, st.booleans()))


@given(models=st.lists(names, max_size=4), own=st.dictionaries(names, targets, max_size=4), asked=names)
def test_no_real_name_changes_its_meaning(models: list[str], own: dict[str, Any], asked: str) -> None:
    def leads_to_analysis(target: Any) -> bool:
        model = target["model"] if isinstance(target, dict) else target
        return model.endswith(SUFFIX) and model != SUFFIX and not bears_name(router, model)

    def is_hidden(target: Any) -> bool:
        return isinstance(target, dict) and target["hidden"]

    def meanings(router: Router) -> dict[str, Any]:
        kept = {*models, *own} - changed
        real = [name for name in kept if bears_name(router, name)]
        return {name: (aliases_of(router).get(name), router.get_model_list(name)) for name in real}

    router = router_of(*(deployment(name) for name in models), model_group_alias=own)
    changed = {name for name, target in own.items() if leads_to_analysis(target)}
    before, real_before = meanings(router), bears_name(router, asked)
    advertise(router, SUFFIX)
    aliases = aliases_of(router)
    assert before.keys() == {*models, *own} - changed
    assert meanings(router) == before
    assert bears_name(router, asked) is real_before
    assert {name: target for name, target in aliases.items() if name in own} == {name: aliases[name] for name in own}
    assert all(aliases[name] == own[name] for name in own.keys() - changed)
    assert all(aliases[name] == name.removesuffix(SUFFIX) for name in aliases if name not in {*models, *own})
    suffixed = {f"{name}{SUFFIX}" for name in {*models, *own} if "*" not in name and not name.endswith(SUFFIX)}
    shown = suffixed - {f"{name}{SUFFIX}" for name in own if name not in models and is_hidden(own[name])}
    assert set(aliases) - own.keys() == {name for name in shown if name in aliases and name not in own}
    assert isinstance(aliases, SuffixedAliases)
    assert len(aliases) == len(set(aliases))


@given(models=st.lists(names, max_size=4), own=st.dictionaries(names, targets, max_size=4), asked=st.text() | names)
def test_all_ways_to_look_up_a_name_agree(models: list[str], own: dict[str, Any], asked: str) -> None:
    aliases = aliases_of(advertising(*map(deployment, models), model_group_alias=own))
    found = aliases.get(asked, MISSING)
    assert (asked in aliases) is (found is not MISSING)
    if found is MISSING:
        assert aliases.get(asked) is None
        with pytest.raises(KeyError):
            aliases[asked]
    else:
        assert aliases[asked] == aliases.get(asked) == found
    assert all(name in aliases for name in aliases)
