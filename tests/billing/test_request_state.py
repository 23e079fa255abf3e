"""One object under one key of a request's metadata."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from support.reports import REPORT

from litellm_image_analysis.billing.request_state import (
    METADATA_BUCKETS,
    STATE_KEY,
    RequestState,
    load_state,
    state_in,
    take_requested,
    update_state,
)

in_each_bucket = pytest.mark.parametrize("bucket", METADATA_BUCKETS)


@in_each_bucket
def test_what_is_saved_is_loaded(bucket: str) -> None:
    data: dict[str, Any] = {bucket: {"user_api_key": "hashed"}}
    update_state(data[bucket], report=REPORT)
    assert load_state(data).report is REPORT
    assert data[bucket]["user_api_key"] == "hashed"


def test_an_update_keeps_the_other_values() -> None:
    metadata: dict[str, Any] = {}
    update_state(metadata, report=REPORT)
    update_state(metadata, deferred="later")
    assert state_in(metadata) == RequestState(report=REPORT, deferred="later")


def test_an_attempt_s_copy_of_the_metadata_has_a_state_of_its_own() -> None:
    home: dict[str, Any] = {}
    update_state(home, deferred="later")
    attempt = dict(home)
    update_state(attempt, report=REPORT)
    assert state_in(attempt).deferred == "later"
    assert state_in(home).report is None


def test_values_in_both_mappings_are_found() -> None:
    data: dict[str, Any] = {"metadata": {}, "litellm_metadata": {}}
    update_state(data["metadata"], report=REPORT)
    update_state(data["litellm_metadata"], outcomes="earlier")
    assert load_state(data) == RequestState(report=REPORT, outcomes="earlier")


@pytest.mark.parametrize(
    "data", [{}, {"metadata": None}, {"metadata": "a text"}, {"metadata": {STATE_KEY: {"report": {"images": 99}}}}]
)
def test_a_request_without_a_state_or_with_a_forged_one_has_an_empty_one(data: dict[str, Any]) -> None:
    assert load_state(data) == RequestState()
    assert take_requested(data) is None


@in_each_bucket
def test_what_is_requested_is_taken_once(bucket: str) -> None:
    data: dict[str, Any] = {bucket: {}}
    update_state(data[bucket], requested="an analysis", report=REPORT)
    assert take_requested(data) == "an analysis"
    assert take_requested(data) is None
    assert load_state(data).report is REPORT


def test_it_is_never_copied_and_shows_nothing() -> None:
    state = RequestState(deferred="sk-secret")
    assert deepcopy({"metadata": {STATE_KEY: state}})["metadata"][STATE_KEY] is state
    assert "sk-secret" not in f"{state!r} {state}"
