"""Names of models that are refused before a vision call, and names that LiteLLM may serve in another way."""

from __future__ import annotations

from typing import Any

import pytest
from litellm.router import Router
from support.routers import TEAM, deployment, router_of

from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import served_models

OLD = [{"old-chat": ["deepseek-chat"]}]


async def check(model: object, router: Router | None, team_id: str | None = None, **data: Any) -> None:
    await served_models.check_base_model({"model": model, **data}, router, team_id)


@pytest.mark.parametrize(
    "model", ["deepseek-chat", "openai/gpt-4o", "eyes, deepseek-chat", "deepseek-cht, eyes", "a2a/agent", None, 5]
)
async def test_a_name_that_is_served_passes(router: Router, model: object) -> None:
    await check(model, router)


async def test_a_deployment_s_model_passes() -> None:
    named = deployment("deepseek-chat")
    await check(named["litellm_params"]["model"], router_of(named))


async def test_a_team_s_own_model_passes_for_the_team(router: Router) -> None:
    await check("team-eyes", router, TEAM)


async def test_without_a_router_nothing_is_known() -> None:
    await check("deepseek-cht", None)


@pytest.mark.parametrize(
    "own",
    [
        {"api_key": "sk-own"},
        {"api_base": "http://localhost"},
        {"user_config": {}},
        {"router_settings_override": {"fallbacks": OLD}},
        {"fallbacks": ["deepseek-chat"]},
    ],
    ids=str,
)
async def test_a_request_may_have_a_route_of_its_own(router: Router, own: dict[str, Any]) -> None:
    await check("deepseek-cht", router, **own)


@pytest.mark.parametrize(
    "settings",
    [{"fallbacks": OLD}, {"fallbacks": [{"*": ["deepseek-chat"]}]}, {"default_fallbacks": ["deepseek-chat"]}],
)
async def test_a_retired_model_may_have_fallbacks(settings: dict[str, Any]) -> None:
    named = [deployment("deepseek-chat"), deployment("anything/*")]
    await check("old-chat", Router(model_list=named, **settings))


@pytest.mark.parametrize("model", ["deepseek-cht", "deepseek-cht, ears", ""])
async def test_any_other_name_is_litellm_s_error(router: Router, model: str) -> None:
    with pytest.raises(RequestError, match="Invalid model name passed in model=") as caught:
        await check(model, router)
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (400, "model_not_found", "model")


async def test_a_model_that_another_host_has_just_added_is_loaded(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load(name: str) -> bool:
        router.set_model_list([deployment(name)])
        return True

    monkeypatch.setattr(served_models, "load_model_from_database", load)
    await check("newcomer", router)
