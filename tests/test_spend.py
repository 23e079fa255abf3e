"""Whose call it is, what it cost, and where the caller and the operator read that."""

from __future__ import annotations

import json
from copy import deepcopy
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from litellm import ModelResponse, constants
from litellm.proxy._types import UserAPIKeyAuth
from support.features import needs_routing_tags, needs_uncounted_tokens

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.spend import (
    calculated_cost,
    check_supported,
    child_identity,
    filled_buckets,
    headers,
    metadata_of,
    plain,
    record,
    recorded,
    reported_cost,
    share,
    usd,
)

BUCKETS = ["metadata", "litellm_metadata"]
in_each_bucket = pytest.mark.parametrize("bucket", BUCKETS)

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


class TestUsd:
    @pytest.mark.parametrize(
        ("price", "amount"),
        [(0.00021, "0.00021"), (2.1e-07, "0.00000021"), (0, "0"), (0.0, "0"), (3, "3"), (0.1, "0.1")],
    )
    def test_a_price_keeps_the_digits_litellm_shows(self, price: float, amount: str) -> None:
        assert usd(price) == Decimal(amount)

    def test_a_price_computed_with_numpy_is_a_price(self) -> None:
        class Float64(float):
            def __repr__(self) -> str:
                return f"np.float64({float(self)!r})"

        assert usd(Float64(0.1)) == Decimal("0.1")

    @pytest.mark.parametrize(
        "price",
        [
            None,
            "0.1",
            True,
            False,
            float("nan"),
            float("inf"),
            pytest.param(10**400, id="larger than any float"),
            [0.1],
            {},
        ],
    )
    def test_what_is_no_price_is_unknown(self, price: object) -> None:
        assert usd(price) is None


class TestMetadata:
    @in_each_bucket
    def test_the_bucket_is_the_one_litellm_made(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"user_api_key": "hashed"}}
        assert metadata_of(data) is data[bucket]

    def test_litellms_bucket_goes_before_the_callers(self) -> None:
        data: dict[str, Any] = {"metadata": {"mine": "yes"}, "litellm_metadata": {"user_api_key": "hashed"}}
        assert metadata_of(data) == {"user_api_key": "hashed"}

    @pytest.mark.parametrize("data", [{}, {"metadata": None}, {"litellm_metadata": None}, {"metadata": "text"}])
    def test_a_missing_bucket_is_made(self, data: dict[str, Any]) -> None:
        metadata_of(data)["key"] = "value"
        assert data["metadata"] == {"key": "value"}


