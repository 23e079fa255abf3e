"""The process in the logs: a structured INFO line a request, a line when a circuit opens or closes, the rest at DEBUG.

No image and no text of one above it. The logger is a child of LiteLLM's own, so its lines go where LiteLLM's go, in its
format, plain or JSON.
"""

from __future__ import annotations

import json
import logging
import os
import re
from typing import TYPE_CHECKING

from litellm_image_analysis.spend import plain
from litellm_image_analysis.vision.circuit_breaker import FAILURES, Change

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.outcomes import FailureReason
    from litellm_image_analysis.analysis.report import Report

LOGGER = logging.getLogger("LiteLLM.image_analysis")
_PLAIN_VALUE = re.compile(r"[\w.:/@+*,-]+")


def show_requests() -> None:
    """Let the INFO line through in a proxy, whose loggers stay at WARNING unless asked otherwise.

    ``LITELLM_LOG`` and ``--detailed_debug`` keep their say.
    """
    if not os.environ.get("LITELLM_LOG") and LOGGER.getEffectiveLevel() > logging.INFO:
        LOGGER.setLevel(logging.INFO)


def log_request(request_id: object, report: Report) -> None:
    """Write the request's one line."""
    fields = {
        "request_id": str(request_id or ""),
        "vision_model": report.vision_model,
        "images": report.images,
        "cached": report.cached,
        "failed": report.failed,
        "duration_ms": report.duration_ms,
        "cost_usd": "unknown" if report.cost is None else plain(report.cost),
    }
    if report.reasons:
        fields["reasons"] = ",".join(dict.fromkeys(report.reasons))
    line = " ".join(f"{name}={_value(value)}" for name, value in fields.items())
    LOGGER.info("image analysis: %s", line, extra={"image_analysis": fields})


def log_circuit(vision_model: str, change: Change, reason: FailureReason | None) -> None:
    """Write a line when a vision model's circuit opens, with its last failure, and when it closes."""
    name = _value(vision_model)
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


def _value(value: object) -> str:
    """Quote what could be mistaken for another field or another line: callers choose ids and model names."""
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text)
