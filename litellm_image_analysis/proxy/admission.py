"""What a request asks for, and whether its caller may have it. Refusals are raised: LiteLLM's checks raise theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing import metadata
from litellm_image_analysis.engine import routing
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy import access, budgets, vision_choice
from litellm_image_analysis.proxy.deferred import DeferredAnalysis
from litellm_image_analysis.proxy.overrides import EffectiveSettings, effective_settings
from litellm_image_analysis.request.activation import PARAMETER, Active, Inactive, Invalid

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig


@dataclass(frozen=True, slots=True)
class Asked:
    """Image analysis that a request asks for.

    Attributes:
        vision_model: the model that is to look.
        chosen_by_caller: whether the request itself named it.
        config: the settings that hold for the caller.
    """

    vision_model: str
    chosen_by_caller: bool
    config: ImageAnalysisConfig


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
            access.apply_aliases(data, caller)


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
    if isinstance(activation, Invalid):
        raise await vision_choice.wrong_choice(activation.problem, config, router, caller)
    if activation.model != data.get("model"):
        # Access and budgets were checked for the name with its suffix; a suffix must not open a model.
        await access.check_access(activation.model.split(","), router, caller)
        data["model"] = await budgets.affordable(activation.model, router, caller)
        access.apply_aliases(data, caller)
    data.pop(PARAMETER, None)
    settled = effective_settings(config, caller.team_metadata, caller.metadata)
    if isinstance(activation, Active):
        return await _asked(activation, settled, config, router, caller)
    return None if activation.is_refused else _standby(settled, data, config, caller)


def _standby(
    settled: EffectiveSettings | RequestError, data: dict[str, Any], config: ImageAnalysisConfig, caller: UserAPIKeyAuth
) -> DeferredAnalysis | None:
    if isinstance(settled, RequestError):
        return DeferredAnalysis(config, caller, metadata.metadata_of(data), problem=settled)
    return DeferredAnalysis(settled.config, caller, metadata.metadata_of(data)) if settled.enabled else None


async def _asked(
    active: Active,
    settled: EffectiveSettings | RequestError,
    config: ImageAnalysisConfig,
    router: Router | None,
    caller: UserAPIKeyAuth,
) -> Asked | None:
    """What holds after the key's and the team's own settings."""
    if isinstance(settled, RequestError):
        raise settled
    if not settled.enabled:
        return None
    if not active.chosen_by_caller:
        return Asked(settled.config.vision_model, chosen_by_caller=False, config=settled.config)
    await vision_choice.check_chosen(active.vision_model, config, router, caller)
    return Asked(active.vision_model, chosen_by_caller=True, config=settled.config)


async def check_vision(
    asked: Asked, data: dict[str, Any], config: ImageAnalysisConfig, router: Router | None, caller: UserAPIKeyAuth
) -> None:
    """Let a request with images have its vision calls, if their model is served and the caller may make and pay them.

    Raises:
        RequestError: says why not.
    """
    if not asked.chosen_by_caller:
        is_default = asked.vision_model == config.vision_model
        check = vision_choice.check_default if is_default else vision_choice.check_preferred
        await check(asked.vision_model, config, router, caller)
    await budgets.check_vision(asked.vision_model, data, router, caller)
