"""The messages of a request, and the question for each image."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TypeAlias

from litellm_image_analysis.request import FoundImage, Path, Question, values
from litellm_image_analysis.request.context_blocks import TAGS, without_context
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

Spot: TypeAlias = "tuple[Path, ImageSource | None, Question]"
"""The path of an image, the image, and its question."""

INSTRUCTIONS = ("system", "developer")
"""The roles of messages that are neither the user's nor the model's."""

MAX_CALL_CHARACTERS = 8000
"""A longer tool call is cut in the middle: it may contain a file, and its text may be part of many questions."""

_RESULT_OF = "It is a result of the tool "
_CALLED_WITH = ", called with: "
_ASKED = "The user had asked: "

_END_CHARACTERS = 3900
"""The length of both ends of a call that is cut. Both ends and the marker together are below the maximum."""


def tool_call(name: object, arguments: object) -> str:
    """Return a tool call as text, ``""`` if it has no name."""
    if values.text(name) is None:
        return ""
    words = f"{_RESULT_OF}{name}{_CALLED_WITH}{written(arguments)}"
    return values.cut(words, MAX_CALL_CHARACTERS, _END_CHARACTERS)


def tool_of(question: str) -> str | None:
    """Return the name of the tool from the question for its result, or ``None``."""
    name, found, _ = question.removeprefix(_RESULT_OF).partition(_CALLED_WITH)
    return name if found and question.startswith(_RESULT_OF) else None


def written(value: object) -> str:
    """Return JSON as text. A string stays as it is. A value that cannot be written becomes ``""``."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, TypeError, ValueError):  # nested too deeply, or keys or numbers that JSON does not have
        return ""


@dataclass(frozen=True, eq=False)
class Conversation:
    """The messages of a request, with earlier texts and tool calls that belong to each message.

    Earlier texts and calls are computed for all messages on first use.

    Attributes:
        items: the messages by index, in order.
        texts: returns the texts of a message.
        ends_turn: returns whether a message ends a turn. Later messages do not use texts from before it.
        calls: returns the tool calls, with the index of the message and the id of each. If a message has several calls
            with the same id, the first counts.
        call_text: returns a tool call as text. It is used once for each call.
        is_said: returns whether the item at an index is a message. Later messages use only the texts and roles of
            messages.
        results: returns the ids of the calls whose results a message shows: those before or beside its images. Some
            clients send the image of a tool's result in a message of the user.
        has_image: returns whether a message has an image of its own. If it also shows results, the client wrote its
            text, not the user.
        context_tags: the tags of blocks that are not part of a question.
    """

    items: Mapping[int, Json]
    texts: Callable[[Json], Iterable[str | None]]
    ends_turn: Callable[[Json], bool]
    calls: Callable[[Mapping[int, Json]], Iterable[tuple[int, Hashable, Json]]]
    call_text: Callable[[Json], str]
    is_said: Callable[[Mapping[int, Json], int], bool] = lambda items, index: index in items
    results: Callable[[Mapping[int, Json], int], Sequence[Hashable]] = lambda items, index: ()
    has_image: Callable[[Json], bool] = lambda item: False
    context_tags: Sequence[str] = TAGS
    _call_texts: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def question(self, index: int) -> str:
        """Return the question for the images of a message.

        It is the text of the message, else the latest earlier user text in its turn, else ``""``. If the message shows
        results of tools, it is the question for a tool's result.
        """
        words = self._words(self.items[index])
        # Each call once, so that many results of one call do not make a long question.
        results = dict.fromkeys(self.results(self.items, index))
        calls = [self.call_text_before(index + 1, call_id) for call_id in results]
        return self._result_question(index, calls, words) if any(calls) else words or self._said_before[index]

    def result_question(self, index: int, call_text: str, texts: Iterable[str | None]) -> str:
        """Return the question for a tool's result: the call, the texts beside the images, and the user's question.

        Args:
            index: index of the message with the result. Only user texts before it are used.
            call_text: the call as text.
            texts: the texts of the result.
        """
        return self._result_question(index, [call_text], self._joined(texts))

    def _result_question(self, index: int, calls: Iterable[str], words: str) -> str:
        said = self._said_before[index]
        return values.joined([*calls, words, f"{_ASKED}{said}" if said else ""])

    def _words(self, item: Json) -> str:
        return self._joined(self.texts(item))

    def _joined(self, texts: Iterable[str | None]) -> str:
        return values.joined(without_context(words, self.context_tags) for words in texts if words)

    def call_before(self, index: int, call_id: Hashable) -> Json:
        """Return the latest call with this id in a message before ``index``, or an empty object."""
        known = self._calls.get(call_id, [])
        count = bisect_left(known, index, key=itemgetter(0))
        return known[count - 1][1] if count else {}

    def call_text_before(self, index: int, call_id: Hashable) -> str:
        """Return the text of the latest call with this id in a message before ``index``, or ``""``.

        All results of a call share one string, because the text may be long.
        """
        call = self.call_before(index, call_id)
        if not call:
            return ""
        if id(call) not in self._call_texts:  # _calls keeps the call alive, so no other object gets its id
            self._call_texts[id(call)] = self.call_text(call)
        return self._call_texts[id(call)]

    @cached_property
    def _said_before(self) -> dict[int, str]:
        said: dict[int, str] = {}
        latest = ""
        for index, item in self.items.items():
            said[index] = latest
            if not self.is_said(self.items, index) or (self.results(self.items, index) and self.has_image(item)):
                continue
            if self.ends_turn(item):
                latest = ""
            elif item.get("role", "user") == "user":
                latest = self._words(item) or latest
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


def results_before(
    items: Mapping[int, Json], index: int, is_result: Callable[[Json], bool], id_key: str
) -> list[str | None]:
    """Return the ids of the tool results right before a message of the user. Other messages show no results.

    Some clients put messages of the system or the developer between the results and the user's message.
    """
    if items[index].get("role") != "user":
        return []
    found: list[str | None] = []
    for place in range(index - 1, -1, -1):
        item = values.mapping(items.get(place))
        if is_result(item):
            found.append(values.text(item.get(id_key)))
        elif item.get("role") not in INSTRUCTIONS:
            break
    return found[::-1]


class Once:
    """A question that is computed on first use.

    Args:
        ask: computes it.
        about: the arguments of ``ask``.
        is_result: whether it is the question for a tool's result.
    """

    __slots__ = ("_about", "_answer", "_ask", "is_result")

    def __init__(self, ask: Callable[..., str], *about: object, is_result: bool = False) -> None:
        self._ask, self._about, self.is_result = ask, about, is_result
        self._answer: str | None = None

    def __call__(self) -> str:
        """Return the question."""
        if self._answer is None:
            self._answer = self._ask(*self._about)
        return self._answer


def numbered(spots: Sequence[Spot]) -> list[FoundImage]:
    """Return the images of one message with their numbers."""
    return [
        FoundImage(
            path, source, number, len(spots), question, is_result=isinstance(question, Once) and question.is_result
        )
        for number, (path, source, question) in enumerate(spots, start=1)
    ]
