"""Vision models' circuits, calls and queue as Prometheus metrics, where its client is installed.

They are on its default registry, which LiteLLM's ``prometheus`` callback serves at ``/metrics``. With several workers
that callback adds up what each worker's metrics wrote to files: an own collector would not be asked there.
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


@cache  # a metric's name can be registered once in a process
def observer() -> Observer:
    """What to tell of vision models' loads; without a client of Prometheus, nobody listens."""
    return _Metrics().show if find_spec("prometheus_client") else lambda model, load, refused: None


class _Metrics:
    """A series for each vision model, up to as many as are told apart: callers make up names."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", meaning, [_MODEL], multiprocess_mode="livesum")

        self._circuits = gauge("open_circuits", "Workers that do not ask a vision model because it keeps failing")
        self._in_flight = gauge("calls_in_flight", "Vision calls under way")
        self._queued = gauge("calls_queued", "Vision calls that wait for their turn")
        self._refused = Counter(f"{_PREFIX}_calls_refused", "Vision calls that were not made", [_MODEL, "reason"])
        self._models: set[str] = set()

    def show(self, model: str, load: ModelStatus, refused: FailureReason | None) -> None:
        """Show a vision model's load, and count a call that was not made."""
        if model not in self._models and len(self._models) >= MOST_MODELS:
            return
        self._models.add(model)
        self._circuits.labels(model).set(load.is_open)
        self._in_flight.labels(model).set(load.in_flight)
        self._queued.labels(model).set(load.queued)
        if refused is not None:
            self._refused.labels(model, refused.code).inc()


def log_circuit(vision_model: str, change: Change, reason: FailureReason | None) -> None:
    """Write a line when a vision model's circuit opens, with its last failure, and when it closes."""
    name = quoted(vision_model)
    if change is Change.CLOSED or reason is None:
        LOGGER.info("image analysis: vision_model=%s answers again; its circuit is closed", name)
        return
    LOGGER.warning(
        "image analysis: vision_model=%s failed %d times in a row, at last with reason=%s: its circuit is open. It is"
        " asked by one call at a time, after a pause, until it answers.",
        name,
        FAILURES,
        reason.code,
    )
