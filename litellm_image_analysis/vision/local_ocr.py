"""A vision model that runs in this process: RapidOCR on onnxruntime, for LiteLLM ``local-ocr/rapidocr``.

It reads the text in images. It answers no questions, describes no pictures, costs nothing and needs no network.
What it is made of comes with the optional extra ``local-ocr`` and is imported when the first image arrives.

Errors are LiteLLM's own exceptions, which it passes on unchanged. Of a provider's ``CustomLLMError`` with status
400 it makes a retried 500 in 1.84, and an error that quotes the beginning of the messages in 1.106.
"""

from __future__ import annotations

import asyncio
import base64
import io
import math
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

import litellm
from litellm.exceptions import BadRequestError, InternalServerError, NotFoundError
from litellm.llms.custom_llm import CustomLLM
from litellm.types.llms.openai import ChatCompletionUsageBlock
from litellm.types.utils import Choices, GenericStreamingChunk, Message, ModelResponse, Usage
from litellm.utils import custom_llm_setup

if TYPE_CHECKING:
    from PIL import Image

PROVIDER = "local-ocr"
MODEL = "rapidocr"
MAX_PIXELS = 40_000_000

_FULL_NAME = f"{PROVIDER}/{MODEL}"
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_DAMAGED = (OSError, SyntaxError, ValueError, struct.error)  # what Pillow raises for damaged files
_UNCERTAIN_BELOW = 0.8
_MODEL_INFO = {
    "litellm_provider": PROVIDER,
    "mode": "chat",
    "supports_vision": True,
    "input_cost_per_token": 0.0,
    "output_cost_per_token": 0.0,
    "cache_creation_input_token_cost": 0.0,  # LiteLLM warns where a price of 0 comes without the cache's
    "cache_read_input_token_cost": 0.0,
}
_NO_TEXT = "No text was found. This engine reads text; it does not describe pictures."

# Detecting text takes about 3 s of one core and 0.5 GB at these limits, and grows with them. Without padding,
# RapidOCR enlarges strips until their short side suits it: 2000 x 1 pixels exhaust 24 GB.
_READ_PIXELS = 3_000_000
_READ_ASPECT = 6
_READ_SIDE = math.isqrt(_READ_PIXELS * _READ_ASPECT)


@dataclass(frozen=True, order=True, slots=True)
class Fragment:
    """A piece of text, the engine's confidence in it (0 to 1) and its box, in pixels from the image's top left."""

    text: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


Reader = Callable[["Image.Image"], Sequence[Fragment]]
"""Finds the text in an RGB or RGBA image. Called from several threads at once."""


def rows(fragments: Iterable[Fragment]) -> list[list[Fragment]]:
    """Put fragments into reading order: rows from top to bottom, each from left to right.

    Two fragments share a row if they overlap over at least half the taller one's height, so a price stays with
    its item though the fonts differ, and a logo does not pull the lines beside it into one. Every fragment comes
    out once; the order they are given in does not matter.
    """
    found: list[list[Fragment]] = []
    for fragment in sorted(fragments, key=lambda each: (each.top + each.bottom, each)):
        row = next((row for row in found if _side_by_side(row[0], fragment)), [])
        if not row:
            found.append(row)
        row.append(fragment)
    return [sorted(row, key=lambda each: (each.left, each)) for row in found]


def _side_by_side(one: Fragment, other: Fragment) -> bool:
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return overlap >= max(one.bottom - one.top, other.bottom - other.top) / 2


def _transcript(size: tuple[int, int], fragments: Iterable[Fragment]) -> str:
    """What the caller reads for one image of this width and height in pixels."""
    lines = ["  ".join(map(_marked, row)) for row in rows(fragments)]
    return "\n".join([f"Image size: {size[0]} x {size[1]} pixels.", "", *(lines or [_NO_TEXT])])


def _marked(fragment: Fragment) -> str:
    return fragment.text if fragment.score >= _UNCERTAIN_BELOW else f"{fragment.text} [uncertain]"


