"""Image analysis for the calls of a program that uses LiteLLM as a library, directly or with an attached Router.

LiteLLM calls a hook twice for such a call: before it goes to a deployment, and when the response is back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing import prices, total
from litellm_image_analysis.billing.request_state import (
    load_state,
    metadata_buckets,
    metadata_of,
    state_in,
    update_state,
)
from litellm_image_analysis.cache.per_request import RequestOutcomes
from litellm_image_analysis.engine import containment, routing, vision_support
from litellm_image_analysis.engine.context import RequestContext
from litellm_image_analysis.errors import AttemptError, RequestError
from litellm_image_analysis.request import Attachments, WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.activation import NOT_GIVEN, PARAMETER, Active, Inactive, Invalid
from litellm_image_analysis.vision.call import current_vision_call
from litellm_image_analysis.vision.caller_rules import NO_RULES, CallerRules, read_rules

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
"""Call types whose ``metadata`` goes to the provider. LiteLLM's own metadata is in ``litellm_metadata``."""


@dataclass(frozen=True, slots=True)
class Library:
    """Image analysis in a program.

    Attributes:
        config: the program's settings.
        analyzer: analyses the images.
        check_alone: raises ``RequestError`` if several instances of ``ImageAnalysis`` are registered.
        router: makes the vision calls. With ``None``, LiteLLM itself makes them, and a Router's call with
            ``ocr_model`` is an error.
    """

    config: ImageAnalysisConfig
    analyzer: Analyzer
    check_alone: Callable[[], None]
    router: Router | None = None

    async def before_call(self, kwargs: dict[str, Any], call_type: str) -> dict[str, Any] | None:
        """Replace the images of a call that asks for analysis or needs it. The caller's objects are not changed.

        Args:
            kwargs: the call's keyword arguments.
            call_type: LiteLLM's name for the call.

        Returns:
            The keyword arguments to call with, or ``None`` for no change.

        Raises:
            RequestError: the call cannot be served.
            AttemptError: the analysis failed in a Router's attempt.
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
        due = await self._due_attachments(activation, request, wire_format)
        if due:
            activation = Active(activation.model, self.config.vision_model, chosen_by_caller=False)
        if not isinstance(activation, Active) or (group is None and not routing.has_provider(request)):
            return None if request == kwargs else request
        _have_own_metadata(request, call_type)
        try:
            with containment.contained_analysis(request, wire_format, self._context(activation.vision_model)):
                await self._analyse(request, due, wire_format, activation, call_type, _earlier(kwargs))
        except RequestError as error:
            raise error if group is None else AttemptError(error) from None
        return request

    def _is_settled(self, kwargs: dict[str, Any], group: str | None) -> bool:
        """Return whether the call is a vision call, was served already, or was decided by the proxy before routing."""
        is_decided_by_proxy = group is not None and self.router is None and routing.running_router() is not None
        return is_decided_by_proxy or current_vision_call() is not None or load_state(kwargs).report is not None

    def _context(self, vision_model: str, rules: CallerRules = NO_RULES) -> RequestContext:
        return RequestContext(config=self.config, vision_model=vision_model, router=self.router, rules=rules)

    def ask_by_parameter(self, router: Router, arguments: dict[str, Any]) -> dict[str, Any]:
        """Replace the suffix in a call of an attached Router by ``ocr_model``.

        The Router then looks up deployments and fallbacks by the name without the suffix.

        Args:
            router: the Router.
            arguments: the call's arguments by name. If they have ``ocr_model``, it is kept.

        Returns:
            The arguments to call with.
        """
        with containment.log_and_continue("reading the suffix"):
            activation = routing.activation_of(arguments.get("model"), self.config, router)
            if isinstance(activation, Active):
                return {PARAMETER: activation.vision_model, **arguments, "model": activation.model}
        return arguments

    async def rewrite(self, messages: list[Any], vision_model: str) -> list[Any]:
        """Replace the images in a conversation in OpenAI's chat format.

        Args:
            messages: the messages. They are not changed.
            vision_model: the vision model.

        Returns:
            The messages, with texts in the images' places.

        Raises:
            RequestError: a limit is exceeded, ``on_failure: reject`` applies, or the arguments are of another type.
        """
        for value, kind, what in ((messages, list, "messages"), (vision_model, str, "vision_model")):
            if not isinstance(value, kind):
                given = type(value).__name__
                raise RequestError(f"{what}: got {given}; it must be a {kind.__name__}.", param=what)
        request: dict[str, Any] = {"messages": messages, "metadata": {}}
        context = self._context(vision_model)
        with containment.contained_analysis(request, chat, context):
            found = await self.analyzer.find(request, chat, self.config)
            await self.analyzer.replace(request, found, chat, context)
        return list(request["messages"])

    async def _due_attachments(
        self, activation: Active | Inactive, request: dict[str, Any], wire_format: WireFormat
    ) -> Attachments | None:
        """Return what is to be replaced in a call that does not ask, by its deployment and the mode."""
        if not isinstance(activation, Inactive) or activation.is_refused:
            return None
        mode = self.config.mode
        with containment.log_and_continue("reading whether a deployment takes images"):
            if vision_support.may_be_due(request, mode):
                accepted = partial(vision_support.accepted_files, request)
                found = await self.analyzer.find(request, wire_format, self.config, accepted, checks_shape=False)
                return found if found and vision_support.should_analyze(request, mode) else None
        return None

    def _decide(self, kwargs: dict[str, Any], group: str | None) -> Active | Inactive:
        """Return what the call asks for. In a Router's call, the name of the model group counts.

        LiteLLM does not show positional arguments to hooks. Its logging object has the model's name.

        Raises:
            RequestError: the call asks for analysis that is not possible.
        """
        if group is not None and self.router is None:  # this Router serves the name, so a suffix is part of it
            return self._decide_unattached(kwargs)
        is_positional = group is None and "model" not in kwargs
        seen = getattr(kwargs.get("litellm_logging_obj"), "model", None) if is_positional else kwargs.get("model")
        named = seen if group is None else group
        activation = routing.activation_of(named, self.config, self.router, kwargs.get(PARAMETER, NOT_GIVEN))
        if isinstance(activation, Invalid):
            raise RequestError(f"{PARAMETER}: {activation.problem}", param=PARAMETER, code="invalid_ocr_model")
        if isinstance(activation, Inactive) and not activation.is_refused and group is not None:
            fallback = routing.activation_of(_called_group(kwargs), self.config, self.router)
            if isinstance(fallback, Active):
                return Active(activation.model, fallback.vision_model, chosen_by_caller=False)
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
                f"{PARAMETER}: this Router was not attached to image analysis, so its calls cannot ask for it. Call"
                " ImageAnalysis().attach(router) once, where the Router is made.",
                param=PARAMETER,
                code="router_not_attached",
            )
        return Inactive(kwargs.get("model"), is_refused=PARAMETER in kwargs)

    def _after_a_bug(
        self, kwargs: dict[str, Any], request: dict[str, Any], group: str | None, call_type: str
    ) -> dict[str, Any] | None:
        """Build a fallback request when reading the activation failed.

        A model name that ends in the suffix counts as asking for analysis, and so does ``ocr_model`` unless it is
        ``False``. ``on_failure`` then applies to the images. Returns ``None`` for no change.
        """
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
        found: Attachments | None,
        wire_format: WireFormat,
        active: Active,
        call_type: str,
        earlier: RequestOutcomes | None,
    ) -> None:
        if self.router is not None and not routing.serves(self.router, active.vision_model, None):
            raise RequestError(
                f"vision_model: the attached router serves no model {active.vision_model!r}. Add a deployment with"
                f" model_name: {active.vision_model} to its model_list, or name a model that it serves.",
                code="vision_model_not_served",
            )
        self.check_alone()
        if found:
            await self.analyzer.check_shape(request, wire_format, self.config)
        else:
            accepted = partial(vision_support.accepted_files, request)
            found = await self.analyzer.find(request, wire_format, self.config, accepted)
        context = self._context(active.vision_model, read_rules(request))
        await self.analyzer.replace(request, found, wire_format, context, earlier=earlier)
        with containment.log_and_continue("attaching the cost"):
            total.attach_cost(metadata_of(request), call_type, is_shown=True)


def _have_own_metadata(request: dict[str, Any], call_type: str) -> None:
    """Give the request a copy of its metadata, so that the caller's mapping is not changed."""
    bucket = "litellm_metadata" if call_type in _PROVIDER_S_METADATA or _is_noted_apart(request) else "metadata"
    request[bucket] = dict(request.get(bucket) or {})


