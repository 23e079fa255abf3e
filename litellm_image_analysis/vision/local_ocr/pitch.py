"""Find out whether a page has a monospaced font, and place its fragments by columns of characters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import fmean, median
from typing import TYPE_CHECKING

from litellm_image_analysis.vision.local_ocr.engine import Fragment, marked

if TYPE_CHECKING:
    from collections.abc import Callable

_FEWEST = 4
"""Fragments that are needed to tell fonts apart."""
_SHORTEST = 5
"""Characters: the boxes of shorter fragments are not exact enough."""
_MONOSPACED_BELOW = 0.78
"""Spread of the width of a letter, over that in a proportional font. Measured: up to 0.63, and from 0.93."""
_LEAST_SPREAD = 0.002


def in_columns(row: Sequence[Fragment], pitch: float, left: float) -> str:
    """Return a row of fragments as one line, with spaces before and between them as in the picture.

    Args:
        row: the fragments, from left to right.
        pitch: pixels from one character to the next.
        left: pixels from the left of the picture to the first column.
    """
    line, length, end = "", 0, left
    for fragment in row:
        is_apart = length > 0 and fragment.left - end > pitch / 3
        spaces = max(round((fragment.left - left) / pitch) - length, int(is_apart))
        line += " " * spaces + marked(fragment)
        length += spaces + len(fragment.text)
        end = fragment.right
    return line


def find_pitch(fragments: Sequence[Fragment]) -> float | None:
    """Return the pixels from one character to the next, or ``None`` if the font is proportional, or cannot be told."""
    long = [each for each in fragments if len(each.text) >= _SHORTEST and each.text.isascii()]
    if len(long) < _FEWEST:
        return None
    letter = [each.width / len(each.text) for each in long]
    proportional = _proportional()
    spread = _spread([each.width / proportional(each.text) for each in long])
    if _spread(letter) > _MONOSPACED_BELOW * max(spread, _LEAST_SPREAD):
        return None
    return median(letter)


def _spread(values: Sequence[float]) -> float:
    """Return the mean distance to the median, in relation to it."""
    middle = median(values)
    return fmean(abs(value - middle) for value in values) / middle


@cache
def _proportional() -> Callable[[str], float]:
    """Return a function that measures a text in a proportional font."""
    from PIL import ImageFont

    return ImageFont.load_default(20).getlength
