"""A vision model that runs in this process: RapidOCR on onnxruntime, for LiteLLM ``local-ocr/rapidocr``.

It reads the text in images. It answers no questions, describes no pictures, costs nothing and needs no network. Its
packages are in the optional extra ``local-ocr``, and are imported for the first image.

Errors are LiteLLM's own exceptions, which LiteLLM passes on unchanged. A ``CustomLLMError`` with status 400 becomes a
retried 500 in LiteLLM 1.84, and an error that quotes the beginning of the messages in 1.106.
"""

from __future__ import annotations

import asyncio
import base64
import io
import math
import re
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
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
_DAMAGED = (OSError, SyntaxError, ValueError, struct.error)  # Pillow's exceptions for damaged files
_UNCERTAIN_BELOW = 0.8
_MODEL_INFO = {
    "litellm_provider": PROVIDER,
    "mode": "chat",
    "supports_vision": True,
    "input_cost_per_token": 0.0,
    "output_cost_per_token": 0.0,
    "cache_creation_input_token_cost": 0.0,  # without it, LiteLLM warns about a price of 0
    "cache_read_input_token_cost": 0.0,
}
_NO_TEXT = "No text was found. This engine reads text; it does not describe pictures."

# libjpeg decodes each scan of a JPEG over the whole picture, however few bytes the scan has. With Pillow 13 on one
# core of a small server, a scan of a few bytes takes 0.1 to 0.6 ms per megapixel with Huffman coding and 0.1 to 3 ms
# with arithmetic coding. The rest of the work is 20 ms per megapixel. Usual progressive files have 10 scans, with CMYK
# 18. At these limits, an image takes about 2 s (2.6 s with arithmetic coding), and 50 ms more for each MB of the file.
_MAX_SCANS = 50
_MAX_SCANNED_PIXELS = 500_000_000  # number of scans times pixels: 12 scans at MAX_PIXELS
_MAX_SEGMENTS = 1_000  # of a JPEG: enough for 64 MB of metadata. Pillow takes 2 s for 4 MB of empty segments

# A marker as libjpeg finds it: filling bytes, stuffed bytes (FF 00), restart markers and unknown ones are skipped.
_JPEG_START = b"\xff\xd8"
_JPEG_MARKER = re.compile(rb"\xff([^\x00-\xbf\xd0-\xd7\xff])")
_JPEG_END, _JPEG_SCAN = b"\xd9", b"\xda"

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
"""Returns the text fragments of an RGB or RGBA image. Called concurrently from several threads."""


def rows(fragments: Iterable[Fragment]) -> list[list[Fragment]]:
    """Put fragments into reading order: rows from top to bottom, each from left to right.

    Two fragments share a row if they overlap over at least half the height of the taller one. A price therefore stays
    with its item if the fonts differ, and a logo does not join the lines beside it. The result has each fragment once.
    It does not depend on their order.
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


def _transcript(size: tuple[int, int], fragments: Iterable[Fragment], *, is_first_of_several: bool = False) -> str:
    """Return the transcript of one image, or frame, of this width and height in pixels."""
    lines = ["  ".join(map(_marked, row)) for row in rows(fragments)]
    head = f"Image size: {size[0]} x {size[1]} pixels."
    if is_first_of_several:
        head += " The file has several frames. This is the first one, the others were not read."
    return "\n".join([head, "", *(lines or [_NO_TEXT])])


def _marked(fragment: Fragment) -> str:
    return fragment.text if fragment.score >= _UNCERTAIN_BELOW else f"{fragment.text} [uncertain]"


def _image_urls(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the URLs of a conversation's images, in order. ``""`` stands for an image without a usable ``url``."""
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    sources = [part.get("image_url") for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]
    urls = [source.get("url") if isinstance(source, dict) else source for source in sources]
    return [url if isinstance(url, str) else "" for url in urls]


