"""Run the tests of every way to call on one LiteLLM version after the other, each in its own virtual environment.

::

    python tests/versions/sweep.py                          # all versions
    python tests/versions/sweep.py 1.84.0 1.110.2-library   # some of them
    python tests/versions/sweep.py --write docs/versions.md # and writes the table there

A version is a file ``constraints/litellm-<version>.txt``, which lists all packages. The name may have an ending.
``over-1.108.7``: the dependencies are those of that version, because the newer proxy cannot be installed. ``library``:
there is no proxy. The tests are in ``tests/e2e/test_everywhere.py``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints"
VENVS = ROOT / ".venv-versions"
TESTS = "tests/e2e/test_everywhere.py"
OPTIONS = ("-p", "no:cacheprovider", "-o", "junit_family=xunit1")  # the width leaves room for the note of a cell
START, END = "<!-- sweep -->\n", "<!-- end of sweep -->\n"
ROUTES = ("chat", "messages", "responses", "generateContent")
COLUMNS = [(route, stream) for route in ROUTES for stream in ("", "stream")]
PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class Cell:
    """One call: where LiteLLM runs, its wire format, and its result.

    Attributes:
        kind: ``proxy`` or ``library``.
        stream: ``stream``, or an empty text.
        outcome: ``passed``, ``failed``, or the reason why it was skipped.
        but: a note on a call that passed.
    """

    kind: str
    route: str
    stream: str
    outcome: str
    but: str


def versions() -> list[str]:
    """All versions, oldest first."""
    names = [path.stem.removeprefix("litellm-") for path in CONSTRAINTS.glob("litellm-*.txt")]
    return sorted(names, key=lambda name: ([int(part) for part in name.split("-")[0].split(".")], "-" in name, name))


def installed(version: str) -> Path:
    """The Python of an environment with this LiteLLM. The environment is remade if its packages have changed."""
    venv = VENVS / version
    python, stamp = venv / "bin" / "python", venv / "installed.txt"
    pins = CONSTRAINTS / f"litellm-{version}.txt"
    wanted = pins.read_text() + (ROOT / "pyproject.toml").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        uv = [
            str(Path(sys.executable).with_name("uv")),
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--no-deps",
        ]
        if subprocess.run([*uv, "--compile-bytecode", "--requirement", str(pins)], check=False).returncode:
            # uv does not read pip's configuration
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*pip, "--requirement", str(pins)], check=True)
        subprocess.run([*uv, "--offline", "--no-build-isolation", "--editable", str(ROOT)], check=True)
        stamp.write_text(wanted)
    return python


def swept(version: str) -> tuple[list[Cell], bool]:
    """Run the tests on a version. Returns the result of each call, and whether all tests passed."""
    report = VENVS / f"{version}.xml"
    report.unlink(missing_ok=True)
    command = [str(installed(version)), "-m", "pytest", TESTS, f"--junitxml={report}", *OPTIONS]
    with (VENVS / f"{version}.log").open("wb") as log:
        ended = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{version}: the tests did not run; see {log.name}")
    return list(cells(report)), ended.returncode == 0


def cells(report: Path) -> Iterator[Cell]:
    """The cells in a report of pytest."""
    for case in ElementTree.parse(report).iter("testcase"):
        _, _, id_ = case.get("name", "").partition("[")
        parts = id_.removesuffix("]").split("-")
        if len(parts) != len(("place", "way", "route", "stream")):
            continue  # not a test of a call
        place, _, route, stream = parts
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        why = "" if skipped is None else skipped.get("message", "")
        yield Cell(
            kind="proxy" if place == "proxy" else "library",
            route=route,
            stream=stream.removeprefix("whole"),
            outcome=FAILED if failed else why or PASSED,
            but="".join(named.get("value", "") for named in case.iter("property") if named.get("name") == "but"),
        )


class Table:
    """The results with two lines for each version. Letters refer to notes on calls that were not run."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def text(self, results: dict[str, list[Cell]]) -> str:
        """The table in Markdown, and its notes."""
        titles = [", ".join(filter(None, column)) for column in COLUMNS]
        lines = [
            self._line(version, kind, [cell for cell in found if cell.kind == kind])
            for version, found in results.items()
            for kind in ("proxy", "library")
        ]
        head = [f"| LiteLLM | as | {' | '.join(titles)} |", "|---" * (len(titles) + 2) + "|"]
        notes = [f"{letter}: {why}.\n" for why, letter in self._notes.items()]
        return "\n".join([*head, *lines, "", *notes])

    def _line(self, version: str, kind: str, found: Sequence[Cell]) -> str:
        marks = [self._mark([cell for cell in found if (cell.route, cell.stream) == column]) for column in COLUMNS]
        return f"| {version} | {kind} | " + " | ".join(marks) + " |"

    def _mark(self, cells: Sequence[Cell]) -> str:
        """The number of passed calls in a column, the number of all, and letters for notes."""
        passed = sum(cell.outcome == PASSED for cell in cells)
        tried = passed + sum(cell.outcome == FAILED for cell in cells)
        reasons = dict.fromkeys(cell.but if cell.outcome == PASSED else cell.outcome for cell in cells)
        letters = [self._notes.setdefault(why, chr(ord("a") + len(self._notes))) for why in reasons if why]
        return " ".join([f"{passed}/{tried}" if tried else "-", *letters])


def tell(text: str) -> None:
    """Print a line at once, because a version takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the sweep, and print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", help="those to try; without any, all")
    parser.add_argument("--write", type=Path, help="a page that holds the table")
    asked = parser.parse_args()
    unknown = {*asked.versions} - {*versions()}
    if asked.write is not None and asked.versions:
        parser.error("--write takes all versions: the page's table is replaced")
    if unknown:
        parser.error(f"no constraints for {', '.join(sorted(unknown))}; there are {', '.join(versions())}")
    VENVS.mkdir(exist_ok=True)
    results: dict[str, list[Cell]] = {}
    failed: list[str] = []
    for version in asked.versions or versions():
        results[version], passed = swept(version)
        failed += [] if passed else [version]
        outcomes = Counter(cell.outcome for cell in results[version])
        skipped = outcomes.total() - outcomes[PASSED] - outcomes[FAILED]
        tell(f"{version}: {outcomes[PASSED]} passed, {outcomes[FAILED]} failed, {skipped} skipped")
    table = Table().text(results)
    tell(table)
    if asked.write is not None:
        page = asked.write.read_text()
        before, after = page.split(START)[0], page.split(END)[1]
        asked.write.write_text(f"{before}{START}{table}\n{END}{after}")
    if failed:
        raise SystemExit(f"failures with {', '.join(failed)}; {VENVS.name}/<version>.log has them")


if __name__ == "__main__":
    main()
