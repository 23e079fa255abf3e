"""Read an image: decode, turn, tile, read, lay out, and say what was not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from litellm_image_analysis.vision.local_ocr import codes, tesseract
from litellm_image_analysis.vision.local_ocr.decode import Decoded, decode
from litellm_image_analysis.vision.local_ocr.doubt import doubted, has_other_script, legible, weak_lines
from litellm_image_analysis.vision.local_ocr.facts import looks
from litellm_image_analysis.vision.local_ocr.ground import shrunk_size, to_rgb
from litellm_image_analysis.vision.local_ocr.layout import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from PIL import Image

    from litellm_image_analysis.vision.local_ocr.engine import Engine, GoOn

MAX_READ_PIXELS = 9_000_000

_NO_TEXT = "No text was found. This engine reads text; it does not describe pictures."
_OTHER_SCRIPT = "The image has text in a script that this engine does not read. What it made of it is uncertain:"


def transcribe(url: str, name: str, engine: Engine, go_on: GoOn) -> str:
    """Return the transcript of an image.

    Args:
        url: a ``data:`` URI with base64.
        name: name of the image for error messages.
        engine: reads the pictures.
        go_on: raises an error if the request was cancelled.

    Raises:
        BadRequestError: the image cannot be decoded.
    """
    image = decode(url, name)
    texts: dict[int, str] = {}
    for number, picture in image.pictures:
        go_on()
        texts[number] = _read(picture, engine, go_on)
    head = _head(image)
    return "\n".join([head, "", *(texts.values() if image.frames == 1 else _parts(image, texts))])


def _head(image: Decoded) -> str:
    """Return the sentence about the size of an image, and what it was shrunk to."""
    width, height = image.size
    frames = f"{image.frames} {image.kind}s of " if image.frames > 1 else ""
    read_width, read_height = shrunk_size(image.size, MAX_READ_PIXELS)
    shrunk = f", read at {read_width} x {read_height}" if read_width < width else ""
    return f"Image size: {frames}{width} x {height}{shrunk} pixels."


def _parts(image: Decoded, texts: Mapping[int, str]) -> Iterator[str]:
    """Yield the texts of the frames. A text that another frame has is not repeated."""
    first: dict[str, int] = {}
    for number, text in texts.items():
        same = first.setdefault(text, number)
        label = f"{image.kind.capitalize()} {number}"
        yield f"{label}:\n{text}" if same == number else f"{label}: the same as {image.kind} {same}."
    if len(texts) < image.frames:
        yield f"{image.frames - len(texts)} other {image.kind}s were not read."


def _read(image: Image.Image, engine: Engine, go_on: GoOn) -> str:
    """Return the text of one picture, and notes on what was not read."""
    picture = to_rgb(image, MAX_READ_PIXELS)
    reading = engine.read(picture, go_on)
    fragments, other = legible(reading.fragments), []
    is_doubtful = has_other_script(reading.fragments)
    if is_doubtful and tesseract.packs():
        upright = np.ascontiguousarray(np.rot90(picture, reading.quarters))
        other = tesseract.read(upright, weak_lines(reading.fragments), go_on)
    if other:
        fragments = other
    elif is_doubtful:
        fragments = doubted(fragments)
    text = [*text_of(fragments), *codes.read_codes(picture)]
    before = [_OTHER_SCRIPT] if is_doubtful and not other else []
    after = [f"... {reading.unread} more lines were not read."] if reading.unread else []
    return "\n".join([*before, *text, *after] or [_NO_TEXT, looks(picture)])
