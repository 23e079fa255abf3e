"""P12: importing the package, and starting a proxy with it, in CPU time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from support.proxy import running_proxy

from benchmarks.gateway import models_of, running_provider, with_plugin, without_plugin
from benchmarks.measure import Result, Row, Run, Scenario, cpu_seconds

_IMPORT = "import litellm_image_analysis"
_COUNT = f"{_IMPORT}, sys; sys.stdout.write(str(sum(name.split('.')[0] == 'litellm' for name in sys.modules)))"


def _cpu_of_code(code: str) -> float:
    """Return the CPU time of an interpreter that runs this code, in seconds."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], dict(os.environ))
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime


def _modules() -> int:
    """Return how many modules of LiteLLM the package imports."""
    return int(subprocess.run([sys.executable, "-c", _COUNT], check=True, stdout=subprocess.PIPE, text=True).stdout)


def _cpu_of_start(config: dict[str, Any]) -> float:
    """Return the CPU time of a proxy when it is ready, in seconds."""
    with tempfile.TemporaryDirectory() as folder, running_proxy(config, Path(folder), fresh=True) as proxy:
        return cpu_seconds(proxy.process.pid)


def _medians(rounds: int, measured: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Measure by turns. The first turn pays for files that are not in memory yet, and is not counted."""
    turns = [{name: measure() for name, measure in measured.items()} for _ in range(rounds + 1)]
    return {name: statistics.median(turn[name] for turn in turns[1:]) for name in measured}


def _starts() -> list[Row]:
    with running_provider() as provider:
        models = models_of(provider)
        configs = {"without": without_plugin(models), "with": with_plugin(models)}
        cpu = _medians(5, {name: partial(_cpu_of_start, config) for name, config in configs.items()})
    return [
        Row("start of a proxy: CPU, with over without", cpu["with"] / cpu["without"], "ratio", at_most=1.02),
        Row("start of a proxy without the plugin: CPU", cpu["without"], "s"),
    ]


async def measure(run: Run) -> Result:
    """Measure both. A quick run starts no proxy."""
    code = {"nothing": "pass", "package": _IMPORT}
    cpu = _medians(run.many(15), {name: partial(_cpu_of_code, text) for name, text in code.items()})
    rows = [
        Row("import: CPU beyond that of an empty interpreter", (cpu["package"] - cpu["nothing"]) * 1e3, "ms", 15),
        Row("import: modules of LiteLLM that it imports", _modules(), "modules", at_most=0, is_exact=True),
    ]
    return Result(rows if run.is_quick else rows + _starts())


SCENARIO = Scenario(
    "Import, and start of a proxy",
    measure,
    "An interpreter that imports the package against one that does nothing, and a proxy with the plugin against one"
    " without it until it says that it is ready. CPU time of processes that take turns.",
)
