"""How well a transcript agrees with the text of a picture. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein
from rapidfuzz.fuzz import partial_ratio_alignment

from benchmarks.ocr_set import Picture

_SIZE = re.compile(r"\AImage size: .*? pixels\.\n*")
_NOTE = re.compile(
    r"^(No text was found\..*|Main colours, .*|The picture is one flat colour: .*"
    r"|The image has text in a script that .*|\.\.\. \d+ more lines were not read\."
    r"|(Frame|Page) \d+:( the same as .*)?|\d+ other (frame|page)s were not read\.)\n?",
    re.MULTILINE,
)
_OTHER_SCRIPT = "in a script that this engine does not read"
_UNCERTAIN = " [uncertain]"
_FOUND = 0.75
"""Similarity from which a line counts as found."""
_TELLING = 6
"""Characters of a line whose place can be told."""
_SAME_LINE = 0.8


def words_of(answer: str) -> str:
    """Return what an answer says is written in the picture, without the sentences about the picture."""
    return _NOTE.sub("", _SIZE.sub("", answer)).replace(_UNCERTAIN, "")


def says_other_script(answer: str) -> bool:
    """Return whether an answer says that the picture has text which was not read."""
    return _OTHER_SCRIPT in answer


def accuracy(picture: Picture, answer: str) -> float:
    """Return 1 minus the edits that make the transcript right, for each character of the longer text."""
    return Levenshtein.normalized_similarity(_joined("\n".join(picture.lines)), _joined(words_of(answer)))


def order(picture: Picture, answer: str) -> float | None:
    """Return the share of the lines that were found in the right order. ``None`` for fewer than two."""
    transcript = _packed(words_of(answer))
    places: list[int] = []
    for line in map(_packed, picture.lines):
        place = _place(line, transcript, max(places, default=-1) + 1)
        places += [] if place is None else [place]
    return _longest_rise(places) / len(places) if len(places) > 1 else None


def rows_kept(picture: Picture, answer: str) -> float | None:
    """Return the share of the rows whose cells are in one line, in their order."""
    lines = [_packed(line) for line in words_of(answer).splitlines()]
    wanted = [tuple(map(_packed, row)) for row in picture.rows]
    found = sum(any(_has_in_order(line, row) for line in lines) for row in wanted)
    wanted_pairs = [tuple(map(_packed, pair)) for pair in picture.pairs]
    found += sum(any(all(part in line for part in pair) for line in lines) for pair in wanted_pairs)
    count = len(wanted) + len(wanted_pairs)
    return found / count if count else None


def indentation_kept(picture: Picture, answer: str) -> float | None:
    """Return the share of the indented lines of code that have as many spaces before them."""
    wanted = [(_packed(line), _indentation(line)) for line in picture.lines if line.startswith(" ")]
    if not picture.is_code or not wanted:
        return None
    found = [(_packed(line), _indentation(line)) for line in words_of(answer).splitlines()]
    kept = (
        any(spaces == its and _similarity(line, text) >= _SAME_LINE for text, its in found) for line, spaces in wanted
    )
    return sum(kept) / len(wanted)


def said_so(picture: Picture, answer: str) -> float | None:
    """Return whether an answer says that a text in another script was not read. ``None`` if it was read."""
    if not picture.has_other_script or accuracy(picture, answer) >= _FOUND:
        return None
    return float(says_other_script(answer))


def _joined(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _packed(text: str) -> str:
    return "".join(unicodedata.normalize("NFC", text).split())


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _similarity(one: str, other: str) -> float:
    return Levenshtein.normalized_similarity(one, other)


def _place(line: str, transcript: str, after: int) -> int | None:
    """Return where a line begins in a transcript, or ``None`` if it is short or was not found.

    Lines may be alike. A line that is as good after this place as elsewhere is taken to be there.
    """
    if len(line) < _TELLING:
        return None
    likeness, place = max(_best(line, transcript, start) for start in {0, after})
    return place if likeness >= _FOUND else None


def _best(line: str, transcript: str, start: int) -> tuple[float, int]:
    """Return how alike the best part of a transcript from this place on is, and where it begins."""
    exact = transcript.find(line, start)
    if exact >= 0:
        return 1.0, exact
    found = partial_ratio_alignment(line, transcript[start:])
    if found is None or len(line) > len(transcript) - start:
        return 0.0, start
    part = transcript[start + found.dest_start : start + found.dest_end]
    return _similarity(line, part), start + found.dest_start


def _longest_rise(places: Sequence[int]) -> int:
    """Return the length of the longest sequence of rising numbers, others left out."""
    lowest: list[int] = []
    for place in places:
        at = bisect_left(lowest, place)
        lowest[at : at + 1] = [place]
    return len(lowest)


def _has_in_order(line: str, cells: Sequence[str]) -> bool:
    place = 0
    for cell in cells:
        at = line.find(cell, place)
        if at < 0:
            return False
        place = at + len(cell)
    return True
