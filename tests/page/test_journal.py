"""Entries, filters and sums of the page."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.page import NOW, entries, entry
from support.strategies import json_values

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.page.journal import Filters, Journal, Sums, dump, entry_of, load, merged, sums

REPORT = Report(
    "eyes", images=3, cached=1, failed=1, analysed=1, cost=Decimal("0.00021"), duration_ms=812, reasons=("timeout",) * 2
)
DATA = {
    "model": "deepseek-chat",
    "litellm_call_id": "call-1",
    "proxy_server_request": {"url": "http://user:pass@proxy/v1/messages?key=sk-secret", "body": {"a": "private text"}},
    "metadata": {"user_api_key": "sk-hash", "user_api_key_alias": "ada", "user_api_key_team_alias": "lovelace"},
    "messages": [{"role": "user", "content": "private text"}],
}


class TestEntryOf:
    """The entry of a request."""

    def test_it_has_names_and_counts(self) -> None:
        assert entry_of(DATA, REPORT, NOW) == entry(
            request_id="call-1",
            path="/v1/messages",
            model="deepseek-chat",
            vision_model="eyes",
            analysed=1,
            cached=1,
            failed=1,
            reasons=("timeout",),
            milliseconds=812,
            usd=Decimal("0.00021"),
            key_alias="ada",
            team_alias="lovelace",
        )

    def test_it_has_no_text_no_key_and_no_query(self) -> None:
        shown = repr(entry_of(DATA, REPORT, NOW))
        assert not [secret for secret in ("private", "sk-", "pass") if secret in shown]

    def test_a_request_without_images_has_none(self) -> None:
        assert entry_of(DATA, Report("eyes", files=2), NOW) is None

    @pytest.mark.parametrize("url", [None, 5, "http://[", ""])
    def test_what_is_not_known_is_empty(self, url: object) -> None:
        found = entry_of({"model": None, "proxy_server_request": {"url": url}}, REPORT, NOW)
        assert found is not None
        assert (found.model, found.path, found.key_alias, found.request_id) == ("", "", "", "")

    def test_texts_of_callers_are_cut_and_can_be_encoded(self) -> None:
        found = entry_of({"model": "\ud800" + "x" * 1000}, REPORT, NOW)
        assert found is not None
        assert found.model == "?" + "x" * 198 + "…"


class TestStored:
    """Entries as text, for other workers."""

    @given(entries())
    def test_they_are_read_as_they_were(self, each: object) -> None:
        assert load(dump(each)) == each  # type: ignore[arg-type]

    @given(json_values.map(str) | st.text() | st.binary())
    def test_other_values_are_none(self, text: str | bytes) -> None:
        assert load(text) is None

    @pytest.mark.parametrize(
        "change",
        [
            {"time": "2026-01-01T00:00:00"},
            {"time": 5},
            {"failed": -1},
            {"failed": True},
            {"model": None},
            {"usd": "NaN"},
            {"usd": "much"},
            {"usd": "1E+99999"},
            {"usd": "-1"},
            {"failed": 10**10},
            {"time": "0001-01-01T00:00:00+10:00"},
            {"reasons": {"timeout": 1}},
            {"reasons": "timeout"},
            {"reasons": [1]},
        ],
    )
    def test_so_are_entries_with_a_wrong_value(self, change: dict[str, object]) -> None:
        assert load(json.dumps({**entry().as_json(), **change})) is None
        assert load(json.dumps(entry().as_json())) == entry()


def test_texts_are_not_sent_to_redis_and_not_printed_and_those_of_this_worker_stay() -> None:
    ours = entry_of(DATA, replace(REPORT, texts=("an invoice \ud800",)), NOW)
    assert ours is not None
    assert ours.texts == ("an invoice ?",)
    assert "invoice" not in dump(ours) + repr(ours)
    stored = load(dump(ours))
    assert stored is not None
    assert [each.texts for each in merged([ours], [stored], most=5)] == [ours.texts]


def test_the_journal_keeps_the_latest() -> None:
    journal = Journal(2)
    for number in range(4):
        journal.add(entry(request_id=str(number)))
    assert [each.request_id for each in journal] == ["2", "3"]


def test_entries_of_several_sources_are_merged() -> None:
    old, middle, new = (entry(time=NOW + timedelta(seconds=seconds)) for seconds in (0, 1, 2))
    assert merged([old, new], [middle, new], most=5) == [new, middle, old]
    assert merged([old, new], [middle, new], most=2) == [new, middle]
    assert merged(most=2) == []


class TestFilters:
    """Which entries are shown."""

    @pytest.mark.parametrize(
        ("query", "is_shown"),
        [
            ({}, True),
            ({"vision_model": "eyes"}, True),
            ({"vision_model": "eye"}, False),
            ({"outcome": "failed"}, True),
            ({"outcome": "analysed"}, False),
            ({"outcome": "anything"}, True),
            ({"reason": "timeout"}, True),
            ({"reason": "empty"}, False),
            ({"request_id": " ll-1 "}, True),
            ({"request_id": "call-2"}, False),
            ({"since": "1h"}, False),
            ({"since": "24h"}, True),
            ({"since": "never"}, True),
            ({"since": "all"}, True),
            ({"outcome": "failed", "reason": "empty"}, False),
        ],
    )
    def test_they_are_read_from_the_query_string(self, query: dict[str, str], is_shown: bool) -> None:
        each = entry(
            time=NOW - timedelta(hours=2), request_id="call-1", vision_model="eyes", failed=1, reasons=("timeout",)
        )
        assert Filters.from_query(query).select([each], NOW) == ([each] if is_shown else [])


class TestSums:
    """The sums above the table."""

    def test_without_entries(self) -> None:
        assert sums([]) == Sums()
        assert sums([]).cached_percent is None

    def test_they_count_images_money_time_and_reasons(self) -> None:
        found = sums(
            [
                entry(analysed=2, milliseconds=100, usd=Decimal("0.1")),
                entry(analysed=1, cached=1, milliseconds=300, usd=Decimal("0.2")),
                entry(cached=2, milliseconds=1),
                entry(failed=1, reasons=("timeout",), usd=None),
                entry(failed=2, reasons=("timeout", "empty")),
            ]
        )
        assert (found.requests, found.images, found.analysed, found.cached, found.failed) == (5, 9, 3, 3, 3)
        assert (found.usd, found.unpriced, found.milliseconds) == (Decimal("0.3"), 1, 300)
        assert (found.cached_percent, found.reasons) == (50, {"timeout": 2, "empty": 1})


def test_times_are_kept_in_utc() -> None:
    east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    read = load(dump(entry(time=east)))
    assert read is not None
    assert read.time.isoformat() == "2026-01-01T00:00:00+00:00"
