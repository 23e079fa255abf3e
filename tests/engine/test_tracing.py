"""The spans of one analysis: which images have one, when they end, and what a failure leaves in them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from anyio.lowlevel import checkpoint

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome, Usage
from litellm_image_analysis.analysis.pipeline import ImageResult, Rewrite
from litellm_image_analysis.analysis.prompt import Asked, VisionRequest
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.compat import PARENT_SPAN
from litellm_image_analysis.engine import tracing
from litellm_image_analysis.engine.tracing import ANALYSIS, IMAGE, MOST_IMAGES, NO_TRACE, traced_analysis
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request import FoundImage
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.vision.call import parent_span

pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not there")

from opentelemetry import trace as api
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

CAT = Analysed("a cat", cost=Decimal("0.25"), call_id="call-1", usage=Usage(10, 5, "vertex_ai"))


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """LiteLLM's OpenTelemetry callback is on."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


def named(exporter: InMemorySpanExporter, name: str) -> list[dict[str, Any]]:
    """The attributes of the spans with this name."""
    return [dict(span.attributes or {}) for span in exporter.get_finished_spans() if span.name == name]


def analysis_of(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = [span for span in exporter.get_finished_spans() if span.name == ANALYSIS]
    return span


def request_for(key: str) -> VisionRequest:
    return VisionRequest(key, "team:research", "eyes", Asked("", "", ()), 7)


def result_for(*outcomes: tuple[str | None, Outcome], source: ImageSource | None = None) -> Rewrite:
    """The result for images, by the key of their vision request."""
    images = [
        ImageResult(FoundImage(("messages", index), source, 1, 1, ""), outcome, key)
        for index, (key, outcome) in enumerate(outcomes)
    ]
    return Rewrite({}, Report("eyes", images=len(images), cost=None), images=images)


async def answered(trace: tracing.AnalysisTrace, key: str, outcome: Outcome = CAT) -> Outcome:
    """A vision call in a task of its own, as the cache makes it."""

    async def ask(request: VisionRequest) -> Outcome:
        del request
        return outcome

    return await asyncio.ensure_future(trace.traced(ask)(request_for(key)))


def test_without_litellm_s_callback_there_is_no_trace_and_opentelemetry_is_not_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "tracer_provider", lambda: None)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with traced_analysis({}, "eyes") as trace:
        assert trace is NO_TRACE
        trace.show(result_for((None, CAT)))


