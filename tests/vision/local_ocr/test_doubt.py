"""Text that an engine cannot read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_image_analysis.vision.local_ocr.doubt import doubted, has_other_script, is_weak, legible, weak_lines
from litellm_image_analysis.vision.local_ocr.engine import Fragment

SURE = Fragment("a line of text", 0.99, 0, 0, 140, 20, 0.8)
UNREAD = Fragment("", 0.0, 0, 40, 200, 60, 0.8)
GAPS = Fragment(" :  12 .", 0.95, 0, 40, 200, 60, 0.8)
SHORT = Fragment("OK", 0.99, 0, 80, 30, 100, 0.8)
STROKE = Fragment("0", 0.9, 0, 80, 60, 150, 0.55)


@pytest.mark.parametrize("fragment", [UNREAD, GAPS, replace(SURE, score=0.85)])
def test_a_line_with_a_low_score_or_few_letters_is_weak(fragment: Fragment) -> None:
    assert is_weak(fragment)
    assert weak_lines([fragment]) == [fragment]


@pytest.mark.parametrize("fragment", [SURE, SHORT, replace(GAPS, text="使用者 设定 12 34")])
def test_sure_lines_and_short_words_are_not(fragment: Fragment) -> None:
    assert not is_weak(fragment)


def test_weak_lines_are_another_script_if_they_are_many() -> None:
    assert has_other_script([SURE, UNREAD])
    assert not has_other_script([SURE] * 5 + [UNREAD])
    assert not has_other_script([replace(SHORT, score=0.3)])
    assert not has_other_script([])


def test_guesses_at_strokes_are_no_text() -> None:
    assert legible([STROKE, replace(STROKE, text="00"), UNREAD]) == []
    assert legible([SHORT]) == [SHORT]


def test_beside_words_a_short_text_is_text() -> None:
    digit = replace(STROKE, text="7", found=0.6)
    assert legible([digit]) == []
    assert legible([SHORT, SHORT, digit]) == [SHORT, SHORT, digit]


def test_a_row_of_shapes_is_no_text() -> None:
    assert legible([replace(SHORT, text="8888", found=0.7)]) == []
    assert legible([replace(SHORT, text="8", found=0.62)]) == []
    assert legible([replace(SHORT, text="●", found=0.9)]) == []


@pytest.mark.parametrize("text", ["A", "7", "88", "000", "WWW"])
def test_a_few_equal_letters_are_a_text(text: str) -> None:
    assert legible([replace(SHORT, text=text, found=0.85)]) != []


def test_a_long_guess_is_no_text() -> None:
    assert legible([replace(SURE, score=0.45)]) == []


@given(st.lists(st.sampled_from([SURE, UNREAD, GAPS, SHORT, STROKE])))
def test_doubt_changes_scores_only(found: list[Fragment]) -> None:
    assert [replace(each, score=1.0) for each in doubted(found)] == [replace(each, score=1.0) for each in found]
    assert set(legible(found)) <= set(found)
