"""Refuse images on a route whose requests the plugin does not rewrite, so that no text-only model gets one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.engine import routing, vision_support
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request.activation import NOT_GIVEN, PARAMETER, Active
from litellm_image_analysis.request.other_formats import holds_image

if TYPE_CHECKING:
    from litellm.router import Router
    from litellm.types.utils import CallTypes

    from litellm_image_analysis.config import ImageAnalysisConfig

_LOGGING = "litellm_logging_obj"
UNSERVED: Mapping[str, tuple[str, str]] = {
    "acreate_interaction": ("/v1beta/interactions", "input"),
    "acreate": ("/v1beta/interactions", "input"),  # the same in LiteLLM's hooks for deployments
}
"""Route, and the key of the conversation in the body, by LiteLLM's call type."""


def call_type_of(call_type: CallTypes | None, kwargs: Mapping[str, Any]) -> str:
    """Return the name of a call's type. LiteLLM passes ``None`` for types that it does not list."""
    return call_type.value if call_type is not None else str(getattr(kwargs.get(_LOGGING), "call_type", None) or "")


def check_request(
    request: Mapping[str, Any], call_type: str, config: ImageAnalysisConfig, router: Router | None
) -> None:
    """Check that a request with images does not ask for analysis on a route without it.

    Args:
        request: the request, or the keyword arguments of a call.
        call_type: LiteLLM's name for the call.
        config: the settings.
        router: the router that serves the request.

    Raises:
        RequestError: it does. The message says which route to use instead.
    """
    if call_type in UNSERVED:
        activation = routing.activation_of(request.get("model"), config, router, request.get(PARAMETER, NOT_GIVEN))
        if isinstance(activation, Active):
            _refuse(request, call_type, asks=True)


def check_call(kwargs: Mapping[str, Any], call_type: str, config: ImageAnalysisConfig) -> None:
    """Check that a call with images does not go to a deployment whose images are analysed, without analysis.

    Args:
        kwargs: the call's keyword arguments, with the deployment's ``model_info`` if a Router makes it.
        call_type: LiteLLM's name for the call.
        config: the settings.

    Raises:
        RequestError: it does. The message says which route to use instead.
    """
    if call_type in UNSERVED and vision_support.should_analyze(kwargs, config.mode):
        _refuse(kwargs, call_type, asks=False)


def _refuse(request: Mapping[str, Any], call_type: str, *, asks: bool) -> None:
    route, key = UNSERVED[call_type]
    if holds_image(request.get(key)):
        why = "the request asks for image analysis" if asks else "the model does not take images"
        raise RequestError(
            f"{key}: {why}, and {route} has no image analysis. Send the request to"
            " /v1beta/models/{model}:generateContent, or without images.",
            param=key,
            code="route_not_served",
        )
