"""``local-ocr`` as a provider of LiteLLM: its threads, its errors, and the real engine behind it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import litellm
import pytest
from litellm.exceptions import BadRequestError, InternalServerError, NotFoundError
from litellm.integrations.custom_logger import CustomLogger
from litellm.router import Router
from litellm.types.utils import ModelResponse
from support.pictures import FakeEngine, blank, chat, data_uri, encoded, fragments, sizes

pytest.importorskip("rapidocr")

from litellm_image_analysis.vision import local_ocr
from litellm_image_analysis.vision.local_ocr import MODEL, PROVIDER, LocalOCR, provider, read
from litellm_image_analysis.vision.local_ocr.decode import decode
from litellm_image_analysis.vision.local_ocr.decode import refuse as refuse_it
from litellm_image_analysis.vision.local_ocr.engine import Reading

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.decode import Decoded
    from litellm_image_analysis.vision.local_ocr.engine import GoOn, Pixels

pytestmark = [
    # Pydantic's warning about LiteLLM's types, at LiteLLM's first response.
    pytest.mark.filterwarnings("ignore:Items? .* using the `ReadOnly` qualifier:UserWarning"),
    # LiteLLM logs calls in the background, even after a test's event loop has ended.
    pytest.mark.filterwarnings("ignore:coroutine 'Logging.async_success_handler' was never awaited:RuntimeWarning"),
]

RECEIPT = Path(__file__).parents[3] / "examples" / "receipt.png"
PATIENCE = 60  # seconds until a test that waits for a thread fails instead of hanging

Content = list[dict[str, Any]]


def receipt_chat() -> Any:
    return chat(data_uri(RECEIPT.read_bytes()))


def answer(engine: FakeEngine, *urls: str) -> str:
    response = LocalOCR(lambda: engine).completion(MODEL, chat(*urls))
    return str(response.choices[0].message.content)


@pytest.mark.parametrize("image_url", [None, {}, {"url": None}, 7])
def test_an_image_part_without_a_url_is_refused(image_url: object) -> None:
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": image_url}]}]
    with pytest.raises(BadRequestError, match="not a data: URI"):
        LocalOCR(FakeEngine).completion(MODEL, messages)


def test_several_images_are_answered_in_their_order() -> None:
    engine = FakeEngine(*fragments("text"))
    urls = [data_uri(encoded(blank(40, 30))), data_uri(encoded(blank(50, 20)))]
    assert answer(engine, *urls) == (
        "Image 1 of 2:\nImage size: 40 x 30 pixels.\n\ntext\n\nImage 2 of 2:\nImage size: 50 x 20 pixels.\n\ntext"
    )


def test_images_are_found_in_every_message_however_they_are_given() -> None:
    url = data_uri(encoded(blank()))
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": url}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": ["text", {"type": "image_url", "image_url": {"url": url, "detail": "high"}}]},
    ]
    engine = FakeEngine()
    LocalOCR(lambda: engine).completion(MODEL, messages)
    assert len(engine.pictures) == 2


def test_a_response_is_finished_and_counts_no_tokens() -> None:
    response = LocalOCR(FakeEngine).completion(MODEL, chat(data_uri(encoded(blank()))))
    assert response.model == "local-ocr/rapidocr"
    assert response.choices[0].finish_reason == "stop"
    usage = getattr(response, "usage")  # noqa: B009 - not declared by LiteLLM
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 0, 0)


def test_a_refusal_says_which_image_is_meant() -> None:
    with pytest.raises(BadRequestError, match="Image 2 of 2 has malformed base64"):
        answer(FakeEngine(), data_uri(encoded(blank())), "data:image/png;base64,?")


@pytest.mark.parametrize("content", ["What is the total?", None, [], [{"type": "text", "text": "image_url"}]])
def test_a_chat_without_images_is_refused(content: Content | str | None) -> None:
    with pytest.raises(BadRequestError, match="the messages contain none"):
        LocalOCR(FakeEngine).completion(MODEL, [{"role": "user", "content": content}])


def test_another_model_does_not_exist() -> None:
    with pytest.raises(NotFoundError, match="local-ocr has only the model rapidocr"):
        LocalOCR(FakeEngine).completion("tesseract", receipt_chat())


# Threads


class Gate:
    """An engine that waits until the test lets it continue, and counts waiting calls."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.reads = 0
        self._lock = threading.Lock()

    def read(self, picture: Pixels, go_on: GoOn) -> Reading:
        with self._lock:
            self.reads += 1
        self.entered.release()
        assert self.open.wait(PATIENCE)
        return Reading(fragments(f"{picture.shape[1]} wide"))

    def wait_for(self, reads: int) -> None:
        for _ in range(reads):
            assert self.entered.acquire(timeout=PATIENCE)


