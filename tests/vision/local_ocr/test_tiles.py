"""Tiles: bounded, together the whole picture, and none where there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numpy")
pytest.importorskip("cv2")

import numpy as np

from litellm_image_analysis.vision.local_ocr.tiles import CELL, MARGIN, SIDE, WHOLE, contrasts, tiles, to_look_at_again

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels

sides = st.integers(1, 2_500)


def busy(height: int, width: int) -> Pixels:
    """A picture with contrast in each cell."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[::2, ::2] = 255
    return picture


@settings(max_examples=50, deadline=None)
@given(sides, sides)
def test_tiles_are_the_whole_picture_once(height: int, width: int) -> None:
    picture = busy(max(2, height), max(2, width))
    covered = np.zeros(picture.shape[:2], np.uint8)
    for tile in tiles(picture):
        covered[tile.own.of] += 1
    assert (covered == 1).all()


@settings(max_examples=50, deadline=None)
@given(sides, sides)
def test_tiles_are_bounded_and_lie_within_what_is_seen(height: int, width: int) -> None:
    for own, seen in tiles(busy(height, width)):
        assert own.area <= max(WHOLE, SIDE * SIDE)
        assert height * width <= WHOLE or max(own.right - own.left, own.bottom - own.top) <= SIDE
        assert (
            max(seen.right - seen.left - own.right + own.left, seen.bottom - seen.top - own.bottom + own.top)
            <= 2 * MARGIN
        )
        assert seen.left <= own.left < own.right <= seen.right <= width
        assert seen.top <= own.top < own.bottom <= seen.bottom <= height


def test_flat_parts_are_left_out() -> None:
    picture = np.full((1_000, 3_000, 3), 200, np.uint8)
    assert list(tiles(picture)) == []
    picture[400:420, 1_540:1_640] = 0
    (tile,) = tiles(picture)
    assert tile.own.left <= 1_540
    assert tile.own.right >= 1_640
    assert tile.own.area <= (120 + 2 * CELL) * (20 + 2 * CELL)


def test_the_contrast_of_a_cell_is_that_of_its_pixels() -> None:
    picture = np.full((40, 40, 3), 100, np.uint8)
    picture[39, 39] = 180
    assert contrasts(picture).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 80]]


def test_parts_without_found_text_are_looked_at_again() -> None:
    picture = np.full((1_920, 1_920, 3), 255, np.uint8)
    picture[:960, :960] = busy(960, 960)
    (tile,) = to_look_at_again(picture, np.zeros((0, 4, 2), np.float32), 10_000_000)
    assert (tile.own.left, tile.own.top) == (0, 0)


def test_parts_with_small_text_are_looked_at_again_and_those_with_large_text_are_not() -> None:
    picture = np.full((960, 2_880, 3), 255, np.uint8)
    picture[100:900, :1_920] = busy(800, 1_920)
    small = np.array([[[0, 100], [960, 100], [960, 120], [0, 120]]], np.float32)
    large = np.array([[[960, 80], [1_920, 80], [1_920, 920], [960, 920]]], np.float32)
    (tile,) = to_look_at_again(picture, np.concatenate([small, large]), 10_000_000)
    assert tile.own.left == 0


def test_a_second_look_is_limited_and_prefers_what_has_most_to_see() -> None:
    picture = np.full((960, 2_880, 3), 255, np.uint8)
    picture[:, :300] = busy(960, 300)
    picture[:, 960:1_920] = busy(960, 960)
    nothing = np.zeros((0, 4, 2), np.float32)
    assert [tile.own.left for tile in to_look_at_again(picture, nothing, 10_000_000)] == [960, 0]
    assert [tile.own.left for tile in to_look_at_again(picture, nothing, 1_000_000)] == [960]
    assert to_look_at_again(picture, nothing, 1_000) == []
