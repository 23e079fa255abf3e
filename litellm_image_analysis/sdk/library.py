"""Calls of code that uses LiteLLM as a library: made directly, or by a Router that was attached.

LiteLLM shows such a call to a hook twice: before it goes to a deployment, and when its answer is back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing import prices, total
from litellm_image_analysis.billing.request_state import load_state, state_in, update_state
from litellm_image_analysis.cache.per_request import RequestOutcomes
from litellm_image_analysis.engine import containment, routing, vision_support
from litellm_image_analysis.engine.context import RequestContext
from litellm_image_analysis.errors import AttemptError, RequestError
from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.activation import PARAMETER, Active, Inactive, Invalid
from litellm_image_analysis.vision.call import is_vision_call

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.engine.analyzer import Analyzer

WIRE_FORMATS: dict[str, WireFormat] = {
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
    analyzer: Analyzer
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
        wire_format, group = WIRE_FORMATS.get(call_type), _model_group(kwargs)
        if wire_format is None or self._is_settled(kwargs, group):
            return None
        activation: Active | Inactive | None = None
        with containment.log_and_continue("reading the activation of a call"):
            activation = self._decide(kwargs, group)
        request = {key: value for key, value in kwargs.items() if key != PARAMETER}
        if activation is None:
            return self._after_a_bug(kwargs, request, group, call_type)
        if group is None and "model" in kwargs:
            request["model"] = activation.model
        if self._is_due(activation, request, wire_format):
            activation = Active(activation.model, self.config.vision_model, chosen_by_caller=False)
        if not isinstance(activation, Active):
            return None if request == kwargs else request
        _have_own_metadata(request, call_type)
        try:
            with containment.contained_analysis(request, wire_format, self._context(activation.vision_model)):
                await self._analyse(request, wire_format, activation, call_type, _earlier(kwargs))
        except RequestError as error:
            raise error if group is None else AttemptError(error) from None
        return request

    def _is_settled(self, kwargs: dict[str, Any], group: str | None) -> bool:
        """Whether this is a call of ours, was served already, or is a proxy's, settled before it was routed."""
        is_proxy_s = group is not None and self.router is None and routing.running_router() is not None
        return is_proxy_s or is_vision_call() or load_state(kwargs).report is not None

    def _context(self, vision_model: str) -> RequestContext:
        return RequestContext(config=self.config, vision_model=vision_model, router=self.router)

    def ask_by_parameter(self, router: Router, arguments: dict[str, Any]) -> dict[str, Any]:
        """A call of an attached Router's that asks by suffix, as one that asks by ``ocr_model``.

        The Router then routes it, and finds its fallbacks, under the model's own name.

        Args:
            router: whose call it is.
            arguments: the call's, by name.
        """
        with containment.log_and_continue("reading the suffix"):
            activation = routing.activation_of({"model": arguments.get("model")}, self.config, router)
            if isinstance(activation, Active):
                return {PARAMETER: activation.vision_model, **arguments, "model": activation.model}
        return arguments

    async def rewrite(self, messages: list[Any], vision_model: str) -> list[Any]:
        """Replace the images in a conversation of OpenAI's chat format.

        Raises:
            RequestError: a limit is exceeded, or ``on_failure: reject`` applies.
        """
        request: dict[str, Any] = {"messages": messages, "metadata": {}}
        context = self._context(vision_model)
        with containment.contained_analysis(request, chat, context):
            found = self.analyzer.find_images(request, chat, self.config)
            await self.analyzer.replace(request, found, chat, context)
        return list(request["messages"])

    def _is_due(self, activation: Active | Inactive, request: dict[str, Any], wire_format: WireFormat) -> bool:
        """Whether a call that asks for nothing has images that its deployment cannot see."""
        if not isinstance(activation, Inactive) or activation.is_refused:
            return False
        mode = self.config.mode
        with containment.log_and_continue("reading whether a deployment takes images"):
            if not vision_support.is_ruled_out(request, mode) and wire_format.find_images(request):
                return vision_support.should_analyze(request, mode)
        return False

    def _decide(self, kwargs: dict[str, Any], group: str | None) -> Active | Inactive:
        """What the call asks for; a Router's was asked for under its group's name.

        LiteLLM shows positional arguments to no hook; only its logging object knows the model's name.
        """
        if group is not None and self.router is None:  # a name it serves is a real one, whatever it ends in
            return self._decide_unattached(kwargs)
        is_positional = group is None and "model" not in kwargs
        seen = getattr(kwargs.get("litellm_logging_obj"), "model", None) if is_positional else kwargs.get("model")
        asked = {PARAMETER: kwargs[PARAMETER]} if PARAMETER in kwargs else {}
        named = seen if group is None else group
        activation = routing.activation_of({**asked, "model": named}, self.config, self.router)
        if isinstance(activation, Invalid):
            raise RequestError(f"{PARAMETER}: {activation.problem}", param=PARAMETER, code="invalid_ocr_model")
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

    @staticmethod
    def _decide_unattached(kwargs: dict[str, Any]) -> Inactive:
        if kwargs.get(PARAMETER, False) is not False:
            raise RequestError(
                f"{PARAMETER}: this Router was not attached to image analysis, so it cannot be asked for it. Call"
                " ImageAnalysis().attach(router) once, where the Router is made.",
                param=PARAMETER,
                code="router_not_attached",
            )
        return Inactive(kwargs.get("model"), is_refused=PARAMETER in kwargs)

    def _after_a_bug(
        self, kwargs: dict[str, Any], request: dict[str, Any], group: str | None, call_type: str
    ) -> dict[str, Any] | None:
        """What to call with if nobody could read what is asked for, and it has to be told by its looks."""
        named, suffix = kwargs.get("model") if group is None else group, self.config.suffix
        has_suffix = suffix is not None and isinstance(named, str) and named.endswith(suffix)
        if group is None and has_suffix:
            request["model"] = str(named).removesuffix(str(suffix))
        if not has_suffix and kwargs.get(PARAMETER, False) is False:
            return request if PARAMETER in kwargs else None
        _have_own_metadata(request, call_type)
        context = self._context(self.config.vision_model)
        containment.apply_on_failure_after_bug(request, WIRE_FORMATS[call_type], context)
        return request

    async def _analyse(
        self,
        request: dict[str, Any],
        wire_format: WireFormat,
        active: Active,
        call_type: str,
        earlier: RequestOutcomes | None,
    ) -> None:
        if self.router is not None and not routing.serves(self.router, active.vision_model, None):
            raise RequestError(
                f"vision_model: the attached router serves no model {active.vision_model!r}. Add a deployment with"
                f" model_name: {active.vision_model} to its model_list, or name one that it has.",
                code="vision_model_not_served",
            )
        self.check_alone()
        found = self.analyzer.find_images(request, wire_format, self.config)
        context = self._context(active.vision_model)
        await self.analyzer.replace(request, found, wire_format, context, earlier=earlier)
        with containment.log_and_continue("attaching the cost"):
            total.attach_cost(request, call_type, is_shown=True)