class TestIdentity:
    @in_each_bucket
    def test_a_vision_call_is_billed_to_its_parents_caller(self, bucket: str) -> None:
        caller = {"user_api_key": "hashed", "user_api_key_team_id": "team-1"}
        assert child_identity({bucket: caller})["metadata"].items() >= caller.items()

    def test_what_litellm_does_not_need_to_know_is_not_forwarded(self) -> None:
        data = {"metadata": {}, "litellm_call_id": "call-1", "model": "blind", "messages": [], "api_key": "sk-1"}
        assert child_identity(data).keys() == {"metadata"}

    @pytest.mark.parametrize(
        "key",
        [
            "user_api_key_budget_reservation",
            "standard_logging_guardrail_information",
            "applied_guardrails",
            "routing_decision",
            "queue_time_seconds",
            "_image_analysis_standby",
            "_image_analysis_outcomes",
            "model_group",
            "deployment",
            "model_info",
        ],
    )
    def test_what_is_the_parents_own_is_left_out(self, key: str) -> None:
        metadata = child_identity({"metadata": {"user_api_key": "hashed", key: "parent's"}})["metadata"]
        assert metadata["user_api_key"] == "hashed"
        assert key not in metadata

    @needs_routing_tags
    def test_tags_of_the_parent_s_deployment_are_not_the_request_s(self) -> None:
        routed = {"tags": ["mine", "Credential: text"], constants.ROUTING_REQUEST_TAGS_METADATA_KEY: ("mine",)}
        assert child_identity({"metadata": routed})["metadata"]["tags"] == ["mine", "image-analysis"]

    def test_an_earlier_report_is_left_out(self) -> None:
        data: dict[str, Any] = {"metadata": {"user_api_key": "hashed"}, "litellm_call_id": "call-1"}
        record(data, REPORT)
        identity = child_identity(data)
        assert recorded(identity) is None
        assert identity["metadata"]["spend_logs_metadata"] == {"image_analysis": {"parent_call_id": "call-1"}}

    def test_a_callers_auth_object_goes_without_the_reservation(self) -> None:
        auth = UserAPIKeyAuth(api_key="sk-1", team_id="team-1", budget_reservation={"id": "r-1"})
        forwarded = child_identity({"metadata": {"user_api_key_auth": auth}})["metadata"]["user_api_key_auth"]
        assert forwarded.budget_reservation is None
        assert (forwarded.api_key, forwarded.team_id) == (auth.api_key, "team-1")
        assert auth.budget_reservation == {"id": "r-1"}

    def test_a_callers_auth_as_a_dict_goes_without_the_reservation(self) -> None:
        auth = {"team_id": "team-1", "budget_reservation": {"id": "r-1"}}
        metadata = child_identity({"metadata": {"user_api_key_auth": auth}})["metadata"]
        assert metadata["user_api_key_auth"] == {"team_id": "team-1"}

    @pytest.mark.parametrize("auth", [UserAPIKeyAuth(api_key="sk-1"), None, SimpleNamespace(team_id="team-1")])
    def test_auth_without_a_reservation_is_forwarded_as_it_is(self, auth: object) -> None:
        assert child_identity({"metadata": {"user_api_key_auth": auth}})["metadata"]["user_api_key_auth"] is auth

    def test_the_parents_metadata_is_not_changed(self) -> None:
        metadata = {
            "user_api_key": "hashed",
            "user_api_key_budget_reservation": {"id": "r-1"},
            "user_api_key_auth": {"budget_reservation": {"id": "r-1"}},
        }
        before = deepcopy(metadata)
        child_identity({"metadata": metadata})["metadata"]["user_api_key"] = "another"
        assert metadata == before

    def test_parent_and_child_share_the_trace(self) -> None:
        identity = child_identity({"metadata": {}, "litellm_trace_id": "trace-1"})
        assert identity["litellm_trace_id"] == "trace-1"

    def test_the_trace_litellm_chose_is_kept_for_the_parent_too(self) -> None:
        data = {"metadata": {}, "litellm_logging_obj": SimpleNamespace(litellm_trace_id="trace-1")}
        assert child_identity(data)["litellm_trace_id"] == "trace-1"
        assert data["litellm_trace_id"] == "trace-1"

    def test_the_callers_own_trace_goes_before_the_one_litellm_chose(self) -> None:
        logging_obj = SimpleNamespace(litellm_trace_id="trace-2")
        data = {"metadata": {}, "litellm_trace_id": "trace-1", "litellm_logging_obj": logging_obj}
        assert child_identity(data)["litellm_trace_id"] == "trace-1"

    def test_the_session_is_shared(self) -> None:
        identity = child_identity({"metadata": {}, "litellm_session_id": "session-1"})
        assert identity["litellm_session_id"] == "session-1"

    def test_the_parent_is_named_beside_the_callers_own_entries(self) -> None:
        entries = {"project": "blue", "image_analysis": "forged"}
        data = {"metadata": {"spend_logs_metadata": entries}, "litellm_call_id": "call-1"}
        identity = child_identity(data)
        named = {"parent_call_id": "call-1"}
        assert identity["metadata"]["spend_logs_metadata"] == {"project": "blue", "image_analysis": named}
        assert identity["metadata"]["image_analysis"] == named
        assert entries == {"project": "blue", "image_analysis": "forged"}

    @pytest.mark.parametrize("entries", [None, "text", ["list"]])
    def test_entries_of_another_type_give_way_to_the_parents_name(self, entries: object) -> None:
        identity = child_identity({"metadata": {"spend_logs_metadata": entries}})
        assert identity["metadata"]["spend_logs_metadata"] == {"image_analysis": {"parent_call_id": None}}

    @pytest.mark.parametrize(
        ("tags", "tagged"),
        [
            (["blue"], ["blue", "image-analysis"]),
            (("blue",), ["blue", "image-analysis"]),
            (["image-analysis", "blue"], ["blue", "image-analysis"]),
            (None, ["image-analysis"]),
            ("blue", ["image-analysis"]),
        ],
    )
    def test_our_tag_joins_the_parents(self, tags: object, tagged: list[str]) -> None:
        assert child_identity({"metadata": {"tags": tags}})["metadata"]["tags"] == tagged

    @needs_routing_tags
    def test_our_tag_does_not_choose_a_deployment(self) -> None:
        metadata = child_identity({"metadata": {"tags": ["blue"]}})["metadata"]
        assert metadata[constants.ROUTING_REQUEST_TAGS_METADATA_KEY] == ["blue"]

    @needs_routing_tags
    def test_tags_that_were_to_choose_a_deployment_still_do(self) -> None:
        chosen = {constants.ROUTING_REQUEST_TAGS_METADATA_KEY: ["fast"]}
        metadata = child_identity({"metadata": {"tags": ["blue"], **chosen}})["metadata"]
        assert metadata.items() >= chosen.items()

    def test_the_request_is_described_by_its_address_and_headers(self) -> None:
        request = {"url": "http://gateway/v1", "method": "POST", "headers": {"user-agent": "x"}}
        identity = child_identity({"metadata": {}, "proxy_server_request": {**request, "body": {"messages": []}}})
        assert identity["proxy_server_request"] == request

    @needs_uncounted_tokens
    def test_tokens_may_be_left_out_of_the_callers_limits(self) -> None:
        marked = child_identity({"metadata": {}}, count_tokens=False)["metadata"]
        unmarked = child_identity({"metadata": {}})["metadata"]
        assert marked == {**unmarked, "internal_call_origin": "image_analysis"}


