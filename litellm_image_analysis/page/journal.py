"""Recent requests with images, and what was done with them: counts, names and times, but no image and no text."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from litellm_image_analysis.billing.request_state import metadata_buckets

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report

OUTCOMES = ("analysed", "cached", "failed")
"""What became of an image: a vision call analysed it, its analysis was known, or it has no analysis."""

_MOST_CHARACTERS = 200
"""Callers choose ids and model names."""
_MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One request with images.

    Attributes:
        time: when its images had been replaced, in UTC.
        request_id: LiteLLM's id of the request.
        path: the path of the proxy's API. Empty if it is not known.
        model: the model that the request is for.
        vision_model: the vision model.
        analysed: number of images that a vision call analysed.
        cached: number of images with an analysis for which the request made no vision call.
        failed: number of images without an analysis.
        reasons: the codes of the failures, each once.
        milliseconds: duration of the analysis.
        usd: cost of the vision calls. ``None`` if LiteLLM knows no price for one of them.
        key_alias: the name of the caller's key, never the key.
        team_alias: the name of the caller's team.
        texts: the beginnings of the analyses, if ``page.show_texts`` is set. They stay in this process.
    """

    time: datetime
    request_id: str = ""
    path: str = ""
    model: str = ""
    vision_model: str = ""
    analysed: int = 0
    cached: int = 0
    failed: int = 0
    reasons: tuple[str, ...] = ()
    milliseconds: int = 0
    usd: Decimal | None = Decimal(0)
    key_alias: str = ""
    team_alias: str = ""
    texts: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def images(self) -> int:
        """The number of its images."""
        return self.analysed + self.cached + self.failed

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes of its images, each once."""
        return tuple(name for name in OUTCOMES if getattr(self, name))

    def as_json(self) -> dict[str, Any]:
        """Return its attributes as JSON values, without texts."""
        usd = None if self.usd is None else str(self.usd)
        values = {**asdict(self), "time": self.time.isoformat(), "reasons": list(self.reasons), "usd": usd}
        del values["texts"]
        return values


def entry_of(data: Mapping[str, Any], report: Report, time: datetime) -> Entry | None:
    """Return the entry of a request. ``None`` if it has no images.

    Args:
        data: the request.
        report: what was done.
        time: the time, in UTC.
    """
    if not (report.analysed or report.cached or report.failed):
        return None
    metadata = next(iter(metadata_buckets(data)), {})
    return Entry(
        time=time,
        request_id=_short(data.get("litellm_call_id")),
        path=_path(data),
        model=_short(data.get("model")),
        vision_model=_short(report.vision_model),
        analysed=report.analysed,
        cached=report.cached,
        failed=report.failed,
        reasons=tuple(dict.fromkeys(report.reasons))[:_MOST_REASONS],
        milliseconds=report.duration_ms,
        usd=report.cost,
        key_alias=_short(metadata.get("user_api_key_alias")),
        team_alias=_short(metadata.get("user_api_key_team_alias")),
        texts=tuple(_encodable(text) for text in report.texts),
    )


def _path(data: Mapping[str, Any]) -> str:
    request = data.get("proxy_server_request")
    url = request.get("url") if isinstance(request, Mapping) else None
    try:
        return _short(urlsplit(url).path) if isinstance(url, str) else ""  # a query may hold a key
    except ValueError:
        return ""


def _short(value: object) -> str:
    """Return a caller's text without what cannot be written as UTF-8, cut to a length."""
    text = value if isinstance(value, str) else ""
    text = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
    return _encodable(text)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def dump(entry: Entry) -> str:
    """Return an entry as text, for other workers."""
    return json.dumps(entry.as_json(), ensure_ascii=False, separators=(",", ":"))


def load(text: str | bytes) -> Entry | None:
    """Return the entry of a text. ``None`` if it is of another version, or no entry."""
    try:
        read = json.loads(text)
        time = datetime.fromisoformat(read["time"])
        usd = None if read["usd"] is None else Decimal(read["usd"])
        counts = {name: read[name] for name in _COUNTS}
        names = {name: read[name] for name in _TEXTS}
        reasons = tuple(read["reasons"])
        are_texts = all(isinstance(each, str) for each in (*names.values(), *reasons))
        are_counts = all(type(count) is int and 0 <= count <= _MOST for count in counts.values())
        is_price = usd is None or 0 <= usd <= _MOST
        if not (are_texts and are_counts and is_price and isinstance(read["reasons"], list) and time.tzinfo):
            return None
        values: dict[str, Any] = {**counts, **{name: _short(value) for name, value in names.items()}}
        short = tuple(map(_short, reasons[:_MOST_REASONS]))
        return Entry(time=time.astimezone(timezone.utc), usd=usd, reasons=short, **values)
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        return None


