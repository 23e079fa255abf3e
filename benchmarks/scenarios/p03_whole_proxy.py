"""P3: instructions of a text-only request in a whole proxy, with and without the plugin, counted by callgrind."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from support.images import message, text
from support.proxy import eventually

from benchmarks.gateway import (
    TEXT,
    Gateway,
    encoded,
    models_of,
    running_gateways,
    running_provider,
    with_callback,
    with_plugin,
    without_plugin,
)
from benchmarks.measure import Result, Row, Run, Scenario

_ROUNDS = 5
_REQUESTS = 10
_WARM_UP = 10
_START_SECONDS = 600
_REQUEST = encoded({"model": TEXT, "messages": [message(text("How are you?"))]})
_VALGRIND = (
    "valgrind",
    "--tool=callgrind",
    "--trace-children=yes",  # otherwise a forked process cannot be told to count
    "--instr-atstart=no",
    "--callgrind-out-file=callgrind.%p",
)


@dataclass(frozen=True)
class _Counted:
    """A proxy under callgrind, which counts only when it is told to.

    Attributes:
        gateway: the proxy.
        folder: where callgrind writes what it counted.
    """

    gateway: Gateway
    folder: Path

    def instructions(self) -> float:
        """Return the instructions of one request, with what LiteLLM does after the response."""
        self._control("--instr=on")
        _send(self.gateway, 2)
        self._control("--zero")
        _send(self.gateway, _REQUESTS)
        self._control("--dump")
        self._control("--instr=off")
        return self._dumped() / _REQUESTS

    def _control(self, option: str) -> None:
        self.gateway.cpu()  # once it is idle
        command = ["callgrind_control", option, str(self.gateway.pid)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _dumped(self) -> int:
        """Return the instructions in the files of callgrind, and delete these."""
        count = 0
        for file in self.folder.glob(f"callgrind.{self.gateway.pid}.*"):
            count += sum(map(int, re.findall(r"^totals: (\d+)", file.read_text(), re.MULTILINE)))
            file.unlink()
        return count


def _send(gateway: Gateway, requests: int) -> None:
    for _ in range(requests):
        gateway.post(_REQUEST)


@contextmanager
def _counted_gateways(configs: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, _Counted]]:
    """Start proxies under callgrind, by name. LiteLLM is imported once, which takes more than a minute there."""
    key = f"sk-{secrets.token_hex(16)}"
    env = {**os.environ, "LITELLM_MASTER_KEY": key, "PYTHONHASHSEED": "0"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = [folder / f"{number}.yaml" for number in range(len(configs))]
        for file, config in zip(files, configs.values(), strict=True):
            file.write_text(yaml.safe_dump(config))
        command = [*_VALGRIND, sys.executable, "-m", "benchmarks.forking", *map(str, files)]
        parent = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        stack.callback(parent.wait)
        stack.callback(parent.kill)
        assert parent.stdout is not None
        started: dict[str, _Counted] = {}
        for name in configs:
            pid, port = map(int, parent.stdout.readline().split())
            stack.callback(os.kill, pid, 9)
            headers = {"Authorization": f"Bearer {key}"}
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=_START_SECONDS)
            started[name] = _Counted(Gateway(pid, stack.enter_context(client)), folder)
        for counted in started.values():
            if not eventually(partial(_is_ready, counted.gateway.client), _START_SECONDS, every=1):
                raise TimeoutError(f"no proxy under callgrind after {_START_SECONDS} seconds")
        yield started


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/readiness").status_code == 200
    except httpx.TransportError:
        return False


def _instructions(configs: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Return the instructions of one request in each proxy, medians of rounds in which they take turns."""
    with _counted_gateways(configs) as counted:
        for each in counted.values():
            _send(each.gateway, _WARM_UP)
        rounds = [{name: each.instructions() for name, each in counted.items()} for _ in range(_ROUNDS)]
    return {name: statistics.median(turn[name] for turn in rounds) for name in counted}


async def _cpu(run: Run, configs: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Return the CPU time of one request in each proxy, in seconds."""
    with running_gateways(run, configs) as gateways:
        variants = {name: gateway.measured(gateway.post, lambda: _REQUEST) for name, gateway in gateways.items()}
        return {name: times.cpu for name, times in (await run.compare(variants, rounds=15, calls=200)).items()}


async def measure(run: Run) -> Result:
    """Count instructions, or measure CPU time if valgrind is not installed. A quick run does nothing."""
    if run.is_quick:
        return Result([])
    with running_provider() as provider:
        models = models_of(provider)
        configs = {
            "no callback": without_plugin(models),
            "one empty callback": with_callback(models, "benchmarks.baselines.empty"),
            "six empty hooks": with_callback(models, "benchmarks.baselines.six_hooks"),
            "plugin": with_plugin(models),
        }
        is_counted = shutil.which("valgrind") is not None
        needed = _instructions(configs) if is_counted else await _cpu(run, configs)
    unit = "instructions" if is_counted else "CPU time"
    rows = [
        Row(
            f"text-only request, {name}: {unit} over none",
            needed[name] / needed["no callback"],
            "ratio",
            at_most=1.009 if name == "plugin" else None,
        )
        for name in ("one empty callback", "six empty hooks", "plugin")
    ]
    return Result(rows)


SCENARIO = Scenario(
    "A text-only request in a whole proxy",
    measure,
    "Instructions that callgrind counts in the proxy's process for a text-only request, up to the time when the proxy"
    " is idle again, over those of a proxy without callbacks. An empty callback and one with six empty hooks show what"
    " LiteLLM itself needs for a callback. Without valgrind it is CPU time, which is too coarse for one per cent.",
)
