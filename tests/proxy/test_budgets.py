"""Budgets that apply to a model without its suffix and to a vision model, with LiteLLM's own checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.caching.dual_cache import DualCache
from litellm.exceptions import BudgetExceededError
from litellm.proxy._types import (
    LiteLLM_BudgetTable,
    LiteLLM_EndUserTable,
    LiteLLM_OrganizationTable,
    LiteLLM_ProjectTableCachedObj,
    LiteLLM_TeamTableCachedObj,
    LiteLLM_UserTable,
    LitellmUserRoles,
    UserAPIKeyAuth,
)
from litellm.proxy.auth import auth_checks
from litellm.proxy.hooks.model_max_budget_limiter import _PROXY_VirtualKeyModelMaxBudgetLimiter
from litellm.router import Router
from support.contexts import proxy_context
from support.features import (
    needs_budget_fallbacks,
    needs_project_counters,
    needs_team_model_budgets,
    needs_user_model_budgets,
)
from support.routers import ANYONE, deployment, router_of

from litellm_image_analysis import ImageAnalysisConfig
from litellm_image_analysis.proxy import budgets
from litellm_image_analysis.proxy.access import AccessDeniedError
from litellm_image_analysis.proxy.http_errors import http_error

BUDGET: dict[str, Any] = {
    "chat": {"max_budget": 1.0, "budget_duration": "1d"},
    "free": {"max_budget": 1.0, "budget_duration": "1d"},
}
KEY = UserAPIKeyAuth(api_key="sk-a", model_max_budget=BUDGET)
CALLERS = {
    "virtual_key_spend": KEY,
    "team_model_spend": UserAPIKeyAuth(team_id="t", team_model_max_budget=BUDGET),
    "user_model_spend": UserAPIKeyAuth(user_id="u", user_model_max_budget=BUDGET),
    "end_user_model_spend": UserAPIKeyAuth(end_user_id="e", end_user_model_max_budget=BUDGET),
}
"""Callers with a budget for a model, by LiteLLM's name for its counter."""
NEEDED = {"team_model_spend": needs_team_model_budgets, "user_model_spend": needs_user_model_budgets}
CALLER = UserAPIKeyAuth(
    api_key="sk-a", max_budget=1.0, team_id="t", user_id="u", end_user_id="e", org_id="o", project_id="p"
)
PERSONAL = UserAPIKeyAuth(api_key="sk-a", user_id="u")
TABLE = LiteLLM_BudgetTable(max_budget=1.0)


def priced(name: str, usd: float) -> dict[str, Any]:
    found = deployment(name)
    found["litellm_params"].update(input_cost_per_token=usd, output_cost_per_token=usd)
    return found


@pytest.fixture(scope="module")
def router() -> Router:
    paid = (priced(name, 1e-6) for name in ("chat", "cheap", "eyes"))
    return router_of(*paid, priced("free", 0.0), priced("free-eyes", 0.0))


class Counters(dict[str, float]):
    """A double for LiteLLM's counters of spend, in USD."""

    async def current_spend(self, counter_key: str, fallback_spend: float, **_: Any) -> float:
        return self.get(counter_key, fallback_spend)


def row(of: object) -> Callable[..., Awaitable[object]]:
    async def get(*_: Any, **__: Any) -> object:
        return of

    return get


async def ignored(*_: Any, **__: Any) -> None:
    pass


