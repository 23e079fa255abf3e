"""Tesseract as an engine, for scripts that RapidOCR does not read. It is used if the command is installed.

Its own detection of scripts errs. So a picture is read with each language pack, and the one that is surest is kept.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image

from litellm_image_analysis.vision.local_ocr.engine import Fragment

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import GoOn, Pixels

_COMMAND = "tesseract"
_SECONDS = 30
_MOST_PACKS = 24
_OTHERS = ("osd", "equ", "snum")  # no languages
_LATIN = "eng"
_BEST = 3
_SAMPLE_LINES = 4
_FEWEST_LETTERS = 8
_SURE = 0.7
_WORD = "5"  # the level of words in its table
_SPACE = 0.15
"""Heights of a line: a smaller gap between words is none, as in Thai, Chinese and Japanese."""


@cache
def packs() -> tuple[str, ...]:
    """Return the names of the installed language packs, without those of other kinds. Empty without Tesseract."""
    if shutil.which(_COMMAND) is None:
        return ()
    listed = subprocess.run(  # noqa: S603 - a fixed command
        [_COMMAND, "--list-langs"], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    names = listed.stdout.splitlines()[1:]
    return tuple(name for name in names if name not in _OTHERS and "/" not in name)[:_MOST_PACKS]


def read(picture: Pixels, weak: Sequence[Fragment], go_on: GoOn) -> list[Fragment]:
    """Read a picture with the packs that suit it best.

    Args:
        picture: the picture, upright.
        weak: lines that another engine could not read. The packs are tried with some of them.
        go_on: raises an error if the request was cancelled.

    Returns:
        The lines, or nothing if no pack is sure of them.
    """
    sample = _encoded(_sample(picture, weak))

    def tried(candidates: Iterable[str]) -> list[tuple[float, str]]:
        found: list[tuple[float, str]] = []
        for pack in candidates:
            go_on()
            found.append((sureness(_read_with(pack, sample)), pack))
        return sorted(found, reverse=True)

    alone = tried(packs())[:_BEST]
    with_latin = tried(f"{pack}+{_LATIN}" for _, pack in alone if pack != _LATIN and _LATIN in packs())
    score, surest = max([*alone, *with_latin], default=(0.0, ""))
    if score < _SURE:
        return []
    go_on()
    lines = _read_with(surest, _encoded(picture))
    return lines if sureness(lines) >= _SURE else []


def _sample(picture: Pixels, weak: Sequence[Fragment]) -> Pixels:
    """Return the part of a picture with the uppermost of these lines."""
    lines = sorted(weak, key=lambda line: line.top)[:_SAMPLE_LINES]
    top, bottom = min(line.top for line in lines), max(line.bottom for line in lines)
    margin = (bottom - top) / len(lines)
    return picture[max(0, int(top - margin)) : int(bottom + margin)]


def _encoded(picture: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PPM")
    return file.getvalue()


def sureness(lines: Sequence[Fragment]) -> float:
    """Return how sure Tesseract is of a letter in the mean (0 to 1). Few letters are a guess."""
    letters = sum(len(line.text) for line in lines)
    return sum(len(line.text) * line.score for line in lines) / letters if letters >= _FEWEST_LETTERS else 0.0


def _read_with(pack: str, picture: bytes) -> list[Fragment]:
    command = [_COMMAND, "stdin", "stdout", "-l", pack, "tsv"]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - its arguments are names of installed packs
            command, input=picture, capture_output=True, timeout=_SECONDS, check=True, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return lines_of(done.stdout.decode("utf-8", "replace"))


def lines_of(table: str) -> list[Fragment]:
    """Return a fragment for each line of Tesseract's table of words."""
    words: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["level"] == _WORD and (row["text"] or "").strip():
            words.setdefault((row["block_num"], row["par_num"], row["line_num"]), []).append(row)
    return [_line(line) for line in words.values()]


def _line(words: Sequence[dict[str, str]]) -> Fragment:
    boxes = [tuple(float(word[side]) for side in ("left", "top", "width", "height")) for word in words]
    letters = sum(len(word["text"]) for word in words)
    height = max(height for *_, height in boxes)
    text = words[0]["text"]
    for word, before, here in zip(words[1:], boxes, boxes[1:], strict=False):
        first, second = sorted((before, here))  # from left to right, whatever the direction of the script
        is_apart = second[0] - (first[0] + first[2]) >= _SPACE * height
        text += f" {word['text']}" if is_apart else word["text"]
    return Fragment(
        text=text,
        score=max(0.0, sum(len(word["text"]) * float(word["conf"]) for word in words) / letters / 100),
        left=min(left for left, *_ in boxes),
        top=min(top for _, top, *_ in boxes),
        right=max(left + width for left, _, width, _ in boxes),
        bottom=max(top + height for _, top, _, height in boxes),
    )
