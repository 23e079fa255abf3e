"""Run scenarios, print their table, and judge them: ``python -m benchmarks P4 P7 --json results.json``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.machine import about_this_run
from benchmarks.measure import Result, Run
from benchmarks.one import result_of

_TREE = Path(__file__).resolve().parents[1]
_PEERS = _TREE / "benchmarks" / "peers.json"
_SECONDS = 900


def modules() -> dict[str, str]:
    """Return the module of each scenario, by its name, such as ``P4``."""
    found = sorted(path.stem for path in (_TREE / "benchmarks/scenarios").glob("p*.py"))
    return {f"P{int(stem[1:3])}": stem for stem in found}


def run_one(module: str, package: Path, options: list[str]) -> dict[str, Any]:
    """Run a scenario in a process of its own, with the package in that folder."""
    command = [sys.executable, "-m", "benchmarks.one", module, *options]
    with tempfile.TemporaryDirectory() as folder:  # a working directory without the package
        done = subprocess.run(
            command, cwd=folder, env=environment(package), stdout=subprocess.PIPE, check=True, timeout=_SECONDS
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def run_quickly(module: str) -> dict[str, Any]:
    """Run a scenario in a process that is forked from one that has imported LiteLLM, which takes most of the time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["litellm.proxy.proxy_server"])
    with context.Pool(1) as pool:
        result: dict[str, Any] = pool.apply(result_of, (module, Run(is_quick=True)))
    return result


def environment(package: Path) -> dict[str, str]:
    """Return the environment of a process that measures the package in that folder."""
    path = os.pathsep.join(map(str, (package, _TREE, _TREE / "tests")))
    return {**os.environ, "PYTHONPATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def package_of(ref: str, folder: Path) -> Path:
    """Put the package as it was at a commit into a folder."""
    archive = subprocess.run(
        ["git", "-C", str(_TREE), "archive", ref, "litellm_image_analysis"], check=True, stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def main() -> int:
    """Run them. Returns 1 if a figure is not within its bounds."""
    if any(word.split("=")[0] == "--peer" for word in sys.argv[1:]):
        command = [sys.executable, "-m", "benchmarks.peer", *sys.argv[1:]]
        return subprocess.run(command, env=environment(_TREE), check=False).returncode
    parser, known = _parser(), modules()
    arguments = parser.parse_args()
    unknown = [name for name in arguments.scenarios if name not in known]
    if unknown:
        parser.error(f"no scenario is called {', '.join(unknown)}: there are {', '.join(known)}")
    results = {name: result for path in arguments.earlier for name, result in report.read(path).items()}
    names = arguments.scenarios or ([] if arguments.earlier else list(known))
    run = {**about_this_run(), "command": _command(arguments)}
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        package = None if arguments.before is None else package_of(arguments.before, Path(folder))
        options = ["--quick"] if arguments.quick else []
        for name in names:
            before = {} if package is None else {"before": run_one(known[name], package, options)}
            now = (
                run_quickly(known[name]) if arguments.quick and len(names) > 1 else run_one(known[name], _TREE, options)
            )
            about = {key: now.pop(key) for key in ("title", "method")}
            results[name] = {**about, "run": run, **before, "now": now}
            missed += _print(name, results[name], is_quick=arguments.quick)
    if arguments.json is not None:
        arguments.json.write_text(report.as_text(results))
    if arguments.report and arguments.quick:
        print("No report is written: times of a quick run mean nothing.")
    elif arguments.report:
        report.write(results, report.read(_PEERS), _TREE / "docs")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="--peer URL measures another service instead: see --peer URL --help.",
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(modules())}; all by default")
    parser.add_argument("--quick", action="store_true", help="only show that they work, and judge what is counted")
    parser.add_argument("--before", metavar="REF", help="also measure the package as it was at this commit")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    parser.add_argument("--report", action="store_true", help="write docs/performance.md and docs/performance/")
    parser.add_argument(
        "--from",
        dest="earlier",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="take results of an earlier run on this machine, and run only the named scenarios. A later FILE wins",
    )
    return parser


def _command(arguments: argparse.Namespace) -> str:
    """The command line without the places of files."""
    before = [] if arguments.before is None else ["--before", arguments.before]
    quick = ["--quick"] if arguments.quick else []
    return " ".join(["python -m benchmarks", *arguments.scenarios, *before, *quick])


def _print(name: str, result: dict[str, Any], *, is_quick: bool) -> int:
    """Print a scenario's rows. Returns how many are not within their bounds."""
    before = {row.what: row for row in Result.from_json(result["before"]).rows} if "before" in result else {}
    missed = 0
    for row in Result.from_json(result["now"]).rows:
        verdict = report.verdict_of(row, is_quick=is_quick)
        missed += verdict == "missed"
        earlier = report.amount(before[row.what]) if row.what in before else ""
        figures = f"{earlier:>16}{report.amount(row):>16}  {report.bound_of(row):<10}"
        print(f"{name:<4}{row.what:<78}{figures}{verdict}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
