"""Read JSON of any shape, and rewrite it without changing the original."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

from litellm_image_analysis.request import Path

Json: TypeAlias = Mapping[str, Any]
Edit: TypeAlias = Callable[[Any], Any]
"""Returns a new value for an old one. It does not change the old one."""

_CACHE_MARKS = ("cache_control", "prompt_cache_breakpoint")
"""Keys that mark the end of the part of a request that a provider caches: Anthropic's and OpenAI's."""


_WINDOW = 100_000
_MOST_LEVELS = 6
"""Each level of JSON within JSON doubles the backslashes of a text."""


def cut(words: str, most: int, end: int) -> str:
    """Return a text of at most ``most`` characters unchanged, and of a longer one both ends of ``end`` characters."""
    if len(words) <= most:
        return words
    return f"{words[:end]}\n[... {len(words) - 2 * end} characters left out ...]\n{words[-end:]}"


def is_object(value: object) -> TypeGuard[Json]:
    """Return whether the value is an object."""
    return type(value) is dict or isinstance(value, Mapping)  # the second check alone takes several times as long


def mapping(value: object) -> Json:
    """Return the value if it is an object, else an empty one."""
    return value if is_object(value) else {}


def objects(value: object) -> Iterator[tuple[int, Json]]:
    """Yield the objects of a list with their indexes. Yield nothing if the value is not a list."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            if is_object(item):
                yield place, item


def text(value: object) -> str | None:
    """Return the value if it is a non-empty string, else ``None``."""
    return value if isinstance(value, str) and value else None


def kind(part: Json) -> str:
    """Return the type of a content part, ``""`` if it has none."""
    return text(part.get("type")) or ""


def joined(texts: Iterable[str | None]) -> str:
    """Return the texts that are not empty, one on each line."""
    return "\n".join(filter(None, texts))


def edited(value: Any, edits: Mapping[Path, Edit]) -> Any:
    """Return a copy with the value at each path edited. Values outside these paths are shared, not copied."""
    if () in edits:
        return edits[()](value)
    if isinstance(value, str):
        return _edited_text(value, edits)
    below: dict[str | int, dict[Path, Edit]] = {}
    for (key, *rest), edit in edits.items():
        below.setdefault(key, {})[tuple(rest)] = edit
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    for key, inner in below.items():
        copy[key] = edited(value[key], inner)
    return copy


def _edited_text(text: str, edits: Mapping[Path, Edit]) -> str:
    """Return a text with pieces of it edited. A piece within JSON is written as in a JSON string."""
    pieces, beyond = [], 0
    is_json = text.lstrip()[:1] in ("[", "{", '"')
    for (_, start, end), edit in sorted(edits.items(), key=lambda item: item[0][1:]):
        at, to = int(start), int(end)
        pieces += [text[beyond:at], _written(edit(text[at:to]), _level(text, at, is_json=is_json))]
        beyond = to
    return "".join([*pieces, text[beyond:]])


def _written(words: str, level: int) -> str:
    for _ in range(level):
        words = json.dumps(words, ensure_ascii=False)[1:-1]
    return words


def _level(text: str, at: int, *, is_json: bool) -> int:
    """Return how deep a place is in JSON within JSON, by the number of backslashes before its quotation mark."""
    quote = at - 1 if text[at - 1 : at] == '"' else text.rfind('"', max(0, at - _WINDOW), at) if is_json else -1
    if quote < 0:
        return 1 if is_json else 0
    backslashes = 0
    while backslashes < min(quote, 2**_MOST_LEVELS) and text[quote - 1 - backslashes] == "\\":
        backslashes += 1
    return min((backslashes + 1).bit_length(), _MOST_LEVELS)


def changed(body: Json, edits: Mapping[Path, Edit]) -> dict[str, Any]:
    """Return the top-level values of the body that change with these edits."""
    return dict(edited({path[0]: body[str(path[0])] for path in edits}, edits))


def text_part(image: Json, words: str, kind: str = "text") -> dict[str, Any]:
    """Return a text part of OpenAI's and Anthropic's formats in place of ``image``, with its keys for caches."""
    return {"type": kind, "text": words, **{key: image[key] for key in _CACHE_MARKS if key in image}}


def plain_texts(parts: object) -> list[str]:
    """Return the texts of a list of plain text parts, without empty ones. With other parts, return an empty list."""
    found = [part["text"] for _, part in objects(parts) if part == {"type": "text", "text": part.get("text")}]
    is_all = isinstance(parts, list) and len(found) == len(parts)
    return [words for words in found if words] if is_all and all(isinstance(words, str) for words in found) else []