def _image_urls(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """The images of a conversation in order, as sent. One without a usable ``url`` is an empty string."""
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    sources = [part.get("image_url") for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]
    urls = [source.get("url") if isinstance(source, dict) else source for source in sources]
    return [url if isinstance(url, str) else "" for url in urls]


def _decode(url: str, name: str) -> Image.Image:
    """Decode an image and turn it upright, as RGB or RGBA.

    Args:
        url: a ``data:`` URI with base64.
        name: what error messages call the image; they never quote it.

    Raises:
        BadRequestError: anything else than an image of a known format and at most ``MAX_PIXELS`` pixels.
    """
    from PIL import Image, ImageOps

    too_large = f"{name} has more than {MAX_PIXELS:,} pixels. Send a smaller one."
    encoded = io.BytesIO(_encoded_image(url, name))
    try:
        image: Image.Image = Image.open(encoded, formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            _refuse(too_large)
        image.load()
        with suppress(*_DAMAGED):  # odd metadata is no reason to refuse intact pixels
            ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "I;16":
            image = image.point(lambda value: value / 256)  # convert() clips 16 bits instead of scaling them
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        _refuse(too_large)
    except _DAMAGED:
        _refuse(f"{name} is no intact image of a known format ({', '.join(_FORMATS)}).")


def _encoded_image(url: str, name: str) -> bytes:
    if url[:8].lower().startswith(("http://", "https://")):
        _refuse(f"{name} is a URL. {PROVIDER} does not fetch URLs: send the image as a data: URI with base64.")
    header, _, payload = url.partition(",")
    if not (header[:5].lower() == "data:" and header[-7:].lower() == ";base64"):
        _refuse(f"{name} is no data: URI with base64.")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError:
        _refuse(f"{name} has malformed base64.")


def _refuse(message: str) -> NoReturn:
    raise BadRequestError(message, model=_FULL_NAME, llm_provider=PROVIDER) from None


def _fitted(image: Image.Image) -> Image.Image:
    """Shrink and pad an image until reading it costs bounded time and memory, whatever its shape."""
    width, height = image.size
    scale = min(math.sqrt(_READ_PIXELS / (width * height)), _READ_SIDE / max(width, height))
    if scale < 1:
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
        image = image.resize((width, height), reducing_gap=2.0)
    canvas = max(width, math.ceil(height / _READ_ASPECT)), max(height, math.ceil(width / _READ_ASPECT))
    return image.crop((0, 0, *canvas))


def _load_rapidocr() -> Reader:
    """Load RapidOCR with the models its wheel ships.

    One instance serves all threads: only per-call parameters change its state (RapidAI/RapidOCR issue 724), and
    none are passed; onnxruntime sessions may run concurrently. One thread a session, because several images are
    read faster side by side than each on more cores, and a gateway has other work for those.
    """
    if not available():
        install = "pip install 'litellm-image-analysis[local-ocr]'"
        raise InternalServerError(f"{PROVIDER} is not installed: {install}", PROVIDER, MODEL)
    from rapidocr import RapidOCR

    params = {
        "Global.log_level": "error",
        "Global.max_side_len": _READ_SIDE,
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    engine = RapidOCR(params=params)

    def read(image: Image.Image) -> list[Fragment]:
        result: Any = engine(image)
        if not result.txts:
            return []
        found = zip(result.txts, result.scores, result.boxes, strict=True)
        return [
            Fragment(text, float(score), *corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
            for text, score, corners in found
        ]

    return read


class LocalOCR(CustomLLM):
    """LiteLLM's handler for ``local-ocr``: the answer to a chat is the text in its images.

    Reading happens in threads of its own, never on an event loop, and needs no particular one.

    Args:
        load: makes the reader; called once, for the first request.
        workers: requests read at the same time; the others wait their turn.
    """

    def __init__(self, load: Callable[[], Reader] = _load_rapidocr, workers: int = 2) -> None:
        super().__init__()
        self._load = load
        self._loading = threading.Lock()
        self._reader: Reader | None = None
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix=PROVIDER)

    def completion(self, model: str, messages: list[Any], *_: Any, **__: Any) -> ModelResponse:
        """Read the images of a chat.

        Raises:
            BadRequestError: no image, or one that cannot be read.
            NotFoundError: another model than ``MODEL``.
            InternalServerError: the extra is not installed.
        """
        return _response(self._submit(model, messages).result())

    async def acompletion(self, model: str, messages: list[Any], *_: Any, **__: Any) -> ModelResponse:
        """Like ``completion``; cancelled while it waits for its turn, the images are not read."""
        return _response(await asyncio.wrap_future(self._submit(model, messages)))

    def streaming(self, model: str, messages: list[Any], *_: Any, **__: Any) -> Iterator[GenericStreamingChunk]:
        """Like ``completion``, as one chunk and a final one."""
        return _chunks(self._submit(model, messages).result())

    async def astreaming(  # type: ignore[override]  # LiteLLM declares a coroutine, and iterates what it gets
        self, model: str, messages: list[Any], *_: Any, **__: Any
    ) -> AsyncIterator[GenericStreamingChunk]:
        """Like ``acompletion``, as one chunk and a final one. Errors come with the first."""
        for chunk in _chunks(await asyncio.wrap_future(self._submit(model, messages))):
            yield chunk

    def _submit(self, model: str, messages: list[Any]) -> Future[str]:
        if model != MODEL:
            raise NotFoundError(f"{PROVIDER} has only the model {MODEL}.", model=model, llm_provider=PROVIDER)
        urls = _image_urls(messages)
        if not urls:
            _refuse(f"{PROVIDER} reads images, and the messages hold none (image_url content parts).")
        return self._workers.submit(self._transcribe, urls)

    def _transcribe(self, urls: Sequence[str]) -> str:
        if len(urls) == 1:
            return self._read(urls[0], "The image")
        named = [(f"Image {number} of {len(urls)}", url) for number, url in enumerate(urls, start=1)]
        return "\n\n".join(f"{name}:\n{self._read(url, name)}" for name, url in named)

    def _read(self, url: str, name: str) -> str:
        with self._loading:
            read = self._reader = self._reader or self._load()
        image = _decode(url, name)
        return _transcript(image.size, read(_fitted(image)))


def _response(text: str) -> ModelResponse:
    choice = Choices(finish_reason="stop", message=Message(role="assistant", content=text))
    return ModelResponse(model=_FULL_NAME, choices=[choice], usage=Usage())


def _chunks(text: str) -> Iterator[GenericStreamingChunk]:
    usage = ChatCompletionUsageBlock(prompt_tokens=0, completion_tokens=0, total_tokens=0)
    yield GenericStreamingChunk(text=text, is_finished=False, finish_reason="", usage=None)
    yield GenericStreamingChunk(text="", is_finished=True, finish_reason="stop", usage=usage)


_HANDLER = LocalOCR()


def available() -> bool:
    """Whether the extra ``local-ocr`` is installed. Imports nothing of it."""
    return all(find_spec(package) is not None for package in ("rapidocr", "onnxruntime"))


def register() -> None:
    """Make ``local-ocr/rapidocr`` a model LiteLLM can call, that can see, for free. Nothing without the extra.

    Cheap to call again, and needed after a proxy has read its config: a ``custom_provider_map`` there replaces
    the list of custom providers.
    """
    known = any(provider["custom_handler"] is _HANDLER for provider in litellm.custom_provider_map)
    if known or not available():
        return
    litellm.custom_provider_map.append({"provider": PROVIDER, "custom_handler": _HANDLER})
    custom_llm_setup()  # type: ignore[no-untyped-call]
    litellm.register_model({_FULL_NAME: _MODEL_INFO})
