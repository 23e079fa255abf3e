"""What the dialects share: reading untrusted JSON, questions, and rewriting without touching the original."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from litellm_image_analysis.dialects import FoundImage, Path
from litellm_image_analysis.images import ImageSource

Json: TypeAlias = Mapping[str, Any]
Spot: TypeAlias = "tuple[Path, ImageSource | None, str]"
"""An image's path, the image, and its question."""


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


def tool_question(name: object, arguments: object, beside: str) -> str:
    """The question of a tool result: what the tool was asked for, and the text it gave beside the image."""
    if text(name) is None:
        return beside
    return joined([f"It is a result of the tool {name}, called with: {written(arguments)}", beside])


def written(value: object) -> str:
    """JSON as text; a string is itself, and what cannot be written is nothing."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, TypeError, ValueError):  # nested beyond what Python writes, keys or numbers JSON has not
        return ""


def earlier(items: Mapping[int, Json], index: int) -> Iterator[Json]:
    """The items before this one, the latest first."""
    return (items[place] for place in sorted(items, reverse=True) if place < index)


def words_in_turn(items: Iterable[Json], words: Callable[[Json], str], ends_turn: Callable[[Json], bool]) -> str:
    """The first user text among items, latest first, before one that ends a turn; ``""`` if there is none."""
    for item in items:
        if ends_turn(item):
            return ""
        if item.get("role", "user") == "user" and (found := words(item)):
            return found
    return ""


def numbered(spots: Sequence[Spot]) -> list[FoundImage]:
    """The images of one message with their numbers in it."""
    return [
        FoundImage(path, source, number, len(spots), question)
        for number, (path, source, question) in enumerate(spots, start=1)
    ]


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
