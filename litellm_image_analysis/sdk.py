"""Calls of code that uses LiteLLM as a library: made directly, or by a Router that was attached.

LiteLLM shows such a call to a hook twice: before it goes to a deployment, and when its answer is back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from litellm_image_analysis import bill, gateway, spend, vision
from litellm_image_analysis.activation import PARAMETER, Active, Inactive, Invalid, decide
from litellm_image_analysis.dialects import Dialect, chat, generate_content, messages, responses
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.pipeline import Report

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.activation import Activation
    from litellm_image_analysis.analyst import Analyst
    from litellm_image_analysis.config import ImageAnalysisConfig

DIALECTS: dict[str, Dialect] = {
    "acompletion": chat,
    "anthropic_messages": messages,
    "aresponses": responses,
    "agenerate_content": generate_content,
    "agenerate_content_stream": generate_content,
}
"""Wire format by LiteLLM's call type."""

_PROVIDER_S_METADATA = frozenset({"anthropic_messages", "aresponses"})
"""Where ``metadata`` goes to the provider, and LiteLLM's own is called ``litellm_metadata``."""


@dataclass(frozen=True, slots=True)
class Library:
    """What a program set up.

    Attributes:
        config: its settings.
        analyst: analyses.
        check_alone: raises if another instance would serve the same calls.
        router: makes vision calls, and its calls are served; ``None``: LiteLLM itself makes them.
    """

    config: ImageAnalysisConfig
    analyst: Analyst
    check_alone: Callable[[], None]
    router: Router | None = None

    async def before_call(self, kwargs: dict[str, Any], call_type: str) -> dict[str, Any] | None:
        """Replace the images of a call that asks for it; the caller's own objects stay as they are.

        Args:
            kwargs: the call's keyword arguments.
            call_type: LiteLLM's name for it.

        Returns:
            Those to call with instead, or ``None`` for no change.

        Raises:
            RequestError: the call cannot be served.
        """
        dialect, group = DIALECTS.get(call_type), _model_group(kwargs)
        if dialect is None or vision.is_looking() or isinstance(spend.recorded(kwargs), Report):
            return None
        if group is not None and self.router is None:
            return None  # a Router that was not attached: on a proxy, the images are gone by now
        activation = self._decide(kwargs, group)
        if isinstance(activation, Invalid):
            raise RequestError(f"{PARAMETER}: {activation.problem}", param=PARAMETER, code="invalid_ocr_model")
        request = {key: value for key, value in kwargs.items() if key != PARAMETER}
        if group is None:
            if isinstance(activation, Inactive) and activation.model == kwargs.get("model"):
                return request if PARAMETER in kwargs else None
            request["model"] = activation.model
        if isinstance(activation, Active):
            await self._analyse(request, dialect, activation, call_type)
        return request

    async def rewrite(self, messages: list[Any], vision_model: str) -> list[Any]:
        """Replace the images in a conversation of OpenAI's chat format.

        Raises:
            RequestError: a limit is exceeded, or ``on_failure: reject`` applies.
        """
        request: dict[str, Any] = {"messages": messages, "metadata": {}}
        found = self.analyst.find_images(request, chat, self.config)
        await self.analyst.replace(request, found, chat, vision_model, self.config, self.router)
        return list(request["messages"])

    def _decide(self, kwargs: dict[str, Any], group: str | None) -> Activation:
        """What the call asks for; a Router's was asked for under its group's name.

        LiteLLM shows positional arguments to no hook; only its logging object knows the model's name.
        """
        is_positional = group is None and "model" not in kwargs
        seen = getattr(kwargs.get("litellm_logging_obj"), "model", None) if is_positional else kwargs.get("model")
        asked = {PARAMETER: kwargs[PARAMETER]} if PARAMETER in kwargs else {}
        named = seen if group is None else group
        activation = decide({**asked, "model": named}, self.config, partial(gateway.bears_name, self.router))
        if not is_positional:
            return activation
        if isinstance(activation, Active):
            raise RequestError(
                f"image analysis of {named!r}: LiteLLM does not show positional arguments to its callbacks;"
                " pass model and messages by name.",
                param="model",
                code="positional_arguments",
            )
        return Inactive(None)

    async def _analyse(self, request: dict[str, Any], dialect: Dialect, active: Active, call_type: str) -> None:
        if self.router is not None and not gateway.serves(self.router, active.vision_model, None):
            raise RequestError(
                f"vision_model: the attached router serves no model {active.vision_model!r}. Add a deployment with"
                f" model_name: {active.vision_model} to its model_list, or name one that it has.",
                code="vision_model_not_served",
            )
        self.check_alone()
        bucket = "litellm_metadata" if call_type in _PROVIDER_S_METADATA or _is_noted_apart(request) else "metadata"
        request[bucket] = dict(request.get(bucket) or {})
        found = self.analyst.find_images(request, dialect, self.config)
        await self.analyst.replace(request, found, dialect, active.vision_model, self.config, self.router)
        bill.make(request, call_type, is_shown=True)


def after_call(request: dict[str, Any], response: Any, call_type: str) -> None:
    """Take down what the call itself cost; in a library, show in the response what it cost with image analysis."""
    made = bill.made(request)
    if made is None:
        return
    if made.call_type != call_type or made.base_cost is None:  # what a bridge calls knows its price best
        made.base_cost = spend.calculated_cost(request, response)
    if made.call_type == call_type and made.is_shown:
        bill.show(response, made)


def _model_group(kwargs: dict[str, Any]) -> str | None:
    """What a Router was asked for, if one makes this call."""
    for bucket in ("metadata", "litellm_metadata"):
        group = (kwargs.get(bucket) or {}).get("model_group")
        if isinstance(group, str):
            return group
    return None


def _is_noted_apart(kwargs: dict[str, Any]) -> bool:
    return isinstance(kwargs.get("litellm_metadata"), dict)
