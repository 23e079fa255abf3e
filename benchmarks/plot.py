"""Line plots as SVG: ``line_plot(curve)``. Their colours have contrast on light and on dark pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from benchmarks.measure import Curve

TEXT = "#6e7781"
COLOURS = ("#3b82f6", "#d97706", "#16a34a", "#a855f7", "#ef4444", "#0d9488")
BEFORE = ", before"
"""End of the names of lines that show an earlier version. They are dashed, in the colour of the same line now."""

_WIDTH, _HEIGHT = 860, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 540, 40, 285
_LINE_HEIGHT = 16
_LOG_SPAN = 20
_MOST_DECADES = 3
_MOST_STEPS = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels.

    Attributes:
        low: the least value.
        high: the greatest value, above ``low``.
        start: pixel of the least value.
        end: pixel of the greatest value.
        is_log: whether equal ratios have equal lengths.
    """

    low: float
    high: float
    start: int
    end: int
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        scale = math.log10 if self.is_log else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Return round values on the axis."""
        return _log_ticks(self.low, self.high) if self.is_log else _linear_ticks(self.low, self.high)


def _linear_ticks(low: float, high: float) -> list[float]:
    power = 10.0 ** math.floor(math.log10((high - low) / _MOST_STEPS))
    step = next(power * digit for digit in (1, 2, 5, 10) if (high - low) / (power * digit) <= _MOST_STEPS)
    return [step * count for count in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1, 2, 5) if last - first <= _MOST_DECADES else (1,)
    ticks = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
    return [tick for tick in ticks if low <= tick <= high]


def horizontal(values: list[float]) -> Axis:
    """Return the axis of these values. It is logarithmic if they span more than a factor of 20."""
    low, high = min(values), max(values)
    return Axis(low, high if high > low else low + 1, _LEFT, _RIGHT, is_log=low > 0 and high / low > _LOG_SPAN)


def vertical(values: list[float]) -> Axis:
    """Return the axis of these values. It includes 0, so that heights can be compared."""
    low, high = min(0.0, *values), max(0.0, *values)
    return Axis(low, high + (high - low) * 0.05 if high > low else 1.0, _BOTTOM, _TOP)


def line_plot(curve: Curve) -> str:
    """Draw a curve. Points that are not finite are left out."""
    lines = {name: _finite(points) for name, points in curve.lines.items()}
    points = [point for line in lines.values() for point in line] or [(0.0, 0.0)]
    x, y = horizontal([point[0] for point in points]), vertical([point[1] for point in points])
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {_WIDTH} {_HEIGHT}",
            "width": str(_WIDTH),
            "height": str(_HEIGHT),
            "role": "img",
            "font-family": "sans-serif",
            "font-size": "12",
            "fill": TEXT,
        },
    )
    ET.SubElement(svg, "title").text = curve.title
    _text(svg, _LEFT, 20, curve.title, **{"font-size": "14", "font-weight": "bold"})
    _draw_axes(svg, x, y, curve)
    _draw_lines(svg, x, y, lines)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _finite(points: list[Point]) -> list[Point]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _text(svg: ET.Element, x: float, y: float, words: str, **style: str) -> None:
    ET.SubElement(svg, "text", {"x": f"{x:g}", "y": f"{y:g}", **style}).text = words


def _draw_axes(svg: ET.Element, x: Axis, y: Axis, curve: Curve) -> None:
    grid = ET.SubElement(svg, "g", {"stroke": TEXT, "stroke-opacity": "0.3"})
    for tick in y.ticks():
        line = {"x1": str(_LEFT), "x2": str(_RIGHT), "y1": f"{y.at(tick):g}", "y2": f"{y.at(tick):g}"}
        ET.SubElement(grid, "line", line)
        _text(svg, _LEFT - 8, y.at(tick) + 4, f"{tick:,.6g}", **{"text-anchor": "end"})
    for tick in x.ticks():
        line = {"x1": f"{x.at(tick):g}", "x2": f"{x.at(tick):g}", "y1": str(_BOTTOM), "y2": str(_BOTTOM + 5)}
        ET.SubElement(grid, "line", line)
        _text(svg, x.at(tick), _BOTTOM + 19, f"{tick:,.6g}", **{"text-anchor": "middle"})
    scale = " (log scale)" if x.is_log else ""
    _text(svg, (_LEFT + _RIGHT) / 2, _HEIGHT - 12, curve.x + scale, **{"text-anchor": "middle"})
    middle = (_TOP + _BOTTOM) / 2
    _text(svg, 16, middle, curve.y, transform=f"rotate(-90 16 {middle:g})", **{"text-anchor": "middle"})


def _draw_lines(svg: ET.Element, x: Axis, y: Axis, lines: dict[str, list[Point]]) -> None:
    """Draw the lines, and the name of each where it ends."""
    names = list(dict.fromkeys(name.removesuffix(BEFORE) for name in lines))
    drawn = {name: line for name, line in lines.items() if line}
    heights = _apart({name: y.at(line[-1][1]) for name, line in drawn.items()})
    for name, line in drawn.items():
        colour = COLOURS[names.index(name.removesuffix(BEFORE)) % len(COLOURS)]
        stroke = {"stroke": colour, **({"stroke-dasharray": "5 4"} if name.endswith(BEFORE) else {})}
        pixels = [(x.at(point[0]), y.at(point[1])) for point in line]
        path = " ".join(f"{across:g},{down:g}" for across, down in pixels)
        ET.SubElement(svg, "polyline", {"points": path, "fill": "none", "stroke-width": "2", **stroke})
        for across, down in pixels:
            ET.SubElement(svg, "circle", {"cx": f"{across:g}", "cy": f"{down:g}", "r": "3", "fill": colour})
        middle = f"{heights[name] - 4:g}"
        swatch = {"x1": str(_RIGHT + 10), "x2": str(_RIGHT + 32), "y1": middle, "y2": middle, "stroke-width": "2"}
        ET.SubElement(svg, "line", {**swatch, **stroke})
        _text(svg, _RIGHT + 38, heights[name], name)


def _apart(heights: dict[str, float]) -> dict[str, float]:
    """Move labels so that none covers another one, from the top down, and up again where the plot ends."""
    placed: dict[str, float] = {}
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = max([height + 4, *(other + _LINE_HEIGHT for other in placed.values())])
    lowest = float(_BOTTOM + 4)
    for name in reversed(placed):
        placed[name] = min(placed[name], lowest)
        lowest = placed[name] - _LINE_HEIGHT
    return placed
