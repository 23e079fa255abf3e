"""Entries of the page of recent analyses."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from litellm_image_analysis.page.journal import Entry

NOW = datetime(2026, 11, 28, 12, 30, tzinfo=timezone.utc)

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_counts = st.integers(0, 10**6)


def entry(**values: Any) -> Entry:
    """An entry of this time with these values."""
    return Entry(**{"time": NOW, **values})


def entries(texts: st.SearchStrategy[str] = _texts) -> st.SearchStrategy[Entry]:
    """Entries of the last two days, with any texts and counts."""
    return st.builds(
        Entry,
        time=st.datetimes(
            (NOW - timedelta(days=2)).replace(tzinfo=None),
            NOW.replace(tzinfo=None),
            timezones=st.just(timezone.utc),
        ),
        request_id=texts,
        path=texts,
        model=texts,
        vision_model=texts,
        analysed=_counts,
        cached=_counts,
        failed=_counts,
        reasons=st.lists(texts, max_size=3).map(tuple),
        milliseconds=_counts,
        usd=st.none() | st.decimals(0, 1000, allow_nan=False),
        key_alias=texts,
        team_alias=texts,
        texts=st.lists(texts, max_size=2).map(tuple),
    )
