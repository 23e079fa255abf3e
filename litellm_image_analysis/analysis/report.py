"""The report on the analysis of one request: counts, cost and time, for logs, headers and spend tracking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, Outcome

TEXT_CHARACTERS = 500
"""Characters of an analysis in a report."""
MOST_TEXTS = 10
"""Analyses of a request whose beginnings are in its report."""


@dataclass(frozen=True, slots=True)
class Report:
    """The report on the analysis of one request.

    Attributes:
        vision_model: name of the vision model.
        images: number of images replaced by a text, an analysis or a note.
        cached: number of images with an analysis for which the request made no vision call.
        failed: number of images without an analysis.
        cost: USD of all vision calls. ``None`` if LiteLLM knows no price for one of them.
        duration_ms: wall time of the analysis, in milliseconds.
        call_ids: ids of the vision calls' spend-log rows.
        reasons: code of each failure such as ``timeout``, in the images' order.
        cures: problems of the vision model and what the operator has to do, each once.
        files: number of files that are not images and were replaced by a note.
        analysed: number of images with an analysis for which the request made a vision call.
        texts: the beginnings of the analyses, in the images' order, if ``page.show_texts`` is set. Never printed.
    """

    vision_model: str
    images: int = 0
    cached: int = 0
    failed: int = 0
    cost: Decimal | None = Decimal(0)
    duration_ms: int = 0
    call_ids: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    cures: tuple[str, ...] = ()
    files: int = 0
    analysed: int = 0
    texts: tuple[str, ...] = field(default=(), repr=False)


def make_report(
    vision_model: str,
    replaced: int,
    outcomes: Sequence[Outcome],
    by_image: Sequence[Outcome],
    duration_ms: int,
    *,
    with_texts: bool = False,
) -> Report:
    """Sum up a request's outcomes.

    Args:
        vision_model: the vision model's name.
        replaced: number of images that were replaced by text.
        outcomes: one for each vision request.
        by_image: one for each image, in the images' order.
        duration_ms: wall time of the analysis.
        with_texts: whether the report has the beginnings of the analyses.
    """
    costs = [outcome.cost for outcome in outcomes]
    analyses = [outcome for outcome in by_image if isinstance(outcome, Analysed)] if with_texts else []
    failures = [outcome for outcome in by_image if isinstance(outcome, Failed)]
    return Report(
        vision_model=vision_model,
        images=replaced,
        cached=sum(isinstance(outcome, Analysed) and outcome.cached for outcome in by_image),
        failed=len(failures),
        cost=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        duration_ms=duration_ms,
        call_ids=tuple(outcome.call_id for outcome in outcomes if outcome.call_id is not None),
        texts=tuple(analysis.text[:TEXT_CHARACTERS] for analysis in analyses[:MOST_TEXTS]),
        reasons=tuple(failure.reason.code for failure in failures),
        cures=tuple(dict.fromkeys(failure.cure for failure in failures if failure.cure is not None)),
        analysed=sum(isinstance(outcome, Analysed) and not outcome.cached for outcome in by_image),
    )
