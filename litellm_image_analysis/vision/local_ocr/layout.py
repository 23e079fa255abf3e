"""Put fragments of text into the order in which a person reads them. Pure.

Texts at the same height share a line, so that a price stays with its item. Columns of prose are read one after the
other. On a page with a monospaced font, each fragment keeps its column, as in code and terminals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median

from litellm_image_analysis.vision.local_ocr.engine import Fragment, marked
from litellm_image_analysis.vision.local_ocr.pitch import find_pitch, in_columns

_COLUMN_LINES = 4
"""Lines that a column of prose has at least."""
_FULL = 0.7
"""Share of the column's width that a full line has at least."""
_BANDS = (1.1, 1.3, 1.55)
"""Heights of a line: the least distance of the middles of lines in different rows of a table. The first that fits."""
_ROW_PITCH = 1.25
"""The least distance of rows of a table, over the distance of lines in a cell."""
_TABLE_ROWS = 3
_WRAPPED_ROWS = 2
_WORD = re.compile(r"\w+")
_LETTERS_OF_A_WORD = 5  # for scripts without spaces


def text_of(fragments: Iterable[Fragment]) -> list[str]:
    """Return the lines of a picture in reading order."""
    fragments = list(fragments)
    pitch = find_pitch(fragments)
    lines: list[str] = []
    for block in blocks(fragments):
        if pitch is None:
            lines += ["  ".join(map(marked, row)) for row in rows(joined_cells(block))]
        else:
            left = min(fragment.left for fragment in block)
            lines += [in_columns(row, pitch, left) for row in rows(block)]
    return lines


def rows(fragments: Iterable[Fragment]) -> list[list[Fragment]]:
    """Put fragments into reading order: rows from top to bottom, each from left to right.

    Two fragments share a row if they overlap over at least half the height of the taller one. A price therefore stays
    with its item if the fonts differ, and a logo does not join the lines beside it. The result has each fragment once.
    It does not depend on their order.
    """
    found: list[list[Fragment]] = []
    for fragment in sorted(fragments, key=lambda each: (each.top + each.bottom, each)):
        row = next((row for row in found if _side_by_side(row[0], fragment)), [])
        if not row:
            found.append(row)
        row.append(fragment)
    return [sorted(row, key=lambda each: (each.left, each)) for row in found]


def _side_by_side(one: Fragment, other: Fragment) -> bool:
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return overlap >= max(one.height, other.height) / 2


def blocks(fragments: Sequence[Fragment]) -> list[list[Fragment]]:
    """Divide a page at the gutters between columns of prose. Each block is read before the next.

    A table has gutters, too. It stays one block, because its cells are short, or numbers.
    """
    best: tuple[list[Fragment], ...] = ()
    for gutter in _gutters(fragments):
        for parts in _divided(fragments, gutter):
            if len(parts[1]) + len(parts[2]) > sum(map(len, best[1:3])) and all(map(_is_prose, parts[1:3])):
                best = parts
    if not best:
        return [list(fragments)] if fragments else []
    return [block for part in best for block in blocks(part)]


def _gutters(fragments: Sequence[Fragment]) -> list[float]:
    """Return the places, in pixels from the left, where a column may begin."""
    places: list[float] = []
    height = median(fragment.height for fragment in fragments) if fragments else 0
    for left in sorted(fragment.left for fragment in fragments):
        if not places or left - places[-1] > height / 2:
            places.append(left)
    return [place - height / 4 for place in places[1:]]


def _divided(fragments: Sequence[Fragment], gutter: float) -> Iterator[tuple[list[Fragment], ...]]:
    """Yield what is above, left, right and below of a gutter, for each stretch of it that no fragment crosses."""
    crossing = sorted(each for each in fragments if each.left < gutter < each.right)
    middles = sorted((each.top + each.bottom) / 2 for each in crossing)
    edges = [float("-inf"), *middles, float("inf")]
    for top, bottom in pairwise(edges):
        parts: tuple[list[Fragment], ...] = ([], [], [], [])
        above, left, right, below = parts
        for fragment in fragments:
            middle = (fragment.top + fragment.bottom) / 2
            if middle <= top:
                above.append(fragment)
            elif middle >= bottom:
                below.append(fragment)
            elif fragment.right <= gutter:
                left.append(fragment)
            else:
                right.append(fragment)
        if left and right:
            yield parts


