"""Metrics of vision models: in the default registry, for one or several workers, and without the client library."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from litellm_image_analysis.vision import monitoring
from litellm_image_analysis.vision.gate import MOST_MODELS, ModelStatus

needs_prometheus = pytest.mark.skipif(find_spec("prometheus_client") is None, reason="prometheus_client is not there")

WORKER = """
import os
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess
from litellm_image_analysis.vision.gate import MOST_MODELS, ModelStatus
from litellm_image_analysis.vision.monitoring import observer
from litellm_image_analysis.analysis.outcomes import FailureReason

assert observer() is observer()  # also for a second plugin in the same process
observer()("eyes", ModelStatus(in_flight=9), None)
observer()("eyes", ModelStatus(is_open=True, in_flight=3, queued=2), FailureReason.CIRCUIT_OPEN)
observer()("eyes", ModelStatus(is_open=True, in_flight=3, queued=2), FailureReason.BUSY)
for number in range(2 * MOST_MODELS):
    observer()(f"made up {number}", ModelStatus(in_flight=1), None)
registry = REGISTRY
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # as LiteLLM does
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def page_of_a_worker(**environment: str) -> list[str]:
    """The lines about vision models on the metrics page of a process that has just started."""
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("litellm_image_analysis_")]


@needs_prometheus
@pytest.mark.parametrize("workers", [1, 2])
def test_circuits_calls_and_queue_are_shown_and_summed_up_over_workers(workers: int, tmp_path: Path) -> None:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if workers > 1 else {}
    page = [page_of_a_worker(**environment) for _ in range(workers)][-1]
    assert {line for line in page if 'vision_model="eyes"' in line and "_created" not in line} == {
        f'litellm_image_analysis_open_circuits{{vision_model="eyes"}} {1.0 * workers}',
        f'litellm_image_analysis_calls_in_flight{{vision_model="eyes"}} {3.0 * workers}',
        f'litellm_image_analysis_calls_queued{{vision_model="eyes"}} {2.0 * workers}',
        f'litellm_image_analysis_calls_refused_total{{reason="circuit_open",vision_model="eyes"}} {1.0 * workers}',
        f'litellm_image_analysis_calls_refused_total{{reason="busy",vision_model="eyes"}} {1.0 * workers}',
    }
    assert sum(line.startswith("litellm_image_analysis_calls_in_flight{") for line in page) == MOST_MODELS


def test_without_its_client_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "find_spec", lambda name: None)
    assert monitoring.observer.__wrapped__()("eyes", ModelStatus(), None) is None
