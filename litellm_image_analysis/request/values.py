"""Read JSON of any shape, and rewrite it without changing the original."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from litellm_image_analysis.request import Path

Json: TypeAlias = Mapping[str, Any]
Edit: TypeAlias = Callable[[Any], Any]
"""Returns the new value for an old one, which it does not change."""

_CACHE_MARKS = ("cache_control", "prompt_cache_breakpoint")
"""What ends the part of a request that a provider caches: Anthropic's and OpenAI's."""


def cut(words: str, most: int, end: int) -> str:
    """Return a text whole, or if it is longer than ``most`` characters, its two ends of ``end`` characters each."""
    if len(words) <= most:
        return words
    return f"{words[:end]}\n[... {len(words) - 2 * end} characters left out ...]\n{words[-end:]}"


def mapping(value: object) -> Json:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> Iterator[tuple[int, Json]]:
    """Yield the objects of a list with their indexes. Yield nothing if the value is not a list."""
    if isinstance(value, list):
        yield from ((place, item) for place, item in enumerate(value) if isinstance(item, Mapping))


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
    """Return a value with the value at each path edited. Values outside these paths are shared, not copied.

    A text with JSON is read and written once, however many edits are in it.
    """
    if () in edits:
        return edits[()](value)
    if isinstance(value, str):
        return written(edited(json.loads(value), {path[1:]: edit for path, edit in edits.items()}))
    below: dict[str | int, dict[Path, Edit]] = {}
    for (key, *rest), edit in edits.items():
        below.setdefault(key, {})[tuple(rest)] = edit
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    for key, inner in below.items():
        copy[key] = edited(value[key], inner)
    return copy


def changed(body: Json, edits: Mapping[Path, Edit]) -> dict[str, Any]:
    """Return the top-level values of the body that change with these edits."""
    return dict(edited({path[0]: body[str(path[0])] for path in edits}, edits))


def text_part(image: Json, words: str, kind: str = "text") -> dict[str, Any]:
    """Return a text part of OpenAI's and Anthropic's formats in place of ``image``. Its marks for caches are kept."""
    return {"type": kind, "text": words, **{key: image[key] for key in _CACHE_MARKS if key in image}}


def written(value: Any) -> str:
    """Return JSON as text. A list of plain text parts becomes their texts, which models read more easily."""
    texts = plain_texts(value)
    return "\n\n".join(texts) if texts else json.dumps(value, ensure_ascii=False)


def plain_texts(parts: object) -> list[str]:
    """Return the texts of a list of plain text parts, without empty ones. Return none if there are other parts."""
    found = [part["text"] for _, part in objects(parts) if part == {"type": "text", "text": part.get("text")}]
    is_all = isinstance(parts, list) and len(found) == len(parts)
    return [words for words in found if words] if is_all and all(isinstance(words, str) for words in found) else []
