"""The identity of a vision call."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
from litellm import constants
from litellm.proxy._types import UserAPIKeyAuth
from support.features import needs_routing_tags, needs_uncounted_tokens
from support.reports import REPORT

from litellm_image_analysis.billing import identity
from litellm_image_analysis.billing.identity import check_supported, child_identity
from litellm_image_analysis.billing.metadata import save_report
from litellm_image_analysis.billing.request_state import load_state
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.errors import ConfigError

BUCKETS = ["metadata", "litellm_metadata"]
in_each_bucket = pytest.mark.parametrize("bucket", BUCKETS)


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
            "_image_analysis_state",
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
        save_report(data, REPORT)
        identity = child_identity(data)
        assert load_state(identity).report is None
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
        monkeypatch.setattr(identity, "INTERNAL_CALL_ORIGIN", None)
        check_supported(ImageAnalysisConfig())
        with pytest.raises(ConfigError, match=r"image_analysis\.count_vision_tokens: false needs a newer LiteLLM"):
            check_supported(ImageAnalysisConfig(count_vision_tokens=False))