class TestSupport:
    @needs_uncounted_tokens
    def test_this_litellm_can_leave_tokens_uncounted(self) -> None:
        check_supported(ImageAnalysisConfig(count_vision_tokens=False))

    def test_one_row_a_request_is_refused_with_the_reason(self) -> None:
        with pytest.raises(ConfigError, match=r"image_analysis\.billing: per_request would lose money.*Use .*per_call"):
            check_supported(ImageAnalysisConfig(billing="per_request"))

    def test_an_older_one_s_start_is_stopped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(constants, "INTERNAL_CALL_ORIGIN_METADATA_KEY", raising=False)
        check_supported(ImageAnalysisConfig())
        with pytest.raises(ConfigError, match=r"image_analysis\.count_vision_tokens: false needs a newer LiteLLM"):
            check_supported(ImageAnalysisConfig(count_vision_tokens=False))


class TestFilledBuckets:
    NOTED: ClassVar[dict[str, Any]] = {"model_group": "blind", "model_info": {"id": "1"}, "deployment": "openai/blind"}

    def test_what_the_router_noted_is_handed_on(self) -> None:
        metadata = {"user_api_key": "hashed"}
        kwargs: dict[str, Any] = {"metadata": metadata, "litellm_metadata": {**self.NOTED, "tags": ["other"]}}
        assert filled_buckets(kwargs)["metadata"] == {"user_api_key": "hashed", **self.NOTED}
        assert metadata == {"user_api_key": "hashed"}

    def test_what_is_known_already_stays(self) -> None:
        kwargs = {"metadata": {"model_group": "mine"}, "litellm_metadata": {"model_group": "blind"}}
        assert filled_buckets(kwargs)["metadata"] == {"model_group": "mine"}

    def test_what_was_done_is_told_where_litellm_s_spend_log_looks(self) -> None:
        metadata = {"spend_logs_metadata": {"team": "a"}}
        record({"metadata": metadata}, REPORT)
        assert filled_buckets({"metadata": metadata, "litellm_metadata": self.NOTED})["litellm_metadata"] == {
            **self.NOTED,
            "spend_logs_metadata": {"team": "a", "image_analysis": SUMMARY},
            "image_analysis": SUMMARY,
        }
        assert "image_analysis" not in self.NOTED

    @pytest.mark.parametrize("kwargs", [{}, {"metadata": {"a": 1}}, {"metadata": None, "litellm_metadata": NOTED}])
    def test_with_one_bucket_there_is_nothing_to_do(self, kwargs: dict[str, Any]) -> None:
        assert filled_buckets(kwargs) == kwargs


class TestShare:
    def test_what_a_fallback_s_attempt_noted_is_noted_in_the_request(self) -> None:
        home: dict[str, Any] = {"user_api_key": "hashed"}
        attempt: dict[str, Any] = {"metadata": {**home, "deployment": "blind"}}
        record(attempt, REPORT)
        share(attempt, home)
        assert recorded({"metadata": home}) is REPORT
        assert home["image_analysis"] == SUMMARY
        assert "deployment" not in home

    def test_the_bucket_where_analysis_stands_by_is_the_request_s(self) -> None:
        data: dict[str, Any] = {"litellm_metadata": {"model_group": "a"}, "metadata": {"_image_analysis_standby": 1}}
        record(data, REPORT)
        assert data["metadata"]["image_analysis"] == SUMMARY
        assert data["litellm_metadata"] == {"model_group": "a"}


