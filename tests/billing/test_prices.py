"""LiteLLM's prices as decimals."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from litellm import ModelResponse

from litellm_image_analysis.billing.prices import calculated_cost, format_usd, parse_usd, reported_cost


class TestUsd:
    @pytest.mark.parametrize(
        ("price", "amount"),
        [(0.00021, "0.00021"), (2.1e-07, "0.00000021"), (0, "0"), (0.0, "0"), (3, "3"), (0.1, "0.1")],
    )
    def test_a_price_keeps_the_digits_litellm_shows(self, price: float, amount: str) -> None:
        assert parse_usd(price) == Decimal(amount)

    def test_a_price_computed_with_numpy_is_a_price(self) -> None:
        class Float64(float):
            def __repr__(self) -> str:
                return f"np.float64({float(self)!r})"

        assert parse_usd(Float64(0.1)) == Decimal("0.1")

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
        assert parse_usd(price) is None


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
        assert format_usd(Decimal(amount)) == text

    @given(st.floats(min_value=0, allow_infinity=False))
    @example(1e-300)
    @example(1e300)
    def test_every_price_is_written_without_an_exponent(self, price: float) -> None:
        amount = parse_usd(price)
        assert amount is not None
        assert set(format_usd(amount)) <= set("0123456789.")

    @given(st.decimals(min_value=0, max_value=10**6, places=15))
    def test_nothing_but_noise_is_lost(self, amount: Decimal) -> None:
        assert Decimal(format_usd(amount)) == amount
