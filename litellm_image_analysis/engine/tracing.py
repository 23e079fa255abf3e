"""Spans of image analysis below the span of its request, if LiteLLM's OpenTelemetry callback is on.

A span holds numbers, codes and names, and never an image, a URL or a text. OpenTelemetry is imported only if the
callback is on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, Usage
from litellm_image_analysis.billing.request_state import metadata_buckets
from litellm_image_analysis.compat import PARENT_SPAN, enter_span, tracer_provider
from litellm_image_analysis.engine.containment import log_and_continue
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.vision.call import parent_span

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from litellm_image_analysis.analysis.outcomes import Outcome
    from litellm_image_analysis.analysis.pipeline import ImageResult, Rewrite
    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest

ANALYSIS = "image analysis"
IMAGE = "image"
MOST_IMAGES = 100
"""Maximum number of spans for images of one request without a vision call. The last images have one."""

_SCOPE = "litellm_image_analysis"
_LONGEST_NAME = 200
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Names of providers in the semantic conventions, by LiteLLM's, if they differ."""

_STARTING = log_and_continue("starting a span")
_ENDING = log_and_continue("ending a span")


class AnalysisTrace(Protocol):
    """The spans of one request's analysis."""

    def traced(self, ask: AskVision) -> AskVision:
        """Return a function that asks a vision model in the span of an image."""

    def show(self, result: Rewrite) -> None:
        """Write the result of the analysis to its spans."""


class _NoTrace:
    """Makes no span."""

    def traced(self, ask: AskVision) -> AskVision:
        return ask

    def show(self, result: Rewrite) -> None:
        pass


NO_TRACE: AnalysisTrace = _NoTrace()


@contextmanager
def traced_analysis(data: Mapping[str, Any], vision_model: str) -> Iterator[AnalysisTrace]:
    """Trace a block that analyses the images of a request.

    Args:
        data: the request.
        vision_model: the name of the vision model.
    """
    trace: _Trace | None = None
    with _STARTING:
        provider = tracer_provider()
        if provider is not None:
            trace = _Trace(provider.get_tracer(_SCOPE), _parent(data), vision_model)
    if trace is None:
        yield NO_TRACE
        return
    try:
        yield trace
    except BaseException as error:
        with _ENDING:
            trace.fail(error)
        raise
    finally:
        with _ENDING:
            trace.end()


def _parent(data: Mapping[str, Any]) -> Span | None:
    """Return the span of a request. ``None`` if it has none of its own. Then the current one is the parent."""
    found = (bucket.get(PARENT_SPAN) for bucket in metadata_buckets(data))
    return next((span for span in found if hasattr(span, "get_span_context")), None)


class _Trace:
    """The spans of one request's analysis.

    Args:
        tracer: makes spans.
        parent: the span of the request.
        vision_model: the name of the vision model.
    """

    def __init__(self, tracer: Tracer, parent: Span | None, vision_model: str) -> None:
        from opentelemetry import trace

        self._api = trace
        self._tracer = tracer
        self._model = vision_model[:_LONGEST_NAME]
        context = None if parent is None else trace.set_span_in_context(parent)
        attributes = {"gen_ai.request.model": self._model}
        self._span = tracer.start_span(ANALYSIS, context=context, attributes=attributes)
        self._calls: dict[str, Span] = {}
        self._ended_at: dict[str, int] = {}

    def traced(self, ask: AskVision) -> AskVision:
        """Return a function that asks a vision model in the span of an image. Each of its calls needs its own task."""

        async def ask_in_span(request: VisionRequest) -> Outcome:
            with _STARTING:
                self._enter(request)
            try:
                return await ask(request)
            finally:
                self._ended_at[request.key] = time.time_ns()

        return ask_in_span

    def _enter(self, request: VisionRequest) -> None:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self._model,
            "gen_ai.request.max_tokens": request.max_output_tokens,
        }
        span = self._start(attributes)
        self._calls[request.key] = span
        # LiteLLM writes texts to the parent of its spans in some versions. This span drops what is written to it.
        parent = self._api.NonRecordingSpan(span.get_span_context())
        parent_span.set(parent)
        enter_span(parent)

    def _start(self, attributes: Mapping[str, Any]) -> Span:
        context = self._api.set_span_in_context(self._span)
        return self._tracer.start_span(IMAGE, context=context, attributes=dict(attributes))

    def show(self, result: Rewrite) -> None:
        """Write the result of the analysis to its spans."""
        with _ENDING:
            report = result.report
            numbers = {
                "image_analysis.images": report.images,
                "image_analysis.cached": report.cached,
                "image_analysis.failed": report.failed,
                "image_analysis.cost_usd": None if report.cost is None else float(report.cost),
            }
            self._span.set_attributes(_known(numbers))
            calls, first_shown = dict(self._calls), len(result.images) - MOST_IMAGES
            for index, image in enumerate(result.images):
                with _ENDING:
                    self._show_image(index, image, calls.pop(image.key or "", None), is_shown=index >= first_shown)

    def _show_image(self, index: int, image: ImageResult, call: Span | None, *, is_shown: bool) -> None:
        if call is not None:
            call.set_attributes(_call(image.outcome))
            self._end_image(call, index, image, self._ended_at.get(image.key or ""))
        elif is_shown:
            self._end_image(self._start({"gen_ai.request.model": self._model}), index, image)

    def _end_image(self, span: Span, index: int, result: ImageResult, end_time: int | None = None) -> None:
        source, outcome = result.image.source, result.outcome
        attributes = {
            "image_analysis.image.index": index,
            "image_analysis.image.source": None if source is None else source.kind,
            "image_analysis.image.media_type": None if source is None else source.known_type,
            "image_analysis.outcome": "analysed" if isinstance(outcome, Analysed) else "failed",
            "image_analysis.cached": isinstance(outcome, Analysed) and outcome.cached,
        }
        span.set_attributes(_known(attributes))
        if isinstance(outcome, Failed):
            self._show_error(span, outcome.reason.code)
        span.end(end_time)

    def _show_error(self, span: Span, kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._api.StatusCode.ERROR)

    def fail(self, error: BaseException) -> None:
        """Write to the span of the analysis that it failed, without the error's text."""
        self._show_error(self._span, error.code if isinstance(error, RequestError) else type(error).__qualname__)

    def end(self) -> None:
        """End all spans. A vision call that outlives its request goes on without a span."""
        for key, span in self._calls.items():
            with _ENDING:
                if span.is_recording():
                    span.end(self._ended_at.get(key))
        with _ENDING:
            self._span.end()


def _call(outcome: Outcome) -> dict[str, Any]:
    """Return the attributes of a vision call."""
    usage = outcome.usage or Usage()
    attributes = {
        "gen_ai.provider.name": _PROVIDERS.get(usage.provider or "", usage.provider),
        "gen_ai.response.id": outcome.call_id,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "image_analysis.cost_usd": None if outcome.cost is None else float(outcome.cost),
    }
    return _known(attributes)


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
