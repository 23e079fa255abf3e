"""What a picture looks like, as far as pixels tell: whether it is flat, and its main colours. Pure.

Shares of the area are not written: a reader may take any number for one in the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels

_SIDE = 64  # pixels: a picture is counted at this size
_FLAT = 4  # grey levels
_LEAST_SHARE = 0.03
_MOST_COLOURS = 4
_NAMED = {
    "black": (0, 0, 0),
    "dark grey": (70, 70, 70),
    "grey": (140, 140, 140),
    "light grey": (205, 205, 205),
    "white": (255, 255, 255),
    "red": (215, 35, 35),
    "dark red": (120, 15, 20),
    "pink": (250, 165, 185),
    "orange": (250, 140, 20),
    "brown": (125, 75, 35),
    "beige": (230, 215, 180),
    "yellow": (250, 220, 40),
    "green": (50, 160, 60),
    "dark green": (20, 80, 35),
    "light green": (150, 220, 140),
    "turquoise": (50, 190, 190),
    "blue": (40, 90, 215),
    "dark blue": (20, 30, 100),
    "light blue": (140, 195, 245),
    "purple": (130, 50, 160),
}


def looks(picture: Pixels) -> str:
    """Describe the colours of a picture in a sentence."""
    spread = int((picture.max(axis=(0, 1)).astype(int) - picture.min(axis=(0, 1))).max())
    shares = _shares(picture)
    if spread <= _FLAT:
        return f"The picture is one flat colour: {shares[0][0]}."
    return f"Main colours, the largest area first: {', '.join(name for name, _ in shares)}."


def _shares(picture: Pixels) -> list[tuple[str, float]]:
    """Return the names of the most frequent colours, with their shares of the area."""
    small = np.asarray(Image.fromarray(picture).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
    colours = np.array(list(_NAMED.values()), np.float32)
    nearest = ((small.reshape(-1, 1, 3) - colours) ** 2).sum(axis=2).argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(colours)) / nearest.size
    order = sorted(range(len(colours)), key=lambda at: -counts[at])[:_MOST_COLOURS]
    names = list(_NAMED)
    found = [(names[at], float(counts[at])) for at in order]
    return [each for each in found if each[1] >= _LEAST_SHARE] or found[:1]