def _is_prose(column: Sequence[Fragment]) -> bool:
    """Return whether a column has full lines of words, and few digits."""
    lines = rows(column)
    if len(lines) < _COLUMN_LINES:
        return False
    left, right = min(each.left for each in column), max(each.right for each in column)
    full = sum(line[-1].right - line[0].left >= _FULL * (right - left) for line in lines)
    texts = [" ".join(fragment.text for fragment in line) for line in lines]
    characters = "".join("".join(text.split()) for text in texts)
    words = sum(max(len(_WORD.findall(text)), len(text) // (2 * _LETTERS_OF_A_WORD)) for text in texts)
    digits = sum(character.isdigit() for character in characters)
    goes_on = sum(not text[:1].isupper() for text in texts)  # of a table, most cells begin with a capital or a digit
    return (
        full >= 0.6 * len(lines)
        and words >= 3 * len(lines)
        and digits <= 0.15 * len(characters)
        and goes_on >= 0.2 * len(lines)
    )


def joined_cells(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Join the lines of each cell in tables whose rows have cells of several lines. Other fragments stay."""
    for distance in _BANDS:
        joined = _joined_at(fragments, distance)
        if len(joined) < len(fragments):
            return joined
    return list(fragments)


def _joined_at(fragments: Sequence[Fragment], distance: float) -> list[Fragment]:
    """Join cells if rows are this far apart, in heights of a line."""
    found: list[Fragment] = []
    run: list[list[Fragment]] = []
    for band in [*_bands(fragments, distance), []]:
        columns = len(_columns([each for other in [*run, band] for each in other]))
        if not band or columns < 2 or (run and columns < len(_columns(run[0]))):
            found += _joined(run)
            run = []
        run.append(band)
    return found + [each for band in run for each in band]


def _bands(fragments: Sequence[Fragment], distance: float) -> list[list[Fragment]]:
    """Divide fragments where free space runs across all of them. Boxes of lines may overlap, so their middles count."""
    if not fragments:
        return []
    height = median(fragment.height for fragment in fragments)
    bands: list[list[Fragment]] = []
    bottom = float("-inf")
    for fragment in sorted(fragments, key=lambda each: (each.top + each.bottom, each)):
        middle = (fragment.top + fragment.bottom) / 2
        if middle - bottom >= distance * height:
            bands.append([])
        bands[-1].append(fragment)
        bottom = middle
    return bands


def _columns(fragments: Sequence[Fragment]) -> list[list[Fragment]]:
    """Divide fragments where free space runs from top to bottom between all of them."""
    columns: list[list[Fragment]] = []
    right = float("-inf")
    for fragment in sorted(fragments, key=lambda each: (each.left, each)):
        if fragment.left - right >= fragment.height / 2:
            columns.append([])
        columns[-1].append(fragment)
        right = max(right, fragment.right)
    return columns


def _joined(table: Sequence[Sequence[Fragment]]) -> list[Fragment]:
    """Join the lines of each cell if each row has a cell of one line, and several have cells of more."""
    fragments = [each for row in table for each in row]
    edges = [min(each.left for each in column) for column in _columns(fragments)]
    cells = [[[each for each in row if _column_of(each, edges) == at] for at in range(len(edges))] for row in table]
    if len(table) < _TABLE_ROWS or not _are_wrapped(cells):
        return fragments
    return [_cell(cell, row) for row, of_row in zip(table, cells, strict=True) for cell in of_row if cell]


def _are_wrapped(table: Sequence[Sequence[Sequence[Fragment]]]) -> bool:
    """Return whether each row has a cell of one line, several have cells of more, and rows are apart."""
    lines = [[[_middle(line) for line in rows(cell)] for cell in row] for row in table]
    heights = [[len(cell) for cell in row if cell] for row in lines]
    if any(min(row) > 1 for row in heights) or sum(max(row) > 1 for row in heights) < _WRAPPED_ROWS:
        return False
    within = max(below - above for row in lines for cell in row for above, below in pairwise(cell))
    columns = [[row[at] for row in lines if row[at]] for at in range(len(table[0]))]
    between = min(below[0] - above[-1] for column in columns for above, below in pairwise(column))
    return between >= _ROW_PITCH * within


def _middle(line: Sequence[Fragment]) -> float:
    return min(each.top + each.bottom for each in line) / 2


def _column_of(fragment: Fragment, edges: Sequence[float]) -> int:
    return sum(fragment.left >= edge for edge in edges) - 1


def _cell(cell: Sequence[Fragment], row: Sequence[Fragment]) -> Fragment:
    """Return the fragments of a cell as one, as high as its row."""
    return Fragment(
        " ".join(marked(each) for line in rows(cell) for each in line),
        1.0,
        min(each.left for each in cell),
        min(each.top for each in row),
        max(each.right for each in cell),
        max(each.bottom for each in row),
    )
