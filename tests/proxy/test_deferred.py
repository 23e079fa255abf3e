"""Deferred analysis in a request's metadata."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from litellm.proxy._types import UserAPIKeyAuth

from litellm_image_analysis.analysis.outcomes import Analysed
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.proxy import deferred


def waiting(home: dict[str, Any]) -> deferred.DeferredAnalysis:
    return deferred.DeferredAnalysis(ImageAnalysisConfig(), UserAPIKeyAuth(api_key="sk-secret"), home)


@pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
def test_it_is_found_in_the_request_and_in_copies_of_its_metadata(bucket: str) -> None:
    home: dict[str, Any] = {}
    left = waiting(home)
    left.remember()
    assert deferred.deferred_analysis({bucket: home}) is left
    assert deferred.deferred_analysis({bucket: dict(home)}) is left
    assert deferred.deferred_analysis({bucket: copy.deepcopy(home)}) is left


def test_the_first_to_stand_by_does() -> None:
    home: dict[str, Any] = {}
    first, second = waiting(home), waiting(home)
    first.remember()
    second.remember()
    assert deferred.deferred_analysis({"metadata": home}) is first


@pytest.mark.parametrize("data", [{}, {"metadata": None}, {"metadata": {"_image_analysis_state": {"config": {}}}}])
def test_a_caller_cannot_forge_one(data: dict[str, Any]) -> None:
    assert deferred.deferred_analysis(data) is None


def test_it_shows_nothing_of_the_request() -> None:
    left = waiting({})
    left.outcomes.by_key["key"] = Analysed("a cat")
    assert "cat" not in repr(left)
    assert "secret" not in repr(left)
