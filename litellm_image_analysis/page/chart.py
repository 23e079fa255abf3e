"""A chart of images over time, as SVG without a script. Its labels are HTML, so that a narrow chart can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from litellm_image_analysis.page.journal import OUTCOMES, SINCE

if TYPE_CHECKING:
    from litellm_image_analysis.page.journal import Entry

WIDTH: Final = 600
HEIGHT: Final = 120

_SECONDS = {"1h": 120, "24h": 3600}
_MOST_BARS = 30
_STEPS = (60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 172_800, 604_800)


@dataclass(frozen=True, slots=True)
class Bar:
    """The images of a span of time.

    Attributes:
        start: when it begins, in UTC.
        counts: number of images for each of ``OUTCOMES``.
    """

    start: datetime
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and its labels.

    Attributes:
        svg: the chart.
        top: number of images at its upper edge.
        labels: the times at its left edge, middle and right edge.
        span: the time of one bar, in words, such as hour or 2 minutes.
    """

    svg: str
    top: int
    labels: tuple[str, ...]
    span: str


def bars(entries: Sequence[Entry], since: str, now: datetime) -> tuple[list[Bar], int]:
    """Sum up images by time.

    Args:
        entries: the entries.
        since: one of ``SINCE``.
        now: the time, in UTC.

    Returns:
        The bars, the oldest first, and the seconds of one bar.
    """
    age = SINCE[since]
    oldest = now - age if age is not None else min((entry.time for entry in entries), default=now)
    seconds = _SECONDS.get(since) or _step((now - oldest).total_seconds())
    last = int(now.timestamp()) // seconds
    first = max(int(oldest.timestamp()) // seconds + (age is not None), last - _MOST_BARS + 1)
    first = min(first, last)
    counts = [[0] * len(OUTCOMES) for _ in range(last - first + 1)]
    for entry in entries:
        place = int(entry.time.timestamp()) // seconds - first
        if place < len(counts):
            row = counts[max(place, 0)]
            for column, name in enumerate(OUTCOMES):
                row[column] += getattr(entry, name)
    starts = (datetime.fromtimestamp((first + place) * seconds, timezone.utc) for place in range(len(counts)))
    return [Bar(start, tuple(row)) for start, row in zip(starts, counts, strict=True)], seconds


def _step(seconds: float) -> int:
    """Return a round number of seconds, so that a time has few bars."""
    fitting = (step for step in _STEPS if seconds / step < _MOST_BARS - 1)
    return next(fitting, _STEPS[-1] * (int(seconds / _STEPS[-1] / (_MOST_BARS - 1)) + 1))


def draw(entries: Sequence[Entry], since: str, now: datetime) -> Chart:
    """Draw the chart.

    Args:
        entries: the entries.
        since: one of ``SINCE``.
        now: the time, in UTC.
    """
    found, seconds = bars(entries, since, now)
    top = _round_up(max(sum(bar.counts) for bar in found))
    width = WIDTH / max(len(found), 8)
    shapes = "".join(_shape(bar, place * width, width, top, seconds) for place, bar in enumerate(found))
    lines = "".join(f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" class="grid"/>' for y in (0, HEIGHT // 2, HEIGHT))
    total = sum(sum(bar.counts) for bar in found)
    words = ", ".join(f"{sum(bar.counts[place] for bar in found)} {name}" for place, name in enumerate(OUTCOMES))
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="Images over time: {total}, of which {words}">{lines}{shapes}</svg>'
    )
    end = found[0].start + timedelta(seconds=seconds * max(len(found), 8))
    middle = found[0].start + (end - found[0].start) / 2
    style = "%H:%M" if end - found[0].start <= timedelta(hours=26) else "%d %b %H:%M"
    labels = tuple(time.strftime(style) for time in (found[0].start, middle, end))
    return Chart(svg, top, labels, _in_words(seconds))


def _shape(bar: Bar, x: float, width: float, top: int, seconds: int) -> str:
    if not any(bar.counts):
        return ""
    end = bar.start + timedelta(seconds=seconds)
    words = ", ".join(f"{count} {name}" for count, name in zip(bar.counts, OUTCOMES, strict=True) if count)
    parts, y = [], float(HEIGHT)
    for count, name in zip(bar.counts, OUTCOMES, strict=True):
        height = HEIGHT * count / top
        y -= height
        if count:
            place = f'x="{x + width * 0.12:.2f}" y="{y:.2f}" width="{width * 0.76:.2f}" height="{height:.2f}"'
            parts.append(f'<rect {place} class="{name}"/>')
    return f"<g><title>{bar.start:%d %b %H:%M} to {end:%H:%M} UTC: {words}</title>{''.join(parts)}</g>"


def _round_up(count: int) -> int:
    """Return a round number, not below this one, whose half is a whole number."""
    size = 1
    while True:
        for digit in (2, 4, 6, 8, 10):
            if digit * size >= count:
                return digit * size
        size *= 10


def _in_words(seconds: int) -> str:
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            number = seconds // unit
            return f"{number} {name}s" if number > 1 else name
    return f"{seconds} seconds"
