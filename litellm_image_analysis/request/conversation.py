"""The messages of a request, and the question that an image is to be analysed for."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TypeAlias

from litellm_image_analysis.request import FoundImage, Path, values
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

Spot: TypeAlias = "tuple[Path, ImageSource | None, str]"
"""An image's path, the image, and its question."""


def tool_question(name: object, arguments: object, beside: str) -> str:
    """The question of a tool result: what the tool was asked for, and the text it gave beside the image."""
    if values.text(name) is None:
        return beside
    return values.joined([f"It is a result of the tool {name}, called with: {written(arguments)}", beside])


def written(value: object) -> str:
    """JSON as text; a string is itself, and what cannot be written is nothing."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, TypeError, ValueError):  # nested beyond what Python writes, keys or numbers JSON has not
        return ""


@dataclass(frozen=True, eq=False)
class Conversation:
    """Messages, and what each of them finds when it looks back: worked out for all at once, when first asked for.

    Attributes:
        items: the messages by their places, in order.
        words: a message's own text.
        ends_turn: whether a message ends a turn, so that none behind it looks back any further.
        calls: tool calls with the place and the id of each; of one place's calls with the same id the first counts.
        is_said: whether what stands at a place is a message at all, as those who look back see it.
    """

    items: Mapping[int, Json]
    words: Callable[[Json], str]
    ends_turn: Callable[[Json], bool]
    calls: Callable[[Mapping[int, Json]], Iterable[tuple[int, Hashable, Json]]]
    is_said: Callable[[Mapping[int, Json], int], bool] = lambda items, index: index in items

    def question(self, index: int) -> str:
        """The message's own text, or the nearest earlier user text in its turn; ``""`` if there is none."""
        return self.words(self.items[index]) or self._said_before[index]

    def call_before(self, index: int, call_id: Hashable) -> Json:
        """The latest call with this id at an earlier place than ``index``; an empty object if there is none."""
        known = self._calls.get(call_id, [])
        count = bisect_left(known, index, key=itemgetter(0))
        return known[count - 1][1] if count else {}

    @cached_property
    def _said_before(self) -> dict[int, str]:
        said: dict[int, str] = {}
        latest = ""
        for index, item in self.items.items():
            said[index] = latest
            if not self.is_said(self.items, index):
                continue
            if self.ends_turn(item):
                latest = ""
            elif item.get("role", "user") == "user":
                latest = self.words(item) or latest
        return said

    @cached_property
    def _calls(self) -> dict[Hashable, list[tuple[int, Json]]]:
        known: dict[Hashable, list[tuple[int, Json]]] = {}
        for index, call_id, call in self.calls(self.items):
            same = known.setdefault(call_id, [])
            if not same or same[-1][0] != index:
                same.append((index, call))
        known.pop(None, None)
        return known


def once(ask: Callable[..., str], *about: object) -> Callable[[], str]:
    """Compute a text on first use and remember it."""
    answers: list[str] = []

    def answer() -> str:
        if not answers:
            answers.append(ask(*about))
        return answers[0]

    return answer


def numbered(spots: Sequence[Spot]) -> list[FoundImage]:
    """The images of one message with their numbers in it."""
    return [
        FoundImage(path, source, number, len(spots), question)
        for number, (path, source, question) in enumerate(spots, start=1)
    ]
