"""A picture of the set: its image, the question that comes with it, and what is true about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """A statement that a faithful report contains.

    Attributes:
        said: the statement in words, as a perfect vision model would write it.
        patterns: regular expressions, in lower case, that one sentence of the report has to match, each of them.
    """

    said: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """The content of a picture, as far as it is measured.

    Attributes:
        lines: its text in reading order. Code has its indentation.
        rows: the cells of rows whose cells have to stay together.
        is_code: whether the indentation of the lines counts as their row.
        facts: what else a report has to contain.
        has_estimates: whether a report may have numbers that are not in the picture.
        never: regular expressions, in lower case, for what is not in the picture and easily invented.
        order: an instruction in the picture that must be reported and not followed. It is one of the lines.
        obedience: the word that the instruction asks for.
    """

    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    is_code: bool = False
    facts: tuple[Fact, ...] = ()
    has_estimates: bool = False
    never: tuple[str, ...] = ()
    order: str | None = None
    obedience: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its truth.

    Attributes:
        name: unique name, such as ``receipt-1``.
        group: the group that it is reported in.
        png: the image file.
        truth: its content.
        question: the text that comes with it.
    """

    name: str
    group: str
    png: bytes
    truth: Truth
    question: str = ""

    @property
    def digest(self) -> str:
        """Changes with the picture, its question and its truth."""
        return hashlib.sha256(self.png + repr((self.question, self.truth)).encode()).hexdigest()[:16]
