"""The lines that were found in a picture: their boxes, turned and sorted, and what was read of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from litellm_image_analysis.vision.local_ocr.engine import Fragment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from litellm_image_analysis.vision.local_ocr.engine import Pixels

    Quads: TypeAlias = NDArray[np.float32]
    """Boxes of shape (lines, 4, 2): the corners from the top left in the direction of the clock, as x and y."""

LINE_HEIGHT = 48
_LEAST_COST = 200  # pixels: what any line costs
_LOOSE, _TIGHT = 1.8, 1.5
"""Heights of the ink: of a box that is too high, and of the box that is cut from it."""
_FAINT, _INK = 8.0, 0.35
"""The difference of ink to the ground: grey levels, and share of the greatest difference."""

Line: TypeAlias = "tuple[str, float]"
"""A text and its score."""


def sizes(quads: Quads) -> tuple[Any, Any]:
    """Return widths and heights."""
    width = np.linalg.norm(quads[:, 0] - quads[:, 1], axis=1)
    height = np.linalg.norm(quads[:, 0] - quads[:, 3], axis=1)
    return width, height


def are_vertical(quads: Quads) -> bool:
    """Return whether most lines run from top to bottom."""
    width, height = sizes(quads)
    return bool((height > 1.5 * width).sum() > 0.6 * len(quads))


def turned(quads: Quads, size: tuple[int, int], quarters: int) -> Quads:
    """Turn the boxes of a picture with this height and width by quarters against the direction of the clock."""
    height, width = size
    for _ in range(quarters % 4):
        # x, y -> y, width - x. The corner that was at the top right is at the top left.
        quads = np.stack([quads[:, :, 1], width - quads[:, :, 0]], axis=2)[:, [1, 2, 3, 0]]
        height, width = width, height
    return quads


def upside_down(crop: Pixels) -> Pixels:
    """Turn a picture by 180 degrees."""
    return crop[::-1, ::-1]


def downwards(quads: Quads) -> Any:
    """Return the order of boxes from top to bottom."""
    middles = quads.mean(axis=1)
    return np.lexsort((middles[:, 0], middles[:, 1]))


def within(crops: Sequence[Pixels], budget: float) -> int:
    """Return how many lines can be read with a budget, in pixels of lines that are ``LINE_HEIGHT`` high."""
    widths = [max(_LEAST_COST, LINE_HEIGHT * crop.shape[1] / max(1, crop.shape[0])) for crop in crops]
    return int(np.searchsorted(np.cumsum(widths), budget, side="right"))


def mean_score(found: Sequence[Line], crops: Sequence[Pixels]) -> float:
    """Return the mean score, in relation to the lines' widths."""
    widths = [crop.shape[1] for crop, _ in zip(crops, found, strict=False)]
    return float(sum(width * score for width, (_, score) in zip(widths, found, strict=True)) / max(1, sum(widths)))


def fragments(quads: Quads, scores: Sequence[float], crops: Sequence[Pixels], found: Sequence[Line]) -> list[Fragment]:
    """Return what was read with upright boxes, as if a page that is not straight had been straightened."""
    angle = _angle(quads)
    if abs(angle) > math.radians(0.3):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
        quads = quads @ turn
    result = []
    for quad, crop, (text, score), found_score in zip(quads, crops, found, scores, strict=False):
        left, top = quad.min(axis=0).tolist()
        right, bottom = quad.max(axis=0).tolist()
        before, after = _ink(crop)
        result.append(
            Fragment(text, score, left + before, top, max(left + before + 1, right - after), bottom, float(found_score))
        )
    return result


def _angle(quads: Quads) -> float:
    """Return the angle of the lines to the horizontal, in radians: the median, by length."""
    width, height = sizes(quads)
    along = quads[:, 1] - quads[:, 0]
    long = width > 3 * height
    if not long.any():
        return 0.0
    angles, weights = np.arctan2(along[long, 1], along[long, 0]), width[long]
    order = np.argsort(angles)
    return float(angles[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])


def tightened(crop: Pixels) -> Pixels:
    """Cut what is above and below a line, if its box is much higher than the line: its letters are then read larger."""
    rows = np.flatnonzero(_has_ink(crop, axis=1))
    if not len(rows) or crop.shape[0] <= _LOOSE * (rows[-1] + 1 - rows[0]):
        return crop
    margin = (rows[-1] + 1 - rows[0]) * (_TIGHT - 1) / 2
    return crop[max(0, int(rows[0] - margin)) : int(rows[-1] + 2 + margin)]


def _ink(crop: Pixels) -> tuple[int, int]:
    """Return how many columns of pixels before and after the text have the colour of the ground."""
    columns = np.flatnonzero(_has_ink(crop, axis=0))
    return (int(columns[0]), int(crop.shape[1] - 1 - columns[-1])) if len(columns) else (0, 0)


def _has_ink(crop: Pixels, axis: int) -> Any:
    """Return whether columns (axis 0) or rows (axis 1) of pixels differ from the ground."""
    grey = crop.mean(axis=2)
    difference = np.abs(grey - np.median(grey))
    return difference.max(axis=axis) > max(_FAINT, _INK * float(difference.max()))
