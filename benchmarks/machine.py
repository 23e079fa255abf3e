"""Where and with what something was measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from litellm_image_analysis import __version__

_TREE = Path(__file__).resolve().parents[1]


def about_this_run() -> dict[str, str]:
    """Return the machine, the versions and the date, by their names in the report."""
    return {
        "Processor": _processor(),
        "Cores": str(len(os.sched_getaffinity(0))),
        "Python": platform.python_version(),
        "LiteLLM": version("litellm"),
        "Package": f"{__version__}, commit {_commit()}",
        "Date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(_TREE), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
