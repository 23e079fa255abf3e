"""Read the activation of a proxy's request and check that the caller may use image analysis.

A refusal is raised as an exception, as in LiteLLM's own checks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.billing.request_state import metadata_of
from litellm_image_analysis.compat import apply_model_aliases
from litellm_image_analysis.engine import routing, unserved
from litellm_image_analysis.engine.context import ProxyContext
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import access, budgets, served_models, vision_choice
from litellm_image_analysis.proxy.deferred import DeferredAnalysis
from litellm_image_analysis.proxy.overrides import EffectiveSettings, effective_settings
from litellm_image_analysis.request.activation import NOT_GIVEN, PARAMETER, Active, Inactive, Invalid
from litellm_image_analysis.vision.caller_rules import read_rules

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth

    from litellm_image_analysis.config import ImageAnalysisConfig


_CONVERSATION = ("messages", "input", "contents", "system", "systemInstruction", "system_instruction", "tools")
"""Keys of a request whose values may be large."""


@dataclass(frozen=True, slots=True)
class RequestedAnalysis:
    """Image analysis that a request asks for.

    Attributes:
        context: the values that hold for it, with the settings of the caller's key and team.
        chosen_by_caller: whether the request itself names the vision model.
        is_asked: whether the request asks for it. Otherwise its deployments need it, if there are images.
    """

    context: ProxyContext
    chosen_by_caller: bool
    is_asked: bool = True


def check_route(data: dict[str, Any], call_type: str, config: ImageAnalysisConfig, caller: UserAPIKeyAuth) -> None:
    """Check that a request on a route without image analysis has no images that would have to be analysed.

    Args:
        data: the request.
        call_type: LiteLLM's name for the call.
        config: the operator's settings.
        caller: the virtual key of the request.

    Raises:
        RequestError: it has, or the settings of the key or the team are wrong.
    """
    if not unserved.has_images(data, call_type):
        return
    settled = effective_settings(config, caller)
    if isinstance(settled, RequestError):
        raise settled
    unserved.check_request(
        data, call_type, settled.config, routing.running_router(), caller.team_id, may_be_due=settled.enabled
    )


async def check_suffixed_name(
    data: dict[str, Any], config: ImageAnalysisConfig, caller: UserAPIKeyAuth, *, is_routed: bool = True
) -> None:
    """On a route without image analysis, check access to the base model of a suffixed name and remove the suffix.

    Without this check, the suffix would give access to a model that the caller may not call. The name keeps its suffix
    if LiteLLM's router does not route the request or does not serve the base model.

    Args:
        data: the request. Its model is replaced.
        config: the operator's settings.
        caller: the virtual key of the request.
        is_routed: whether LiteLLM's router looks up the model. Otherwise the request goes to a provider as it is.

    Raises:
        AccessDeniedError: the caller may not call the base model, or its budget for the base model is used up.
    """
    router, model = routing.running_router(), data.get("model")
    activation = routing.activation_of(model, config, router)
    if isinstance(activation, Inactive | Active) and activation.model != model:
        await access.check_access(activation.model.split(","), router, caller)
        await budgets.check_models(activation.model, router, caller)
        if is_routed and router is not None and routing.serves(router, activation.model, caller.team_id):
            data["model"] = apply_model_aliases(activation.model, caller)


async def admit(
    data: dict[str, Any], config: ImageAnalysisConfig, caller: UserAPIKeyAuth
) -> RequestedAnalysis | DeferredAnalysis | None:
    """Remove the suffix and ``ocr_model`` from the request and check that the caller may use image analysis.

    If the name has the suffix, the name without it is checked for access and budget. Then the key's
    ``budget_fallbacks`` and LiteLLM's model aliases apply to it.

    Args:
        data: the request. Its model is replaced, and ``ocr_model`` is removed.
        config: the operator's settings.
        caller: the virtual key of the request.

    Returns:
        ``RequestedAnalysis`` if the request asks for analysis. ``DeferredAnalysis`` if it does not, so its deployment
        decides. ``None`` if the request switches analysis off.

    Raises:
        RequestError: the caller may not call the model or the vision model that the request names, no deployment serves
            one of them, ``ocr_model`` is not valid, or analysis is asked for and the settings of the key or the team
            are wrong.
    """
    router = routing.running_router()
    activation = routing.activation_of(data.get("model"), config, router, data.get(PARAMETER, NOT_GIVEN))
    if isinstance(activation, Invalid):
        raise await vision_choice.wrong_choice(activation.problem, EffectiveSettings(config).context(router, caller))
    if activation.model != data.get("model"):
        # LiteLLM checked access and budgets for the name with its suffix, not for the base model.
        await access.check_access(activation.model.split(","), router, caller)
        data["model"] = apply_model_aliases(await budgets.affordable(activation.model, router, caller), caller)
    data.pop(PARAMETER, None)
    if isinstance(activation, Active):
        await served_models.check_base_model(data, router, caller.team_id)
        return await _requested(activation, data, config, caller)
    return None if activation.is_refused else defer(data, config, caller)


def may_ask(data: dict[str, Any], config: ImageAnalysisConfig) -> bool:
    """Return whether a request may ask for analysis or switch it off. Most do not, which is known without more work.

    Args:
        data: the request.
        config: the operator's settings.
    """
    return PARAMETER in data or routing.may_ask(data.get("model"), config.suffix, routing.running_router())


def defer(data: dict[str, Any], config: ImageAnalysisConfig, caller: UserAPIKeyAuth) -> DeferredAnalysis:
    """Return the deferred analysis of a request that does not ask.

    Args:
        data: the request.
        config: the operator's settings.
        caller: the virtual key of the request.
    """
    request = {**data}
    for key in _CONVERSATION:
        request.pop(key, None)
    return DeferredAnalysis(config, caller, metadata_of(data), request)


async def _requested(
    active: Active, data: dict[str, Any], config: ImageAnalysisConfig, caller: UserAPIKeyAuth
) -> RequestedAnalysis:
    """Apply the settings of the key and the team to the analysis that the request asks for."""
    settled, router, rules = effective_settings(config, caller), routing.running_router(), read_rules(data, caller)
    if isinstance(settled, RequestError):
        raise settled
    context = settled.context(router, caller, rules)
    if not active.chosen_by_caller or not settled.enabled:
        return RequestedAnalysis(context, chosen_by_caller=False)
    operator = EffectiveSettings(config).context(router, caller, rules)
    await vision_choice.check_chosen(replace(operator, vision_model=active.vision_model))
    return RequestedAnalysis(replace(context, vision_model=active.vision_model), chosen_by_caller=True)


async def check_vision(requested: RequestedAnalysis, data: dict[str, Any], config: ImageAnalysisConfig) -> ProxyContext:
    """Check that the vision model is served, that the caller may use it, and that the caller has budget for it.

    ``admit`` has already checked a vision model that the request names, except for its budget.

    Args:
        requested: the analysis.
        data: the request.
        config: the operator's settings.

    Returns:
        The context of the analysis. If no deployment serves the configured vision model, images are withheld: this is
        the operator's mistake and not the caller's.

    Raises:
        RequestError: the vision model of a key or team is not served or not allowed.
        AccessDeniedError: the caller may not call the vision model, or a budget is used up.
    """
    context = requested.context
    if context.withheld is not None:
        return context
    operator = replace(context, config=config)
    if not requested.chosen_by_caller:
        if context.vision_model != config.vision_model:
            await vision_choice.check_preferred(operator)
        elif await vision_choice.is_default_served(operator):
            await vision_choice.check_default(operator)
        else:
            return replace(context, withheld=FailureReason.MISCONFIGURED)
    await budgets.check_vision(context, data)
    return context