def _have_own_metadata(request: dict[str, Any], call_type: str) -> None:
    """Have the call write into metadata of its own: the caller's stay as they are."""
    bucket = "litellm_metadata" if call_type in _PROVIDER_S_METADATA or _is_noted_apart(request) else "metadata"
    request[bucket] = dict(request.get(bucket) or {})


def after_call(request: dict[str, Any], response: Any, call_type: str) -> None:
    """Take down what the call itself cost; in a library, show in the response what it cost with image analysis."""
    made = total.get_cost(request)
    if made is None:
        return
    if made.call_type != call_type or made.base_cost is None:  # what a bridge calls knows its price best
        made.base_cost = prices.calculated_cost(request, response)
    if made.call_type == call_type and made.is_shown:
        total.show_total(response, made)


def _model_group(kwargs: dict[str, Any]) -> str | None:
    """What a Router was asked for, if one makes this call, also if it has fallen back to something else."""
    notes = _router_metadata(kwargs)
    return None if notes is None else notes.get("original_model_group") or notes["model_group"]


def _earlier(kwargs: dict[str, Any]) -> RequestOutcomes | None:
    """What came of the images in earlier attempts, if a Router makes this call: it counts them in its notes."""
    notes = _router_metadata(kwargs)
    if notes is None:
        return None
    if not notes.get("attempted_retries") and not notes.get("attempted_fallbacks"):
        update_state(notes, outcomes=RequestOutcomes())
    found = state_in(notes).outcomes
    if isinstance(found, RequestOutcomes):
        return found
    outcomes = RequestOutcomes()
    update_state(notes, outcomes=outcomes)
    return outcomes


def _router_metadata(kwargs: dict[str, Any]) -> dict[str, Any] | None:
    buckets = (kwargs.get(name) for name in ("metadata", "litellm_metadata"))
    return next((notes for notes in buckets if isinstance(notes, dict) and "model_group" in notes), None)


def _is_noted_apart(kwargs: dict[str, Any]) -> bool:
    return isinstance(kwargs.get("litellm_metadata"), dict)
