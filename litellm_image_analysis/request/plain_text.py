"""Recognise messages that are plain text, so that they need not be searched. Most messages are.

A plain message has no image and no file, and its nesting depth is known. All other messages are searched in full.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

DEPTH = 4
"""The maximum number of levels of objects and lists in a list of plain messages."""

_MOST_VALUES = 5_000
_SCALARS = {str, int, float, bool, type(None)}


@dataclass(frozen=True, slots=True)
class PlainText:
    """The shape of a plain message in a wire format.

    Attributes:
        content: the key of its content: a text, or a list of parts.
        part: the value of a text part's ``type``. ``None`` if its parts have no type.
        results: the roles of messages that are results of tools. Images may be in their texts.
        is_result: the keys of an item that is a result, whatever its role.
    """

    content: str
    part: str | None
    results: Collection[str] = ()
    is_result: Collection[str] = ()

    def matches(self, message: Any) -> bool:
        """Return whether a message is plain text.

        Args:
            message: the message, any JSON.
        """
        if type(message) is not dict:
            return False
        for key, value in message.items():
            if key == self.content:
                if type(value) is not str and not self._are_texts(value):
                    return False
            elif type(value) not in _SCALARS or key in self.is_result or (key == "role" and value in self.results):
                return False
        return True

    def _are_texts(self, parts: Any) -> bool:
        if type(parts) is not list or len(parts) > _MOST_VALUES:
            return parts is None
        kind, size = self.part, 1 if self.part is None else 2
        for part in parts:
            if (
                type(part) is not dict
                or len(part) != size
                or type(part.get("text")) is not str
                or part.get("type") != kind
            ):
                return False
        return True

    def all_match(self, messages: Any) -> bool:
        """Return whether all messages are plain text. ``False`` if there are so many that this would take milliseconds.

        Args:
            messages: the messages of a request, any JSON. A text in their place is plain, too.
        """
        if type(messages) is not list:
            return messages is None or type(messages) is str
        count = len(messages)
        if count > _MOST_VALUES:
            return False
        for message in messages:
            if not self.matches(message):
                return False
            content = message.get(self.content)
            if type(content) is list:
                count += len(content)
                if count > _MOST_VALUES:
                    return False
        return True
