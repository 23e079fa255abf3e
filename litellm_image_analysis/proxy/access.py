"""Check with LiteLLM's own functions which models a caller may call. A refusal keeps LiteLLM's message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from litellm.exceptions import BudgetExceededError

from litellm_image_analysis.compat import auth_check, proxy_global, resolved_model_check, user_check_options, view_of
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.log import LOGGER

if TYPE_CHECKING:
    from litellm.proxy._types import ProxyException, UserAPIKeyAuth
    from litellm.router import Router


class AccessDeniedError(RequestError):
    """LiteLLM refuses a model: the caller has no access to it, or a budget is used up.

    Attributes:
        denied: LiteLLM's exception.
    """

    def __init__(self, denied: ProxyException) -> None:
        super().__init__(denied.message, status_code=status_of(denied), param=denied.param, code=denied.type)
        self.denied = denied


async def check_access(names: Iterable[str], router: Router | None, caller: UserAPIKeyAuth) -> None:
    """Check models against the lists of key, team, project and end user, and of the user if the key is personal.

    Args:
        names: names of models, without the suffix.
        router: the proxy's router, or ``None`` before it is up.
        caller: the virtual key of the request.

    Raises:
        AccessDeniedError: the caller may not call one of the models.
    """
    from litellm.proxy._types import ProxyException
    from litellm.proxy.auth import auth_checks

    model_list = view_of(router).deployments() if router is not None else None
    check = resolved_model_check() or _check_one_by_one
    # The models of the team apply to a team's key. The models of the user apply to personal keys only.
    user_id = caller.user_id if caller.team_id is None else None
    user = await fetch(auth_checks.get_user_object, user_id, user_id_upsert=False)
    for name in names:
        try:
            await check(model=name, llm_model_list=model_list, valid_token=caller, llm_router=router)
            if user is not None:
                await _check_user(name, router, user, caller)
        except ProxyException as denied:
            raise AccessDeniedError(denied) from None


async def _check_one_by_one(*, model: str, llm_model_list: Any, valid_token: UserAPIKeyAuth, llm_router: Any) -> None:
    """Check the lists of key, team and project one by one, because LiteLLM before 1.90 has no check of all lists.

    End users have no model lists in these versions.
    """
    from litellm.proxy._types import SpecialModelNames
    from litellm.proxy.auth import auth_checks

    if SpecialModelNames.all_team_models.value not in valid_token.models:
        await auth_checks.can_key_call_model(
            model=model, llm_model_list=llm_model_list, valid_token=valid_token, llm_router=llm_router
        )
    if valid_token.team_id is not None:
        await _check_team(model, valid_token.team_id, llm_router, valid_token)
    project = await fetch(auth_checks.get_project_object, valid_token.project_id)
    if project is not None and project.models:
        auth_checks.can_project_access_model(model=model, project_object=project, llm_router=llm_router)


async def _check_team(name: str, team_id: str, router: Router | None, caller: UserAPIKeyAuth) -> None:
    from litellm.proxy._types import LiteLLM_TeamTableCachedObj, ProxyException
    from litellm.proxy.auth import auth_checks

    row = await fetch(auth_checks.get_team_object, team_id)
    team = row or LiteLLM_TeamTableCachedObj(team_id=team_id, models=caller.team_models)
    try:
        await auth_checks.can_team_access_model(
            model=name, team_object=team, llm_router=router, team_model_aliases=caller.team_model_aliases
        )
    except ProxyException:
        if not await auth_check("key_access_group_grants_model")(
            model=name, valid_token=caller, team_object=team, llm_router=router
        ):
            raise
    if row is not None:
        rows = ("prisma_client", "user_api_key_cache", "proxy_logging_obj")
        await auth_check("check_team_member_model_access")(
            model=name,
            team_object=team,
            valid_token=caller,
            llm_router=router,
            **{of: proxy_global(of) for of in rows},
        )


async def _check_user(name: str, router: Router | None, user: Any, caller: UserAPIKeyAuth) -> None:
    from litellm.proxy.auth.auth_checks import can_user_call_model

    await can_user_call_model(model=name, llm_router=router, user_object=user, **user_check_options(caller))


async def fetch(look_up: Callable[..., Awaitable[Any]], key: str | None, **options: Any) -> Any:
    """Return a row of LiteLLM's database, usually from LiteLLM's cache.

    Args:
        look_up: a LiteLLM function that reads a row. It gets the key, the database, the cache and the options.
        key: the id of the row, or ``None`` if the caller has no such row.
        options: further keyword arguments for ``look_up``.

    Returns:
        The row. ``None`` without an id or a database, and if the row cannot be read, as in LiteLLM's own auth.

    Raises:
        BudgetExceededError: the budget of an end user is used up. LiteLLM checks it when it reads the row.
    """
    database, cache = proxy_global("prisma_client"), proxy_global("user_api_key_cache")
    if key is None or database is None:
        return None
    try:
        return await look_up(key, database, cache, **options)
    except BudgetExceededError:
        raise
    except Exception as error:  # noqa: BLE001 - LiteLLM raises plain exceptions of several kinds for a missing row
        LOGGER.debug("no row for the caller: %s", type(error).__name__)
        return None


def status_of(error: ProxyException) -> int:
    """Return the HTTP status of LiteLLM's error, or 500 if the error's code is not a number."""
    return int(error.code) if error.code.isdecimal() else 500
