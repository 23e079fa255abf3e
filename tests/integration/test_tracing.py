"""Spans of image analysis beside LiteLLM's own, in an in-memory exporter: on a proxy and in a program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import litellm
import pytest
from litellm.integrations.opentelemetry import OpenTelemetryConfig
from support.billing import ROUTES
from support.images import PNG_URI, data_uri, image, message, text
from support.proxy import eventually
from support.upstream import COMPLETION_TOKENS, PROMPT_TOKENS, VISION_COST, Rule, Upstream, description_of

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig
from litellm_image_analysis.engine import tracing
from litellm_image_analysis.engine.tracing import ANALYSIS, IMAGE

pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not there")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import StatusCode

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

CALLBACKS = (
    *("callbacks", "success_callback", "failure_callback", "input_callback", "service_callback"),
    *("_async_success_callback", "_async_failure_callback", "_async_input_callback"),
)
BLIND, EYES = "openai/blind-chat", "openai/seeing-mini"
WORDS = "What does the secret picture show?"
URL = "https://example.com/secret.png"
REQUEST = "Received Proxy Server Request"
CALLS = ("litellm_request", "chat seeing-mini")
"""LiteLLM's names of the span of a vision call."""

MakeLogger: TypeAlias = Callable[[TracerProvider], Any]


def legacy_logger(provider: TracerProvider) -> Any:
    from litellm.integrations.opentelemetry import OpenTelemetry

    return OpenTelemetry(config=OpenTelemetryConfig(exporter=InMemorySpanExporter()), tracer_provider=provider)


def new_logger(provider: TracerProvider) -> Any:
    from litellm.integrations.otel.logger import OpenTelemetryV2

    return OpenTelemetryV2(tracer_provider=provider)


every_logger = pytest.mark.parametrize(
    "make_logger",
    [
        pytest.param(legacy_logger, id="legacy"),
        pytest.param(
            new_logger,
            id="LITELLM_OTEL_V2",
            marks=pytest.mark.skipif(find_spec("litellm.integrations.otel") is None, reason="this LiteLLM has no v2"),
        ),
    ],
)


needs_capture_modes = pytest.mark.skipif(
    "capture_message_content" not in vars(OpenTelemetryConfig), reason="this LiteLLM cannot leave texts out by variable"
)


class Spans:
    """The spans that were exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def named(self, name: str) -> list[ReadableSpan]:
        """In the order in which they started."""
        found = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        finished = self.exporter.get_finished_spans()
        return [span for span in finished if span.parent and span.parent.span_id == parent.context.span_id]

    @property
    def own(self) -> list[ReadableSpan]:
        return [*self.named(ANALYSIS), *self.named(IMAGE)]


@pytest.fixture
def switch_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[MakeLogger], Spans]:
    """Switch LiteLLM's OpenTelemetry callback on, beside the plugin."""
    from litellm.proxy import proxy_server

    for name in CALLBACKS:
        monkeypatch.setattr(litellm, name, list(getattr(litellm, name)))
    monkeypatch.setattr(proxy_server, "open_telemetry_logger", None)
    monkeypatch.setenv("USE_OTEL_LITELLM_REQUEST_SPAN", "true")  # older versions write no span of a call otherwise

    def switch_on(make_logger: MakeLogger) -> Spans:
        spans = Spans()
        litellm.callbacks.append(make_logger(spans.provider))
        return spans

    return switch_on


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def outcomes(spans: list[ReadableSpan]) -> list[tuple[Any, Any, Any]]:
    """Outcome, whether it is cached, and the reason of its failure, of each image."""
    names = ("image_analysis.outcome", "image_analysis.cached", ERROR_TYPE)
    return [tuple(attributes(span).get(name) for name in names) for span in spans]  # type: ignore[misc]


def text_of(spans: list[ReadableSpan]) -> str:
    return json.dumps([json.loads(span.to_json()) for span in spans])


def contents(*marks: str) -> list[str]:
    """All that a request with these images holds, and what the vision model answers."""
    return [
        WORDS,
        *map(description_of, map(data_uri, marks)),
        *(data_uri(mark).removeprefix(PNG_URI)[:8] for mark in marks),
        "data:image",
        URL,
    ]


