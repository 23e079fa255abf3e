"""The figures of an evaluation as a table for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from litellm_image_analysis.cli.evaluate.picture import Picture
from litellm_image_analysis.cli.evaluate.results import Figures, Results, Subject, by_group, figures_of

HEAD = ("", "pictures", "characters", "rows", "facts", "invented", "obeyed", "seconds", "USD")
"""The columns of a table. Shares are in per cent; seconds and USD are those of one picture."""


def row(name: str, figures: Figures) -> tuple[str, ...]:
    """Return a row of a table."""
    failed = f" ({figures.failed} failed)" if figures.failed else ""
    return (
        name,
        f"{figures.pictures + figures.failed}{failed}",
        *(_per_cent(share) for share in (figures.characters, figures.rows, figures.facts)),
        str(figures.invented),
        str(figures.obeyed),
        "" if figures.seconds is None else f"{figures.seconds:.1f}",
        "unknown" if figures.usd is None else f"{figures.usd:.5f}",
    )


def rows(results: Results, subjects: Sequence[Subject], pictures: Sequence[Picture]) -> list[tuple[str, ...]]:
    """Return the rows of each vision model: all pictures together, and then each group."""
    found: list[tuple[str, ...]] = []
    for subject in subjects:
        measured = results.measured(subject, pictures)
        found.append(row(subject.name, figures_of(measured)))
        found += [row(f"  {group}", figures) for group, figures in by_group(measured).items()]
    return found


def as_json(results: Results, subjects: Sequence[Subject], pictures: Sequence[Picture], end: str) -> dict[str, Any]:
    """Return the figures with stable keys: ``end``, and for each vision model ``all`` and ``groups``."""
    return {
        "end": end,
        "vision_models": [
            {
                "model": subject.model,
                "instructions": subject.instructions_name,
                "all": asdict(figures_of(measured)),
                "groups": {group: asdict(figures) for group, figures in by_group(measured).items()},
            }
            for subject in subjects
            for measured in [results.measured(subject, pictures)]
        ],
    }


def groups_of(
    results: Results, subjects: Sequence[Subject], pictures: Sequence[Picture]
) -> Mapping[str, Mapping[str, Figures]]:
    """Return the figures of each group by vision model, for the chart."""
    return {subject.name: by_group(results.measured(subject, pictures)) for subject in subjects}


def _per_cent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.0f}"
