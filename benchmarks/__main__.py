"""Run scenarios, print their table, and judge them: ``python -m benchmarks P4 P7 --json results.json``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_TREE = Path(__file__).resolve().parents[1]
_SECONDS = 900


def modules() -> dict[str, str]:
    """Return the module of each scenario, by its name, such as ``P4``."""
    found = sorted(path.stem for path in (_TREE / "benchmarks/scenarios").glob("p*.py"))
    return {f"P{int(stem[1:3])}": stem for stem in found}


def run_one(module: str, package: Path, options: list[str]) -> dict[str, Any]:
    """Run a scenario in a process of its own, with the package in that folder."""
    path = os.pathsep.join(map(str, (package, _TREE, _TREE / "tests")))
    env = {**os.environ, "PYTHONPATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [sys.executable, "-m", "benchmarks.one", module, *options]
    with tempfile.TemporaryDirectory() as folder:  # a working directory without the package
        done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, check=True, timeout=_SECONDS)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def package_of(ref: str, folder: Path) -> Path:
    """Put the package as it was at a commit into a folder."""
    archive = subprocess.run(
        ["git", "-C", str(_TREE), "archive", ref, "litellm_image_analysis"], check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def main() -> int:
    """Run them. Returns 1 if a figure is not within its bounds."""
    known = modules()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--quick", action="store_true", help="only show that they work, and judge what is counted")
    parser.add_argument("--before", metavar="REF", help="also measure the package as it was at this commit")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.scenarios if name not in known]
    if unknown:
        parser.error(f"no scenario is called {', '.join(unknown)}: there are {', '.join(known)}")
    options = ["--quick"] if arguments.quick else []
    results: dict[str, Any] = {}
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        earlier = None if arguments.before is None else package_of(arguments.before, Path(folder))
        for name in arguments.scenarios or known:
            before = None if earlier is None else run_one(known[name], earlier, options)
            now = run_one(known[name], _TREE, options)
            results[name] = {"now": now, **({} if before is None else {"before": before})}
            missed += _print(name, now, before, is_quick=arguments.quick)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1))
    return 1 if missed else 0


def _print(name: str, now: dict[str, Any], before: dict[str, Any] | None, *, is_quick: bool) -> int:
    """Print a scenario's rows. Returns how many are not within their bounds."""
    then = {} if before is None else {row["what"]: row["value"] for row in before["rows"]}
    missed = 0
    for row in now["rows"]:
        bound = (
            f"≤ {row['at_most']:g}"
            if row["at_most"] is not None
            else f"≥ {row['at_least']:g}"
            if row["at_least"] is not None
            else ""
        )
        is_judged = row["is_exact"] or not is_quick
        verdict = "" if not bound or not is_judged else "ok" if row["is_met"] else "MISSED"
        missed += verdict == "MISSED"
        earlier = f"{then[row['what']]:10.3f}" if row["what"] in then else " " * 10
        print(
            f"{name:<4}{row['what']:<78}{earlier}{row['value']:10.3f} {row['unit']:<12}{bound:<9}{verdict}", flush=True
        )
    return missed


if __name__ == "__main__":
    sys.exit(main())
