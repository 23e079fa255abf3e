"""What a request asks for, and whether its caller may have it. Refusals are raised: LiteLLM's checks raise theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing import metadata
from litellm_image_analysis.compat import apply_model_aliases
from litellm_image_analysis.engine import routing
from litellm_image_analysis.engine.context import ProxyContext
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import access, budgets, vision_choice
from litellm_image_analysis.proxy.deferred import DeferredAnalysis
from litellm_image_analysis.proxy.overrides import EffectiveSettings, effective_settings
from litellm_image_analysis.request.activation import PARAMETER, Active, Inactive, Invalid

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth

    from litellm_image_analysis.config import ImageAnalysisConfig


@dataclass(frozen=True, slots=True)
class Asked:
    """Image analysis that a request asks for.

    Attributes:
        context: the values that hold for it, with the caller's own settings.
        chosen_by_caller: whether the request itself names the vision model.
    """

    context: ProxyContext
    chosen_by_caller: bool


async def check_name(
    data: dict[str, Any], config: ImageAnalysisConfig, caller: UserAPIKeyAuth, *, is_routed: bool = True
) -> None:
    """On routes without analysis, call a suffixed name by the name without it: a suffix must not open a model.

    Args:
        data: the request.
        config: the operator's settings.
        caller: whose request it is.
        is_routed: whether LiteLLM's router looks its model up, and not a provider.

    Raises:
        AccessDeniedError: LiteLLM says that the caller may not call the base model, or has spent its budget for it.
    """
    router, model = routing.running_router(), data.get("model")
    activation = routing.activation_of({"model": model}, config, router)
    if isinstance(activation, Inactive | Active) and activation.model != model:
        await access.check_access(activation.model.split(","), router, caller)
        await budgets.check_models(activation.model, router, caller)
        if is_routed and router is not None and routing.serves(router, activation.model, caller.team_id):
            data["model"] = activation.model
            apply_model_aliases(data, caller)


async def take_request(
    data: dict[str, Any], config: ImageAnalysisConfig, caller: UserAPIKeyAuth
) -> Asked | DeferredAnalysis | None:
    """Take what asks for analysis out of the request, and see whether the caller may have it.

    Args:
        data: the request; its model loses the suffix, and ``ocr_model`` goes.
        config: the operator's settings.
        caller: whose request it is.

    Returns:
        What is asked for; what holds if nothing is; ``None`` if there is to be no analysis.

    Raises:
        RequestError: the caller may not have it, or asks in a way that makes no sense.
    """
    router = routing.running_router()
    activation = routing.activation_of(data, config, router)
    operator = ProxyContext(config=config, vision_model=config.vision_model, router=router, caller=caller)
    if isinstance(activation, Invalid):
        raise await vision_choice.wrong_choice(activation.problem, operator)
    if activation.model != data.get("model"):
        # Access and budgets were checked for the name with its suffix; a suffix must not open a model.
        await access.check_access(activation.model.split(","), router, caller)
        data["model"] = await budgets.affordable(activation.model, router, caller)
        apply_model_aliases(data, caller)
    data.pop(PARAMETER, None)
    settled = effective_settings(config, caller.team_metadata, caller.metadata)
    if isinstance(activation, Active):
        return await _asked(activation, settled, operator)
    return None if activation.is_refused else _deferred(settled, data, operator)


def _deferred(
    settled: EffectiveSettings | RequestError, data: dict[str, Any], operator: ProxyContext
) -> DeferredAnalysis | None:
    if isinstance(settled, RequestError):
        return DeferredAnalysis(operator, metadata.metadata_of(data), problem=settled)
    return DeferredAnalysis(_with_settings(operator, settled), metadata.metadata_of(data)) if settled.enabled else None


def _with_settings(operator: ProxyContext, settled: EffectiveSettings) -> ProxyContext:
    return replace(operator, config=settled.config, vision_model=settled.config.vision_model)


async def _asked(active: Active, settled: EffectiveSettings | RequestError, operator: ProxyContext) -> Asked | None:
    """Apply the key's and the team's own settings to what the request asks for."""
    if isinstance(settled, RequestError):
        raise settled
    if not settled.enabled:
        return None
    context = _with_settings(operator, settled)
    if not active.chosen_by_caller:
        return Asked(context, chosen_by_caller=False)
    await vision_choice.check_chosen(replace(operator, vision_model=active.vision_model))
    return Asked(replace(context, vision_model=active.vision_model), chosen_by_caller=True)


async def check_vision(asked: Asked, data: dict[str, Any], config: ImageAnalysisConfig) -> None:
    """Check that the vision model is served, and that the caller may call it and has budget for it.

    Args:
        asked: the analysis.
        data: the request.
        config: the operator's settings.

    Raises:
        RequestError: says why not.
    """
    if not asked.chosen_by_caller:
        is_default = asked.context.vision_model == config.vision_model
        check = vision_choice.check_default if is_default else vision_choice.check_preferred
        await check(replace(asked.context, config=config))
    await budgets.check_vision(asked.context, data)