class TestRecord:
    @in_each_bucket
    def test_a_report_is_found_again(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"user_api_key": "hashed"}}
        record(data, REPORT)
        assert recorded(data) is REPORT

    @in_each_bucket
    def test_loggers_and_spend_logs_get_a_summary(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"user_api_key": "hashed"}}
        record(data, REPORT)
        assert data[bucket]["user_api_key"] == "hashed"
        assert data[bucket]["image_analysis"] == SUMMARY
        assert data[bucket]["spend_logs_metadata"] == {"image_analysis": SUMMARY}

    def test_an_unknown_cost_is_null_in_the_summary(self) -> None:
        data: dict[str, Any] = {}
        record(data, Report("eyes", images=1, cost=None))
        assert data["metadata"]["image_analysis"]["cost"] is None

    def test_the_summary_is_json(self) -> None:
        data: dict[str, Any] = {}
        record(data, REPORT)
        assert json.loads(json.dumps(data["metadata"]["image_analysis"])) == SUMMARY

    def test_the_callers_own_spend_log_entries_stay(self) -> None:
        entries = {"project": "blue"}
        data: dict[str, Any] = {"metadata": {"spend_logs_metadata": entries}}
        record(data, REPORT)
        assert data["metadata"]["spend_logs_metadata"] == {"project": "blue", "image_analysis": SUMMARY}
        assert entries == {"project": "blue"}

    @pytest.mark.parametrize("entries", [None, "text", ["list"]])
    def test_spend_log_entries_of_another_type_give_way(self, entries: object) -> None:
        data: dict[str, Any] = {"metadata": {"spend_logs_metadata": entries}}
        record(data, REPORT)
        assert data["metadata"]["spend_logs_metadata"] == {"image_analysis": SUMMARY}

    @pytest.mark.parametrize("data", [{}, {"metadata": None}, {"metadata": {}}, {"litellm_metadata": "text"}])
    def test_without_a_record_there_is_no_report(self, data: dict[str, Any]) -> None:
        assert recorded(data) is None

    @in_each_bucket
    @pytest.mark.parametrize("forged", [{"vision_model": "eyes", "images": 99}, "Report(vision_model='eyes')", None])
    def test_a_caller_cannot_forge_a_report(self, bucket: str, forged: object) -> None:
        assert not isinstance(recorded({bucket: {"_image_analysis_report": forged}}), Report)

    @in_each_bucket
    def test_a_forged_report_gives_way_to_the_true_one(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {"_image_analysis_report": {"images": 99}, "image_analysis": {"images": 99}}}
        record(data, REPORT)
        assert recorded(data) is REPORT
        assert data[bucket]["image_analysis"] == SUMMARY


class TestHeaders:
    def test_all_is_told(self) -> None:
        assert headers(REPORT, base_cost=Decimal("0.00065")) == {
            "x-litellm-image-analysis-model": "eyes",
            "x-litellm-image-analysis-images": "3",
            "x-litellm-image-analysis-cached": "1",
            "x-litellm-image-analysis-failed": "1",
            "x-litellm-image-analysis-duration-ms": "812",
            "x-litellm-image-analysis-cost": "0.00021",
            "x-litellm-response-cost-total": "0.00086",
        }

    def test_a_request_without_images_says_only_that(self) -> None:
        assert headers(Report("eyes"), base_cost=Decimal("0.00065")) == {"x-litellm-image-analysis-images": "0"}

    def test_images_that_failed_and_stayed_are_told(self) -> None:
        told = headers(Report("eyes", images=0, failed=2), base_cost=None)
        assert told["x-litellm-image-analysis-images"] == "0"
        assert told["x-litellm-image-analysis-failed"] == "2"

    def test_an_unknown_cost_is_not_told_and_neither_is_a_total(self) -> None:
        told = headers(Report("eyes", images=1, cost=None), base_cost=Decimal("0.00065"))
        assert [name for name in told if "cost" in name] == []

    def test_a_stream_has_no_total_yet(self) -> None:
        told = headers(REPORT, base_cost=None)
        assert [name for name in told if "cost" in name] == ["x-litellm-image-analysis-cost"]

    @pytest.mark.parametrize("vision_model", ["gpt-4o-mini", "azure/eu@2024-05", "ollama/qwen2.5vl:7b", "two words"])
    def test_an_ordinary_name_stands_in_its_header_as_it_is(self, vision_model: str) -> None:
        told = headers(Report(vision_model, images=1), base_cost=None)
        assert told["x-litellm-image-analysis-model"] == vision_model

    @pytest.mark.parametrize("vision_model", ["視覺", "eyes\r\nset-cookie: a=b", "\ud800"])
    def test_whatever_the_vision_model_is_called_its_header_can_be_sent(self, vision_model: str) -> None:
        """Servers refuse other characters, or send them on as a header of their own: the answer would be lost."""
        value = headers(Report(vision_model, images=1), base_cost=None)["x-litellm-image-analysis-model"]
        assert value.isascii()
        assert value.isprintable()


