"""The benchmark runner, its report and its plots. Times are not judged here."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from support.proxy import free_port

from benchmarks import report
from benchmarks.__main__ import modules
from benchmarks.measure import Curve, Result, Row, Scenario
from benchmarks.plot import COLOURS, TEXT, horizontal, line_plot

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"
RUN = {
    "Processor": "A processor",
    "Cores": "2",
    "Python": "3.11.2",
    "LiteLLM": "1.108.7",
    "Package": "0.1.0, commit 1234567",
    "Date": "2026-11-28",
    "command": "python -m benchmarks",
}
GROWTH = Curve("CPU <of> turns & images", "turns", "CPU, ms", {"plugin": [(1, 2.0), (10, 9.0)], "hash": [(1, 1.0)]})
NOW = Result(
    [
        Row("within", 1.02, "ratio", at_most=1.05),
        Row("not | within", 2.936, "ratio", at_most=1.15),
        Row("without a bound", 12.3456, "µs"),
        Row("counted", 1, "calls", at_most=1, is_exact=True),
        Row("at least", 0.97, "ratio", at_least=0.95),
        Row("no tool for it", math.nan, "ratio", at_most=1.009),
    ],
    [GROWTH],
)
BEFORE = Result([Row("within", 3.14159, "ratio"), Row("counted", 1234, "calls")], [GROWTH])


def scenario(now: Result, before: Result | None = None, **run: str) -> dict[str, Any]:
    """A scenario in the runner's JSON, after it was written and read."""
    earlier = {} if before is None else {"before": before.as_json()}
    result = {"title": "A title", "method": "A method.", "run": {**RUN, **run}, **earlier, "now": now.as_json()}
    read: dict[str, Any] = json.loads(json.dumps(result))
    return read


RESULTS = {"P10": scenario(Result([])), "P2": scenario(NOW, BEFORE), "P3": scenario(Result([Row("a", 5, "ms")]))}
PEERS = {
    "this": {
        "version": "0.1.0",
        "run": RUN,
        **Result([Row("x: calls", 1, "calls"), Row("x: CPU", 40, "ms")]).as_json(),
    },
    "that": {"version": "2.0", "run": RUN, **Result([Row("x: calls", 60, "calls")]).as_json()},
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)


class TestPage:
    def test_each_figure_has_a_row(self) -> None:
        page = report.page(RESULTS, {})
        assert "| P2 | within | 3.142 | 1.02 | ≤ 1.05 | ok |" in page
        assert "| P2 | not \\| within |  | 2.936 | ≤ 1.15 | missed |" in page
        assert "| P2 | without a bound |  | 12.3 µs |  |  |" in page
        assert "| P2 | counted | 1,234 calls | 1 call | ≤ 1 | ok |" in page
        assert "| P2 | at least |  | 0.97 | ≥ 0.95 | ok |" in page
        assert "| P2 | no tool for it |  | - | ≤ 1.009 | not measured |" in page

    def test_scenarios_are_in_the_order_of_their_numbers(self) -> None:
        page = report.page(RESULTS, {})
        assert page.index("### P2: A title") < page.index("### P3: A title") < page.index("### P10: A title")

    def test_it_names_machine_versions_and_commands(self) -> None:
        results = {"P2": scenario(NOW), "P3": scenario(NOW, command="python -m benchmarks P3", Date="2026-12-01")}
        page = report.page(results, {})
        assert "| Processor | A processor |" in page
        assert "| 2026-11-28 | 0.1.0, commit 1234567 | `python -m benchmarks` |" in page
        assert "| 2026-12-01 | 0.1.0, commit 1234567 | `python -m benchmarks P3` |" in page

    def test_results_of_two_machines_are_refused(self) -> None:
        with pytest.raises(ValueError, match="different machines"):
            report.page({"P2": scenario(NOW), "P3": scenario(NOW, Cores="64")}, {})

    def test_other_services_have_a_column_each(self) -> None:
        page = report.page(RESULTS, PEERS)
        assert "| Figure | this | that |" in page
        assert "| x: calls | 1 call | 60 calls |" in page
        assert "| x: CPU | 40 ms | not measured |" in page

    def test_without_results_it_is_empty(self) -> None:
        assert "## Scenarios" in report.page({}, {})

    def test_it_is_written_with_its_plots_and_results(self, tmp_path: Path) -> None:
        (tmp_path / "performance").mkdir()
        (tmp_path / "performance" / "p9-earlier.svg").touch()
        report.write(RESULTS, {}, tmp_path)
        assert "(performance/p2-cpu-of-turns-images.svg)" in (tmp_path / "performance.md").read_text()
        assert {path.name for path in (tmp_path / "performance").iterdir()} == {
            "p2-cpu-of-turns-images.svg",
            "results.json",
        }
        assert report.page(report.read(tmp_path / "performance" / "results.json"), {}) == report.page(RESULTS, {})

    def test_the_one_in_the_docs_is_up_to_date(self) -> None:
        """``python -m benchmarks --from docs/performance/results.json --report`` writes it anew."""
        results = report.read(ROOT / "docs" / "performance" / "results.json")
        peers = report.read(ROOT / "benchmarks" / "peers.json")
        assert report.page(results, peers) == (ROOT / "docs" / "performance.md").read_text()
        drawn = {path.name: path.read_text() for path in (ROOT / "docs" / "performance").glob("*.svg")}
        assert drawn == report.plots(results)


