"""The report on a call of a program."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from litellm_image_analysis import CallReport, report

HIDDEN: dict[str, Any] = {
    "image_analysis": {
        "base_cost": 0.5,
        "model": "eyes",
        "images": 2,
        "cached": 1,
        "failed": 1,
        "cost": 0.25,
        "duration_ms": 730,
        "call_ids": ["call-1"],
        "reasons": ["timeout"],
    }
}


@pytest.mark.parametrize(
    "response", [SimpleNamespace(_hidden_params=HIDDEN), {"_hidden_params": HIDDEN}], ids=["object", "mapping"]
)
def test_it_has_the_parts_of_the_price_and_the_sum(response: object) -> None:
    found = report(response)
    assert found == CallReport(
        model="eyes",
        images=2,
        cached=1,
        failed=1,
        reasons=("timeout",),
        base_cost=0.5,
        cost=0.25,
        duration_ms=730,
        call_ids=("call-1",),
    )
    assert found.total_cost == 0.75


@pytest.mark.parametrize("unknown", ["base_cost", "cost"])
def test_a_sum_with_an_unknown_part_is_not_known(unknown: str) -> None:
    found = report({"_hidden_params": {"image_analysis": {**HIDDEN["image_analysis"], unknown: None}}})
    assert found is not None
    assert found.total_cost is None


@pytest.mark.parametrize("response", [None, {}, {"_hidden_params": {}}, SimpleNamespace(_hidden_params={"a": 1}), 5])
def test_a_call_without_analysis_has_none(response: object) -> None:
    assert report(response) is None
