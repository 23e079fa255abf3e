"""Run one scenario in this process and print its result as JSON: ``python -m benchmarks.one p04_key [--quick]``."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys

from benchmarks.measure import Run, Scenario


def main() -> None:
    """Run it. What it prints itself goes to the standard error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    out, sys.stdout = sys.stdout, sys.stderr
    scenario: Scenario = importlib.import_module(f"benchmarks.scenarios.{arguments.module}").SCENARIO
    options = dict(option.split("=", 1) for option in arguments.option)
    result = asyncio.run(scenario.measure(Run(is_quick=arguments.quick, options=options)))
    json.dump({"title": scenario.title, "method": scenario.method, **result.as_json()}, out)


if __name__ == "__main__":
    main()