@pytest.fixture
def ask(provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[Any]]:
    """A program asks a text-only model about images."""
    del provider
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(ImageAnalysisConfig(vision_model=EYES))])

    async def ask(*images: dict[str, Any]) -> Any:
        return await litellm.acompletion(model=f"{BLIND}-ocr", messages=[message(text(WORDS), *images)])

    return ask


Ask = Callable[..., Awaitable[Any]]
SwitchOn = Callable[[MakeLogger], Spans]


async def litellms_spans_below(spans: Spans, parent: ReadableSpan) -> list[str]:
    """The names of the spans that LiteLLM writes below a span, shortly after the call."""
    assert await asyncio.to_thread(eventually, lambda: any(span.name in CALLS for span in spans.below(parent)))
    return [span.name for span in spans.below(parent) if span.name in CALLS]


@every_logger
async def test_a_program_s_span_has_the_analysis_with_its_images_below_it(
    ask: Ask, switch_on: SwitchOn, provider: Upstream, make_logger: MakeLogger
) -> None:
    spans = switch_on(make_logger)
    provider.rules.append(Rule(lambda body: data_uri("broken") in json.dumps(body), status=400))
    with spans.provider.get_tracer("program").start_as_current_span("program"):
        await ask(image("known"))
        await ask(image("known"), image("new"), image("broken"), {"type": "image_url", "image_url": {"url": URL}})
        for analysis in spans.named(ANALYSIS):
            for call in spans.below(analysis):
                if "gen_ai.operation.name" in attributes(call):
                    await litellms_spans_below(spans, call)

    (program,) = spans.named("program")
    first, second = spans.named(ANALYSIS)
    assert {first, second} <= set(spans.below(program))
    assert outcomes(spans.below(first)) == [("analysed", False, None)]
    images = sorted(spans.below(second), key=lambda span: attributes(span)["image_analysis.image.index"])
    assert outcomes(images) == [
        ("analysed", True, None),
        ("analysed", False, None),
        ("failed", False, "rejected"),
        ("analysed", False, None),
    ]
    numbers = {name: attributes(second)[f"image_analysis.{name}"] for name in ("images", "cached", "failed")}
    assert numbers == {"images": 4, "cached": 1, "failed": 1}
    assert attributes(second)["image_analysis.cost_usd"] == pytest.approx(2 * VISION_COST)
    assert images[2].status.status_code is StatusCode.ERROR
    assert [attributes(span).get("image_analysis.image.source") for span in images] == ["inline"] * 3 + ["remote"]


@every_logger
async def test_the_attributes_are_those_of_the_semantic_conventions(
    ask: Ask, switch_on: SwitchOn, make_logger: MakeLogger
) -> None:
    spans = switch_on(make_logger)
    await ask(image("new"))
    await ask(image("new"))
    called, cached = spans.named(IMAGE)
    found = attributes(called)
    assert found.pop("image_analysis.cost_usd") == pytest.approx(VISION_COST)
    assert found.pop(gen_ai.GEN_AI_RESPONSE_ID).startswith("chatcmpl-")
    assert found == {
        gen_ai.GEN_AI_OPERATION_NAME: gen_ai.GenAiOperationNameValues.CHAT.value,
        gen_ai.GEN_AI_REQUEST_MODEL: EYES,
        gen_ai.GEN_AI_REQUEST_MAX_TOKENS: ImageAnalysisConfig().max_output_tokens,
        gen_ai.GEN_AI_PROVIDER_NAME: gen_ai.GenAiProviderNameValues.OPENAI.value,
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: PROMPT_TOKENS,
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: COMPLETION_TOKENS,
        "image_analysis.image.index": 0,
        "image_analysis.image.source": "inline",
        "image_analysis.image.media_type": "image/png",
        "image_analysis.outcome": "analysed",
        "image_analysis.cached": False,
    }
    assert {name for name in attributes(cached) if name.startswith("gen_ai.")} == {gen_ai.GEN_AI_REQUEST_MODEL}


