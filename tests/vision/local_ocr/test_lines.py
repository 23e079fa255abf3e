"""The boxes of lines: turned, sorted, straightened and cut."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numpy")

import numpy as np

from litellm_image_analysis.vision.local_ocr import lines

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels
    from litellm_image_analysis.vision.local_ocr.lines import Quads


def quad(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def quads(*boxes: tuple[float, float, float, float]) -> Quads:
    return np.array([quad(*box) for box in boxes], np.float32).reshape(-1, 4, 2)


def picture(width: int, height: int) -> Pixels:
    return np.arange(width * height * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)


boxes = st.builds(
    lambda left, top, width, height: (left, top, left + width, top + height),
    *(st.integers(0, 50), st.integers(0, 30)),
    *(st.integers(1, 50), st.integers(1, 30)),
)


@given(st.lists(boxes, min_size=1, max_size=5), st.integers(0, 7))
def test_boxes_are_turned_with_their_picture(found: list[tuple[int, int, int, int]], quarters: int) -> None:
    before, old = picture(100, 60), quads(*found)
    after, new = np.rot90(before, quarters), lines.turned(old, before.shape[:2], quarters)
    for one, other in zip(old, new, strict=True):
        cut = before[int(one[0, 1]) : int(one[2, 1]), int(one[0, 0]) : int(one[2, 0])]
        turned = after[int(other[0, 1]) : int(other[2, 1]), int(other[0, 0]) : int(other[2, 0])]
        assert turned.tolist() == np.rot90(cut, quarters).tolist()


def test_most_lines_decide_whether_a_page_lies_on_its_side() -> None:
    down, across = (0, 0, 20, 200), (0, 0, 200, 20)
    assert lines.are_vertical(quads(down, down, across))
    assert not lines.are_vertical(quads(down, across))
    assert not lines.are_vertical(quads((0, 0, 20, 22), (0, 0, 20, 25)))


def test_lines_are_sorted_downwards() -> None:
    found = quads((0, 50, 10, 60), (30, 0, 40, 10), (0, 0, 10, 10))
    assert lines.downwards(found).tolist() == [2, 1, 0]


def test_a_budget_is_spent_on_whole_lines() -> None:
    crops = [picture(480, 48), picture(48, 48), picture(960, 24)]
    assert [lines.within(crops, budget) for budget in (0, 479, 480, 680, 2_599, 2_600)] == [0, 0, 1, 2, 2, 3]


def test_the_mean_score_counts_width() -> None:
    assert lines.mean_score([("a", 1.0), ("b", 0.5)], [picture(30, 10), picture(10, 10)]) == pytest.approx(0.875)
    assert lines.mean_score([], []) == 0.0


@pytest.mark.parametrize("degrees", [-20, -5, 0, 2, 20])
def test_a_page_that_is_not_straight_is_straightened(degrees: float) -> None:
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    found = quads((0, 0, 300, 20), (0, 40, 100, 60), (200, 40, 300, 60)) @ turn
    crops = [np.full((20, 300, 3), 255, np.uint8)] * 3
    texts = [("one", 1.0), ("two", 1.0), ("three", 1.0)]
    one, two, three = lines.fragments(found, [1.0] * 3, crops, texts)
    assert (two.top, two.bottom) == pytest.approx((three.top, three.bottom), abs=1)
    assert one.bottom < two.top
    assert (one.left, two.left) == pytest.approx((0, 0), abs=1)


def inked(height: int, width: int, top: int, bottom: int, left: int, right: int) -> Pixels:
    crop = np.full((height, width, 3), 240, np.uint8)
    crop[top:bottom, left:right] = 20
    return crop


def test_a_fragment_begins_and_ends_with_its_ink() -> None:
    (found,) = lines.fragments(quads((100, 0, 200, 20)), [0.9], [inked(20, 100, 4, 16, 10, 80)], [("text", 0.8)])
    assert (found.left, found.right, found.score, found.found) == (110, 180, 0.8, 0.9)


def test_a_box_much_higher_than_its_line_is_cut() -> None:
    assert lines.tightened(inked(40, 100, 15, 25, 5, 95)).shape[0] == 16
    assert lines.tightened(inked(16, 100, 3, 13, 5, 95)).shape[0] == 16


def test_an_empty_box_stays() -> None:
    empty = np.full((20, 50, 3), 255, np.uint8)
    assert lines.tightened(empty).shape == empty.shape
    (found,) = lines.fragments(quads((0, 0, 50, 20)), [0.9], [empty], [("", 0.0)])
    assert (found.left, found.right) == (0, 50)
