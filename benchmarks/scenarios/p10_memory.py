"""P10: the peak memory that a request with a 5 MB image needs, against forwarding it without the plugin.

``python -m benchmarks.scenarios.p10_memory CONFIG MODEL`` prints the peaks of requests to one app, as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import gc
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from support.app import running_app
from support.images import message, png_header, text

from benchmarks.gateway import MULTIMODAL, TEXT, encoded, models_of, running_provider, with_plugin, without_plugin
from benchmarks.measure import Result, Row, Run, Scenario

_BYTES = 5_000_000
_ROUNDS = 9
_SETTLE_SECONDS = 0.5
_C_LIBRARY = ctypes.CDLL(None)


def _request(model: str, number: int) -> bytes:
    noise = png_header(1000, 1000) + random.Random(number).randbytes(_BYTES)
    url = f"data:image/png;base64,{base64.b64encode(noise).decode()}"
    part = {"type": "image_url", "image_url": {"url": url}}
    body: dict[str, Any] = {"model": model, "messages": [message(text("What is it?"), part)]}
    return encoded(body)


def _kilobytes(name: str) -> int:
    """Return a figure about the memory of this process."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


async def _peak(client: httpx.AsyncClient, content: bytes) -> int:
    """Return the most memory that the process had during the request beyond what it had before, in bytes."""
    gc.collect()
    _C_LIBRARY.malloc_trim(0)  # otherwise the request is served from memory that was freed before
    _forget_peak()
    before = _kilobytes("VmRSS")
    response = await client.post("/v1/chat/completions", content=content)
    await asyncio.sleep(_SETTLE_SECONDS)  # LiteLLM logs a request after the response
    response.raise_for_status()
    return (_kilobytes("VmHWM") - before) * 1024


async def _peaks(config: dict[str, Any], model: str) -> list[tuple[int, int]]:
    """Return the peaks of each new image and of the same image again. The first request pays for imports."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_app(config, Path(folder)) as client:
            await _peak(client, _request(model, 0))
            requests = (_request(model, number) for number in range(1, _ROUNDS + 1))
            return [(await _peak(client, content), await _peak(client, content)) for content in requests]


def _peaks_in_process(config: dict[str, Any], model: str) -> tuple[float, float]:
    """Return the medians of the peaks in a process of its own: of new images, and of those that were sent before."""
    command = [sys.executable, "-m", "benchmarks.scenarios.p10_memory", json.dumps(config), model]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    first, again = zip(*json.loads(done.stdout.splitlines()[-1]), strict=True)
    return statistics.median(first), statistics.median(again)


async def measure(run: Run) -> Result:
    """Measure a new image and a remembered one. It counts nothing, so a quick run does nothing."""
    if run.is_quick:
        return Result([])
    with running_provider() as provider:
        models = models_of(provider)
        forwarded, _ = _peaks_in_process(without_plugin(models), MULTIMODAL)
        miss, hit = _peaks_in_process(with_plugin(models), f"{TEXT}-ocr")
    return Result(
        [
            Row("5 MB, forwarded without the plugin", forwarded, "bytes"),
            Row("5 MB, new: peak memory over forwarding", miss / forwarded, "ratio", at_most=1.05),
            Row("5 MB, remembered: peak memory over forwarding", hit / forwarded, "ratio", at_most=0.8),
        ]
    )


SCENARIO = Scenario(
    "Peak memory of a request with a 5 MB image",
    measure,
    "The most resident memory (`VmHWM`) of a process during a request to LiteLLM's application, which runs with the"
    " plugin and without it in a process of its own. Freed memory is given back before each request. Medians of nine"
    " images, each sent twice.",
)

if __name__ == "__main__":
    print(json.dumps(asyncio.run(_peaks(json.loads(sys.argv[1]), sys.argv[2]))))
