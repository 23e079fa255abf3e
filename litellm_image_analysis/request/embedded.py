"""Images within the text or JSON of a tool's result, which is not a content part.

Tools and clients write them as ``data:`` URIs or as base64: as the whole text, within it, or within JSON. Only the
image is cut out, and the text or JSON around it stays as it is. URLs of images in such a text stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from litellm_image_analysis.request import IN_TEXT, Path, values
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.other_formats import image_part

_HEADS = ("iVBORw0KGgo", "/9j/", "\\/9j\\/", "R0lGOD", "UklGR", "SUkqA", "TU0AK", "Z0eX")
"""How PNG, JPEG, GIF, WEBP, TIFF, HEIF and AVIF begin in base64. The last stands six characters after the beginning."""
_URI_HEADS = (";base64,", ";BASE64,")

_RUN = re.compile(r"[A-Za-z0-9+/_-]*(?:\\+/[A-Za-z0-9+/_-]*)*={0,2}")
_BREAK = r"(?:\r?\n|(?:\\+r)?\\+n)"
_LINES = re.compile(rf"(?:{_BREAK}[A-Za-z0-9+/]{{57,120}}(?![A-Za-z0-9+/]))*")
_LAST_LINE = re.compile(rf"{_BREAK}([A-Za-z0-9+/]{{1,120}}={{0,2}})(?![A-Za-z0-9+/=])")
_LONGEST_LINE = 120
_NO_BASE64 = re.compile(r"\\+[nr]|\\|\s")
_DATA_HEAD = re.compile(
    r"data:(?:image\\{0,8}/[\w.+*-]{1,50}|application\\{0,8}/octet-stream)?(?:;[\w.=\"-]{1,100}){0,5}\Z", re.IGNORECASE
)
_HEAD_CHARACTERS = 300
_OF_A_PAGE = re.compile(r"(?:=|url\()\s{0,5}\\{0,8}[\"']?\Z", re.IGNORECASE)
"""The text before a ``data:`` URI in HTML or CSS. The plugin does not analyse the small pictures of web pages."""
_LEAST_CHARACTERS = 40
_MOST_LEVELS = 500
"""By default, deeper requests are refused."""


def embedded_images(value: object, here: Path) -> Iterator[tuple[Path, ImageSource]]:
    """Yield the images in the texts of a tool's result.

    Args:
        value: the result, a text or any JSON.
        here: its path in the body.
    """
    if isinstance(value, str):
        yield from _spots_in(value, here)
        return
    keys: list[Any] = []  # that lead to the innermost level
    levels = [_items(value)]
    while levels:
        for key, inner in levels[-1]:
            if isinstance(inner, str):
                yield from _spots_in(inner, (*here, *keys, key))
            elif len(levels) < _MOST_LEVELS:
                keys.append(key)
                levels.append(_items(inner))
                break
        else:
            levels.pop()
            del keys[-1:]


def _items(value: object) -> Iterator[tuple[Any, str | Mapping[str, Any] | list[Any]]]:
    """Return the texts, objects and lists in an object or list, with their keys. They are not copied."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value if isinstance(value, list) else ())
    return ((key, inner) for key, inner in items if isinstance(inner, (str, Mapping, list)))


def _spots_in(text: str, here: Path) -> Iterator[tuple[Path, ImageSource]]:
    for start, end, source in _images_in(text):
        yield (*here, IN_TEXT, start, end), source


def without_images(value: Any) -> Any:
    """Return a tool's result without the images in its texts."""
    edits = {path: partial(replacement, words="") for path, _ in embedded_images(value, ())}
    return values.edited(value, edits) if edits else value


def said_in(text: str | None) -> str | None:
    """Return the text of a tool's result without images. For a JSON list of content parts, return their texts."""
    words = without_images(text)
    if words is text or words is None:
        return text
    with suppress(ValueError, RecursionError):
        parts = json.loads(words)
        texts = [part.get("text") for part in parts if isinstance(part, Mapping) and "type" in part]
        if texts and len(texts) == len(parts):
            return values.text(values.joined(filter(values.text, texts)))
    return values.text(words)


def replacement(image: Any, words: str) -> str | dict[str, Any]:
    """Return a text in place of an image within a text, or a text part in place of an image part."""
    return words if isinstance(image, str) else values.text_part(image, words)


def holds_image(value: object) -> bool:
    """Return whether a JSON value contains an image part, or an image within a text, at any depth."""
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, Mapping):
            if image_part(inner) is not None:
                return True
            left += inner.values()
        elif isinstance(inner, list):
            left += inner
        elif isinstance(inner, str) and next(_images_in(inner), None) is not None:
            return True
    return False


def _images_in(text: str) -> Iterator[tuple[int, int, ImageSource]]:
    """Yield start, end and source of each image in a text, in order. The time is linear in the length of the text."""
    if len(text) < _LEAST_CHARACTERS:
        return
    beyond = 0
    for start, data in sorted({*_data_uris(text), *_bare_starts(text)}):
        if start < beyond:
            continue
        end = _end(text, data)
        written = _joined(text[data:end])
        if len(written) < _LEAST_CHARACTERS:
            continue
        source = ImageSource.encoded("", written) if start == data else ImageSource(_joined(text[start:data]) + written)
        if source.is_recognised or (start < data and source.is_image):
            yield start, end, source
            beyond = end


def _data_uris(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start of each ``data:`` URI that may be an image, and the start of its base64."""
    for found, head in _places(text, _URI_HEADS):
        before = text[max(0, found - _HEAD_CHARACTERS) : found]
        start = before.lower().rfind("data:")
        if start >= 0 and _DATA_HEAD.match(before, start):
            at = found - len(before) + start
            if not _OF_A_PAGE.search(text, max(0, at - 20), at):
                yield at, found + len(head)


def _bare_starts(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start of each base64 text that may be an image."""
    for found, head in _places(text, _HEADS):
        start = found - 6 if head == _HEADS[-1] else found
        if start >= 0 and _begins(text, start):
            yield start, start


def _places(text: str, words: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for word in words:
        found = text.find(word)
        while found >= 0:
            yield found, word
            found = text.find(word, found + len(word))


def _begins(text: str, start: int) -> bool:
    """Return whether base64 can begin here: no base64 character is before it, except in an escaped line break."""
    before = text[start - 1 : start]
    if text[max(0, start - 2) : start] in ("\\n", "\\r", "\\t"):
        return True
    return not (before.isascii() and before.isalnum()) and before not in ("+", "/", "=", "_", "-", "\\", ",")


def _end(text: str, start: int) -> int:
    """Return the end of base64 that may be split into lines."""
    run = _RUN.match(text, start)
    end = start if run is None else run.end()
    if not 57 <= end - start <= _LONGEST_LINE or text[end - 1] == "=":
        return end
    lines = _LINES.match(text, end)
    end = end if lines is None else lines.end()
    last = _LAST_LINE.match(text, end)
    if last is not None and (len(_joined(text[start:end])) + len(last[1])) % 4 == 0:
        return last.end()
    return end


def _joined(base64: str) -> str:
    """Return base64 without line breaks and escapes. If there are none, nothing is copied."""
    return _NO_BASE64.sub("", base64) if any(sign in base64 for sign in "\\\r\n") else base64
