"""Prometheus metrics of circuits, calls and the queue, if ``prometheus_client`` is installed.

They are in its default registry, which LiteLLM's ``prometheus`` callback serves at ``/metrics``. With several workers,
that callback sums the values that each worker writes to files, and does not use custom collectors.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from litellm_image_analysis.log import LOGGER, quoted
from litellm_image_analysis.vision.circuit_breaker import FAILURES, Change
from litellm_image_analysis.vision.gate import MOST_MODELS, ModelStatus, Observer

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.outcomes import FailureReason

_PREFIX = "litellm_image_analysis"
_MODEL = "vision_model"
_FOR_WHOM = {
    Change.OPENED_FOR_KEY: " for one key",
    Change.CLOSED_FOR_KEY: " for one key",
    Change.OPENED_FOR_OWNER: " for one team or user",
    Change.CLOSED_FOR_OWNER: " for one team or user",
}


@cache  # a process can register the name of a metric only once
def observer() -> Observer:
    """Return the observer of a gate. It does nothing if ``prometheus_client`` is not installed."""
    return _Metrics().show if find_spec("prometheus_client") else lambda model, load, refused: None


class _Metrics:
    """A time series for each vision model, up to ``MOST_MODELS``."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", meaning, [_MODEL], multiprocess_mode="livesum")

        self._circuits = gauge("open_circuits", "Workers that do not ask a vision model because it keeps failing")
        self._in_flight = gauge("calls_in_flight", "Vision calls in flight")
        self._queued = gauge("calls_queued", "Vision calls in the queue")
        self._refused = Counter(f"{_PREFIX}_calls_refused", "Vision calls that were not made", [_MODEL, "reason"])
        self._models: set[str] = set()

    def show(self, model: str, load: ModelStatus, refused: FailureReason | None) -> None:
        """Set the metrics of a vision model, and count a refused call."""
        if model not in self._models and len(self._models) >= MOST_MODELS:
            return
        self._models.add(model)
        self._circuits.labels(model).set(load.is_open)
        self._in_flight.labels(model).set(load.in_flight)
        self._queued.labels(model).set(load.queued)
        if refused is not None:
            self._refused.labels(model, refused.code).inc()


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
