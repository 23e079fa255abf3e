"""The measures of ``make bench-ocr``."""

from __future__ import annotations

import pytest

pytest.importorskip("rapidfuzz", reason="the extra eval is not installed")

from benchmarks import ocr_measures as measures
from benchmarks.ocr_set import Picture

SIZE = "Image size: 40 x 30 pixels.\n\n"
UNREAD = "The image has text in a script that this engine does not read. What it made of it is uncertain:\n"


def picture(*lines: str, rows: tuple[tuple[str, ...], ...] = (), is_code: bool = False) -> Picture:
    return Picture("a", "b", b"", lines, rows=rows, is_code=is_code)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (f"{SIZE}one\ntwo [uncertain]", "one\ntwo"),
        (
            "Image size: 3 frames of 40 x 30 pixels.\n\nFrame 1:\none\nFrame 2:\ntwo\nFrame 3: the same as frame 1.",
            "one\ntwo\n",
        ),
        (f"{SIZE}No text was found. This engine reads text.\nMain colours, the largest area first: red, blue.", ""),
        (f"{SIZE}{UNREAD}Mockba", "Mockba"),
        (f"{SIZE}one\n... 12 more lines were not read.", "one\n"),
    ],
)
def test_sentences_about_the_picture_are_not_its_words(answer: str, words: str) -> None:
    assert measures.words_of(answer) == words


def test_accuracy_counts_line_breaks_as_spaces() -> None:
    assert measures.accuracy(picture("one two", "three"), f"{SIZE}one\ntwo  three") == 1
    assert measures.accuracy(picture("one two", "three"), f"{SIZE}one two") == pytest.approx(7 / 13)
    assert measures.accuracy(picture(), f"{SIZE}No text was found.") == 1


def test_order_is_the_share_of_lines_in_order() -> None:
    lines = picture("the first line", "the middle part", "an end of it")
    assert measures.order(lines, "the first line\nthe middle part\nan end of it") == 1
    assert measures.order(lines, "an end of it\nthe first line\nthe middle part") == pytest.approx(2 / 3)
    assert measures.order(lines, "the first line") is None


def test_lines_that_are_alike_are_in_order() -> None:
    assert (
        measures.order(picture("image: cache:7", "cache:", "image: cache:7"), "image: cache:7\ncache:\nimage: cache:7")
        == 1
    )


def test_a_row_is_kept_if_its_cells_are_in_one_line() -> None:
    table = picture("a b", rows=(("tea", "2.50"), ("rice", "3.10")))
    assert measures.rows_kept(table, "tea  2.50\nrice\n3.10") == 0.5
    assert measures.rows_kept(table, "2.50  tea\n3.10 rice") == 0
    assert measures.rows_kept(picture("a"), "a") is None


def test_indentation_is_counted_in_spaces() -> None:
    code = picture("def f():", "    x = 1", "    return x", is_code=True)
    assert measures.indentation_kept(code, "def f():\n    x = 1\n  return x") == 0.5
    assert measures.indentation_kept(picture("    x = 1"), "    x = 1") is None


def test_only_text_that_was_not_read_has_to_be_said_so() -> None:
    russian = picture("Музей открыт ежедневно")
    assert measures.said_so(russian, "Музей открыт ежедневно") is None
    assert measures.said_so(russian, f"{UNREAD}My3en otkpbit") == 1
    assert measures.said_so(russian, "My3en otkpbit") == 0
    assert measures.said_so(picture("Museum"), "nothing") is None
