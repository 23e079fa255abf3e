"""Check the budgets of a caller with LiteLLM's own functions. A refusal keeps LiteLLM's message.

LiteLLM's auth checks the budgets for the model that a request names. It checks neither the budgets for the model
without the suffix nor those for the vision model. If the named model costs nothing, it checks no budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from litellm.exceptions import BudgetExceededError

from litellm_image_analysis.compat import (
    auth_check,
    budget_exceeded_status,
    budget_fallback,
    model_budget_check,
    proxy_global,
)
from litellm_image_analysis.proxy.access import AccessDeniedError, check_access, fetch

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.router import Router

    from litellm_image_analysis.engine.context import ProxyContext

_ROUTE = "/v1/chat/completions"
"""The route that is passed to LiteLLM's budget checks. They apply only to routes that call a model."""


async def affordable(model: str, router: Router | None, caller: UserAPIKeyAuth) -> str:
    """Return the model to call. If the key's budget for the model is used up, return one of its ``budget_fallbacks``.

    Args:
        model: the model name without its suffix. Several names are separated by commas.
        router: the proxy's router.
        caller: the virtual key of the request. The model budgets of key, team, user and end user count.

    Returns:
        The model, or its fallback.

    Raises:
        AccessDeniedError: the key's budget for the model is used up and there is no fallback, or a budget of team,
            user or end user for the model to call is used up.
    """
    try:
        await _check_key(model, router, caller)
    except AccessDeniedError:
        fallback = await _fallback(model, router, caller)
        if fallback is None:
            raise
        model = fallback
    await _check_others(model, router, caller)
    return model


async def _fallback(model: str, router: Router | None, caller: UserAPIKeyAuth) -> str | None:
    """Return the fallback that LiteLLM chooses, or ``None`` if the caller may call none."""
    find_fallback = budget_fallback()
    if find_fallback is None:
        return None
    fallback = await find_fallback(user_api_key_dict=caller, model=model)
    try:
        await check_access([] if fallback is None else [fallback], router, caller)
    except AccessDeniedError:
        return None
    return fallback


async def check_models(models: str, router: Router | None, caller: UserAPIKeyAuth) -> None:
    """Check the budgets of key, team, user and end user for a model, as LiteLLM's auth does.

    Args:
        models: the model name. Several names are separated by commas.
        router: the proxy's router.
        caller: the virtual key of the request.

    Raises:
        AccessDeniedError: a budget for one of the models is used up.
    """
    await _check_key(models, router, caller)
    await _check_others(models, router, caller)


async def _check_key(models: str, router: Router | None, caller: UserAPIKeyAuth) -> None:
    limiter: Any = proxy_global("model_max_budget_limiter")
    if limiter is None or caller.token is None or not caller.model_max_budget or _cost_nothing(models, router):
        return
    for name in models.split(","):
        with _as_refusal():
            await limiter.is_key_within_model_budget(user_api_key_dict=caller, model=name)


async def _check_others(models: str, router: Router | None, caller: UserAPIKeyAuth) -> None:
    limiter: Any = proxy_global("model_max_budget_limiter")
    if limiter is None or _cost_nothing(models, router):
        return
    scopes: dict[str, dict[str, Any]] = {
        "team": {"key_model_max_budget": caller.model_max_budget},  # it takes precedence over the team's
        "user": {},
        "end_user": {},
    }
    for scope, options in scopes.items():
        holder, budget = getattr(caller, f"{scope}_id"), f"{scope}_model_max_budget"
        limits = getattr(caller, budget, None)  # LiteLLM 1.84 has no such budget for team and user
        if holder is None or not limits:
            continue
        for name in models.split(","):
            with _as_refusal():
                await model_budget_check(scope)(**{f"{scope}_id": holder, budget: limits}, model=name, **options)


async def check_vision(context: ProxyContext, data: Mapping[str, Any], *, again: bool = False) -> None:
    """Check that the caller has budget for a vision call.

    Args:
        context: the vision model, the router, and the caller whose budgets count.
        data: the request with the images.
        again: whether the request has made vision calls since LiteLLM's own check.

    Raises:
        AccessDeniedError: a budget for the vision model is used up. Or a budget for all models is used up, and LiteLLM
            did not check it because the request's own model costs nothing, or LiteLLM checked it before it was used up.
    """
    vision_model, router = context.vision_model, context.router
    await check_models(vision_model, router, context.caller)
    if (again or _cost_nothing(data.get("model"), router)) and not _cost_nothing(vision_model, router):
        with _as_refusal():
            await _check_totals(data, context.caller)


