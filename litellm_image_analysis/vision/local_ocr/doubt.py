"""Tell what an engine cannot read: text in scripts that it does not know. Pure.

The engine answers with letters that it knows, and is less sure of them, or finds too few for the length of the line.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from litellm_image_analysis.vision.local_ocr.engine import Fragment

_SURE_FROM = 0.9
_LONG = 3
"""Heights: the width of a line whose number of letters says something."""
_FEWEST_LETTERS = 1.1
_FEWEST_SIGNS = 0.7
"""Letters, and Chinese or Japanese signs, for each height of a line."""
_MUCH = 0.3
_SURE_LINES = 2
_GUESSED = 0.5
_ALONE, _AMONG_LINES, _ONE_LETTER, _EQUAL_LETTERS = 0.6, 0.35, 0.65, 0.8
"""The product of both scores of a short text, which strokes do not reach."""


def is_weak(fragment: Fragment) -> bool:
    """Return whether a fragment may be text in another script."""
    if fragment.score < _SURE_FROM:
        return True
    heights = fragment.width / max(fragment.height, 1)
    characters = len(fragment.text.replace(" ", ""))
    fewest = _FEWEST_SIGNS if any(map(is_sign, fragment.text)) else _FEWEST_LETTERS
    return _is_long(fragment) and characters < fewest * heights


def has_other_script(fragments: Sequence[Fragment]) -> bool:
    """Return whether much of a picture's text is in a script that the engine does not read."""
    area = sum(fragment.width * fragment.height for fragment in fragments)
    weak = sum(each.width * each.height for each in weak_lines(fragments))
    return weak > _MUCH * area


def weak_lines(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Return the lines that may be in another script. Short texts do not tell."""
    return [each for each in fragments if _is_long(each) and is_weak(each)]


def doubted(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Return the fragments with the weak ones as uncertain."""
    return [replace(each, score=0.0) if is_weak(each) else each for each in fragments]


def is_sign(character: str) -> bool:
    """Return whether a character is as wide as it is high, such as those of Chinese and Japanese."""
    return unicodedata.east_asian_width(character) in ("W", "F")


def legible(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Return what is text: not empty, and not a guess at a stroke or a pattern.

    Beside sure lines, short text is more likely than strokes.
    """
    texts = [each for each in fragments if each.text.strip()]
    has_lines = sum(len(each.text.strip()) > 1 and _certainty(each) >= _ALONE for each in texts) >= _SURE_LINES
    if not has_lines:
        texts = [each for each in texts if not _may_be_shapes(each)]
    fewest = _AMONG_LINES if has_lines else _ALONE
    return [each for each in texts if _certainty(each) >= (_GUESSED if _is_long(each) else fewest)]


def _certainty(fragment: Fragment) -> float:
    return fragment.score if _is_long(fragment) else _of_both(fragment)


def _of_both(fragment: Fragment) -> float:
    return fragment.score * fragment.found


def _may_be_shapes(fragment: Fragment) -> bool:
    """Return whether a text may be shapes: signs without letters, a doubtful letter, or equal letters in a row."""
    letters = fragment.text.strip()
    if not any(letter.isalnum() for letter in letters):
        return True
    return len(set(letters)) == 1 and _of_both(fragment) < (_ONE_LETTER if len(letters) == 1 else _EQUAL_LETTERS)


def _is_long(fragment: Fragment) -> bool:
    return fragment.width > _LONG * fragment.height