@pytest.fixture
def counters(proxy_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Counters:
    """A proxy whose rows have a budget of 1 USD each, and its counters."""
    found = Counters()
    vars(proxy_module).update(
        prisma_client=object(),
        user_api_key_cache=DualCache(),
        proxy_logging_obj=SimpleNamespace(budget_alerts=ignored),
        general_settings={},
        get_current_spend=found.current_spend,
        model_max_budget_limiter=_PROXY_VirtualKeyModelMaxBudgetLimiter(DualCache()),
    )
    by: dict[str, Any] = {"created_by": "admin", "updated_by": "admin", "litellm_budget_table": TABLE}
    rows = {
        "team": LiteLLM_TeamTableCachedObj(team_id="t", max_budget=1.0),
        "user": LiteLLM_UserTable(user_id="u", max_budget=1.0, user_email=None),
        "end_user": LiteLLM_EndUserTable(user_id="e", blocked=False, litellm_budget_table=TABLE),
        "project": LiteLLM_ProjectTableCachedObj(project_id="p", **by),
        "org": LiteLLM_OrganizationTable(organization_id="o", budget_id="b", models=[], **by),
    }
    for name, of in rows.items():
        monkeypatch.setattr(auth_checks, f"get_{name}_object", row(of))
    monkeypatch.setattr(auth_checks, "get_team_membership", row(None))
    return found


async def spend(proxy_module: ModuleType, caller: UserAPIKeyAuth, counter: str, model: str) -> None:
    holder = caller.end_user_id or caller.user_id or caller.team_id or caller.token
    cache = vars(proxy_module)["model_max_budget_limiter"].dual_cache
    await cache.async_set_cache(key=f"{counter}:{holder}:{model}:1d", value=2.0)


@pytest.mark.usefixtures("counters")
class TestModels:
    @pytest.mark.parametrize(
        ("counter", "caller"),
        [pytest.param(*each, id=each[0], marks=NEEDED.get(each[0], ())) for each in CALLERS.items()],
    )
    async def test_a_used_up_budget_is_litellms_own_refusal(
        self, proxy_module: ModuleType, router: Router, counter: str, caller: UserAPIKeyAuth
    ) -> None:
        await budgets.check_models("chat", router, caller)
        await spend(proxy_module, caller, counter, "chat")
        with pytest.raises(AccessDeniedError, match="exceeded budget for model=chat") as caught:
            await budgets.check_models("cheap,chat", router, caller)
        error = http_error(caught.value)
        assert error is caught.value.denied
        assert (error.type, error.code) == (
            "budget_exceeded",
            str(getattr(litellm, "budget_exceeded_status_code", 400)),
        )
        await budgets.check_models("cheap", router, caller)

    async def test_an_older_litellm_answers_400(
        self, proxy_module: ModuleType, router: Router, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spent = BudgetExceededError(current_cost=2.0, max_budget=1.0)

        async def check(**_: Any) -> None:
            raise spent

        limiter = vars(proxy_module)["model_max_budget_limiter"]
        monkeypatch.setattr(limiter, "is_key_within_model_budget", check)
        monkeypatch.delattr(litellm, "budget_exceeded_status_code", raising=False)
        with pytest.raises(AccessDeniedError) as caught:
            await budgets.check_models("chat", router, KEY)
        assert caught.value.status_code == 400

    async def test_one_that_costs_nothing_has_none(self, proxy_module: ModuleType, router: Router) -> None:
        await spend(proxy_module, KEY, "virtual_key_spend", "free")
        await budgets.check_models("free", router, KEY)

    async def test_without_a_proxy_there_are_none(self, proxy_module: ModuleType, router: Router) -> None:
        vars(proxy_module).update(model_max_budget_limiter=None)
        await budgets.check_models("chat", router, KEY)


@pytest.mark.usefixtures("counters")
class TestAffordable:
    async def test_a_model_within_its_budget_is_called(self, router: Router) -> None:
        assert await budgets.affordable("chat", router, KEY) == "chat"
        assert await budgets.affordable("chat,cheap", router, ANYONE) == "chat,cheap"

    @pytest.mark.parametrize(
        ("fallbacks", "called"),
        [
            pytest.param({"chat": ["cheap"]}, "cheap", marks=needs_budget_fallbacks),
            ({"chat": ["eyes"]}, None),
            ({}, None),
        ],
    )
    async def test_in_place_of_another_the_key_s_fallback_is_called_if_it_may(
        self, proxy_module: ModuleType, router: Router, fallbacks: dict[str, list[str]], called: str | None
    ) -> None:
        caller = KEY.model_copy(update={"budget_fallbacks": fallbacks, "models": ["chat", "cheap"]})
        await spend(proxy_module, caller, "virtual_key_spend", "chat")
        if called is None:
            with pytest.raises(AccessDeniedError, match="exceeded budget for model=chat"):
                await budgets.affordable("chat", router, caller)
        else:
            assert await budgets.affordable("chat", router, caller) == called

    @needs_budget_fallbacks
    async def test_a_fallback_is_held_to_the_other_budgets(self, proxy_module: ModuleType, router: Router) -> None:
        caller = UserAPIKeyAuth(
            api_key="sk-a",
            model_max_budget=BUDGET,
            budget_fallbacks={"chat": ["cheap"]},
            end_user_id="e",
            end_user_model_max_budget={"cheap": BUDGET["chat"]},
        )
        await spend(proxy_module, KEY, "virtual_key_spend", "chat")
        await spend(proxy_module, caller, "end_user_model_spend", "cheap")
        with pytest.raises(AccessDeniedError, match="End User: e, exceeded budget for model=cheap"):
            await budgets.affordable("chat", router, caller)


class TestVision:
    async def test_a_used_up_budget_for_it_is_a_refusal(
        self, proxy_module: ModuleType, counters: Counters, router: Router
    ) -> None:
        await spend(proxy_module, KEY, "virtual_key_spend", "chat")
        await budgets.check_vision(proxy_context("eyes", ImageAnalysisConfig(), router, KEY), {"model": "chat"})
        with pytest.raises(AccessDeniedError, match="exceeded budget for model=chat"):
            await budgets.check_vision(proxy_context("chat", ImageAnalysisConfig(), router, KEY), {"model": "eyes"})

    @pytest.mark.parametrize(
        ("counter", "caller"),
        [
            ("key:" + str(CALLER.token), CALLER),
            ("team:t", CALLER),
            ("org:o", CALLER),
            pytest.param("project:p", CALLER, marks=needs_project_counters),
            ("end_user:e", CALLER),
            ("user:u", PERSONAL),
        ],
    )
    async def test_for_a_model_that_costs_nothing_all_budgets_count(
        self, counters: Counters, router: Router, counter: str, caller: UserAPIKeyAuth
    ) -> None:
        await budgets.check_vision(proxy_context("eyes", ImageAnalysisConfig(), router, caller), {"model": "free"})
        counters[f"spend:{counter}"] = 2.0
        with pytest.raises(AccessDeniedError) as caught:
            await budgets.check_vision(proxy_context("eyes", ImageAnalysisConfig(), router, caller), {"model": "free"})
        assert caught.value.code == "budget_exceeded"
        for vision, model in (("free-eyes", "free"), ("eyes", "chat"), ("eyes", "free,chat")):
            await budgets.check_vision(proxy_context(vision, ImageAnalysisConfig(), router, caller), {"model": model})

    @pytest.mark.parametrize("counter", ["key:" + str(CALLER.token), "team:t", "org:o", "end_user:e"])
    async def test_between_the_calls_of_a_request_all_budgets_count_without_what_it_reserved_itself(
        self, counters: Counters, router: Router, counter: str
    ) -> None:
        """LiteLLM reserves the maximum cost of the request's own model, up to the rest of the budget."""
        context = proxy_context("eyes", ImageAnalysisConfig(), router, CALLER.model_copy())
        check = partial(budgets.check_vision, context, {"model": "chat"}, again=True)
        context.caller.budget_reservation = {"reserved_cost": 0.4, "finalized": False}
        counters[f"spend:{counter}"] = 1.3
        await check()
        counters[f"spend:{counter}"] = 1.5
        with pytest.raises(AccessDeniedError) as caught:
            await check()
        assert caught.value.code == "budget_exceeded"

    async def test_a_team_s_key_is_held_to_its_user_s_budget_where_the_operator_says_so(
        self, proxy_module: ModuleType, counters: Counters, router: Router
    ) -> None:
        counters["spend:user:u"] = 2.0
        await budgets.check_vision(proxy_context("eyes", ImageAnalysisConfig(), router, CALLER), {"model": "free"})
        vars(proxy_module).update(general_settings={"apply_user_budget_to_team_keys": True})
        with pytest.raises(AccessDeniedError, match="User=u over budget"):
            await budgets.check_vision(proxy_context("eyes", ImageAnalysisConfig(), router, CALLER), {"model": "free"})

    async def test_an_admin_is_held_to_no_budget_of_its_own(self, counters: Counters, router: Router) -> None:
        counters["spend:user:u"] = 2.0
        admin = UserAPIKeyAuth(user_id="u", user_role=LitellmUserRoles.PROXY_ADMIN)
        await budgets.check_vision(proxy_context("eyes", ImageAnalysisConfig(), router, admin), {"model": "free"})

    async def test_an_end_user_s_row_may_tell_of_its_budget_as_it_is_read(
        self, counters: Counters, router: Router, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def read(*_: Any, **__: Any) -> None:
            raise BudgetExceededError(current_cost=2.0, max_budget=1.0)

        monkeypatch.setattr(auth_checks, "get_end_user_object", read)
        with pytest.raises(AccessDeniedError, match="Budget has been exceeded"):
            await budgets.check_vision(proxy_context("eyes", ImageAnalysisConfig(), router, CALLER), {"model": "free"})
