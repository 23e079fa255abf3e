"""Instructions that the hooks take for a text-only request, counted by callgrind. ``make nightly`` runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

N = 100
TODAY = 209_904
"""Instructions of a request that does not ask and has 53 keys of metadata, on Python 3.11."""
MOST = 1.15 * TODAY


@pytest.mark.skipif("COUNT_INSTRUCTIONS" not in os.environ, reason="callgrind takes minutes: set COUNT_INSTRUCTIONS=1")
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.timeout(1800)
def test_of_a_text_request(tmp_path: Path) -> None:
    """Those of 2 N requests less those of N, so that what is done once for all of them does not count."""
    out = tmp_path / "callgrind"
    command = ["valgrind", "--tool=callgrind", "--dump-before=getpriority", f"--callgrind-out-file={out}"]
    path = os.pathsep.join(filter(None, ("tests", os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path}
    subprocess.run([*command, sys.executable, "-m", "support.text_requests", str(N)], env=environment, check=True)
    once, twice = (instructions_in(Path(f"{out}.{part}")) for part in (2, 4))  # 1 is the start, 3 prepares requests
    taken = (twice - once) / N
    assert taken < MOST


def instructions_in(part: Path) -> int:
    found = re.search(r"^totals: ([0-9]+)$", part.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