def _decode(url: str, name: str) -> tuple[Image.Image, bool]:
    """Decode an image and turn it upright, as RGB or RGBA. The second value tells whether its file has more frames.

    Args:
        url: a ``data:`` URI with base64.
        name: name of the image for error messages, which do not quote it.

    Raises:
        BadRequestError: it is not an image of a known format with at most ``MAX_PIXELS`` pixels, or it is a JPEG of
            too many scans or segments.
    """
    from PIL import Image, ImageOps

    too_large = f"{name} has more than {MAX_PIXELS:,} pixels. Send a smaller one."
    encoded = _encoded_image(url, name)
    scans = _scans(encoded, name)
    try:
        image: Image.Image = Image.open(io.BytesIO(encoded), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            _refuse(too_large)
        most = min(_MAX_SCANS, _MAX_SCANNED_PIXELS // (image.width * image.height))
        if scans > most:
            _refuse(
                f"{name} is a JPEG of {scans} scans. At this size, at most {most} are decoded. Send a JPEG that is not"
                " progressive."
            )
        has_more = bool(getattr(image, "is_animated", False))
        image.load()  # the first frame, if it is an animation
        with suppress(*_DAMAGED):  # damaged metadata does not make the pixels unreadable
            ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "I;16":
            image = image.point(lambda value: value / 256)  # convert() clips 16-bit values and does not scale them
        return image.convert("RGBA" if image.has_transparency_data else "RGB"), has_more
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        _refuse(too_large)
    except _DAMAGED:
        _refuse(f"{name} is not an intact image of a known format ({', '.join(_FORMATS)}).")


def _scans(encoded: bytes, name: str) -> int:
    """Return how many scans of a JPEG libjpeg would decode. 0 for other formats.

    The contents of segments and the bytes after the end of the image are skipped: a preview in the metadata and the
    film of a motion photo contain markers, too.

    Raises:
        BadRequestError: the JPEG has more than ``_MAX_SEGMENTS`` segments.
    """
    if not encoded.startswith(_JPEG_START):
        return 0
    segments, scans, place = 0, 0, len(_JPEG_START)
    while (marker := _JPEG_MARKER.search(encoded, place)) and marker[1] != _JPEG_END:
        segments += 1
        if segments > _MAX_SEGMENTS:
            _refuse(f"{name} is a JPEG of more than {_MAX_SEGMENTS:,} segments.")
        scans += marker[1] == _JPEG_SCAN
        length = int.from_bytes(encoded[marker.end() : marker.end() + 2], "big")
        place = marker.end() + max(2, length)
    return scans


def _encoded_image(url: str, name: str) -> bytes:
    if url[:8].lower().startswith(("http://", "https://")):
        _refuse(f"{name} is a URL. {PROVIDER} does not fetch URLs: send the image as a data: URI with base64.")
    header, _, payload = url.partition(",")
    if not (header[:5].lower() == "data:" and header[-7:].lower() == ";base64"):
        _refuse(f"{name} is not a data: URI with base64.")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError:
        _refuse(f"{name} has malformed base64.")


def _refuse(message: str) -> NoReturn:
    raise BadRequestError(message, model=_FULL_NAME, llm_provider=PROVIDER) from None


def _fitted(image: Image.Image) -> Image.Image:
    """Shrink and pad an image, so that time and memory for reading are limited for any shape."""
    width, height = image.size
    scale = min(math.sqrt(_READ_PIXELS / (width * height)), _READ_SIDE / max(width, height))
    if scale < 1:
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
        image = image.resize((width, height), reducing_gap=2.0)
    canvas = max(width, math.ceil(height / _READ_ASPECT)), max(height, math.ceil(width / _READ_ASPECT))
    return image.crop((0, 0, *canvas))


def _load_rapidocr() -> Reader:
    """Load RapidOCR with the models its wheel ships.

    All threads share one instance. Only parameters of a call change its state (RapidAI/RapidOCR issue 724), and no call
    has any. Sessions of onnxruntime may run concurrently. Each has one thread: several images at once on one core each
    are faster than one after the other on several cores, and a gateway needs the other cores.
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
    """LiteLLM's handler for ``local-ocr``. Its answer to a chat is the text in the images.

    Images are read in the handler's own threads, not on an event loop.

    Args:
        load: makes the reader. It is called once, for the first request.
        workers: number of requests that are read concurrently. Others wait.
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
            _refuse(f"{PROVIDER} reads images, and the messages contain none (image_url content parts).")
        return self._workers.submit(self._transcribe, urls, abandoned)

    def _transcribe(self, urls: Sequence[str], abandoned: threading.Event) -> str:
        if len(urls) == 1:
            return self._read(urls[0], "The image", abandoned)
        named = [(f"Image {number} of {len(urls)}", url) for number, url in enumerate(urls, start=1)]
        return "\n\n".join(f"{name}:\n{self._read(url, name, abandoned)}" for name, url in named)

    def _read(self, url: str, name: str, abandoned: threading.Event) -> str:
        with self._loading:
            read = self._reader = self._reader or self._load()
        _stop_if(abandoned)
        image, has_more = _decode(url, name)
        fitted = _fitted(image)
        _stop_if(abandoned)
        return _transcript(image.size, read(fitted), is_first_of_several=has_more)


def _stop_if(abandoned: threading.Event) -> None:
    if abandoned.is_set():
        raise CancelledError


def _response(text: str) -> ModelResponse:
    choice = Choices(finish_reason="stop", message=Message(role="assistant", content=text))
    return ModelResponse(model=_FULL_NAME, choices=[choice], usage=Usage())


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
    litellm.register_model({_FULL_NAME: _MODEL_INFO})