_COUNTS = ("analysed", "cached", "failed", "milliseconds")
_TEXTS = ("request_id", "path", "model", "vision_model", "key_alias", "team_alias")
_MOST = 10**9


class Journal:
    """The latest entries of this process.

    Args:
        most: number of entries. The oldest is dropped first.
    """

    def __init__(self, most: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=most)

    def add(self, entry: Entry) -> None:
        """Add an entry."""
        self._entries.append(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))  # other threads may add entries


def merged(*sources: Iterable[Entry], most: int) -> list[Entry]:
    """Return the latest entries of several sources, each once, the newest first.

    Args:
        sources: the entries. If several have the same one, that of the first source is returned.
        most: number of entries.
    """
    once = dict.fromkeys(entry for source in sources for entry in source)
    return sorted(once, key=lambda entry: entry.time, reverse=True)[:most]


SINCE = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "all": None}
"""The values of the filter by time."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are shown. An empty text means all.

    Attributes:
        vision_model: the name of the vision model.
        outcome: one of ``OUTCOMES``. An entry has it if one of its images has it.
        reason: the code of a failure.
        request_id: a part of the request's id.
        since: one of ``SINCE``.
    """

    vision_model: str = ""
    outcome: str = ""
    reason: str = ""
    request_id: str = ""
    since: str = "24h"

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Filters:
        """Return the filters of a query string. Unknown values count as missing."""
        values = {each.name: _short(query.get(each.name, "").strip()) for each in fields(cls)}
        if values["outcome"] not in OUTCOMES:
            values["outcome"] = ""
        if values["since"] not in SINCE:
            values["since"] = "24h"
        return cls(**values)

    def matches(self, entry: Entry, now: datetime) -> bool:
        """Return whether an entry is shown.

        Args:
            entry: the entry.
            now: the time, in UTC.
        """
        age = SINCE[self.since]
        return (
            (not self.vision_model or entry.vision_model == self.vision_model)
            and (not self.outcome or self.outcome in entry.outcomes)
            and (not self.reason or self.reason in entry.reasons)
            and (not self.request_id or self.request_id in entry.request_id)
            and (age is None or entry.time >= now - age)
        )

    def select(self, entries: Iterable[Entry], now: datetime) -> list[Entry]:
        """Return the entries that are shown, in their order."""
        return [entry for entry in entries if self.matches(entry, now)]


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of several entries.

    Attributes:
        requests: number of entries.
        analysed: number of images that a vision call analysed.
        cached: number of images for which no vision call was made.
        failed: number of images without an analysis.
        usd: the cost of entries whose cost is known.
        unpriced: number of entries whose cost is not known.
        milliseconds: the median duration of requests that made a vision call. ``None`` if none did.
        reasons: number of entries with each reason, the most frequent first.
    """

    requests: int = 0
    analysed: int = 0
    cached: int = 0
    failed: int = 0
    usd: Decimal = Decimal(0)
    unpriced: int = 0
    milliseconds: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """The number of images."""
        return self.analysed + self.cached + self.failed

    @property
    def cached_percent(self) -> int | None:
        """The percentage of analyses that needed no vision call. ``None`` without analyses."""
        known = self.analysed + self.cached
        return round(100 * self.cached / known) if known else None


def sums(entries: Sequence[Entry]) -> Sums:
    """Sum up entries."""
    durations = sorted(entry.milliseconds for entry in entries if entry.analysed)
    return Sums(
        requests=len(entries),
        analysed=sum(entry.analysed for entry in entries),
        cached=sum(entry.cached for entry in entries),
        failed=sum(entry.failed for entry in entries),
        usd=sum((entry.usd for entry in entries if entry.usd is not None), Decimal(0)),
        unpriced=sum(entry.usd is None for entry in entries),
        milliseconds=durations[len(durations) // 2] if durations else None,
        reasons=dict(Counter(reason for entry in entries for reason in entry.reasons).most_common()),
    )