async def ask(handler: LocalOCR, messages: Any, stream: bool) -> None:
    if not stream:
        await handler.acompletion(MODEL, messages)
        return
    async for _ in handler.astreaming(MODEL, messages):
        pass


@pytest.mark.asyncio
async def test_reading_does_not_block_the_event_loop() -> None:
    gate = Gate()
    reading = asyncio.create_task(LocalOCR(lambda: gate).acompletion(MODEL, chat(data_uri(encoded(blank())))))
    await asyncio.to_thread(gate.wait_for, 1)
    assert not reading.done()
    gate.open.set()
    assert "40 wide" in str((await reading).choices[0].message.content)


@pytest.mark.asyncio
async def test_only_so_many_requests_are_read_at_a_time() -> None:
    gate = Gate()
    handler = LocalOCR(lambda: gate, workers=2)
    chats = [chat(data_uri(encoded(blank(width)))) for width in range(10, 16)]
    requests = [asyncio.create_task(handler.acompletion(MODEL, messages)) for messages in chats]
    await asyncio.to_thread(gate.wait_for, 2)
    assert not gate.entered.acquire(blocking=False)
    gate.open.set()
    answers = [str(response.choices[0].message.content) for response in await asyncio.gather(*requests)]
    assert [text.rsplit("\n", 1)[1] for text in answers] == [f"{width} wide" for width in range(10, 16)]


