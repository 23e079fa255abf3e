"""Pictures, encoded in any format, and an engine that returns given fragments."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from litellm_image_analysis.vision.local_ocr.engine import Fragment, Reading

if TYPE_CHECKING:
    from PIL import Image

    from litellm_image_analysis.vision.local_ocr.engine import GoOn, Pixels


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def chat(*urls: str) -> Any:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "What is the total?"}, *images]}]


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def blank(width: int = 40, height: int = 30, mode: str = "RGB", colour: Any = "white") -> Image.Image:
    image = pytest.importorskip("PIL.Image")
    made: Image.Image = image.new(mode, (width, height), colour)
    return made


class FakeEngine:
    """An engine that returns given fragments, and records its pictures."""

    def __init__(self, *fragments: Fragment, unread: int = 0) -> None:
        self.reading = Reading(fragments, unread=unread)
        self.pictures: list[Pixels] = []

    def read(self, picture: Pixels, go_on: GoOn) -> Reading:
        go_on()
        self.pictures.append(picture)
        return self.reading


def pixel(picture: Pixels, x: int = 0, y: int = 0) -> tuple[int, ...]:
    return tuple(picture[y, x].tolist())


def sizes(engine: FakeEngine) -> list[tuple[int, int]]:
    """Widths and heights of the pictures that an engine was given."""
    return [(picture.shape[1], picture.shape[0]) for picture in engine.pictures]


def fragments(*texts: str, height: float = 20.0) -> Sequence[Fragment]:
    """One line below the other."""
    return [Fragment(text, 1.0, 0, 30 * at, 10 * len(text), 30 * at + height) for at, text in enumerate(texts)]
