"""Give a picture opaque colours in which its text stands out: the ground of transparent parts, and the contrast."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels

_GROUNDS = (255, 0, 128)  # in the order of preference
_FAINTEST = 0.02
"""Share of the visible pixels whose contrast to the ground does not count."""
_DEEP = ("I", "F")  # the first letters of Pillow's modes with more than 8 bits
_DEEP_CONTRAST = 16_384  # of 65,536: cameras with 12 bits use less
_OPAQUE = 255
_LONGEST_SIDE, _LEAST_SIDE = 20_000, 8  # pixels
_LOW_CONTRAST = 64
_LEAST_CONTRAST = 4
"""Grey levels. Less is no picture."""


def to_rgb(image: Image.Image, most_pixels: int) -> Pixels:
    """Return the pixels of an image of any mode in RGB, shrunk to at most this number of pixels."""
    if image.mode.startswith(_DEEP):
        image = _eight_bits(_shrunk(image.convert("F"), most_pixels))
    if image.has_transparency_data:
        image = _opaque(_shrunk(image.convert("RGBA"), most_pixels))
    return _with_least_sides(_with_contrast(np.asarray(_shrunk(image.convert("RGB"), most_pixels))))


def shrunk_size(size: tuple[int, int], most_pixels: int) -> tuple[int, int]:
    """Return the width and height of a picture with at most this number of pixels."""
    width, height = size
    scale = min(1.0, math.sqrt(most_pixels / (width * height)), _LONGEST_SIDE / max(width, height))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _shrunk(image: Image.Image, most_pixels: int) -> Image.Image:
    size = shrunk_size(image.size, most_pixels)
    return image if size == image.size else image.resize(size, reducing_gap=2.0)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits to 8. Data that use a small part of the range are stretched."""
    values = np.nan_to_num(np.asarray(image))
    low, high = float(values.min()), float(values.max())
    if low < 0 or high >= 65_536 or 0 < high - low < _DEEP_CONTRAST:
        return Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))
    return Image.fromarray((values / 256).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    """Put a picture on white, black or grey: the ground on which the least contrast of its parts is highest."""
    alpha = image.getchannel("A")
    opacity = np.asarray(alpha)
    visible = np.asarray(image.convert("RGB").convert("L"))[opacity > int(opacity.max()) / 2]
    ground = _GROUNDS[0]
    if opacity.min() < _OPAQUE and visible.size:
        ground = max(_GROUNDS, key=lambda each: float(np.quantile(np.abs(visible.astype(np.int16) - each), _FAINTEST)))
    picture = Image.new("RGB", image.size, (ground, ground, ground))
    picture.paste(image, mask=alpha)
    return picture


def _with_least_sides(picture: Pixels) -> Pixels:
    """Repeat the last pixels of a very thin picture, which could not be shrunk or cut further."""
    height, width = picture.shape[:2]
    down, right = max(0, _LEAST_SIDE - height), max(0, _LEAST_SIDE - width)
    return np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge") if down or right else picture


def _with_contrast(picture: Pixels) -> Pixels:
    """Stretch the colours of a picture with very little contrast."""
    low, high = int(picture.min()), int(picture.max())
    if not _LEAST_CONTRAST <= high - low < _LOW_CONTRAST:
        return picture
    return ((picture.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)
