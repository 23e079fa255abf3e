"""Reading order: rows, columns of prose, tables with wrapped cells, and monospaced pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("PIL")

from litellm_image_analysis.vision.local_ocr.engine import Fragment
from litellm_image_analysis.vision.local_ocr.layout import blocks, joined_cells, rows, text_of

heights = st.integers(1, 60)
places = st.integers(0, 200)
fragments = st.builds(
    lambda text, score, left, top, width, height: Fragment(text, score, left, top, left + width, top + height),
    st.sampled_from(["Total", "42.80", "Tax"]),
    st.floats(0, 1),
    places,
    places,
    heights,
    heights,
)


def middle(fragment: Fragment) -> float:
    return fragment.top + fragment.bottom


@given(st.lists(fragments))
def test_rows_hold_every_fragment_once(found: list[Fragment]) -> None:
    assert sorted(fragment for row in rows(found) for fragment in row) == sorted(found)


@given(st.lists(fragments))
def test_rows_go_from_top_to_bottom_and_each_from_left_to_right(found: list[Fragment]) -> None:
    highest = [min(middle(fragment) for fragment in row) for row in rows(found)]
    assert highest == sorted(highest)
    for row in rows(found):
        assert [fragment.left for fragment in row] == sorted(fragment.left for fragment in row)


@given(st.lists(fragments).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_rows_do_not_depend_on_the_order_of_fragments(orders: tuple[list[Fragment], list[Fragment]]) -> None:
    assert rows(orders[0]) == rows(orders[1])


@given(st.lists(fragments, max_size=1))
def test_what_stands_below_is_never_in_the_same_row(found: list[Fragment]) -> None:
    below = [Fragment("below", 1.0, each.left, each.bottom, each.right, each.bottom + 20) for each in found]
    assert rows([*below, *found]) == [[each] for each in (*found, *below)]


def test_a_row_keeps_a_price_in_a_larger_font() -> None:
    item, price = Fragment("TOTAL", 1.0, 0, 110, 80, 126), Fragment("42.80", 1.0, 300, 100, 400, 130)
    assert rows([price, item]) == [[item, price]]


def test_a_logo_does_not_join_the_lines_beside_it() -> None:
    logo = Fragment("ACME", 1.0, 0, 0, 100, 100)
    lines = [Fragment(f"line {number}", 1.0, 120, 30 * number, 300, 30 * number + 24) for number in range(3)]
    assert rows([logo, *lines]) == [[lines[0]], [lines[1]], [logo], [lines[2]]]


PROSE = [
    "The station was built when",
    "trains still ran on coal and",
    "every platform had a clock of",
    "its own, which a porter wound",
    "up in the morning before the",
    "first train came in.",
]


def column(lines: list[str], left: float, top: float = 0.0) -> list[Fragment]:
    """Lines of a column, in a proportional font."""
    return [
        Fragment(line, 1.0, left, top + 24 * at, left + width(line), top + 24 * at + 22)
        for at, line in enumerate(lines)
    ]


def width(text: str) -> float:
    return sum(4 if letter in "iljtf.,' " else 12 if letter in "mwMWO" else 8 for letter in text)


@given(st.lists(fragments, max_size=30))
def test_blocks_hold_every_fragment_once(found: list[Fragment]) -> None:
    assert sorted(fragment for block in blocks(found) for fragment in block) == sorted(found)


@given(st.lists(fragments, max_size=30))
def test_joining_cells_loses_no_text(found: list[Fragment]) -> None:
    joined = joined_cells(found)
    plain = " ".join(each.text for each in joined).replace(" [uncertain]", "")
    assert sorted(plain.split()) == sorted(each.text for each in found)


@given(st.lists(fragments, max_size=30))
def test_no_text_is_lost_or_written_twice(found: list[Fragment]) -> None:
    written = " ".join(text_of(found)).replace("[uncertain]", "").split()
    assert sorted(written) == sorted(each.text for each in found)


def test_columns_of_prose_are_read_one_after_the_other() -> None:
    page = [*column(PROSE, 0), *column(PROSE[::-1], 300, top=11)]
    assert text_of(page) == [*PROSE, *PROSE[::-1]]


def test_a_title_above_columns_and_a_line_below_keep_their_places() -> None:
    title = Fragment("All about the old station, and all of its clocks and porters", 1.0, 0, -60, 540, -30)
    end = Fragment("Printed in the town of the station, in a year without trains", 1.0, 0, 300, 540, 322)
    page = [end, *column(PROSE, 300), title, *column(PROSE, 0)]
    assert text_of(page) == [title.text, *PROSE, *PROSE, end.text]


def test_three_columns_are_read_from_left_to_right() -> None:
    lines = [[f"{word} {line}" for line in PROSE] for word in ("a", "b", "c")]
    page = [each for at, column_lines in enumerate(lines) for each in column(column_lines, 300 * at)]
    assert text_of(page) == [*lines[0], *lines[1], *lines[2]]


def test_columns_of_numbers_stay_rows() -> None:
    items = ["Oat milk cappuccino", "Two fried eggs on toast", "Water from the tap, no ice", "Cheese sandwich", "Tea"]
    page = [*column(items, 0), *column(["4.60", "11.20", "0.00", "8.90", "3.10"], 400)]
    assert text_of(page)[0] == "Oat milk cappuccino  4.60"


def test_a_table_of_sentences_stays_rows() -> None:
    left = [
        "The lease ends by itself",
        "A call was not answered",
        "The file is not in use",
        "All of the keys are gone",
    ]
    right = [
        "Ask for a new lease first",
        "Call again after a while",
        "Delete it after a week",
        "Restore them by the log",
    ]
    page = [*column(left, 0), *column(right, 300)]
    assert text_of(page) == [f"{one}  {other}" for one, other in zip(left, right, strict=True)]


def wrapped_table(pitch: float) -> list[Fragment]:
    """Three rows of two cells, the second of which has two lines. The first stands in the middle of its row."""
    found = []
    for at, name in enumerate(["Lease", "Breaker", "Budget"]):
        top = at * (24 + pitch)
        found.append(Fragment(name, 1.0, 0, top + 12, 60, top + 34))
        found += column([f"what {name} means", "in other words"], 150, top)
    return found


def test_a_cell_of_several_lines_is_one_cell() -> None:
    assert text_of(wrapped_table(pitch=40))[0] == "Lease  what Lease means in other words"


def test_lines_without_space_between_rows_are_not_joined() -> None:
    assert "what Lease means in other words" not in "\n".join(text_of(wrapped_table(pitch=24)))


def test_an_uncertain_line_of_a_cell_is_marked() -> None:
    table = wrapped_table(pitch=40)
    table[1] = Fragment("what is this", 0.5, *(getattr(table[1], side) for side in ("left", "top", "right", "bottom")))
    assert text_of(table)[0] == "Lease  what is this [uncertain] in other words"


def test_nothing_is_nothing() -> None:
    assert text_of([]) == []
