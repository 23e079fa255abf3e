"""The page as HTML: no value of an entry or of the query string is markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.page import NOW, entries, entry

from litellm_image_analysis.page.html import render
from litellm_image_analysis.page.journal import Entry, Filters

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}&amp;"
ATTRIBUTES = {
    *(
        "aria-hidden",
        "aria-label",
        "autocomplete",
        "charset",
        "class",
        "colspan",
        "content",
        "data-name",
        "height",
        "href",
    ),
    *("lang", "method", "name", "placeholder", "preserveaspectratio", "rel", "role", "scope", "selected"),
    *("spellcheck", "style", "value", "viewbox", "width", "x", "x1", "x2", "y", "y1", "y2"),
}


TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "h1",
        "h2",
        "span",
        "p",
        "a",
        "code",
        "section",
    ),
    *("form", "label", "select", "option", "input", "button", "div", "dl", "dt", "dd", "ul", "li", "nav"),
    *("svg", "line", "g", "rect", "table", "thead", "tbody", "tr", "th", "td", "time"),
    *("details", "summary", "blockquote"),
}
ALL = Filters()


class Markup(HTMLParser):
    """The tags, attributes, links and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.names |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def page_of(found: Sequence[Entry], filters: Filters = ALL, page: int = 1) -> Markup:
    return Markup(render(found, filters, page, NOW, "this worker only", has_texts=True))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [HOSTILE, "<svg onload=a>", "</style><script>", "' autofocus onfocus=a x='", "{% raw %}", "javascript:a", "-->"]
)


@given(st.lists(entries(texts), max_size=3), st.builds(Filters, texts, texts, texts, texts, st.just("all")))
def test_no_entry_and_no_filter_yields_markup(found: Sequence[Entry], filters: Filters) -> None:
    page = page_of(found, filters)
    assert page.names <= ATTRIBUTES
    assert page.tags.keys() <= TAGS
    assert page.tags["style"] == page.tags["form"] == page.tags["input"] == 1
    assert all(link.startswith("?") for link in page.links)


def test_hostile_texts_are_shown_as_they_are() -> None:
    found = page_of([entry(model=HOSTILE, vision_model=HOSTILE, key_alias=HOSTILE, reasons=(HOSTILE,), failed=1)])
    assert found.texts.count(HOSTILE) == 6  # in the table, and in the filters by vision model and by reason
    assert "script" not in found.tags
    assert "img" not in found.tags


def test_it_shows_an_entry() -> None:
    shown = page_of(
        [
            entry(
                request_id="call-1",
                path="/v1/messages",
                model="deepseek-chat",
                vision_model="eyes",
                analysed=1,
                cached=2,
                failed=3,
                reasons=("timeout", "empty"),
                milliseconds=12_345,
                usd=Decimal("0.00021"),
                key_alias="ada",
                team_alias="lovelace",
            )
        ]
    ).texts
    for text in (
        *("call-1", "/v1/messages", "deepseek-chat", "eyes", "1 analysed", "2 cached", "3 failed", "timeout, empty"),
        *("12.3 s", "0.00021", "ada", "lovelace", "28 Nov 12:30:00"),
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(None, "unknown"), ("0", "0"), ("0.0000004", "under 0.000001"), ("10", "10"), ("1234.567", "1,234.57")],
)
def test_a_price_is_shown_in_usd(usd: str | None, shown: str) -> None:
    page = page_of([entry(analysed=1, usd=None if usd is None else Decimal(usd))])
    assert shown in page.texts[page.texts.index("USD") :]


def test_texts_are_shown_only_if_the_operator_allows_it() -> None:
    found = [entry(analysed=1, texts=("an invoice", HOSTILE))]
    assert {"an invoice", HOSTILE} <= set(page_of(found).texts)
    assert "an invoice" not in render(found, ALL, 1, NOW, "this worker only")


def test_without_entries_it_says_so() -> None:
    assert "No request with images matches." in page_of([]).texts


def test_a_page_has_a_hundred_entries_and_links_to_the_others() -> None:
    many = [entry(request_id=f"call-{number}", analysed=1) for number in range(250)]
    first, last = page_of(many), page_of(many, Filters(outcome="analysed"), 9)
    assert (first.tags["tr"], last.tags["tr"]) == (101, 51)
    assert "page 1 of 3" in first.texts
    assert "page 3 of 3" in last.texts
    assert "?since=24h&page=2" in first.links
    assert "?outcome=analysed&since=24h&page=2" in last.links


def test_the_chosen_filter_stays_although_no_entry_has_it() -> None:
    page = page_of([entry(time=NOW - timedelta(days=2), vision_model="eyes")], Filters(vision_model="other"))
    assert {"eyes", "other"} <= set(page.texts)
