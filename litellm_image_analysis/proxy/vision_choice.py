"""Which vision model a request may use: the caller's choice, a key's or team's setting, or the operator's default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.engine.routing import serves, vision_groups
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy.overrides import METADATA_KEY
from litellm_image_analysis.request.activation import PARAMETER

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.engine.context import ProxyContext


from litellm_image_analysis.proxy.access import AccessDeniedError, check_access, fetch

_NAMED_MODELS = 10


async def _check_vision_model(context: ProxyContext) -> None:
    """Hold the caller to its lists, and to those of its organisation, which LiteLLM looks at where a team is made."""
    from litellm.proxy._types import ProxyException
    from litellm.proxy.auth import auth_checks

    await check_access([context.vision_model], context.router, context.caller)
    organization = await fetch(auth_checks.get_org_object, context.caller.org_id)
    try:
        auth_checks.can_org_access_model(model=context.vision_model, org_object=organization, llm_router=context.router)
    except ProxyException as denied:
        raise AccessDeniedError(denied) from None


async def check_chosen(context: ProxyContext) -> None:
    """Let a caller's choice of vision model pass if it exists, the operator allows it and the caller may call it.

    Raises:
        RequestError: no deployment serves it, or it is not among ``allowed_vision_models``; names the vision models
            the caller may use.
        AccessDeniedError: LiteLLM says that the caller may not call it.
    """
    await _check_listed(context, PARAMETER)
    await _check_vision_model(context)


async def check_preferred(context: ProxyContext) -> None:
    """Let the vision model of a key's or a team's metadata pass: one the operator lists, or one the caller may call.

    Raises:
        RequestError: no deployment serves it, or it is not among ``allowed_vision_models``.
        AccessDeniedError: there is no such list, or access is required, and LiteLLM says that the caller may not
            call it.
    """
    await _check_listed(context, f"{METADATA_KEY}.vision_model in the key's or team's metadata")
    if context.config.allowed_vision_models is None or context.config.require_key_access:
        await _check_vision_model(context)


async def _check_listed(context: ProxyContext, source: str) -> None:
    name, allowed = context.vision_model, context.config.allowed_vision_models
    if allowed is not None and name not in allowed:
        problem = f"{name!r} is no vision model of this gateway's."
        raise await wrong_choice(problem, context, status_code=403, source=source)
    if context.router is not None and not serves(context.router, name, context.caller.team_id):
        raise await wrong_choice(f"this gateway serves no model {name!r}.", context, source=source)


async def wrong_choice(
    problem: str,
    context: ProxyContext,
    *,
    status_code: int = 400,
    source: str = PARAMETER,
) -> RequestError:
    """The answer to a vision model that is no good: where it was named, the problem, those the caller may call."""
    groups, allowed = _groups(context), context.config.allowed_vision_models
    if allowed is not None:
        groups = [name for name in groups if name in allowed]
    choices = _offered(await _allowed(groups, context))
    return RequestError(
        f"{source}: {problem} {choices}", status_code=status_code, param=PARAMETER, code="invalid_ocr_model"
    )


async def check_default(context: ProxyContext) -> None:
    """Let the configured vision model pass if a deployment serves it; with ``require_key_access`` as if chosen.

    Raises:
        RequestError: none does; says how the operator mends that.
        AccessDeniedError: access is required, and LiteLLM says that the caller may not call it.
    """
    name = context.vision_model
    if context.router is not None and not serves(context.router, name, context.caller.team_id):
        choices = await _allowed(_groups(context), context)
        raise RequestError(_unserved(name, choices), code="vision_model_not_served")
    if context.config.require_key_access:
        await _check_vision_model(context)


def unserved_default(name: str, router: Router | None) -> str:
    """What is wrong when the configured vision model has no deployment, and how to mend it."""
    return _unserved(name, vision_groups(router, None) if router is not None else [])


def _unserved(name: str, choices: list[str]) -> str:
    mend = f", or set vision_model to one of: {', '.join(choices[:_NAMED_MODELS])}" if choices else ""
    return (
        f"{SETTINGS_PATH}.vision_model: this gateway serves no model {name!r}."
        f" Add a deployment with model_name: {name} to model_list{mend}."
    )


def _groups(context: ProxyContext) -> list[str]:
    return [] if context.router is None else vision_groups(context.router, context.caller.team_id)


async def _allowed(names: Iterable[str], context: ProxyContext) -> list[str]:
    allowed = []
    for name in names:
        try:
            await check_access([name], context.router, context.caller)
        except AccessDeniedError:
            continue
        allowed.append(name)
    return allowed


def _offered(choices: list[str]) -> str:
    if not choices:
        return "It has no vision model that you may call."
    more = f" and {len(choices) - _NAMED_MODELS} more" if len(choices) > _NAMED_MODELS else ""
    return f"Vision models you may call: {', '.join(choices[:_NAMED_MODELS])}{more}."
