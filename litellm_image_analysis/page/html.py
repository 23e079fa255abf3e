"""The page as HTML. Every value is escaped by the template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from litellm_image_analysis.page.chart import draw
from litellm_image_analysis.page.journal import OUTCOMES, Filters, sums

if TYPE_CHECKING:
    from datetime import datetime

    from jinja2 import Template

    from litellm_image_analysis.page.journal import Entry

ON_A_PAGE = 100
"""Entries on one page."""

_SINCE = {"1h": "last hour", "24h": "last 24 hours", "all": "all"}
_DASH = "\N{EN DASH}"
_LEAST_USD = Decimal("0.000001")


def render(
    entries: Sequence[Entry], filters: Filters, page: int, now: datetime, source: str, *, has_texts: bool = False
) -> str:
    """Return the page.

    Args:
        entries: all entries, the newest first.
        filters: which of them are shown.
        page: the number of the page, from 1.
        now: the time, in UTC.
        source: whose entries they are, in words.
        has_texts: whether texts of analyses are shown.
    """
    shown = filters.select(entries, now)
    page, pages, on_page = paged(shown, page)
    return _template().render(
        entries=on_page,
        sums=sums(shown),
        chart=draw(shown, filters.since, now),
        filters=filters,
        since=_SINCE,
        outcomes=OUTCOMES,
        vision_models=_choices((entry.vision_model for entry in entries), filters.vision_model),
        reasons=_choices((reason for entry in entries for reason in entry.reasons), filters.reason),
        page=page,
        pages=pages,
        link=lambda number: f"?{urlencode({**query_of(filters), 'page': number})}",
        link_to_json=f"?{urlencode({**query_of(filters), 'page': page, 'format': 'json'})}",
        usd=_usd,
        seconds=_seconds,
        now=now,
        source=source,
        has_texts=has_texts,
    )


def paged(entries: Sequence[Entry], page: int) -> tuple[int, int, Sequence[Entry]]:
    """Return the number of the page that is shown, the number of pages, and the entries of the page.

    Args:
        entries: the entries of all pages.
        page: the number of the page that is asked for, from 1. The last page stands for those behind it.
    """
    pages = max(1, -(-len(entries) // ON_A_PAGE))
    page = min(max(page, 1), pages)
    return page, pages, entries[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]


def query_of(filters: Filters) -> dict[str, str]:
    """Return the filters as they are in a query string."""
    return {name: value for name, value in asdict(filters).items() if value}


def _choices(values: Iterable[str], chosen: str) -> list[str]:
    return sorted({*values, chosen} - {""})


def _usd(value: Decimal | None) -> str:
    if value is None:
        return "unknown"
    if not value:
        return "0"
    if value < _LEAST_USD:
        return f"under {_LEAST_USD:f}"
    return f"{value:,.2f}" if value >= 100 else f"{value:.6f}".rstrip("0").rstrip(".")


def _seconds(milliseconds: int | None) -> str:
    if milliseconds is None:
        return _DASH
    return f"{milliseconds:,} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:,.1f} s"


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("litellm_image_analysis.page", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")
