"""The ground of transparent parts, the contrast, and the size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pictures import blank, pixel

pytest.importorskip("numpy")
pytest.importorskip("PIL")

import numpy as np
from PIL import Image

from litellm_image_analysis.vision.local_ocr.decode import MAX_PIXELS
from litellm_image_analysis.vision.local_ocr.ground import shrunk_size, to_rgb

MOST = 9_000_000


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 200, (200, 200, 200)),
        ("P", 0, (0, 0, 0)),
        ("LA", (200, 255), (200, 200, 200)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("I;16", 200 * 256, (200, 200, 200)),
        ("I", 200 * 256, (200, 200, 200)),
        ("F", 200.0 * 256, (200, 200, 200)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
    ],
)
def test_every_mode_is_shown_in_its_true_colours(mode: str, colour: Any, seen: tuple[int, ...]) -> None:
    assert pixel(to_rgb(blank(mode=mode, colour=colour), MOST)) == seen


def on_transparency(*colours: tuple[int, int, int]) -> Image.Image:
    """Stripes of colours on a transparent ground."""
    picture = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    for at, colour in enumerate(colours):
        picture.paste((*colour, 255), (0, 20 * at, 100, 20 * at + 10))
    return picture


@pytest.mark.parametrize(
    ("colours", "ground"),
    [
        ([(0, 0, 0)], 255),
        ([(255, 255, 255)], 0),
        ([(0, 0, 200)], 255),
        ([(250, 240, 120)], 0),
        ([(0, 0, 0), (255, 255, 255)], 128),
        ([], 255),
    ],
)
def test_the_ground_of_transparent_parts_shows_all_colours(colours: list[tuple[int, int, int]], ground: int) -> None:
    assert pixel(to_rgb(on_transparency(*colours), MOST), 0, 99) == (ground,) * 3


def test_little_contrast_is_stretched() -> None:
    picture = Image.new("RGB", (40, 30), (120, 120, 120))
    picture.paste((128, 128, 128), (0, 0, 10, 10))
    shown = to_rgb(picture, MOST)
    assert (pixel(shown), pixel(shown, 20, 20)) == ((255, 255, 255), (0, 0, 0))


@pytest.mark.parametrize("other", [(123, 120, 120), (20, 120, 120)])
def test_noise_and_usual_contrast_are_not_stretched(other: tuple[int, int, int]) -> None:
    picture = Image.new("RGB", (40, 30), (120, 120, 120))
    picture.paste(other, (0, 0, 10, 10))
    assert pixel(to_rgb(picture, MOST)) == other


def test_twelve_bits_in_sixteen_are_stretched() -> None:
    values = np.zeros((30, 40), np.uint16)
    values[:10] = 4095
    shown = to_rgb(Image.fromarray(values), MOST)
    assert (pixel(shown), pixel(shown, 20, 20)) == ((255, 255, 255), (0, 0, 0))


def test_values_beyond_all_bounds_are_a_picture() -> None:
    values = np.full((30, 40), -5.0, np.float32)
    values[:10], values[20:] = 1e9, np.nan
    assert pixel(to_rgb(Image.fromarray(values), MOST)) == (255, 255, 255)


@settings(max_examples=200)
@given(st.tuples(st.integers(1, 9_000), st.integers(1, 4_000)) | st.tuples(st.just(1), st.integers(1, MAX_PIXELS)))
def test_any_picture_is_shrunk_to_the_limit_and_keeps_its_shape(size: tuple[int, int]) -> None:
    width, height = shrunk_size(size, MOST)
    assert width * height <= MOST
    assert max(width, height) <= 20_000
    assert size[0] * size[1] > MOST or max(size) > 20_000 or (width, height) == size
    assert abs(width / height - size[0] / size[1]) <= 0.1 * size[0] / size[1] or min(width, height) < 20


def test_a_large_picture_of_any_mode_is_shrunk() -> None:
    for mode in ("1", "P", "I;16", "RGBA", "CMYK"):
        assert to_rgb(blank(400, 300, mode=mode, colour=0), 30_000).shape == (150, 200, 3)


@pytest.mark.parametrize("size", [(1, 1), (3_000, 1), (1, 3_000)])
def test_a_thin_picture_has_sides_that_can_be_cut(size: tuple[int, int]) -> None:
    assert to_rgb(blank(*size), MOST).shape == (max(8, size[1]), max(8, size[0]), 3)
