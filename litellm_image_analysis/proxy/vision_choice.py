"""Check the vision model of a request: chosen by the caller, set for a key or team, or the operator's default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.engine.routing import vision_groups
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.log import LOGGER, quoted, tell_operator
from litellm_image_analysis.proxy.access import AccessDeniedError, check_access, fetch
from litellm_image_analysis.proxy.overrides import METADATA_KEY
from litellm_image_analysis.proxy.served_models import is_served
from litellm_image_analysis.request.activation import PARAMETER

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.engine.context import ProxyContext

_NAMED_MODELS = 10
NOT_ALLOWED = "{name!r} is not an allowed vision model of this gateway."
NOT_SERVED = "this gateway serves no model {name!r}."


async def _check_vision_model(context: ProxyContext) -> None:
    """Check the vision model against the model lists of the caller and its organization.

    LiteLLM itself checks an organization's list only when a team is created or changed.
    """
    from litellm.proxy._types import ProxyException
    from litellm.proxy.auth import auth_checks

    await check_access([context.vision_model], context.router, context.caller)
    organization = await fetch(auth_checks.get_org_object, context.caller.org_id)
    try:
        auth_checks.can_org_access_model(model=context.vision_model, org_object=organization, llm_router=context.router)
    except ProxyException as denied:
        raise AccessDeniedError(denied) from None


async def check_chosen(context: ProxyContext) -> None:
    """Check that the vision model in a request is allowed by the operator, served, and accessible to the caller.

    Args:
        context: the vision model, the operator's settings, the router and the caller.

    Raises:
        RequestError: the vision model is not in ``allowed_vision_models``, or no deployment serves it. The message
            names the vision models that the caller may use.
        AccessDeniedError: the caller may not call it.
    """
    await _check_listed(context, PARAMETER)
    await _check_vision_model(context)


async def check_preferred(context: ProxyContext) -> None:
    """Check that the vision model in the metadata of a key or a team is allowed by the operator and served.

    The caller must have access to it if there is no ``allowed_vision_models``, or if ``require_key_access`` is set.

    Args:
        context: the vision model, the operator's settings, the router and the caller.

    Raises:
        RequestError: the vision model is not in ``allowed_vision_models``, or no deployment serves it.
        AccessDeniedError: the caller must have access and may not call it.
    """
    await _check_listed(context, f"{METADATA_KEY}.vision_model in the key's or team's metadata")
    if context.config.allowed_vision_models is None or context.config.require_key_access:
        await _check_required_access(context)


async def _check_required_access(context: ProxyContext) -> None:
    """Check access to a vision model that the request does not name. The error does not name it, either.

    Raises:
        RequestError: the caller may not call it. The message says that the operator can add the access.
    """
    try:
        await _check_vision_model(context)
    except AccessDeniedError as error:
        LOGGER.warning(
            "image analysis: a key has no access to its vision model: key_alias=%s vision_model=%s. Add the model to"
            " the key or its team, or see the settings require_key_access and allowed_vision_models",
            quoted(context.caller.key_alias or "none"),
            quoted(context.vision_model),
        )
        raise RequestError(
            "Image analysis needs a vision model that this key, its team or its user may not call. Ask the gateway's"
            " operator to add the vision model to it, or name one that you may call as ocr_model.",
            status_code=error.status_code,
            param="model",
            code="vision_model_not_allowed",
        ) from None


async def _is_served(context: ProxyContext) -> bool:
    return context.router is None or await is_served(context.vision_model, context.router, context.caller.team_id)


async def _check_listed(context: ProxyContext, source: str) -> None:
    name, allowed = context.vision_model, context.config.allowed_vision_models
    if allowed is not None and name not in allowed:
        raise await wrong_choice(NOT_ALLOWED.format(name=name), context, status_code=403, source=source)
    if not await _is_served(context):
        raise await wrong_choice(NOT_SERVED.format(name=name), context, source=source)


async def wrong_choice(
    problem: str,
    context: ProxyContext,
    *,
    status_code: int = 400,
    source: str = PARAMETER,
) -> RequestError:
    """Return the error for a vision model that cannot be used. It names the vision models that the caller may call.

    Args:
        problem: the problem, as a sentence.
        context: the operator's settings, the router and the caller.
        status_code: HTTP status for the response.
        source: the parameter or the metadata field that names the vision model.
    """
    groups, allowed = _groups(context), context.config.allowed_vision_models
    if allowed is not None:
        groups = [name for name in groups if name in allowed]
    choices = _offered(await _allowed(groups, context))
    is_callers = source == PARAMETER
    return RequestError(
        f"{source}: {problem} {choices}",
        status_code=status_code,
        param=PARAMETER if is_callers else None,
        code="invalid_ocr_model" if is_callers else "invalid_image_analysis_metadata",
    )


async def is_default_served(context: ProxyContext) -> bool:
    """Return whether a deployment serves the configured vision model. If none does, tell the operator.

    Args:
        context: the vision model, the operator's settings, the router and the caller.
    """
    if await _is_served(context):
        return True
    tell_operator(unserved_default(context.vision_model, context.router))
    return False


async def check_default(context: ProxyContext) -> None:
    """Check with ``require_key_access`` that the caller may call the configured vision model.

    Args:
        context: the vision model, the operator's settings, the router and the caller.

    Raises:
        RequestError: access is required, and the caller may not call it.
    """
    if context.config.require_key_access:
        await _check_required_access(context)


def unserved_default(name: str, router: Router | None) -> str:
    """Return the message for a configured vision model without a deployment, and what the operator can change.

    Args:
        name: the configured vision model.
        router: the proxy's router. ``None`` if there is none.
    """
    choices = vision_groups(router, None) if router is not None else []
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
