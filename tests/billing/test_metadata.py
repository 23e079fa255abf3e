"""Values that are written to a request's metadata and read from it."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from support.reports import REPORT, SUMMARY

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing.metadata import called_group, filled_buckets, save_report, share_notes
from litellm_image_analysis.billing.request_state import STATE_KEY, RequestState, load_state

BUCKETS = ["metadata", "litellm_metadata"]
in_each_bucket = pytest.mark.parametrize("bucket", BUCKETS)


class TestFilledBuckets:
    NOTED: ClassVar[dict[str, Any]] = {"model_group": "blind", "model_info": {"id": "1"}, "deployment": "openai/blind"}

    def test_what_the_router_noted_is_handed_on(self) -> None:
        metadata = {"user_api_key": "hashed"}
        kwargs: dict[str, Any] = {"metadata": metadata, "litellm_metadata": {**self.NOTED, "tags": ["other"]}}
        assert filled_buckets(kwargs)["metadata"] == {"user_api_key": "hashed", **self.NOTED}
        assert metadata == {"user_api_key": "hashed"}

    def test_a_caller_cannot_write_what_the_router_notes(self) -> None:
        """The caller's metadata is in the same mapping, from which the price is read."""
        kwargs = {"metadata": {"model_info": {"input_cost_per_token": 0.0}, "a": 1}, "litellm_metadata": self.NOTED}
        assert filled_buckets(kwargs)["metadata"] == {**self.NOTED, "a": 1}

    def test_what_was_done_is_told_where_litellm_s_spend_log_looks(self) -> None:
        metadata = {"spend_logs_metadata": {"team": "a"}}
        save_report({"metadata": metadata}, REPORT)
        assert filled_buckets({"metadata": metadata, "litellm_metadata": self.NOTED})["litellm_metadata"] == {
            **self.NOTED,
            "spend_logs_metadata": {"team": "a", "image_analysis": SUMMARY},
            "image_analysis": SUMMARY,
        }
        assert "image_analysis" not in self.NOTED

    @pytest.mark.parametrize("kwargs", [{}, {"metadata": {"a": 1}}, {"metadata": None, "litellm_metadata": NOTED}])
    def test_with_one_bucket_there_is_nothing_to_do(self, kwargs: dict[str, Any]) -> None:
        assert filled_buckets(kwargs) == kwargs


class TestCalledGroup:
    def test_it_is_where_the_router_noted_the_deployment(self) -> None:
        info = {"id": "1"}
        noted, forged = (
            {"model_group": "blind", "model_info": info},
            {"model_group": "mine", "user_api_key_auth": object()},
        )
        for kwargs in (
            {"metadata": noted},
            {"metadata": forged, "litellm_metadata": noted},
            {"metadata": noted, "litellm_metadata": forged},
        ):
            assert called_group({**kwargs, "model_info": info}) == "blind"

    def test_in_a_call_of_litellms_bridge_it_is_in_the_second_mapping(self) -> None:
        forged, noted = {"model_group": "mine", "user_api_key_auth": object()}, {"model_group": "blind"}
        assert called_group({"metadata": forged, "litellm_metadata": noted, "model_info": {"id": "1"}}) == "blind"

    def test_without_a_router_there_is_none(self) -> None:
        assert called_group({"metadata": {}}) is None


class TestShare:
    def test_what_a_fallback_s_attempt_noted_is_noted_in_the_request(self) -> None:
        home: dict[str, Any] = {"user_api_key": "hashed"}
        attempt: dict[str, Any] = {"metadata": {**home, "deployment": "blind"}}
        save_report(attempt, REPORT)
        share_notes(attempt, home)
        assert load_state({"metadata": home}).report is REPORT
        assert home["image_analysis"] == SUMMARY
        assert "deployment" not in home

    def test_the_bucket_where_analysis_stands_by_is_the_request_s(self) -> None:
        data: dict[str, Any] = {
            "litellm_metadata": {"model_group": "a"},
            "metadata": {STATE_KEY: RequestState(deferred=1)},
        }
        save_report(data, REPORT)
        assert data["metadata"]["image_analysis"] == SUMMARY
        assert data["litellm_metadata"] == {"model_group": "a"}


class TestRecord:
    @in_each_bucket
    def test_a_report_is_found_again(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"user_api_key": "hashed"}}
        save_report(data, REPORT)
        assert load_state(data).report is REPORT

    @in_each_bucket
    def test_loggers_and_spend_logs_get_a_summary(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"user_api_key": "hashed"}}
        save_report(data, REPORT)
        assert data[bucket]["user_api_key"] == "hashed"
        assert data[bucket]["image_analysis"] == SUMMARY
        assert data[bucket]["spend_logs_metadata"] == {"image_analysis": SUMMARY}

    def test_an_unknown_cost_is_null_in_the_summary(self) -> None:
        data: dict[str, Any] = {}
        save_report(data, Report("eyes", images=1, cost=None))
        assert data["metadata"]["image_analysis"]["cost"] is None

    def test_the_summary_is_json(self) -> None:
        data: dict[str, Any] = {}
        save_report(data, REPORT)
        assert json.loads(json.dumps(data["metadata"]["image_analysis"])) == SUMMARY

    def test_the_callers_own_spend_log_entries_stay(self) -> None:
        entries = {"project": "blue"}
        data: dict[str, Any] = {"metadata": {"spend_logs_metadata": entries}}
        save_report(data, REPORT)
        assert data["metadata"]["spend_logs_metadata"] == {"project": "blue", "image_analysis": SUMMARY}
        assert entries == {"project": "blue"}

    @pytest.mark.parametrize("entries", [None, "text", ["list"]])
    def test_spend_log_entries_of_another_type_give_way(self, entries: object) -> None:
        data: dict[str, Any] = {"metadata": {"spend_logs_metadata": entries}}
        save_report(data, REPORT)
        assert data["metadata"]["spend_logs_metadata"] == {"image_analysis": SUMMARY}

    @pytest.mark.parametrize("data", [{}, {"metadata": None}, {"metadata": {}}, {"litellm_metadata": "text"}])
    def test_without_a_record_there_is_no_report(self, data: dict[str, Any]) -> None:
        assert load_state(data).report is None

    @in_each_bucket
    @pytest.mark.parametrize("forged", [{"vision_model": "eyes", "images": 99}, "Report(vision_model='eyes')", None])
    def test_a_caller_cannot_forge_a_report(self, bucket: str, forged: object) -> None:
        assert load_state({bucket: {"_image_analysis_state": forged}}).report is None

    @in_each_bucket
    def test_a_forged_report_gives_way_to_the_true_one(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"_image_analysis_state": {"images": 99}, "image_analysis": {"images": 99}}}
        save_report(data, REPORT)
        assert load_state(data).report is REPORT
        assert data[bucket]["image_analysis"] == SUMMARY
