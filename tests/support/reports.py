"""A report of image analysis, and its summary in JSON."""

from __future__ import annotations

from decimal import Decimal

from litellm_image_analysis.analysis.report import Report

REPORT = Report(
    "eyes",
    images=3,
    cached=1,
    failed=1,
    cost=Decimal("0.00021"),
    duration_ms=812,
    call_ids=("call-1", "call-2"),
    reasons=("timeout",),
)
SUMMARY = {
    "model": "eyes",
    "images": 3,
    "cached": 1,
    "failed": 1,
    "cost": 0.00021,
    "duration_ms": 812,
    "call_ids": ["call-1", "call-2"],
}
