"""Run one scenario in this process and print its result as JSON: ``python -m benchmarks.one p04_key [--quick]``."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import Run, Scenario


def main() -> None:
    """Run it. What it prints itself goes to the standard error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    out, sys.stdout = sys.stdout, sys.stderr
    options = dict(option.split("=", 1) for option in arguments.option)
    json.dump(result_of(arguments.module, Run(is_quick=arguments.quick, options=options)), out)


def result_of(module: str, run: Run) -> dict[str, Any]:
    """Run a scenario in this process.

    Returns:
        its title, its method and its figures.
    """
    sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the package support
    scenario: Scenario = importlib.import_module(f"benchmarks.scenarios.{module}").SCENARIO
    return {"title": scenario.title, "method": scenario.method, **asyncio.run(scenario.measure(run)).as_json()}


if __name__ == "__main__":
    main()
