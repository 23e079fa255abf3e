"""Refuse images on a route whose requests the plugin does not rewrite, so that no text-only model gets an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.engine import routing, vision_support
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request.activation import NOT_GIVEN, PARAMETER, Active, Inactive
from litellm_image_analysis.request.embedded import holds_image

if TYPE_CHECKING:
    from litellm.router import Router
    from litellm.types.utils import CallTypes

    from litellm_image_analysis.config import ImageAnalysisConfig

_LOGGING = "litellm_logging_obj"
UNSERVED: Mapping[str, tuple[str, str]] = {
    "acreate_interaction": ("/v1beta/interactions", "input"),
    "acreate": ("/v1beta/interactions", "input"),  # the name in LiteLLM's hooks for deployments
}
"""The route, and the key of the conversation in the body, by LiteLLM's call type."""


def call_type_of(call_type: CallTypes | None, kwargs: Mapping[str, Any]) -> str:
    """Return the name of a call's type. LiteLLM passes ``None`` for types that it does not list."""
    return call_type.value if call_type is not None else str(getattr(kwargs.get(_LOGGING), "call_type", None) or "")


def check_request(
    request: Mapping[str, Any],
    call_type: str,
    config: ImageAnalysisConfig,
    router: Router | None,
    team_id: str | None = None,
    *,
    may_be_due: bool = True,
) -> None:
    """Check that a request with images neither asks for analysis nor needs it on a route without it.

    It needs analysis if images for a deployment of its model group are analysed automatically.

    Args:
        request: the request, or the keyword arguments of a call.
        call_type: LiteLLM's name for the call.
        config: the settings that apply to it.
        router: the router that serves the request.
        team_id: the caller's team.
        may_be_due: whether images may be analysed automatically.

    Raises:
        RequestError: it asks for analysis or needs it. The message says which route to use instead.
    """
    activation = _checked_activation(request, call_type, config, router)
    if activation is None or activation.is_refused or not may_be_due:
        return
    deployments = routing.deployments(router, request.get("model"), team_id)
    if any(vision_support.is_analysed(model, model_info, config.mode) for model, model_info in deployments):
        raise _error(call_type, "the model does not take images")


def check_call(kwargs: Mapping[str, Any], call_type: str, config: ImageAnalysisConfig, router: Router | None) -> None:
    """In a program: check the same for the deployment of a call.

    Args:
        kwargs: the call's keyword arguments, with the deployment's ``model_info`` if a Router makes it.
        call_type: LiteLLM's name for the call.
        config: the settings.
        router: the attached Router.

    Raises:
        RequestError: it asks for analysis or needs it. The message says which route to use instead.
    """
    activation = _checked_activation(kwargs, call_type, config, router)
    if activation is not None and not activation.is_refused and vision_support.should_analyze(kwargs, config.mode):
        raise _error(call_type, "the model does not take images")


def _checked_activation(
    request: Mapping[str, Any], call_type: str, config: ImageAnalysisConfig, router: Router | None
) -> Inactive | None:
    """Return the activation of a request with images that does not ask for analysis. ``None`` for other requests."""
    if not has_images(request, call_type):
        return None
    activation = routing.activation_of(request.get("model"), config, router, request.get(PARAMETER, NOT_GIVEN))
    if isinstance(activation, Active):
        raise _error(call_type, "the request asks for image analysis")
    return activation if isinstance(activation, Inactive) else None


def has_images(request: Mapping[str, Any], call_type: str) -> bool:
    """Return whether a request has images on a route without image analysis."""
    return call_type in UNSERVED and holds_image(request.get(UNSERVED[call_type][1]))


def _error(call_type: str, why: str) -> RequestError:
    route, key = UNSERVED[call_type]
    return RequestError(
        f"{key}: {why}, and {route} has no image analysis. Send the request to"
        " /v1beta/models/{model}:generateContent, or without images.",
        param=key,
        code="route_not_served",
    )