def after_call(request: dict[str, Any], response: Any, call_type: str) -> None:
    """Save the cost of the call itself. In a program, also write the total to the response.

    Args:
        request: the call's keyword arguments.
        response: the response of the call.
        call_type: LiteLLM's name for the call.
    """
    made = total.get_cost(request)
    if made is None:
        return
    if made.call_type != call_type or made.base_cost is None:  # a call within LiteLLM's bridge has the exact price
        made.base_cost = prices.calculated_cost(request, response)
    if made.call_type == call_type and made.is_shown:
        total.show_total(response, made)


def _model_group(kwargs: dict[str, Any]) -> str | None:
    """Return the model group that the Router was asked for, also after a fallback. ``None`` without a Router."""
    notes = _router_metadata(kwargs)
    return None if notes is None else notes.get("original_model_group") or notes["model_group"]


def _called_group(kwargs: dict[str, Any]) -> object:
    """Return the model group that the Router calls now, which is another one after a fallback."""
    notes = _router_metadata(kwargs)
    return None if notes is None else notes["model_group"]


def _earlier(kwargs: dict[str, Any]) -> RequestOutcomes | None:
    """Return the outcomes of a Router's earlier attempts. ``None`` without a Router.

    The Router counts attempts in its metadata. The first attempt starts without outcomes.
    """
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
    return next((notes for notes in metadata_buckets(kwargs) if "model_group" in notes), None)


def _is_noted_apart(kwargs: dict[str, Any]) -> bool:
    return isinstance(kwargs.get("litellm_metadata"), dict)
