"""The chart of images over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.page import NOW, entries, entry

from litellm_image_analysis.page.chart import HEIGHT, WIDTH, bars, draw
from litellm_image_analysis.page.journal import SINCE, Entry, Filters


@pytest.mark.parametrize(
    ("since", "number", "seconds"), [("1h", 30, 120), ("24h", 24, 3600), ("all", 1, 60)], ids=list(SINCE)
)
def test_bars_without_entries(since: str, number: int, seconds: int) -> None:
    found, each = bars([], since, NOW)
    assert (len(found), each) == (number, seconds)
    assert {bar.counts for bar in found} == {(0, 0, 0)}
    assert found[-1].start <= NOW < found[-1].start + timedelta(seconds=each)


def test_an_entry_is_in_the_bar_of_its_time() -> None:
    old = entry(time=NOW - timedelta(hours=3), analysed=2, cached=1)
    found, _ = bars([entry(failed=4), old], "24h", NOW)
    assert [(bar.start.hour, bar.counts) for bar in found if any(bar.counts)] == [(9, (2, 1, 0)), (12, (0, 0, 4))]


@pytest.mark.parametrize(
    ("age", "span"),
    [
        (timedelta(minutes=10), "minute"),
        (timedelta(hours=5), "30 minutes"),
        (timedelta(days=3), "4 hours"),
        (timedelta(days=300), "14 days"),
        (timedelta(days=2000), "70 days"),
    ],
)
def test_the_span_of_a_bar_fits_the_time(age: timedelta, span: str) -> None:
    chart = draw([entry(time=NOW - age, analysed=1)], "all", NOW)
    assert chart.span == span


@pytest.mark.parametrize(
    ("images", "top"), [(0, 2), (1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 20), (61, 80), (999, 1000)]
)
def test_the_scale_ends_at_a_round_number(images: int, top: int) -> None:
    assert draw([entry(analysed=images)], "1h", NOW).top == top


@given(st.lists(entries(), max_size=8), st.sampled_from(list(SINCE)))
def test_every_image_is_in_the_chart_and_no_bar_is_outside_of_it(found: Sequence[Entry], since: str) -> None:
    shown = Filters(since=since).select(found, NOW)
    made, _ = bars(shown, since, NOW)
    assert len(made) <= 30
    assert sum(sum(bar.counts) for bar in made) == sum(each.images for each in shown)
    svg = ET.fromstring(draw(shown, since, NOW).svg)
    for bar in svg.iter("rect"):
        x, y, width, height = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= WIDTH
        assert -0.1 <= y <= y + height <= HEIGHT + 0.1


def test_the_chart_says_in_words_what_it_shows() -> None:
    svg = ET.fromstring(draw([entry(analysed=2, cached=1, failed=3)], "24h", NOW).svg)
    assert svg.attrib["aria-label"] == "Images over time: 6, of which 2 analysed, 1 cached, 3 failed"
    assert [title.text for title in svg.iter("title")] == ["28 Nov 12:00 to 13:00 UTC: 2 analysed, 1 cached, 3 failed"]
