"""One object under one key of a request's metadata."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from litellm.proxy._types import UserAPIKeyAuth
from support.reports import REPORT

from litellm_image_analysis.billing.request_state import (
    METADATA_BUCKETS,
    STATE_KEY,
    RequestState,
    load_state,
    metadata_buckets,
    metadata_of,
    pop_requested,
    state_in,
    update_state,
)

in_each_bucket = pytest.mark.parametrize("bucket", METADATA_BUCKETS)


class TestMetadata:
    @in_each_bucket
    def test_the_bucket_is_the_one_litellm_made(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"user_api_key": "hashed"}}
        assert metadata_of(data) is data[bucket]

    def test_litellms_bucket_goes_before_the_callers(self) -> None:
        data: dict[str, Any] = {"metadata": {"mine": "yes"}, "litellm_metadata": {"user_api_key": "hashed"}}
        assert metadata_of(data) == {"user_api_key": "hashed"}

    @pytest.mark.parametrize("forged", [{"x": 1}, {"user_api_key": "f" * 64, "user_api_key_auth": {"token": "f" * 64}}])
    @pytest.mark.parametrize(("ours", "theirs"), [METADATA_BUCKETS, METADATA_BUCKETS[::-1]])
    def test_no_caller_can_forge_it(self, ours: str, theirs: str, forged: dict[str, Any]) -> None:
        """LiteLLM before 1.100 keeps a caller's own bucket beside its own. JSON has no objects as in the latter."""
        own = {"user_api_key": "hashed", "user_api_key_auth": UserAPIKeyAuth(token="hashed")}
        data: dict[str, Any] = {theirs: forged, ours: own}
        assert metadata_of(data) is own
        assert metadata_buckets(data) == [own, forged]

    @pytest.mark.parametrize("data", [{}, {"metadata": None}, {"litellm_metadata": None}, {"metadata": "text"}])
    def test_a_missing_bucket_is_made(self, data: dict[str, Any]) -> None:
        metadata_of(data)["key"] = "value"
        assert data["metadata"] == {"key": "value"}


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
    assert pop_requested(data) is None


@in_each_bucket
def test_what_is_requested_is_taken_once(bucket: str) -> None:
    data: dict[str, Any] = {bucket: {}}
    update_state(data[bucket], requested="an analysis", report=REPORT)
    assert pop_requested(data) == "an analysis"
    assert pop_requested(data) is None
    assert load_state(data).report is REPORT


def test_it_is_never_copied_and_shows_nothing() -> None:
    state = RequestState(deferred="sk-secret")
    assert deepcopy({"metadata": {STATE_KEY: state}})["metadata"][STATE_KEY] is state
    assert "sk-secret" not in f"{state!r} {state}"
