"""Cut a picture into tiles of a bounded size, so that detection at native size needs bounded memory.

Each tile is seen with a margin around it, so that what is found at its edges fits what is found in the next tile. Flat
parts of a picture are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from litellm_image_analysis.vision.local_ocr.lines import sizes

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels
    from litellm_image_analysis.vision.local_ocr.lines import Quads

WHOLE = 2_300_000
"""Pixels of a picture that is one tile."""
SIDE = 960
"""Pixels: the longest side of a tile of a larger picture, without its margins."""
MARGIN = 48
CELL = 16
_FLAT = 6
"""Grey levels: a cell with less contrast holds no text."""
_CLEAR = 40
"""Grey levels: a cell with less contrast holds no text that is worth a second look."""
_SMALL = 27
"""Pixels: the height of a box whose text is small at half the size."""
_FEWEST_CELLS = 4


class Box(NamedTuple):
    """A part of a picture, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """The number of pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def of(self) -> tuple[slice, slice]:
        """The index of the part in an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class Tile(NamedTuple):
    """A tile, and what is seen around it."""

    own: Box
    seen: Box


def tiles(picture: Pixels) -> Iterator[Tile]:
    """Yield the tiles of a picture, each as small as its contents allow. Flat ones are left out."""
    contrast = contrasts(picture)
    for box in _grid(picture):
        cells = contrast[_cells(box)] >= _FLAT
        down, across = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
        if len(down):
            yield _tile(
                picture,
                Box(
                    box.left + CELL * int(across[0]),
                    box.top + CELL * int(down[0]),
                    min(box.right, box.left + CELL * int(across[-1] + 1)),
                    min(box.bottom, box.top + CELL * int(down[-1] + 1)),
                ),
            )


def to_look_at_again(picture: Pixels, quads: Quads, most_pixels: int) -> list[Tile]:
    """Return the tiles that may have text which is not found at half the size.

    Args:
        picture: at native size.
        quads: the boxes that were found at half the size.
        most_pixels: the tiles have at most this number of pixels. Those with most to see are chosen.
    """
    clear = contrasts(picture) >= _CLEAR
    cells = clear.astype(np.uint8)
    cv2.fillPoly(cells, list(np.round(large(quads) / CELL).astype(np.int32)), 0)
    counts = sorted(((int(cells[_cells(box)].sum()), box) for box in _grid(picture)), reverse=True)
    chosen: list[Tile] = []
    for count, box in counts:
        if count >= max(_FEWEST_CELLS, clear[_cells(box)].sum() / 2) and most_pixels >= box.area:
            chosen.append(_tile(picture, box))
            most_pixels -= box.area
    return chosen


def large(quads: Quads) -> Quads:
    """Return the boxes of text that is large enough to be found at half the size."""
    _, heights = sizes(quads)
    return np.asarray(quads[heights >= _SMALL], np.float32)


def contrasts(picture: Pixels) -> Any:
    """Return the contrast of each cell of ``CELL`` x ``CELL`` pixels, in grey levels."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    down, right = -grey.shape[0] % CELL, -grey.shape[1] % CELL
    padded = cv2.copyMakeBorder(grey, 0, down, 0, right, cv2.BORDER_REPLICATE)
    cells = padded.reshape(padded.shape[0] // CELL, CELL, padded.shape[1] // CELL, CELL)
    return cells.max(axis=(1, 3)).astype(np.int16) - cells.min(axis=(1, 3))


def _grid(picture: Pixels) -> Iterator[Box]:
    height, width = picture.shape[:2]
    if height * width <= WHOLE:  # no seam, at which large letters may be divided
        yield Box(0, 0, width, height)
        return
    for top, bottom in _parts(height):
        for left, right in _parts(width):
            yield Box(left, top, right, bottom)


def _parts(length: int) -> list[tuple[int, int]]:
    """Divide a side into nearly equal parts of at most ``SIDE`` pixels. They begin with a cell."""
    cells = -(-length // CELL)
    count = -(-length // SIDE)
    edges = [*(cells * number // count * CELL for number in range(count)), length]
    return list(pairwise(edges))


def _cells(box: Box) -> tuple[slice, slice]:
    return slice(box.top // CELL, -(-box.bottom // CELL)), slice(box.left // CELL, -(-box.right // CELL))


def _tile(picture: Pixels, own: Box) -> Tile:
    height, width = picture.shape[:2]
    return Tile(
        own,
        Box(
            max(0, own.left - MARGIN),
            max(0, own.top - MARGIN),
            min(width, own.right + MARGIN),
            min(height, own.bottom + MARGIN),
        ),
    )