@every_logger
@pytest.mark.parametrize("captures", [pytest.param("NO_CONTENT", marks=needs_capture_modes), "SPAN_AND_EVENT"])
async def test_no_span_of_the_plugin_has_a_text_an_image_or_a_url(
    ask: Ask,
    switch_on: SwitchOn,
    provider: Upstream,
    make_logger: MakeLogger,
    captures: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LiteLLM's own spans of a call have what LiteLLM's setting says."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", captures)
    spans = switch_on(make_logger)
    provider.rules.append(Rule(lambda body: data_uri("broken") in json.dumps(body), status=500, error="secret words"))
    await ask(image("new"), {"type": "image_url", "image_url": {"url": URL}}, image("broken"))
    for call in spans.named(IMAGE):
        await litellms_spans_below(spans, call)
    assert len(spans.own) == 4
    secrets = [*contents("new", "broken"), "secret words"]
    assert [secret for secret in secrets if secret in text_of(spans.own)] == []
    if captures == "NO_CONTENT":
        everything = [span for span in spans.exporter.get_finished_spans() if not span.events]
        assert [secret for secret in secrets if secret in text_of(everything)] == []


@pytest.mark.asyncio(loop_scope="module")
class TestOnAProxy:
    @pytest.mark.parametrize("route", ROUTES)
    async def test_the_request_s_span_has_the_analysis_and_its_vision_call_below_it(
        self, app: httpx.AsyncClient, switch_on: SwitchOn, route: str
    ) -> None:
        spans = switch_on(legacy_logger)
        path, body = ROUTES[route]("deepseek-chat-ocr", WORDS, ["a", "b"], stream=False)
        response = await app.post(path, json=body)
        assert response.status_code == 200, response.text
        assert await asyncio.to_thread(eventually, lambda: bool(spans.named(REQUEST)))
        (request,), (analysis,) = spans.named(REQUEST), spans.named(ANALYSIS)
        assert analysis in spans.below(request)
        images = spans.below(analysis)
        assert outcomes(images) == [("analysed", False, None)] * 2
        for span in images:
            assert await litellms_spans_below(spans, span) == ["litellm_request"]
        # Before, the first vision call ended the span of the request, and left its own model there.
        assert (request.end_time or 0) > (analysis.end_time or 0)
        assert attributes(request).get(gen_ai.GEN_AI_REQUEST_MODEL) in (None, "blind-chat")

    async def test_a_rejected_request(
        self, app: httpx.AsyncClient, switch_on: SwitchOn, upstream: Upstream, settings: Callable[..., None]
    ) -> None:
        spans = switch_on(legacy_logger)
        settings(on_failure="reject")
        upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", status=400))
        path, body = ROUTES["chat"]("deepseek-chat-ocr", WORDS, ["a"], stream=False)
        assert (await app.post(path, json=body)).status_code == 400
        (analysis,) = spans.named(ANALYSIS)
        assert attributes(analysis)[ERROR_TYPE] == "image_analysis_rejected"
        assert analysis.status.status_code is StatusCode.ERROR
        assert outcomes(spans.below(analysis)) == [("failed", False, "rejected")]

    async def test_without_the_callback_there_is_no_span(self, app: httpx.AsyncClient, switch_on: SwitchOn) -> None:
        spans = switch_on(legacy_logger)
        litellm.callbacks.pop()
        path, body = ROUTES["chat"]("deepseek-chat-ocr", WORDS, ["a"], stream=False)
        assert (await app.post(path, json=body)).status_code == 200
        assert spans.own == []

    async def test_a_bug_in_tracing_changes_no_answer(
        self,
        app: httpx.AsyncClient,
        switch_on: SwitchOn,
        log: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        spans = switch_on(legacy_logger)

        def broken(*_: object) -> None:
            raise ZeroDivisionError(WORDS)

        for name in ("_enter", "show", "end"):
            monkeypatch.setattr(tracing._Trace, name, broken)
        path, body = ROUTES["chat"]("deepseek-chat-ocr", WORDS, ["a"], stream=False)
        response = await app.post(path, json=body)
        assert response.headers["x-litellm-image-analysis-images"] == "1"
        assert spans.own == []
        assert "internal error while starting a span" in log.text
        assert WORDS not in log.text
