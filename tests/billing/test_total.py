"""The cost of a call as a program and its loggers see it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from litellm import ModelResponse

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import identity, metadata, summary, total
from litellm_image_analysis.billing.request_state import STATE_KEY, RequestState, metadata_of
from litellm_image_analysis.billing.total import RequestCost

REPORT = Report("eyes", images=1, cost=Decimal("0.00021"), call_ids=("call-1",))
UNKNOWN = Report("eyes", images=1, cost=None)


def billed(report: Report = REPORT, base_cost: str | None = "0.0012", *, is_shown: bool = True) -> RequestCost:
    return RequestCost("acompletion", report, is_shown, None if base_cost is None else Decimal(base_cost))


class TestTotal:
    def test_it_is_both(self) -> None:
        assert billed().total == Decimal("0.00141")

    @pytest.mark.parametrize(("report", "base_cost"), [(REPORT, None), (UNKNOWN, "0.0012"), (UNKNOWN, None)])
    def test_without_one_of_them_it_is_unknown(self, report: Report, base_cost: str | None) -> None:
        assert billed(report, base_cost).total is None


class TestRecord:
    @pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
    def test_a_bill_is_found_again(self, bucket: str) -> None:
        data: dict[str, Any] = {bucket: {}}
        metadata.save_report(data, REPORT)
        total.attach_cost(metadata_of(data), "aresponses", is_shown=True)
        assert total.get_cost(data) == RequestCost("aresponses", REPORT)

    def test_it_is_the_same_in_a_copy_for_a_logger(self) -> None:
        data: dict[str, Any] = {"metadata": {}}
        metadata.save_report(data, REPORT)
        total.attach_cost(metadata_of(data), "acompletion", is_shown=True)
        assert total.get_cost(deepcopy(data)) is total.get_cost(data)

    @pytest.mark.parametrize("data", [{}, {"metadata": None}, {"metadata": {"_image_analysis_state": {"total": 0}}}])
    def test_without_one_there_is_none(self, data: dict[str, Any]) -> None:
        assert total.get_cost(data) is None

    def test_a_vision_call_does_not_inherit_it(self) -> None:
        data: dict[str, Any] = {"metadata": {}}
        metadata.save_report(data, REPORT)
        total.attach_cost(metadata_of(data), "acompletion", is_shown=True)
        assert total.get_cost(identity.child_identity(data)) is None


class TestBaseCost:
    BILLED: ClassVar[dict[str, Any]] = {"metadata": {STATE_KEY: RequestState(cost=billed())}}

    def test_what_the_response_carries_goes_first(self) -> None:
        response = ModelResponse()
        response._hidden_params = {"response_cost": 0.5}
        assert total.get_base_cost(self.BILLED, response) == Decimal("0.5")

    def test_otherwise_it_is_what_was_taken_down(self) -> None:
        assert total.get_base_cost(self.BILLED, {"id": "msg-1"}) == Decimal("0.0012")

    def test_what_litellm_s_response_cache_answered_costs_nothing(self) -> None:
        logging = SimpleNamespace(caching_details={"cache_hit": True})
        assert total.get_base_cost({**self.BILLED, "litellm_logging_obj": logging}, {"id": "msg-1"}) == 0

    def test_without_a_bill_it_is_unknown(self) -> None:
        assert total.get_base_cost({}, {"id": "msg-1"}) is None

    @pytest.mark.parametrize("response", [None, SimpleNamespace(__aiter__=None)])
    def test_no_answer_and_a_stream_have_none_yet(self, response: object) -> None:
        assert total.get_base_cost(self.BILLED, response) is None


class TestSettle:
    @staticmethod
    def told(made: RequestCost) -> None:
        total.finish({"response_cost": 0.0012, "litellm_params": {"metadata": {STATE_KEY: RequestState(cost=made)}}})

    def test_a_stream_s_price_is_taken_down_when_litellm_tells_it(self) -> None:
        made = billed(base_cost=None)
        self.told(made)
        assert made.base_cost == Decimal("0.0012")
        assert made.is_settled.is_set()

    def test_what_is_known_already_stays(self) -> None:
        made = billed(base_cost="0.5")
        self.told(made)
        self.told(made)
        assert made.base_cost == Decimal("0.5")

    def test_other_calls_are_none_of_its_business(self) -> None:
        total.finish({"response_cost": 0.0012})


class TestShow:
    BREAKDOWN: ClassVar[dict[str, Any]] = {"base_cost": 0.0012, **summary.summary(REPORT)}

    def test_a_response_s_hidden_parameters_have_total_and_breakdown(self) -> None:
        response = ModelResponse()
        response._hidden_params = {"model_id": "1"}
        total.show_total(response, billed())
        shown = {"model_id": "1", "response_cost": 0.00141, "image_analysis": self.BREAKDOWN}
        assert response._hidden_params == shown

    def test_a_response_that_is_a_dict_has_them_under_litellm_s_key(self) -> None:
        response: dict[str, Any] = {"content": []}
        total.show_total(response, billed())
        assert response["_hidden_params"] == {"response_cost": 0.00141, "image_analysis": self.BREAKDOWN}

    def test_failures_have_their_reasons(self) -> None:
        response: dict[str, Any] = {}
        report = replace(REPORT, failed=1, reasons=("timeout",))
        total.show_total(response, total.RequestCost("acompletion", report))
        assert response["_hidden_params"]["image_analysis"]["reasons"] == ["timeout"]

    def test_an_unknown_total_leaves_the_price_to_litellm(self) -> None:
        response: dict[str, Any] = {"_hidden_params": {"response_cost": None}}
        total.show_total(response, billed(base_cost=None))
        assert response["_hidden_params"]["response_cost"] is None
        assert response["_hidden_params"]["image_analysis"]["base_cost"] is None

    @pytest.mark.parametrize("response", [None, "text", SimpleNamespace(_hidden_params=None)])
    def test_what_has_no_place_for_them_is_left_alone(self, response: object) -> None:
        before = deepcopy(response)
        total.show_total(response, billed())
        assert response == before


class TestLoggers:
    def details(self, made: RequestCost | None) -> dict[str, Any]:
        logged = {"response_cost": 0.00141, "standard_logging_object": {"response_cost": 0.00141}}
        return {**logged, "litellm_params": {"metadata": {STATE_KEY: RequestState(cost=made)}}}

    def test_they_see_a_call_at_its_own_price(self) -> None:
        details = self.details(billed())
        total.log_base_cost(details)
        assert details["response_cost"] == details["standard_logging_object"]["response_cost"] == 0.0012

    def test_without_a_payload_too(self) -> None:
        details = {**self.details(billed()), "standard_logging_object": None}
        total.log_base_cost(details)
        assert details["response_cost"] == 0.0012

    @pytest.mark.parametrize("made", [None, billed(base_cost=None), billed(UNKNOWN), billed(is_shown=False)])
    def test_where_nothing_was_added_nothing_is_taken_away(self, made: RequestCost | None) -> None:
        details = self.details(made)
        total.log_base_cost(details)
        assert details == self.details(made)

    def test_a_call_without_parameters_is_left_alone(self) -> None:
        details: dict[str, Any] = {"response_cost": 1.0, "litellm_params": None}
        total.log_base_cost(details)
        assert details["response_cost"] == 1.0