class TestPlots:
    @pytest.mark.parametrize(
        "lines",
        [
            GROWTH.lines,
            {},
            {"no points": []},
            {"one point": [(4, 4)]},
            {"zero": [(0, 0), (100, 0)]},
            {"negative": [(-5, -3), (5, 3)]},
            {"not finite": [(1, math.nan), (2, math.inf), (3, 1)]},
            {"many decades": [(1, 1), (1e7, 1e-7)]},
        ],
    )
    def test_each_is_well_formed_and_has_only_numbers(self, lines: dict[str, list[tuple[float, float]]]) -> None:
        svg = line_plot(Curve("Title <&>", "x", "y", lines))
        assert ET.fromstring(svg).findtext(f"{SVG}title") == "Title <&>"
        assert "nan" not in svg
        assert "inf" not in svg

    def test_points_that_are_not_finite_are_left_out(self) -> None:
        svg = ET.fromstring(line_plot(Curve("", "x", "y", {"a": [(1, 1), (2, math.nan), (3, 2)]})))
        assert len(svg.findall(f"{SVG}circle")) == 2

    def test_the_horizontal_axis_is_logarithmic_above_a_factor_of_20(self) -> None:
        assert not horizontal([1, 20]).is_log
        assert horizontal([1, 256]).is_log
        assert horizontal([1, 256]).ticks() == [1, 2, 5, 10, 20, 50, 100, 200]
        assert not horizontal([0, 256]).is_log

    def test_labels_do_not_cover_one_another(self) -> None:
        lines = {f"line {number}": [(1.0, 1.0), (2.0, 5.0 + number / 100)] for number in range(6)}
        svg = ET.fromstring(line_plot(Curve("", "x", "y", lines)))
        heights = sorted(float(each.get("y", "")) for each in svg.iter(f"{SVG}text") if each.text in lines)
        assert all(below - above > 15 for above, below in pairwise(heights))

    def test_earlier_lines_are_dashed_in_the_colour_of_the_same_line(self) -> None:
        [svg] = report.plots({"P2": scenario(NOW, BEFORE)}).values()
        drawn = ET.fromstring(svg).iter(f"{SVG}polyline")
        assert [(line.get("stroke"), line.get("stroke-dasharray")) for line in drawn] == [
            (COLOURS[0], None),
            (COLOURS[1], None),
            (COLOURS[0], "5 4"),
            (COLOURS[1], "5 4"),
        ]

    @pytest.mark.parametrize("colour", [TEXT, *COLOURS])
    @pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
    def test_colours_have_contrast_on_light_and_dark_pages(self, colour: str, page: str) -> None:
        lighter, darker = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("module", modules().values())
def test_each_scenario_has_a_title_and_a_method(module: str) -> None:
    scenario = importlib.import_module(f"benchmarks.scenarios.{module}").SCENARIO
    assert isinstance(scenario, Scenario)
    assert scenario.title
    assert scenario.method.endswith(".")


class TestRunner:
    def test_it_runs_a_scenario(self, tmp_path: Path) -> None:
        done = run("--quick", "P4", "--json", str(tmp_path / "now.json"))
        assert done.returncode == 0, done.stderr
        assert "chat, CPU over SHA-256 of the text" in done.stdout
        [(name, result)] = report.read(tmp_path / "now.json").items()
        assert (name, result["run"]["command"]) == ("P4", "python -m benchmarks P4 --quick")
        assert result["title"] == "Key of a 5 MB image"

    def test_later_files_win(self, tmp_path: Path) -> None:
        for number, name in enumerate(("first", "second")):
            (tmp_path / name).write_text(report.as_text({"P2": scenario(Result([Row(name, number, "ms")]))}))
        files = [str(tmp_path / name) for name in ("first", "second", "merged")]
        done = run("--from", files[0], "--from", files[1], "--json", files[2])
        assert done.returncode == 0, done.stderr
        assert report.read(tmp_path / "merged")["P2"]["now"]["rows"][0]["what"] == "second"

    def test_a_quick_run_writes_no_report(self) -> None:
        done = run("--quick", "P4", "--report")
        assert "No report is written" in done.stdout

    def test_an_unknown_scenario_is_an_error(self) -> None:
        done = run("P99")
        assert done.returncode == 2
        assert "no scenario is called P99" in done.stderr


def test_another_service_is_measured(tmp_path: Path) -> None:
    """The provider itself is the service. It asks no text model, so no answer is complete."""
    port = free_port()
    options = ["--peer", f"http://127.0.0.1:{port}/v1", "--peer-model", "seeing", "--provider-port", str(port)]
    done = run(*options, "--quick", "--json", str(tmp_path / "peers.json"), "--peer-name", "provider")
    assert done.returncode == 1, done.stderr
    rows = {row["what"]: row["value"] for row in report.read(tmp_path / "peers.json")["provider"]["rows"]}
    assert rows["6 identical requests at once, an image of 100 kB: vision calls"] == 6
    assert rows["3 images of 100 kB in one request: vision calls"] == 1
    assert rows["3 images of 100 kB in one request: share of complete answers"] == 0
