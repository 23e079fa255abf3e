"""Images within the result of a tool that is a text or any JSON, and not a list of content parts.

Tools and clients write them as JSON texts, as ``data:`` URIs, or as base64 anywhere in a JSON value. Only images whose
bytes are there count: what a tool says of images elsewhere is its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from litellm_image_analysis.request import PARSED, Path, values
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.other_formats import inline_image

_START = r"(?:iVBORw0KGgo|\\?/9j\\?/|R0lGOD|UklGR)"  # of a PNG, JPEG, GIF or WEBP in base64
_STARTS = re.compile(rf'(?:["\']|base64,){_START}')
_BARE = re.compile(rf"\s*{_START}[A-Za-z0-9+/]{{100}}")
_URI = re.compile(r"\s*data:image/[^,]{1,300};base64,", re.IGNORECASE | re.ASCII)
_MOST_VALUES = 10_000
_MOST_LEVELS = 50


def embedded_images(value: object, here: Path) -> Iterator[tuple[Path, ImageSource]]:
    """Yield the images of a tool's result.

    Args:
        value: the result.
        here: its path in the body.
    """
    left: list[tuple[Path, object]] = [(here, value)]
    while left:
        path, inner = left.pop()
        if isinstance(inner, str):
            if (source := _image_text(inner)) is not None:
                yield path, source
            elif (parsed := _parsed(inner)) is not None and len(path) - len(here) < _MOST_LEVELS:
                left.append(((*path, PARSED), parsed))
        elif len(path) - len(here) < _MOST_LEVELS and isinstance(inner, (Mapping, list)):
            if isinstance(inner, Mapping) and (source := inline_image(inner)) is not None:
                yield path, source
                continue
            items = list(inner.items() if isinstance(inner, Mapping) else enumerate(inner))
            left += [((*path, key), item) for key, item in reversed(items)]


def without_images(value: object) -> object:
    """Return a tool's result without the images in it."""
    without_image = partial(replacement, path=(PARSED,), words="")
    edits = {path: without_image for path, _ in embedded_images(value, ())}
    return values.edited(value, edits) if edits else value


def replacement(image: Any, path: Path, words: str) -> str | dict[str, Any]:
    """Return a text part in place of an image part, or a text in place of a text.

    Args:
        image: the image.
        path: its path in the body. A text part within a JSON text has no marks for caches.
        words: the text.
    """
    if isinstance(image, str):
        return words
    return {"type": "text", "text": words} if PARSED in path else values.text_part(image, words)


def _image_text(text: str) -> ImageSource | None:
    """Return the image if a text is nothing else: a ``data:`` URI or base64."""
    if not (_URI.match(text) or _BARE.match(text)):
        return None
    source = ImageSource.encoded("", text)
    return source if source.is_recognised else None


def _parsed(text: str) -> object | None:
    """Return the value of a JSON text that may have images. It is not parsed without need, because it may be large."""
    if text[:1] not in "[{" and text.lstrip()[:1] not in ("[", "{"):
        return None
    if not _STARTS.search(text) or text.count(",") + text.count("[") + text.count("{") > _MOST_VALUES:
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value
