"""Reading JSON that may have any shape, and rewriting it without changing the original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from litellm_image_analysis.request import Path

Json: TypeAlias = Mapping[str, Any]


def mapping(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> Iterator[tuple[int, Json]]:
    """The objects of a list with their places; nothing if the value is no list."""
    if isinstance(value, list):
        yield from ((place, item) for place, item in enumerate(value) if isinstance(item, Mapping))


def text(value: object) -> str | None:
    """The value if it is a string with something in it."""
    return value if isinstance(value, str) and value else None


def kind(part: Json) -> str:
    """The part's type, ``""`` if it has none that could be known."""
    return text(part.get("type")) or ""


def joined(texts: Iterable[str | None]) -> str:
    """Texts one below the other."""
    return "\n".join(filter(None, texts))


def replaced(value: Any, edits: Mapping[Path, Any]) -> Any:
    """A value with what stands at each path replaced. What is not on a path is shared, not copied."""
    if () in edits:
        return edits[()]
    below: dict[str | int, dict[Path, Any]] = {}
    for (key, *rest), edit in edits.items():
        below.setdefault(key, {})[tuple(rest)] = edit
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    for key, inner in below.items():
        copy[key] = replaced(value[key], inner)
    return copy


def changed(body: Json, edits: Mapping[Path, Any]) -> dict[str, Any]:
    """The body's top-level values that change with these edits."""
    return dict(replaced({path[0]: body[str(path[0])] for path in edits}, edits))


def text_part(image: Json, words: str) -> dict[str, Any]:
    """A text part, as OpenAI and Anthropic write it, where ``image`` stood; its prompt-cache breakpoint stays."""
    part: dict[str, Any] = {"type": "text", "text": words}
    return {**part, "cache_control": image["cache_control"]} if "cache_control" in image else part


def at(value: Any, path: Path) -> Any:
    """What stands at a path."""
    for key in path:
        value = value[key]
    return value
