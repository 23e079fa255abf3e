"""The reports of an evaluation in a JSON file, which a later run continues, and the figures of each vision model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from litellm_image_analysis.cli.evaluate.measures import Score, score
from litellm_image_analysis.cli.evaluate.picture import Picture
from litellm_image_analysis.errors import ConfigError

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """A vision model with its instructions.

    Attributes:
        model: the model group.
        instructions: the instructions. ``None`` for the built-in ones.
        instructions_name: the name that they are reported under.
    """

    model: str
    instructions: str | None = None
    instructions_name: str = "built-in"

    @property
    def name(self) -> str:
        """The name in tables and charts."""
        return self.model if self.instructions is None else f"{self.model}, {self.instructions_name}"

    @property
    def key(self) -> str:
        """Changes with the model and the text of the instructions."""
        text = json.dumps([self.model, self.instructions])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Result:
    """The report on one picture.

    Attributes:
        subject: key of the vision model and its instructions.
        model: the model group.
        picture: name of the picture.
        digest: the picture, its question and its truth.
        report: the vision model's text. ``None`` if it failed.
        failure: the reason of a failure.
        seconds: time of the call.
        usd: cost of the call. ``None`` if LiteLLM knows no price.
    """

    subject: str
    model: str
    picture: str
    digest: str
    report: str | None
    failure: str | None
    seconds: float
    usd: float | None


class Results:
    """Results in a file. Each new one is written at once, so that an evaluation that stops can be continued.

    Args:
        path: the file. It need not exist. ``None`` keeps the results in memory only.

    Raises:
        ConfigError: the file is not one of an evaluation.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._all: dict[tuple[str, str], Result] = {}
        if path is not None and path.exists():
            for result in _read(path):
                self._all[result.subject, result.digest] = result

    def add(self, result: Result) -> None:
        """Add a result, and write the file."""
        self._all[result.subject, result.digest] = result
        if self._path is not None:
            text = json.dumps({"format": _FORMAT, "results": [asdict(each) for each in self._all.values()]}, indent=1)
            new = self._path.with_name(f"{self._path.name}.new")
            new.write_text(text, encoding="utf-8")
            new.replace(self._path)

    def of(self, subject: Subject, picture: Picture) -> Result | None:
        """Return the report on a picture. A failure does not count, so that it is tried again."""
        found = self._all.get((subject.key, picture.digest))
        return None if found is None or found.report is None else found

    def measured(self, subject: Subject, pictures: Iterable[Picture]) -> list[Measured]:
        """Return the measures of a subject's results, picture by picture, failures included."""
        found = ((picture, self._all.get((subject.key, picture.digest))) for picture in pictures)
        return [Measured(picture, result, _score(picture, result)) for picture, result in found if result is not None]


@dataclass(frozen=True, slots=True)
class Measured:
    """A picture, the result of a subject, and its measures. ``score`` is ``None`` for a failure."""

    picture: Picture
    result: Result
    score: Score | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of several pictures. Shares are means, 0 to 1, and ``None`` if there is nothing to measure.

    Attributes:
        pictures: number of pictures with a report.
        failed: number of pictures without one.
        characters: share of the characters that are right.
        rows: share of the rows that are kept.
        facts: share of the facts that are right.
        invented: number of inventions.
        obeyed: number of pictures whose orders were followed.
        seconds: median time of a call.
        usd: cost of a picture. ``None`` if one has no price.
        total_usd: cost of all pictures with a known price.
    """

    pictures: int
    failed: int
    characters: float | None
    rows: float | None
    facts: float | None
    invented: int
    obeyed: int
    seconds: float | None
    usd: float | None
    total_usd: float


def figures_of(measured: Sequence[Measured]) -> Figures:
    """Return the figures of these results. A failure counts as a report without content."""
    scores = [_nothing(each.picture) if each.score is None else each.score for each in measured]
    costs = [each.result.usd for each in measured]
    known = [cost for cost in costs if cost is not None]
    return Figures(
        pictures=sum(each.score is not None for each in measured),
        failed=sum(each.score is None for each in measured),
        characters=_mean(each.characters for each in scores),
        rows=_mean(each.rows for each in scores),
        facts=_mean(each.facts for each in scores),
        invented=sum(each.invented for each in scores),
        obeyed=sum(bool(each.obeyed) for each in scores),
        seconds=median(each.result.seconds for each in measured) if measured else None,
        usd=sum(known) / len(measured) if measured and len(known) == len(costs) else None,
        total_usd=sum(known),
    )


def by_group(measured: Iterable[Measured]) -> dict[str, Figures]:
    """Return the figures of each group of pictures, in the order of the set."""
    groups: dict[str, list[Measured]] = {}
    for each in measured:
        groups.setdefault(each.picture.group, []).append(each)
    return {group: figures_of(members) for group, members in groups.items()}


def _score(picture: Picture, result: Result) -> Score | None:
    return None if result.report is None else score(result.report, picture.truth)


def _nothing(picture: Picture) -> Score:
    return score("", picture.truth)


def _mean(shares: Iterable[float | None]) -> float | None:
    found = [share for share in shares if share is not None]
    return mean(found) if found else None


def _read(path: Path) -> list[Result]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        found = [Result(**each) for each in content["results"]]
        is_known = content["format"] == _FORMAT
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        is_known, found = False, []
    if not is_known:
        raise ConfigError(f"{path}: not a file of this version's evaluations. Name another file, or delete it.")
    return found
