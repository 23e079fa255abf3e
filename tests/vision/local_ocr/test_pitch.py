"""Monospaced pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("PIL")

from PIL import ImageFont

from litellm_image_analysis.vision.local_ocr.engine import Fragment
from litellm_image_analysis.vision.local_ocr.pitch import find_pitch, in_columns

TEXTS = ["def merge(intervals):", "result = []", "for start, end in intervals:", "if not result:", "return result"]
letters = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


def line(text: str, left: float = 0.0, width: float | None = None, score: float = 1.0) -> Fragment:
    return Fragment(text, score, left, 0, left + (10 * len(text) if width is None else width), 20)


def test_letters_of_one_width_are_a_pitch() -> None:
    assert find_pitch([line(text) for text in TEXTS]) == pytest.approx(10)


def test_a_proportional_font_has_no_pitch() -> None:
    font = ImageFont.load_default(20)
    assert find_pitch([line(text, width=font.getlength(text)) for text in TEXTS]) is None


@pytest.mark.parametrize("texts", [TEXTS[:3], ["a"] * 9, ["使用者设定"] * 9, []])
def test_few_or_short_texts_tell_nothing(texts: list[str]) -> None:
    assert find_pitch([line(text) for text in texts]) is None


@given(st.lists(st.tuples(letters, st.integers(0, 5)), max_size=6))
def test_each_text_stands_in_its_column(parts: list[tuple[str, int]]) -> None:
    expected, row = "", []
    for text, spaces in parts:
        expected += " " * spaces
        row.append(line(text, left=10 * len(expected)))
        expected += text
    assert in_columns(row, 10, 0) == expected


def test_texts_that_are_a_little_apart_are_separated() -> None:
    assert in_columns([line("ab"), line("cd", left=24)], 10, 0) == "ab cd"


def test_uncertain_text_does_not_move_what_follows_further_than_its_mark() -> None:
    assert in_columns([line("ab", score=0.5), line("cd", left=50)], 10, 0) == "ab [uncertain]   cd"
