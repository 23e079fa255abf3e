"""Writes ``docs/performance.md`` and its plots from the runner's results."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Curve, Result, Row, Unit
from benchmarks.plot import BEFORE, line_plot

PAGE, PLOTS, RESULTS = "performance.md", "performance", "results.json"
NOT_MEASURED = "not measured"

_OF_THE_MACHINE = ("Processor", "Cores", "Python", "LiteLLM")
_COUNTED: tuple[Unit, ...] = ("calls", "round trips", "bytes")
_INTRODUCTION = """\
# Performance

This page is written by the benchmark runner (`make bench`). Do not edit it.

Each scenario measures the plugin and a baseline in one process. They take turns, and the figures are medians of the
rounds. CPU time is that of the process. Absolute times depend on the machine, so most figures are ratios to the
baseline. A bound is the value that the project aims at. `missed` marks a figure that is not within its bound.
"""
_PEERS = """\
## Beside other services

The same requests, sent to services that describe images for a text model. The vision model and the text model of each
service are at one provider on loopback, which needs 0.5 s for a vision call. CPU is that of the service's processes.
Figures are medians of 5 rounds, each with new images. An answer is complete if the text model got a description of each
image in the request. The share of complete answers is that of the worst round.

`python -m benchmarks --peer URL --peer-model NAME --peer-pid PID` measures a running service, and
`python -m benchmarks --peer ours` a LiteLLM proxy with this plugin, which it starts.
"""


def bound_of(row: Row) -> str:
    """Return the bound of a figure in words, or nothing."""
    bounds = (("≥", row.at_least), ("≤", row.at_most))
    return ", ".join(f"{sign} {bound:,.10g}" for sign, bound in bounds if bound is not None)


def verdict_of(row: Row, *, is_quick: bool = False) -> str:
    """Return whether a figure is within its bound: ``ok``, ``missed``, that it was not measured, or nothing."""
    if not math.isfinite(row.value):
        return NOT_MEASURED
    if not bound_of(row) or (is_quick and not row.is_exact):
        return ""
    return "ok" if row.is_met else "missed"


def amount(row: Row) -> str:
    """Return a figure with its unit."""
    number = _number(row.value, row.unit)
    if not math.isfinite(row.value) or row.unit == "ratio":
        return number
    return f"{number} {row.unit.removesuffix('s') if number == '1' and row.unit in _COUNTED else row.unit}"


def _number(value: float, unit: Unit) -> str:
    if not math.isfinite(value):
        return "-"
    if unit in _COUNTED:
        return f"{value:,.10g}"
    if unit == "ratio":
        return f"{value:.4g}"  # bounds of some ratios are a few thousandths above 1
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def page(results: Mapping[str, Any], peers: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        results: the runner's JSON: scenarios by name.
        peers: services that were measured by ``benchmarks.peer``, by name. There may be none.

    Raises:
        ValueError: the scenarios were measured on different machines.
    """
    parts = [_INTRODUCTION, _figures(results), _provenance(results)]
    if peers:
        parts += [_PEERS, _peer_figures(peers)]
    return "\n".join([*parts, "## Scenarios\n", *(_scenario(name, results[name]) for name in _ordered(results))])


def plots(results: Mapping[str, Any]) -> dict[str, str]:
    """Return the plots, by file name."""
    return {
        _file(name, curve): line_plot(curve)
        for name, result in results.items()
        for curve in _curves_with_before(result)
    }


def write(results: Mapping[str, Any], peers: Mapping[str, Any], docs: Path) -> None:
    """Write the page, its plots and the results themselves into a folder, and remove earlier plots."""
    text, drawn, folder = page(results, peers), plots(results), docs / PLOTS
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob("*.svg"):
        earlier.unlink()
    (docs / PAGE).write_text(text)
    (folder / RESULTS).write_text(as_text(results))
    for name, svg in drawn.items():
        (folder / name).write_text(svg)


def as_text(value: Mapping[str, Any]) -> str:
    """Return the text of a JSON file."""
    return json.dumps(value, indent=1) + "\n"


def read(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty one if there is no such file."""
    value: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return value


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: int(name[1:]))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _figures(results: Mapping[str, Any]) -> str:
    return _table(
        ("Scenario", "Figure", "Before", "Now", "Bound", "Verdict"),
        (
            (
                name,
                row.what,
                amount(before[row.what]) if row.what in before else "",
                amount(row),
                bound_of(row),
                verdict,
            )
            for name in _ordered(results)
            for before in [_rows(results[name].get("before"))]
            for row in _rows(results[name]["now"]).values()
            for verdict in [verdict_of(row)]
        ),
    )


def _rows(result: Mapping[str, Any] | None) -> dict[str, Row]:
    return {} if result is None else {row.what: row for row in Result.from_json(result).rows}


def _provenance(results: Mapping[str, Any]) -> str:
    """The machine, and which command measured what when."""
    runs = [results[name]["run"] for name in _ordered(results)]
    machines = {tuple((key, run[key]) for key in _OF_THE_MACHINE) for run in runs}
    if len(machines) > 1:
        raise ValueError(f"results of different machines cannot stand in one table: {sorted(machines)}")
    commands = sorted({(run["Date"], run["Package"], run["command"]) for run in runs})
    machine = "".join(_table(("Machine", ""), list(machines.pop()))) if machines else ""
    measured = _table(
        ("Date", "Package", "Command"), ((date, package, f"`{command}`") for date, package, command in commands)
    )
    return f"{machine}\n{measured}"


def _peer_figures(peers: Mapping[str, Any]) -> str:
    rows = {name: _rows(peer) for name, peer in peers.items()}
    figures = dict.fromkeys(what for measured in rows.values() for what in measured)
    table = _table(
        ("Figure", *peers),
        (
            (what, *(amount(measured[what]) if what in measured else NOT_MEASURED for measured in rows.values()))
            for what in figures
        ),
    )
    versions = _table(
        ("Service", "Version", "Measured on"),
        (
            (name, peer["version"], ", ".join(peer["run"][key] for key in ("Date", "Processor")))
            for name, peer in peers.items()
        ),
    )
    return f"{table}\n{versions}"


def _scenario(name: str, result: Mapping[str, Any]) -> str:
    images = [f"![{curve.title}]({PLOTS}/{_file(name, curve)})\n" for curve in _curves_with_before(result)]
    return "\n".join([f"### {name}: {result['title']}\n", f"{_wrapped(result['method'])}\n", *images])


def _wrapped(words: str) -> str:
    return textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False)


def _curves_with_before(result: Mapping[str, Any]) -> list[Curve]:
    """The curves of now, each with the lines of the same curve before."""
    before = (
        {curve.title: curve.lines for curve in Result.from_json(result["before"]).curves} if "before" in result else {}
    )
    return [
        Curve(
            curve.title,
            curve.x,
            curve.y,
            {**curve.lines, **{name + BEFORE: line for name, line in before.get(curve.title, {}).items()}},
        )
        for curve in Result.from_json(result["now"]).curves
    ]


def _file(name: str, curve: Curve) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", curve.title.lower()).strip("-")
    return f"{name.lower()}-{words}.svg"
