"""Every way to call a text-only model, on one LiteLLM after the other: each in a virtual environment of its own.

::

    python tests/versions/sweep.py                          # all versions
    python tests/versions/sweep.py 1.84.0 1.110.2-library   # some of them
    python tests/versions/sweep.py --write docs/versions.md # and writes the table there

A version is a file ``constraints/litellm-<version>.txt``, which names all that is installed. Behind the version stands
what is special: ``over-1.108.7``, the dependencies are those of that version, because a proxy of the newer one does not
install; ``library``, there is no proxy. What is run is ``tests/e2e/test_everywhere.py``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints"
VENVS = ROOT / ".venv-versions"
TESTS = "tests/e2e/test_everywhere.py"
START, END = "<!-- sweep -->\n", "<!-- end of sweep -->\n"
COLUMNS = [
    (kind, route, stream)
    for kind in ("proxy", "library")
    for route in ("chat", "messages", "responses", "generateContent")
    for stream in ("whole", "stream")
]


@dataclass(frozen=True)
class Cell:
    """One call: where LiteLLM runs, its wire format, how analysis was asked for, and what came of it.

    Attributes:
        outcome: ``passed``, ``failed``, or why it was skipped.
    """

    place: str
    route: str
    way: str
    stream: str
    outcome: str

    @property
    def column(self) -> tuple[str, str, str]:
        return "proxy" if self.place == "proxy" else "library", self.route, self.stream


def versions() -> list[str]:
    """All, the oldest first."""
    names = [path.stem.removeprefix("litellm-") for path in CONSTRAINTS.glob("litellm-*.txt")]
    return sorted(names, key=lambda name: ([int(part) for part in name.split("-")[0].split(".")], "-" in name, name))


def installed(version: str) -> Path:
    """The Python of an environment with this LiteLLM; an environment that is there already is brought up to date."""
    venv = VENVS / version
    python = venv / "bin" / "python"
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
    if not python.exists():
        subprocess.run([*uv, "venv", "--python", sys.executable, str(venv)], check=True)
    into = ["--python", str(python), "--no-deps"]
    pins = CONSTRAINTS / f"litellm-{version}.txt"
    subprocess.run([*uv, "pip", "sync", *into[:2], str(pins)], check=True)
    subprocess.run([*uv, "pip", "install", *into, "--no-build-isolation", "--editable", str(ROOT)], check=True)
    return python


def swept(version: str) -> list[Cell]:
    """Run the tests on a version, and read what came of them."""
    report = VENVS / f"{version}.xml"
    report.unlink(missing_ok=True)
    command = [str(installed(version)), "-m", "pytest", TESTS, "-p", "no:cacheprovider", f"--junitxml={report}"]
    with (VENVS / f"{version}.log").open("wb") as log:
        ended = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{version}: the tests did not run; see {log.name}")
    return list(cells(report))


def cells(report: Path) -> Iterator[Cell]:
    """What a report of pytest's tells of each cell."""
    for case in ElementTree.parse(report).iter("testcase"):
        _, _, id_ = case.get("name", "").partition("[")
        parts = id_.removesuffix("]").split("-")
        if len(parts) != len(("place", "way", "route", "stream")):
            continue  # a test of something else
        place, way, route, stream = parts
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        why = "" if skipped is None else skipped.get("message", "")
        yield Cell(place, route, way, stream, "failed" if failed else why or "passed")


class Table:
    """What was run, a line a version; letters say why something was not."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def text(self, results: dict[str, list[Cell]]) -> str:
        """The table in Markdown, and its notes."""
        head = [
            "| LiteLLM | " + " | ".join(f"{kind}: {route}, {stream}" for kind, route, stream in COLUMNS) + " |",
            "|---" * (len(COLUMNS) + 1) + "|",
        ]
        lines = [self._line(version, found) for version, found in results.items()]
        notes = [f"{letter}: {why}.\n" for why, letter in self._notes.items()]
        return "\n".join([*head, *lines, "", *notes])

    def _line(self, version: str, found: Sequence[Cell]) -> str:
        marks = [self._mark([cell.outcome for cell in found if cell.column == column]) for column in COLUMNS]
        return f"| {version} | " + " | ".join(marks) + " |"

    def _mark(self, outcomes: list[str]) -> str:
        """How many of a column's calls passed, of how many; and why others did not."""
        passed = outcomes.count("passed")
        others = [outcome for outcome in dict.fromkeys(outcomes) if outcome != "passed"]
        letters = [self._notes.setdefault(why, chr(ord("a") + len(self._notes))) for why in others]
        return " ".join([f"{passed}/{len(outcomes)}", *letters])


def tell(text: str) -> None:
    """Print a line at once: a version takes a while."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Sweep, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("versions", nargs="*", help="those to try; without any, all")
    parser.add_argument("--write", type=Path, help="a page that holds the table")
    asked = parser.parse_args()
    unknown = {*asked.versions} - {*versions()}
    if unknown:
        parser.error(f"no constraints for {', '.join(sorted(unknown))}; there are {', '.join(versions())}")
    VENVS.mkdir(exist_ok=True)
    results: dict[str, list[Cell]] = {}
    for version in asked.versions or versions():
        results[version] = swept(version)
        failed = [cell for cell in results[version] if cell.outcome == "failed"]
        tell(f"{version}: {len(results[version]) - len(failed)} of {len(results[version])}")
    table = Table().text(results)
    tell(table)
    if asked.write is not None:
        page = asked.write.read_text()
        before, after = page.split(START)[0], page.split(END)[1]
        asked.write.write_text(f"{before}{START}{table}\n{END}{after}")
    if any(cell.outcome == "failed" for found in results.values() for cell in found):
        raise SystemExit(f"failures; {VENVS.name}/<version>.log has them")


if __name__ == "__main__":
    main()