class TestCost:
    @staticmethod
    def response_with(**hidden: Any) -> ModelResponse:
        response = ModelResponse()
        response._hidden_params = hidden
        return response

    @pytest.mark.parametrize(("price", "cost"), [(0.00065, "0.00065"), (0.0, "0")])
    def test_it_is_what_the_response_carries(self, price: float, cost: str) -> None:
        assert reported_cost(self.response_with(response_cost=price)) == Decimal(cost)

    def test_a_hit_in_litellm_s_cache_costs_nothing_although_it_shows_a_price(self) -> None:
        assert reported_cost(self.response_with(response_cost=0.00065, cache_hit=True)) == Decimal(0)

    @pytest.mark.parametrize("hidden", [{}, {"response_cost": None}, {"response_cost": "text"}])
    def test_a_price_it_does_not_carry_is_unknown(self, hidden: dict[str, Any]) -> None:
        assert reported_cost(self.response_with(**hidden)) is None

    @pytest.mark.parametrize("response", [None, {"id": "msg-1"}, SimpleNamespace(_hidden_params=None)])
    def test_what_carries_nothing_has_none(self, response: object) -> None:
        assert reported_cost(response) is None

    def test_litellm_calculates_it_by_model_and_deployment(self) -> None:
        def calculate(result: Any, litellm_model_name: str, router_model_id: str | None) -> float:
            assert (result, litellm_model_name, router_model_id) == ({"id": "msg-1"}, "openai/blind", "deployment-1")
            return 0.00065

        logging = SimpleNamespace(response_cost_calculator=calculate)
        call = {"litellm_logging_obj": logging, "model": "openai/blind", "model_info": {"id": "deployment-1"}}
        assert calculated_cost(call, {"id": "msg-1"}) == Decimal("0.00065")

    def test_what_its_response_cache_answered_costs_nothing(self) -> None:
        logging = SimpleNamespace(response_cost_calculator=None, caching_details={"cache_hit": True})
        assert calculated_cost({"litellm_logging_obj": logging}, {"id": "msg-1"}) == Decimal(0)

    def test_an_older_one_s_calculator_has_another_name(self) -> None:
        logging = SimpleNamespace(_response_cost_calculator=lambda **_: 0.00065)
        assert calculated_cost({"litellm_logging_obj": logging}, {"id": "msg-1"}) == Decimal("0.00065")

    @pytest.mark.parametrize("call", [{}, {"litellm_logging_obj": None}])
    def test_without_its_logging_nobody_knows(self, call: dict[str, Any]) -> None:
        assert calculated_cost(call, {"id": "msg-1"}) is None


class TestPlain:
    @pytest.mark.parametrize(
        ("amount", "text"),
        [
            ("0", "0"),
            ("1", "1"),
            ("10", "10"),
            ("100.50", "100.5"),
            ("2.1E-4", "0.00021"),
            ("1E+3", "1000"),
            ("0.00020999999999999998", "0.00021"),
            ("0.30000000000000004", "0.3"),
            ("1E-15", "0.000000000000001"),
            ("1E-20", "0"),
            ("12345678901234", "12345678901234"),
        ],
    )
    def test_money_is_written_out(self, amount: str, text: str) -> None:
        assert plain(Decimal(amount)) == text

    @given(st.floats(min_value=0, allow_infinity=False))
    @example(1e-300)
    @example(1e300)
    def test_every_price_is_written_without_an_exponent(self, price: float) -> None:
        amount = usd(price)
        assert amount is not None
        assert set(plain(amount)) <= set("0123456789.")

    @given(st.decimals(min_value=0, max_value=10**6, places=15))
    def test_nothing_but_noise_is_lost(self, amount: Decimal) -> None:
        assert Decimal(plain(amount)) == amount
