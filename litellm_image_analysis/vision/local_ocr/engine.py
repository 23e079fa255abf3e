"""What an engine for text recognition gets and returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Pixels: TypeAlias = "NDArray[np.uint8]"
"""A picture of shape (height, width, 3), in RGB."""

GoOn: TypeAlias = Callable[[], None]
"""Raises ``CancelledError`` if the request was cancelled."""


UNCERTAIN_BELOW = 0.8


@dataclass(frozen=True, order=True, slots=True)
class Fragment:
    """A piece of text, the engine's confidence in it (0 to 1) and its box, in pixels from the image's top left.

    ``found`` is the engine's confidence that there is text in the box (0 to 1).
    """

    text: str
    score: float
    left: float
    top: float
    right: float
    bottom: float
    found: float = 1.0

    @property
    def width(self) -> float:
        """The width of the box, in pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """The height of the box, in pixels."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Reading:
    """What an engine has read of a picture.

    Attributes:
        fragments: the pieces of text, in any order. Their boxes refer to the turned picture.
        quarters: quarters by which the picture was turned against the direction of the clock, so that it is upright.
        unread: number of lines that were found and not read, because the picture has too many.
    """

    fragments: Sequence[Fragment] = ()
    quarters: int = 0
    unread: int = 0


def marked(fragment: Fragment) -> str:
    """Return the text of a fragment, marked if the engine is not sure of it."""
    return fragment.text if fragment.score >= UNCERTAIN_BELOW else f"{fragment.text} [uncertain]"


class Engine(Protocol):
    """Reads pictures. It is called concurrently from several threads."""

    def read(self, picture: Pixels, go_on: GoOn) -> Reading:
        """Read the text in a picture."""
