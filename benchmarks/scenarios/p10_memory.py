"""P10: the peak memory of a proxy for a request with a 5 MB image, against forwarding it without the plugin."""

from __future__ import annotations

import base64
import random
import re
import statistics
from pathlib import Path
from typing import Any

from support.images import message, png_header, text

from benchmarks.gateway import (
    MULTIMODAL,
    TEXT,
    Gateway,
    encoded,
    models_of,
    running_gateways,
    running_provider,
    with_plugin,
    without_plugin,
)
from benchmarks.measure import Result, Row, Run, Scenario

_BYTES = 5_000_000
_ROUNDS = 9
_FORGET_PEAK = "5"
_RETURN_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""Environment of glibc's allocator, so that what a process holds is what it uses."""


def _request(model: str, number: int) -> bytes:
    noise = png_header(1000, 1000) + random.Random(number).randbytes(_BYTES)
    url = f"data:image/png;base64,{base64.b64encode(noise).decode()}"
    part = {"type": "image_url", "image_url": {"url": url}}
    body: dict[str, Any] = {"model": model, "messages": [message(text("What is it?"), part)]}
    return encoded(body)


def _kilobytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _peak(gateway: Gateway, content: bytes) -> int:
    """Return the most memory that the proxy had during the request beyond what it had before, in bytes."""
    gateway.cpu()  # until it is idle
    Path(f"/proc/{gateway.pid}/clear_refs").write_text(_FORGET_PEAK)
    before = _kilobytes(gateway.pid, "VmRSS")
    gateway.post(content)
    return (_kilobytes(gateway.pid, "VmHWM") - before) * 1024


async def measure(run: Run) -> Result:
    """Measure a new image and a remembered one. It counts nothing, so a quick run does nothing."""
    if run.is_quick:
        return Result([])
    with running_provider() as provider:
        models = models_of(provider)
        configs = {"forwarded": without_plugin(models), "plugin": with_plugin(models)}
        with running_gateways(run, configs, _RETURN_FREED_MEMORY) as gateways:
            peaks: dict[str, list[int]] = {"forwarded": [], "miss": [], "hit": []}
            for number in range(_ROUNDS + 1):
                asked = _request(f"{TEXT}-ocr", number)
                peaks["forwarded"].append(_peak(gateways["forwarded"], _request(MULTIMODAL, number)))
                peaks["miss"].append(_peak(gateways["plugin"], asked))
                peaks["hit"].append(_peak(gateways["plugin"], asked))
    forwarded, miss, hit = (statistics.median(each[1:]) for each in peaks.values())  # the first pays for imports
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
    "The most resident memory (`VmHWM`) of the proxy's process during a request, beyond what it had before. glibc"
    " returns freed memory at once, so the figure is that of the request. Medians of nine requests that take turns.",
)
