"""Metrics: in the default registry, for one or several workers, bounded, and without the client library."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from importlib.util import find_spec

import pytest

from litellm_image_analysis.analysis.outcomes import Analysed
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.vision import monitoring
from litellm_image_analysis.vision.gate import MOST_MODELS, ModelStatus

needs_prometheus = pytest.mark.skipif(find_spec("prometheus_client") is None, reason="prometheus_client is not there")

WORKER = """
import os
from decimal import Decimal
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess
from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Usage
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.vision.gate import MOST_MODELS, ModelStatus
from litellm_image_analysis.vision.monitoring import metrics

shown = metrics()
assert metrics() is shown  # also for a second plugin in the same process
shown.show_status("eyes", ModelStatus(in_flight=9), None)
shown.show_status("eyes", ModelStatus(is_open=True, in_flight=3, queued=2), FailureReason.CIRCUIT_OPEN)
shown.show_status("eyes", ModelStatus(is_open=True, in_flight=3, queued=2), FailureReason.BUSY)
shown.count_call("eyes", Analysed("a cat", cost=Decimal("0.25"), usage=Usage(1000, 100)), 1.5)
shown.count_call("eyes", Failed(FailureReason.EMPTY, cost=Decimal("0.5"), usage=Usage(10, None)), 0.01)
shown.count_call("eyes", Analysed("a dog", cost=None, usage=Usage()), 3)
shown.count_call("eyes", None, 200)
reasons = ("timeout", "busy", "timeout")
shown.count_request("eyes", Report("eyes", analysed=2, cached=3, reasons=reasons, duration_ms=40))
shown.count_joined()
shown.show_cache(5000, 4)
shown.show_cache(3000, 2)
for number in range(2 * MOST_MODELS):
    shown.show_status(f"made up {number}", ModelStatus(in_flight=1), None)
    shown.count_call(f"made up {number}", Analysed("a cat", cost=Decimal(1)), 1)
shown.count_call(None, Analysed("a cat", cost=Decimal(1)), 1)
shown.count_request(None, Report("made up", analysed=1))
registry = REGISTRY
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # as LiteLLM does
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""
P = "litellm_image_analysis_"
EYES = 'vision_model="eyes"'
PAGE_OF_ONE = {
    f"{P}open_circuits{{{EYES}}}": 1.0,
    f"{P}calls_in_flight{{{EYES}}}": 3.0,
    f"{P}calls_queued{{{EYES}}}": 2.0,
    f'{P}calls_refused_total{{reason="circuit_open",{EYES}}}': 1.0,
    f'{P}calls_refused_total{{reason="busy",{EYES}}}': 1.0,
    f"{P}call_duration_seconds_count{{{EYES}}}": 4.0,
    f"{P}call_duration_seconds_sum{{{EYES}}}": 204.51,
    f"{P}cost_usd_total{{{EYES}}}": 0.75,
    f"{P}calls_without_price_total{{{EYES}}}": 2.0,
    f'{P}tokens_total{{type="input",{EYES}}}': 1010.0,
    f'{P}tokens_total{{type="output",{EYES}}}': 100.0,
    f"{P}images_analysed_total{{{EYES}}}": 2.0,
    f"{P}images_cached_total{{{EYES}}}": 3.0,
    f'{P}images_failed_total{{reason="timeout",{EYES}}}': 2.0,
    f'{P}images_failed_total{{reason="busy",{EYES}}}': 1.0,
    f"{P}request_duration_seconds_count{{{EYES}}}": 1.0,
    f"{P}request_duration_seconds_sum{{{EYES}}}": 0.04,
    f"{P}calls_joined_total": 1.0,
    f"{P}cache_bytes": 3000.0,
    f"{P}cache_entries": 2.0,
}


def page_of_a_worker(**environment: str) -> dict[str, float]:
    """The plugin's metrics on the page of a process that has just started."""
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines() if line.startswith(P)]
    return {name: float(value) for name, value in lines if "_created" not in name}


@pytest.fixture(scope="module", params=[1, 2])
def pages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, float]]:
    """The number of workers, and the page of the last one."""
    folder = str(tmp_path_factory.mktemp("metrics"))
    environment = {"PROMETHEUS_MULTIPROC_DIR": folder} if request.param > 1 else {}
    return request.param, [page_of_a_worker(**environment) for _ in range(request.param)][-1]


@needs_prometheus
def test_all_metrics_are_shown_and_summed_up_over_workers(pages: tuple[int, dict[str, float]]) -> None:
    workers, page = pages
    shown = {name: value for name, value in page.items() if (EYES in name or "{" not in name) and "_bucket" not in name}
    assert shown == {name: pytest.approx(workers * value) for name, value in PAGE_OF_ONE.items()}


@needs_prometheus
def test_the_histogram_has_buckets_up_to_two_minutes(pages: tuple[int, dict[str, float]]) -> None:
    workers, page = pages
    buckets = {
        limit: page[f'{P}call_duration_seconds_bucket{{le="{limit}",{EYES}}}'] for limit in ("2.0", "120.0", "+Inf")
    }
    assert buckets == {"2.0": 2 * workers, "120.0": 3 * workers, "+Inf": 4 * workers}


@needs_prometheus
def test_invented_names_share_one_time_series(pages: tuple[int, dict[str, float]]) -> None:
    workers, page = pages
    assert sum(name.startswith(f"{P}calls_in_flight{{") for name in page) == MOST_MODELS
    others = f'{{vision_model="{monitoring.OTHER_MODELS}"}}'
    assert page[f"{P}images_analysed_total{others}"] == workers
    assert page[f"{P}cost_usd_total{others}"] == workers * (MOST_MODELS + 2)
    assert sum(name.startswith(f"{P}cost_usd_total{{") for name in page) == MOST_MODELS + 1


def test_without_its_client_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "find_spec", lambda name: None)
    metrics = monitoring.metrics.__wrapped__()
    metrics.show_status("eyes", ModelStatus(), None)
    metrics.count_call("eyes", Analysed("a cat", cost=Decimal(1)), 1)
    metrics.count_request("eyes", Report("eyes"))
    metrics.count_joined()
    metrics.show_cache(1, 1)