@pytest.mark.asyncio
async def test_a_request_cancelled_in_the_queue_is_not_read() -> None:
    gate = Gate()
    handler = LocalOCR(lambda: gate, workers=1)
    first, second, third = (
        asyncio.create_task(handler.acompletion(MODEL, chat(data_uri(encoded(blank()))))) for _ in range(3)
    )
    await asyncio.to_thread(gate.wait_for, 1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.open.set()
    await asyncio.gather(first, third)
    assert gate.reads == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_request_cancelled_while_it_is_read_reads_no_further_image(stream: bool) -> None:
    gate = Gate()
    handler = LocalOCR(lambda: gate, workers=1)
    cancelled = asyncio.create_task(ask(handler, chat(*[data_uri(encoded(blank()))] * 3), stream))
    await asyncio.to_thread(gate.wait_for, 1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    gate.open.set()
    await ask(handler, chat(data_uri(encoded(blank()))), stream)
    assert gate.reads == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_request_cancelled_while_it_is_decoded_is_not_read(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, go_on = threading.Event(), threading.Event()

    def slowly(url: str, name: str) -> Decoded:
        decoding.set()
        assert go_on.wait(PATIENCE)
        return decode(url, name)

    monkeypatch.setattr(read, "decode", slowly)
    engine = FakeEngine()
    handler = LocalOCR(lambda: engine, workers=1)
    cancelled = asyncio.create_task(ask(handler, chat(data_uri(encoded(blank(10)))), stream))
    assert await asyncio.to_thread(decoding.wait, PATIENCE)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    go_on.set()
    await ask(handler, chat(data_uri(encoded(blank(20)))), stream)
    assert sizes(engine) == [(20, 30)]


@pytest.mark.asyncio
async def test_a_request_cancelled_while_the_models_are_loaded_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, go_on, decoded = threading.Event(), threading.Event(), []

    def load() -> FakeEngine:
        loading.set()
        assert go_on.wait(PATIENCE)
        return FakeEngine()

    def seen(url: str, name: str) -> Decoded:
        decoded.append(url)
        return decode(url, name)

    monkeypatch.setattr(read, "decode", seen)
    handler = LocalOCR(load, workers=1)
    cancelled = asyncio.create_task(ask(handler, chat(data_uri(encoded(blank(10)))), stream=False))
    assert await asyncio.to_thread(loading.wait, PATIENCE)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    go_on.set()
    other = data_uri(encoded(blank(20)))
    await ask(handler, chat(other), stream=False)
    assert decoded == [other]


def test_eight_first_requests_load_once() -> None:
    gate, loads, submitted = Gate(), [], threading.Event()

    def load() -> Gate:
        loads.append(threading.get_ident())
        assert submitted.wait(PATIENCE)
        return gate

    handler = LocalOCR(load, workers=8)
    messages = chat(data_uri(encoded(blank())))
    with ThreadPoolExecutor(8) as callers:
        answers = [callers.submit(handler.completion, MODEL, messages) for _ in range(8)]
        submitted.set()
        gate.wait_for(8)
        gate.open.set()
        assert all("40 wide" in str(response.result().choices[0].message.content) for response in answers)
    assert len(loads) == 1


def test_a_failed_load_is_tried_again() -> None:
    outcomes: Iterator[Any] = iter([OSError("no model"), FakeEngine()])

    def load() -> FakeEngine:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        assert isinstance(outcome, FakeEngine)
        return outcome

    handler, messages = LocalOCR(load), chat(data_uri(encoded(blank())))
    with pytest.raises(OSError, match="no model"):
        handler.completion(MODEL, messages)
    assert handler.completion(MODEL, messages).choices


def test_one_handler_serves_several_event_loops() -> None:
    handler, messages = LocalOCR(FakeEngine), chat(data_uri(encoded(blank())))
    for _ in range(2):
        assert asyncio.run(handler.acompletion(MODEL, messages)).choices


# Within LiteLLM


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered for all tests, because LiteLLM looks up the provider again after a test, to log its calls."""
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    local_ocr.register()


@pytest.fixture
def router(_registered: None) -> Router:
    deployment = {"model_name": "ocr", "litellm_params": {"model": f"{PROVIDER}/{MODEL}"}}
    return Router([deployment], num_retries=3, retry_after=0)


def registered_providers() -> list[str]:
    return [str(provider["provider"]) for provider in litellm.custom_provider_map]


def test_registering_again_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "custom_provider_map", [])
    local_ocr.register()
    local_ocr.register()
    assert registered_providers() == [PROVIDER]
    assert litellm._custom_providers.count(PROVIDER) == 1


def test_registering_again_repairs_a_replaced_map(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"provider": "other", "custom_handler": LocalOCR(FakeEngine)}
    local_ocr.register()
    monkeypatch.setattr(litellm, "custom_provider_map", [other])
    local_ocr.register()
    assert registered_providers() == ["other", PROVIDER]


@pytest.mark.usefixtures("_registered")
def test_the_model_can_see_for_free() -> None:
    assert litellm.supports_vision("local-ocr/rapidocr")
    info = litellm.get_model_info("local-ocr/rapidocr")
    assert (info["mode"], info["input_cost_per_token"], info["output_cost_per_token"]) == ("chat", 0, 0)


def test_importing_the_module_imports_nothing_of_the_extra() -> None:
    program = (
        "import sys; from litellm_image_analysis.vision import local_ocr; local_ocr.available(); local_ocr.register();"
        "print({'rapidocr', 'onnxruntime', 'cv2', 'PIL'} & set(sys.modules))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip().endswith("set()")


@pytest.mark.parametrize("missing", ["rapidocr", "onnxruntime"])
def test_without_the_extra_the_answer_says_how_to_get_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "find_spec", lambda package: None if package == missing else object())
    assert not local_ocr.available()
    with pytest.raises(InternalServerError, match=r"pip install 'litellm-image-analysis\[local-ocr\]'"):
        LocalOCR().completion(MODEL, receipt_chat())


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_bad_request_stays_one(stream: bool) -> None:
    with pytest.raises(BadRequestError, match="does not fetch URLs") as caught:
        litellm.completion("local-ocr/rapidocr", chat("https://example.com/a.png"), stream=stream)
    assert caught.value.status_code == 400
    with pytest.raises(BadRequestError, match="does not fetch URLs") as caught:
        await text_of(await litellm.acompletion("local-ocr/rapidocr", chat("https://example.com/a.png"), stream=stream))
    assert caught.value.status_code == 400


@pytest.mark.usefixtures("_registered")
def test_an_unknown_model_stays_unknown() -> None:
    with pytest.raises(NotFoundError) as caught:
        litellm.completion("local-ocr/tesseract", receipt_chat())
    assert caught.value.status_code == 404


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_router_does_not_retry_a_bad_request(
    stream: bool, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def refuse(url: str, name: str) -> NoReturn:
        attempts.append(url)
        refuse_it(f"{name} is refused.")

    monkeypatch.setattr(read, "decode", refuse)
    with pytest.raises(BadRequestError, match="The image is refused") as caught:
        await text_of(await router.acompletion("ocr", receipt_chat(), stream=stream))
    assert caught.value.status_code == 400
    assert len(attempts) == 1


async def text_of(response: Any) -> str:
    """The text of a response, streamed or not."""
    if not isinstance(response, AsyncIterator):
        return str(response.choices[0].message.content)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in response])


# The real engine


def assert_is_the_receipt(text: str) -> None:
    lines = text.splitlines()
    assert lines[:2] == ["Image size: 480 x 700 pixels.", ""]
    assert "HARBOUR STREET CAFE" in lines
    assert "Oat milk cappuccino  4.60" in lines
    assert "TOTAL  42.80" in lines


@pytest.mark.usefixtures("_registered")
def test_the_receipt_is_read_through_completion() -> None:
    response = litellm.completion("local-ocr/rapidocr", receipt_chat(), max_tokens=1500)
    assert_is_the_receipt(str(response.choices[0].message.content))
    assert response._hidden_params["response_cost"] == 0.0


@pytest.mark.usefixtures("_registered")
def test_the_receipt_is_read_through_completion_streaming() -> None:
    chunks = list(litellm.completion("local-ocr/rapidocr", receipt_chat(), stream=True))
    assert_is_the_receipt("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, "stop"]


@pytest.mark.usefixtures("_registered")
@pytest.mark.asyncio
async def test_the_receipt_is_read_through_acompletion() -> None:
    response = await litellm.acompletion("local-ocr/rapidocr", receipt_chat())
    assert_is_the_receipt(await text_of(response))
    assert response._hidden_params["response_cost"] == 0.0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_the_receipt_is_read_through_a_router(stream: bool, router: Router) -> None:
    assert_is_the_receipt(await text_of(await router.acompletion("ocr", receipt_chat(), stream=stream)))


def test_the_receipt_is_read_through_a_router_without_a_loop(router: Router) -> None:
    response = router.completion("ocr", receipt_chat())
    assert isinstance(response, ModelResponse)
    assert_is_the_receipt(str(response.choices[0].message.content))


@pytest.mark.usefixtures("_registered")
@pytest.mark.asyncio
async def test_a_streamed_answer_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: asyncio.Queue[Any] = asyncio.Queue()

    class Costs(CustomLogger):
        async def async_log_success_event(
            self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            await logged.put(kwargs["response_cost"])

    monkeypatch.setattr(litellm, "callbacks", [Costs()])
    await text_of(await litellm.acompletion("local-ocr/rapidocr", receipt_chat(), stream=True))
    assert await asyncio.wait_for(logged.get(), PATIENCE) == 0.0


def test_the_engine_logs_errors_only() -> None:
    assert not logging.getLogger("RapidOCR").isEnabledFor(logging.WARNING)
