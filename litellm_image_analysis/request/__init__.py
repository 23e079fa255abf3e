"""Wire formats: find the images and other files of a request and replace them by text. No I/O.

Each wire format is a module with the functions of ``WireFormat``, so other modules do not depend on the format of a
request. A wire format does not change its arguments: it copies the values that change and shares the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from litellm_image_analysis.request.files import FoundFile
    from litellm_image_analysis.request.image import ImageSource

Path: TypeAlias = tuple[str | int, ...]
"""The keys and indexes that lead to a content part in the request body, such as ``("messages", 2, "content", 1)``."""

IN_TEXT = "(text)"
"""Marks a piece of a text in a path. The indexes of its first character and of the character after its last follow."""

Body: TypeAlias = Mapping[str, Any]

Question: TypeAlias = "str | Callable[[], str]"
"""The question for an image, or a function that returns it."""


class _Lazy:
    """A dataclass field for a text. If its value is a function, the text is computed on first use and remembered."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, holder: object, owner: type) -> str:
        if holder is None:  # dataclasses read the default from the class. There is none
            raise AttributeError(self._name)
        value: Question = holder.__dict__[self._name]
        if not isinstance(value, str):
            value = holder.__dict__[self._name] = value()
        return value

    def __set__(self, holder: object, value: Question) -> None:
        holder.__dict__[self._name] = value


@dataclass(frozen=True)
class FoundImage:
    """One image of a request, with its context.

    Attributes:
        path: the path of its content part in the body.
        source: the image. ``None`` for an image part whose image cannot be read.
        number: its number among the images of its message, from 1.
        count: the number of images in its message.
        question: the text of its message, ``""`` if there is none. A function is accepted, because the text may be
            expensive and is not always read.
        is_result: whether it is in the result of a tool. Otherwise it is from the user.
    """

    path: Path
    source: ImageSource | None
    number: int
    count: int
    question: _Lazy = _Lazy()
    is_result: bool = False

    @property
    def place(self) -> str:
        """The path in the notation of JavaScript: ``messages[2].content[1]``."""
        is_in_text = len(self.path) > 3 and self.path[-3] == IN_TEXT
        head, *rest = self.path[:-3] if is_in_text else self.path
        return str(head) + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in rest)


@dataclass(frozen=True, slots=True)
class Attachments:
    """The images and other files of a request.

    Attributes:
        images: its images, in order.
        files: its files that are no images, in order.
    """

    images: Sequence[FoundImage] = ()
    files: Sequence[FoundFile] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.images or self.files)


NO_ATTACHMENTS = Attachments()


class WireFormat(Protocol):
    """The functions of a wire format's module."""

    CONTENT: tuple[str, ...]
    """The body's keys with the conversation. The messages are under the last one."""

    def find(self, body: Body, context_tags: Sequence[str] = ...) -> Attachments:
        """Return all images and other files of the request.

        Args:
            body: the request.
            context_tags: the tags of blocks that are not part of a question.
        """

    def is_plain_text(self, body: Body) -> bool:
        """Return whether the request is known to be plain text, without images and files."""

    def replace_images(self, body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
        """Return the body's top-level values that change if the image or file at each path is replaced by its text.

        An image whose path is not in ``texts`` stays.
        """
