"""Write a report to response headers, spend logs and the log."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litellm_image_analysis.billing.prices import format_usd
from litellm_image_analysis.log import LOGGER, quoted, tell_operator

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report

_HEADER = "x-litellm-image-analysis"
_HEADER_SAFE = "/:@.,+*- "


def response_headers(report: Report, base_cost: Decimal | None) -> dict[str, str]:
    """Response headers for a report.

    Args:
        report: the report on image analysis.
        base_cost: USD of the request's own call. ``None`` if unknown or not known yet, as in a stream.
    """
    if not report.images and not report.failed:
        return {f"{_HEADER}-images": "0"}
    found = {
        f"{_HEADER}-model": quote(report.vision_model, safe=_HEADER_SAFE, errors="replace"),
        f"{_HEADER}-images": str(report.images),
        f"{_HEADER}-cached": str(report.cached),
        f"{_HEADER}-failed": str(report.failed),
        f"{_HEADER}-duration-ms": str(report.duration_ms),
    }
    if report.reasons:
        found[f"{_HEADER}-error"] = ", ".join(dict.fromkeys(f"image_analysis_{reason}" for reason in report.reasons))
    if report.cost is not None:
        found[f"{_HEADER}-cost"] = format_usd(report.cost)
        if base_cost is not None:
            found["x-litellm-response-cost-total"] = format_usd(base_cost + report.cost)
    return found


def summary(report: Report) -> dict[str, Any]:
    """The report as JSON for spend logs and loggers."""
    return {
        "model": report.vision_model,
        "images": report.images,
        "cached": report.cached,
        "failed": report.failed,
        "cost": None if report.cost is None else float(report.cost),
        "duration_ms": report.duration_ms,
        "call_ids": list(report.call_ids),
    }


def log_request(request_id: object, report: Report) -> None:
    """Write the log line of a request: a WARNING if an image has no analysis.

    A problem that only the operator can correct is an ERROR, at most once a minute for each vision model and problem.
    """
    fields = {
        "request_id": str(request_id or ""),
        "vision_model": report.vision_model,
        "images": report.images,
        "cached": report.cached,
        "failed": report.failed,
        "duration_ms": report.duration_ms,
        "cost_usd": "unknown" if report.cost is None else format_usd(report.cost),
    }
    if report.files:
        fields["files_not_read"] = report.files
    if report.reasons:
        fields["reasons"] = ",".join(dict.fromkeys(report.reasons))
    level = logging.WARNING if report.failed else logging.INFO
    if LOGGER.isEnabledFor(level):
        line = " ".join(f"{name}={quoted(value)}" for name, value in fields.items())
        LOGGER.log(level, "image analysis: %s", line, extra={"image_analysis": fields})
    for cure in report.cures:
        tell_operator(f"vision model {quoted(report.vision_model)}: {cure}")