def _cost_nothing(models: object, router: Router | None) -> bool:
    """Return whether these models cost nothing. LiteLLM then checks no budget."""
    names = models.split(",") if isinstance(models, str) else None
    return bool(auth_check("is_model_cost_zero")(model=names, llm_router=router))


async def _check_totals(data: Mapping[str, Any], caller: UserAPIKeyAuth) -> None:
    """Run the budget checks that LiteLLM skips if the request's own model costs nothing (see its ``common_checks``).

    Raises:
        BudgetExceededError: a budget is used up.
    """
    from litellm.proxy.auth import auth_checks

    team = await fetch(auth_checks.get_team_object, caller.team_id)
    user = await fetch(auth_checks.get_user_object, caller.user_id, user_id_upsert=False)
    end_user = None
    with _apart_from_reservation(caller):
        end_user = await fetch(auth_checks.get_end_user_object, caller.end_user_id, route=_ROUTE)
    project = await fetch(auth_checks.get_project_object, caller.project_id)
    token, logging = {"valid_token": caller}, {"proxy_logging_obj": proxy_global("proxy_logging_obj")}
    rows = {name: proxy_global(name) for name in ("prisma_client", "user_api_key_cache")}
    of_team = {"team_object": team}
    checks: list[tuple[str, dict[str, Any]]] = [
        ("virtual_key_max_budget_check", token | logging),
        ("virtual_key_multi_budget_check", token),
        ("team_max_budget_check", of_team | token | logging),
        ("team_multi_budget_check", of_team),
        ("project_max_budget_check", {"project_object": project} | token | logging),
        ("organization_max_budget_check", of_team | token | rows | logging),
        ("tag_max_budget_check", {"request_body": data} | token | rows | logging),
        ("check_team_member_budget", of_team | {"user_object": user} | token | rows | logging),
    ]
    if end_user is not None and end_user.litellm_budget_table is not None:
        checks.append(("check_end_user_budget", {"end_user_obj": end_user, "route": _ROUTE}))
    for name, arguments in checks:
        with _apart_from_reservation(caller):
            await auth_check(name)(**arguments)
    with _apart_from_reservation(caller):
        await _check_user(user, caller)


async def _check_user(user: Any, caller: UserAPIKeyAuth) -> None:
    """Check the budget of the user. LiteLLM has no separate function for it."""
    from litellm.proxy._types import LitellmUserRoles

    settings: Any = proxy_global("general_settings") or {}
    held = caller.team_id is None or settings.get("apply_user_budget_to_team_keys") is True
    if user is None or user.max_budget is None or not held or caller.user_role == LitellmUserRoles.PROXY_ADMIN:
        return
    current_spend: Any = proxy_global("get_current_spend")
    spend: float = await current_spend(counter_key=f"spend:user:{user.user_id}", fallback_spend=user.spend or 0.0)
    if spend >= user.max_budget:
        message = f"ExceededBudget: User={user.user_id} over budget. Spend={spend}, Budget={user.max_budget}"
        raise BudgetExceededError(current_cost=spend, max_budget=user.max_budget, message=message)


@contextmanager
def _apart_from_reservation(caller: UserAPIKeyAuth) -> Iterator[None]:
    """Ignore a budget that is exceeded only by the amount that LiteLLM has reserved for the request itself."""
    reservation = getattr(caller, "budget_reservation", None) or {}  # LiteLLM counts the reserved amount as spent
    reserved = 0.0 if reservation.get("finalized") else float(reservation.get("reserved_cost") or 0.0)
    try:
        yield
    except BudgetExceededError as spent:
        if spent.current_cost - reserved >= spent.max_budget:
            raise


@contextmanager
def _as_refusal() -> Iterator[None]:
    """Raise ``AccessDeniedError`` for an exceeded budget, with the status and type of LiteLLM's auth."""
    from litellm.proxy._types import ProxyErrorTypes, ProxyException

    try:
        yield
    except BudgetExceededError as spent:
        status = budget_exceeded_status()
        raise AccessDeniedError(
            ProxyException(spent.message, type=ProxyErrorTypes.budget_exceeded, param=None, code=status)
        ) from None