def test_without_opentelemetry_the_block_runs(monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with traced_analysis({}, "eyes") as trace:
        assert trace is NO_TRACE
    assert exporter.get_finished_spans() == ()


async def test_one_call_for_several_images_is_counted_in_the_span_of_the_first(exporter: InMemorySpanExporter) -> None:
    with traced_analysis({}, "eyes") as trace:
        await answered(trace, "both")
        trace.show(result_for(("both", CAT), ("both", CAT)))
    first, second = named(exporter, IMAGE)
    assert first["gen_ai.usage.input_tokens"] == 10
    assert first["gen_ai.provider.name"] == "gcp.vertex_ai"
    assert first["image_analysis.cost_usd"] == 0.25
    assert "gen_ai.usage.input_tokens" not in second
    assert "image_analysis.cost_usd" not in (analysis_of(exporter).attributes or {})  # unknown, and never 0


@pytest.mark.usefixtures("exporter")
async def test_a_span_processor_that_raises_leaves_no_span_open(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    def fail(_: object, span: ReadableSpan) -> None:
        ended.append(span.name)
        raise OSError

    monkeypatch.setattr(SimpleSpanProcessor, "on_end", fail)
    with traced_analysis({}, "eyes") as trace:
        await answered(trace, "first")
        await answered(trace, "second")
        trace.show(result_for(("first", CAT), ("second", CAT)))
    assert ended == [IMAGE, IMAGE, ANALYSIS]


def test_of_many_known_images_the_last_ones_have_a_span(exporter: InMemorySpanExporter) -> None:
    with traced_analysis({}, "eyes") as trace:
        trace.show(result_for(*[("known", CAT.as_cached())] * (MOST_IMAGES + 5)))
    indexes = [span["image_analysis.image.index"] for span in named(exporter, IMAGE)]
    assert indexes == list(range(5, MOST_IMAGES + 5))


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (None, (None, None)),
        (ImageSource("data:image/secret;base64,AAAA"), ("inline", None)),
        (ImageSource.referenced("https://example.com/secret.png", format="image/png"), ("remote", "image/png")),
        (ImageSource("file-secret", holder="openai"), ("held", None)),
    ],
)
def test_what_an_image_is_comes_from_closed_lists(
    exporter: InMemorySpanExporter, source: ImageSource | None, shown: tuple[str | None, str | None]
) -> None:
    with traced_analysis({}, "eyes") as trace:
        trace.show(result_for((None, Failed(FailureReason.MALFORMED)), source=source))
    (span,) = named(exporter, IMAGE)
    assert (span.get("image_analysis.image.source"), span.get("image_analysis.image.media_type")) == shown
    assert span["error.type"] == "malformed"
    assert "secret" not in str(span)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestError("secret words", code="too_many_images"), "too_many_images"),
        (ZeroDivisionError("secret words"), "ZeroDivisionError"),
        (asyncio.CancelledError("secret words"), "CancelledError"),
    ],
)
async def test_an_exception_ends_all_spans_without_its_text(
    exporter: InMemorySpanExporter, error: BaseException, kind: str
) -> None:
    async def failing() -> None:
        with traced_analysis({}, "eyes") as trace:
            await answered(trace, "cat")
            raise error

    with pytest.raises(type(error)):
        await failing()
    span = analysis_of(exporter)
    assert (span.attributes or {})["error.type"] == kind
    assert span.status.status_code is api.StatusCode.ERROR
    assert [len(named(exporter, name)) for name in (ANALYSIS, IMAGE)] == [1, 1]
    assert "secret words" not in "".join(each.to_json() for each in exporter.get_finished_spans())


async def test_a_call_that_outlives_its_request_ends_no_span_twice(
    exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = asyncio.Event()

    async def ask(request: VisionRequest) -> Outcome:
        del request
        await may_end.wait()
        return CAT

    with traced_analysis({}, "eyes") as trace:
        call = asyncio.ensure_future(trace.traced(ask)(request_for("cat")))
        await checkpoint()
        trace.show(result_for(("cat", Failed(FailureReason.TIMEOUT))))
    may_end.set()
    assert await call == CAT
    (image,) = named(exporter, IMAGE)
    assert (image["error.type"], image["image_analysis.outcome"]) == ("timeout", "failed")
    assert "ended span" not in caplog.text


@pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
async def test_it_hangs_below_the_span_of_the_request_and_a_call_below_that_of_its_image(
    exporter: InMemorySpanExporter, bucket: str
) -> None:
    request = api.NonRecordingSpan(api.SpanContext(1, 2, is_remote=False, trace_flags=api.TraceFlags(1)))
    seen: list[Any] = []

    async def ask(_: VisionRequest) -> Outcome:
        seen.append((parent_span.get(), api.get_current_span()))
        return CAT

    with traced_analysis({bucket: {PARENT_SPAN: request}}, "eyes") as trace:
        await asyncio.ensure_future(trace.traced(ask)(request_for("cat")))
    image, analysis = exporter.get_finished_spans()
    assert (analysis.parent and analysis.parent.span_id, analysis.context.trace_id) == (2, 1)
    ((parent, current),) = seen
    assert parent is current
    assert parent.get_span_context() == image.context
    assert not parent.is_recording()  # LiteLLM's texts are not written to it
    assert parent_span.get() is None


@pytest.mark.parametrize("forged", ["a text", {"trace_id": 1}, None])
def test_a_caller_s_metadata_is_no_span(exporter: InMemorySpanExporter, forged: object) -> None:
    with traced_analysis({"metadata": {PARENT_SPAN: forged}}, "e" * 1000):
        pass
    span = analysis_of(exporter)
    assert span.parent is None
    assert (span.attributes or {})["gen_ai.request.model"] == "e" * 200
