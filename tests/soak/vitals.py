"""Measurements of a proxy's process: memory and files from outside, tasks through ``soak.probe``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.proxy import Proxy, eventually

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CALM_LOOKS = 3
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Vitals:
    """The state of an idle process after a number of requests."""

    requests: int
    memory_bytes: int
    files: int
    tasks: Counter[str]
    unretrieved: Counter[str]


class Examined:
    """A proxy that was started with ``probed``, for measurements.

    Args:
        proxy: the running proxy.
        folder: the folder in which it was started.
    """

    def __init__(self, proxy: Proxy, folder: Path) -> None:
        self._pid, self._file = proxy.process.pid, folder / "probe.json"

    def look(self, requests: int, than: Vitals | None = None) -> Vitals:
        """Wait until its tasks stay the same for a while, and measure.

        A hanging call does not change, either. Therefore, tasks that are not in the earlier measurement get time to
        end.

        Args:
            requests: the number of requests so far.
            than: the earlier measurement.

        Raises:
            TimeoutError: the tasks do not stay the same.
        """
        looks = [self._ask()]

        def is_calm() -> bool:
            looks.append(self._ask())
            last = [look["tasks"] for look in looks[-CALM_LOOKS:]]
            return last.count(last[0]) == CALM_LOOKS

        def has_ended() -> bool:
            return is_calm() and (than is None or Counter(looks[-1]["tasks"]) <= than.tasks)

        if not eventually(has_ended, PATIENCE_SECONDS) and not eventually(is_calm, PATIENCE_SECONDS):
            raise TimeoutError(f"after {requests:,} requests the proxy does not come to rest: {looks[-1]['tasks']}")
        os.kill(self._pid, signal.SIGUSR2)
        told = self._ask()
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        files = len(list(Path(f"/proc/{self._pid}/fd").iterdir()))
        return Vitals(requests, pages * PAGE_BYTES, files, Counter(told["tasks"]), Counter(told["unretrieved"]))

    def _ask(self) -> dict[str, Any]:
        self._file.unlink(missing_ok=True)
        os.kill(self._pid, signal.SIGUSR1)
        if not eventually(self._file.exists, PATIENCE_SECONDS):
            raise TimeoutError("the proxy's event loop is held up")
        return dict(json.loads(self._file.read_text()))


def probed(config: dict[str, Any], folder: Path) -> dict[str, str]:
    """Let a proxy that is started in this folder load the probe. Returns the environment that it needs."""
    shutil.copy(Path(__file__).with_name("probe.py"), folder)
    config["litellm_settings"]["callbacks"].insert(0, "probe.probe")
    return {"PROBE_FILE": str(folder / "probe.json")}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the second values over the first ones, by least squares."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
