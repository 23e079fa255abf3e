"""A vision model that runs in this process: RapidOCR on onnxruntime, for LiteLLM ``local-ocr/rapidocr``.

It reads the text in images. It answers no questions, describes no pictures, costs nothing and needs no network. Its
packages are in the optional extra ``local-ocr``, and are imported for the first image.

Errors are LiteLLM's own exceptions, which LiteLLM passes on unchanged. A ``CustomLLMError`` with status 400 becomes a
retried 500 in LiteLLM 1.84, and an error that quotes the beginning of the messages in 1.106.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import litellm
from litellm.exceptions import InternalServerError, NotFoundError
from litellm.llms.custom_llm import CustomLLM
from litellm.types.llms.openai import ChatCompletionUsageBlock
from litellm.types.utils import Choices, GenericStreamingChunk, Message, ModelResponse, Usage
from litellm.utils import custom_llm_setup

from litellm_image_analysis.vision.local_ocr.decode import FULL_NAME, PROVIDER, refuse
from litellm_image_analysis.vision.local_ocr.memory import release as release_memory

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Engine

MODEL = "rapidocr"

_MODEL_INFO = {
    "litellm_provider": PROVIDER,
    "mode": "chat",
    "supports_vision": True,
    "input_cost_per_token": 0.0,
    "output_cost_per_token": 0.0,
    "cache_creation_input_token_cost": 0.0,  # without it, LiteLLM warns about a price of 0
    "cache_read_input_token_cost": 0.0,
}


def _image_urls(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the URLs of a conversation's images, in order. ``""`` stands for an image without a usable ``url``."""
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    sources = [part.get("image_url") for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]
    urls = [source.get("url") if isinstance(source, dict) else source for source in sources]
    return [url if isinstance(url, str) else "" for url in urls]


def _load_rapidocr() -> Engine:
    """Load RapidOCR with the models of its package."""
    if not available():
        install = "pip install 'litellm-image-analysis[local-ocr]'"
        raise InternalServerError(f"{PROVIDER} is not installed: {install}", PROVIDER, MODEL)
    from litellm_image_analysis.vision.local_ocr.rapid import RapidEngine

    return RapidEngine()


class LocalOCR(CustomLLM):
    """LiteLLM's handler for ``local-ocr``. Its answer to a chat is the text in the images.

    Images are read in the handler's own threads, not on an event loop.

    Args:
        load: makes the engine. It is called once, for the first request.
        workers: number of requests that are read concurrently. Others wait.
    """

    def __init__(self, load: Callable[[], Engine] = _load_rapidocr, workers: int = 2) -> None:
        super().__init__()
        self._load = load
        self._loading = threading.Lock()
        self._engine: Engine | None = None
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix=PROVIDER)

    def completion(self, model: str, messages: list[Any], *_: Any, **__: Any) -> ModelResponse:
        """Read the images of a chat.

        Raises:
            BadRequestError: there is no image, or one that cannot be read.
            NotFoundError: the model is not ``MODEL``.
            InternalServerError: the extra is not installed.
        """
        return _response(self._answer(model, messages))

    async def acompletion(self, model: str, messages: list[Any], *_: Any, **__: Any) -> ModelResponse:
        """Like ``completion``. After a cancellation, no further image is read."""
        return _response(await self._answer_in_loop(model, messages))

    def streaming(self, model: str, messages: list[Any], *_: Any, **__: Any) -> Iterator[GenericStreamingChunk]:
        """Like ``completion``, as one chunk and a final one."""
        return _chunks(self._answer(model, messages))

    async def astreaming(  # type: ignore[override]  # LiteLLM declares a coroutine, and uses an iterator
        self, model: str, messages: list[Any], *_: Any, **__: Any
    ) -> AsyncIterator[GenericStreamingChunk]:
        """Like ``acompletion``, as one chunk and a final one. Errors are raised before the first."""
        for chunk in _chunks(await self._answer_in_loop(model, messages)):
            yield chunk

    def _answer(self, model: str, messages: list[Any]) -> str:
        abandoned = threading.Event()
        try:
            return self._submit(model, messages, abandoned).result()
        finally:
            abandoned.set()

    async def _answer_in_loop(self, model: str, messages: list[Any]) -> str:
        abandoned = threading.Event()  # a running future cannot be cancelled
        try:
            return await asyncio.wrap_future(self._submit(model, messages, abandoned))
        finally:
            abandoned.set()

    def _submit(self, model: str, messages: list[Any], abandoned: threading.Event) -> Future[str]:
        if model != MODEL:
            raise NotFoundError(f"{PROVIDER} has only the model {MODEL}.", model=model, llm_provider=PROVIDER)
        urls = _image_urls(messages)
        if not urls:
            refuse(f"{PROVIDER} reads images, and the messages contain none (image_url content parts).")
        return self._workers.submit(self._transcribe, urls, abandoned)

    def _transcribe(self, urls: Sequence[str], abandoned: threading.Event) -> str:
        try:
            if len(urls) == 1:
                return self._read(urls[0], "The image", abandoned)
            named = [(f"Image {number} of {len(urls)}", url) for number, url in enumerate(urls, start=1)]
            return "\n\n".join(f"{name}:\n{self._read(url, name, abandoned)}" for name, url in named)
        finally:
            release_memory()

    def _read(self, url: str, name: str, abandoned: threading.Event) -> str:
        from litellm_image_analysis.vision.local_ocr.read import transcribe

        with self._loading:
            engine = self._engine = self._engine or self._load()
        _stop_if(abandoned)
        return transcribe(url, name, engine, partial(_stop_if, abandoned))


def _stop_if(abandoned: threading.Event) -> None:
    if abandoned.is_set():
        raise CancelledError


def _response(text: str) -> ModelResponse:
    choice = Choices(finish_reason="stop", message=Message(role="assistant", content=text))
    return ModelResponse(model=FULL_NAME, choices=[choice], usage=Usage())


def _chunks(text: str) -> Iterator[GenericStreamingChunk]:
    usage = ChatCompletionUsageBlock(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    yield GenericStreamingChunk(text=text, is_finished=False, finish_reason="", usage=None)
    yield GenericStreamingChunk(text="", is_finished=True, finish_reason="stop", usage=usage)


_HANDLER = LocalOCR()


def available() -> bool:
    """Return whether the extra ``local-ocr`` is installed, without importing it."""
    return all(find_spec(package) is not None for package in ("rapidocr", "onnxruntime"))


def register() -> None:
    """Register ``local-ocr/rapidocr`` with LiteLLM, as a model that accepts images and costs nothing.

    Without the extra, its calls fail and say what to install. It is called again after a proxy has read its config,
    because a ``custom_provider_map`` in it replaces the list of custom providers.
    """
    if any(provider["custom_handler"] is _HANDLER for provider in litellm.custom_provider_map):
        return
    litellm.custom_provider_map.append({"provider": PROVIDER, "custom_handler": _HANDLER})
    custom_llm_setup()  # type: ignore[no-untyped-call]
    litellm.register_model({FULL_NAME: _MODEL_INFO})
