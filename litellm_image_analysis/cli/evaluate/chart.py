"""A chart of an evaluation, as a PNG file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm_image_analysis.cli.evaluate.results import Figures

_MEASURES = ("characters", "rows", "facts")


def draw(figures: Mapping[str, Mapping[str, Figures]], path: Path) -> None:
    """Draw the score of each group of pictures for each vision model. It is the mean of the measures that apply.

    Args:
        figures: by vision model, and by group.
        path: the file.
    """
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(group for each in figures.values() for group in each if _mark(each[group]) is not None))
    figure = Figure(figsize=(max(8, 0.9 * len(groups) + 2), 5), layout="constrained")
    axes: Any = figure.subplots()
    width = 0.8 / max(1, len(figures))
    for number, (name, each) in enumerate(figures.items()):
        marks = [(_mark(each[group]) or 0.0) * 100 if group in each else 0.0 for group in groups]
        places = [place - 0.4 + (number + 0.5) * width for place in range(len(groups))]
        drawn = axes.bar(places, marks, width * 0.92, label=name)
        axes.bar_label(drawn, fmt="%.0f", fontsize=8)
    axes.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
    axes.set_ylim(0, 108)
    axes.set_ylabel("right, in per cent")
    axes.set_title("What vision models report of pictures with known content", loc="left")
    figure.legend(loc="outside upper right", ncols=min(4, len(figures)))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _mark(figures: Figures) -> float | None:
    found = [mark for mark in (getattr(figures, measure) for measure in _MEASURES) if mark is not None]
    return sum(found) / len(found) if found else None
