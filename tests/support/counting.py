"""Work that is counted and not timed, so that it is the same on every machine: characters read, calls, memory."""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, SupportsIndex

_WHOLE = (
    *("__contains__", "__eq__", "__format__", "__hash__", "__iter__", "__ne__", "__repr__", "__str__", "__add__"),
    *("casefold", "count", "encode", "isalnum", "isascii", "isprintable", "join", "lower", "lstrip", "partition"),
    *("replace", "rpartition", "rstrip", "split", "splitlines", "strip", "translate", "upper"),
)
"""Operations of a text that read all of it, or may."""


class Counted(str):  # noqa: SLOT000 - it counts in attributes
    """A text that counts how it is read.

    Attributes:
        sliced: characters in slices of it.
        searches: searches for a character or a word from some place on.
        passes: the other operations that read all of it.
    """

    def __init__(self, _: str) -> None:
        self.sliced = 0
        self.searches = 0
        self.passes: list[str] = []

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        piece = super().__getitem__(key)
        self.sliced += len(piece)
        return piece

    def find(self, *arguments: Any) -> int:
        self.searches += 1
        return super().find(*arguments)


def _counted(name: str) -> Callable[..., Any]:
    read = getattr(str, name)

    def counted(text: Counted, *arguments: Any, **options: Any) -> Any:
        text.passes.append(name)
        return read(text, *arguments, **options)

    return counted


for _name in _WHOLE:
    setattr(Counted, _name, _counted(_name))


async def calls_of(work: Awaitable[object]) -> Counter[str]:
    """The calls of functions while this is awaited, by file and name: of this thread, Python's and built-in ones."""
    calls: Counter[str] = Counter()

    def see(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            calls[f"{frame.f_code.co_filename}:{frame.f_code.co_name}"] += 1
        elif event == "c_call":
            calls[argument.__qualname__] += 1

    sys.setprofile(see)
    try:
        await work
    finally:
        sys.setprofile(None)
    calls["setprofile"] -= 1
    return +calls


async def peak_of(work: Awaitable[object]) -> int:
    """The most bytes that are allocated while this is awaited, in all threads, beyond those from before."""
    tracemalloc.start()
    try:
        await work
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
