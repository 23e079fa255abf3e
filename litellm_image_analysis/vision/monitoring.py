"""Prometheus metrics of image analysis, if ``prometheus_client`` is installed, and log lines of circuits.

The metrics are in its default registry, which LiteLLM's ``prometheus`` callback serves at ``/metrics``. With several
workers, that callback sums the values that each worker writes to files, and does not use custom collectors.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from litellm_image_analysis.log import LOGGER, quoted
from litellm_image_analysis.vision.circuit_breaker import FAILURES, Change
from litellm_image_analysis.vision.gate import MOST_MODELS, ModelStatus

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.outcomes import FailureReason, Outcome
    from litellm_image_analysis.analysis.report import Report

OTHER_MODELS = "other"
"""Label of vision models whose names callers may have invented, and of all beyond ``MOST_MODELS``."""

_PREFIX = "litellm_image_analysis"
_MODEL = "vision_model"
_SECONDS = (0.005, 0.025, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
_FOR_WHOM = {
    Change.OPENED_FOR_KEY: " for one key",
    Change.CLOSED_FOR_KEY: " for one key",
    Change.OPENED_FOR_OWNER: " for one team or user",
    Change.CLOSED_FOR_OWNER: " for one team or user",
}


class Metrics(Protocol):
    """The events that are measured. Without ``prometheus_client``, none is."""

    def show_status(self, model: str, status: ModelStatus, refused: FailureReason | None) -> None:
        """Set the status of a vision model, and count a refused call."""

    def count_call(self, model: str | None, outcome: Outcome | None, seconds: float) -> None:
        """Count a vision call that has ended.

        Args:
            model: the vision model. ``None`` if its name may be invented.
            outcome: its outcome. ``None`` if it was cancelled at its deadline.
            seconds: the time that it took.
        """

    def count_request(self, model: str | None, report: Report) -> None:
        """Count the images of a request.

        Args:
            model: the vision model. ``None`` if its name may be invented.
            report: the report on the request.
        """

    def count_joined(self) -> None:
        """Count a request that used the outcome of another one's vision call, for which it waited."""

    def show_cache(self, used_bytes: int, entries: int) -> None:
        """Set the size of the cache in the memory of this process."""


@cache  # a process can register the name of a metric only once
def metrics() -> Metrics:
    """Return the metrics of this process. They do nothing if ``prometheus_client`` is not installed."""
    return _Prometheus() if find_spec("prometheus_client") else _Nothing()


class _Nothing:
    """Measures nothing."""

    def show_status(self, model: str, status: ModelStatus, refused: FailureReason | None) -> None:
        """Do nothing."""

    def count_call(self, model: str | None, outcome: Outcome | None, seconds: float) -> None:
        """Do nothing."""

    def count_request(self, model: str | None, report: Report) -> None:
        """Do nothing."""

    def count_joined(self) -> None:
        """Do nothing."""

    def show_cache(self, used_bytes: int, entries: int) -> None:
        """Do nothing."""


class _Prometheus:
    """Time series for each vision model, up to ``MOST_MODELS``, and one for all others together."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        def gauge(name: str, meaning: str, *labels: str) -> Any:
            return Gauge(f"{_PREFIX}_{name}", meaning, labels, multiprocess_mode="livesum")

        def counter(name: str, meaning: str, *labels: str) -> Any:
            return Counter(f"{_PREFIX}_{name}", meaning, labels)

        def histogram(name: str, meaning: str) -> Any:
            return Histogram(f"{_PREFIX}_{name}", meaning, [_MODEL], buckets=_SECONDS)

        self._circuits = gauge(
            "open_circuits",
            "Workers that do not ask a vision model, for all or for some keys, because it keeps failing",
            _MODEL,
        )
        self._in_flight = gauge("calls_in_flight", "Vision calls in flight", _MODEL)
        self._queued = gauge("calls_queued", "Vision calls in the queue", _MODEL)
        self._refused = counter("calls_refused", "Vision calls that were not made", _MODEL, "reason")
        self._calls = histogram("call_duration_seconds", "Duration of vision calls, without the time in the queue")
        self._cost = counter("cost_usd", "USD of all vision calls whose price LiteLLM knows", _MODEL)
        self._unpriced = counter("calls_without_price", "Vision calls whose cost is not known", _MODEL)
        self._tokens = counter("tokens", "Tokens of all vision calls", _MODEL, "type")
        self._analysed = counter("images_analysed", "Images that were analysed by a vision call", _MODEL)
        self._cached = counter("images_cached", "Images whose analysis was known or was shared", _MODEL)
        self._failed = counter("images_failed", "Images without an analysis", _MODEL, "reason")
        self._requests = histogram("request_duration_seconds", "Duration of the analysis of a request's images")
        self._joined = counter("calls_joined", "Vision calls that were not made, because the same one was in flight")
        self._cache_bytes = gauge("cache_bytes", "Bytes of the analyses in memory")
        self._cache_entries = gauge("cache_entries", "Number of analyses in memory")
        self._models: set[str] = set()

    def show_status(self, model: str, status: ModelStatus, refused: FailureReason | None) -> None:
        label = self._label(model)
        if label != model:
            return
        self._circuits.labels(label).set(status.is_open)
        self._in_flight.labels(label).set(status.in_flight)
        self._queued.labels(label).set(status.queued)
        if refused is not None:
            self._refused.labels(label, refused.code).inc()

    def count_call(self, model: str | None, outcome: Outcome | None, seconds: float) -> None:
        label = self._label(model)
        self._calls.labels(label).observe(seconds)
        cost = None if outcome is None else outcome.cost
        self._unpriced.labels(label).inc(cost is None)
        self._cost.labels(label).inc(float(cost or 0))
        usage = None if outcome is None else outcome.usage
        if usage is not None:
            self._tokens.labels(label, "input").inc(usage.input_tokens or 0)
            self._tokens.labels(label, "output").inc(usage.output_tokens or 0)

    def count_request(self, model: str | None, report: Report) -> None:
        label = self._label(model)
        self._analysed.labels(label).inc(report.analysed)
        self._cached.labels(label).inc(report.cached)
        for reason in report.reasons:
            self._failed.labels(label, reason).inc()
        self._requests.labels(label).observe(report.duration_ms / 1000)

    def count_joined(self) -> None:
        self._joined.inc()

    def show_cache(self, used_bytes: int, entries: int) -> None:
        self._cache_bytes.set(used_bytes)
        self._cache_entries.set(entries)

    def _label(self, model: str | None) -> str:
        if model is None or (model not in self._models and len(self._models) >= MOST_MODELS):
            return OTHER_MODELS
        self._models.add(model)
        return model


def log_circuit(vision_model: str, change: Change, reason: FailureReason | None) -> None:
    """Log a line when a vision model's circuit opens, with its last failure, and when it closes."""
    name = quoted(vision_model)
    for_whom = _FOR_WHOM.get(change, "")
    if change in (Change.CLOSED, Change.CLOSED_FOR_KEY, Change.CLOSED_FOR_OWNER) or reason is None:
        LOGGER.info("image analysis: vision_model=%s answers again; its circuit is closed%s", name, for_whom)
        return
    LOGGER.warning(
        "image analysis: vision_model=%s failed %d times in a row%s, the last time with reason=%s: its circuit is"
        " open%s. After a pause, one call at a time tries it until it answers.",
        name,
        FAILURES,
        for_whom,
        reason.code,
        for_whom,
    )
