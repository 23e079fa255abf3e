"""Prices as LiteLLM reports them, as decimals in USD."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from litellm_image_analysis.compat import cost_calculator, hidden_params, is_from_response_cache

_PLACES = 15


def parse_usd(value: object) -> Decimal | None:
    """LiteLLM's price in USD as a decimal. ``None`` if the price is unknown."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        price = Decimal(repr(float(value)))
    except OverflowError:
        return None
    return price if price.is_finite() else None


def format_usd(amount: Decimal) -> str:
    """USD without an exponent or rounding errors: ``0.00021``, never ``2.1E-4`` or ``0.00020999999999999998``."""
    return f"{amount:.{_PLACES}f}".rstrip("0").rstrip(".")


def reported_cost(response: Any) -> Decimal | None:
    """USD billed for a call, as LiteLLM reports it in the response. ``None`` for an unknown price.

    For a hit in its response cache, LiteLLM reports the old price but bills nothing.
    """
    shown = hidden_params(response)
    return Decimal(0) if shown.get("cache_hit") is True else parse_usd(shown.get("response_cost"))


def came_from_cache(data: Mapping[str, Any]) -> bool:
    """Whether LiteLLM's response cache answered the call. Hooks do not see such a call."""
    return is_from_response_cache(data.get("litellm_logging_obj"))


def calculated_cost(kwargs: Mapping[str, Any], response: Any) -> Decimal | None:
    """USD of a call that has just been answered, as LiteLLM will report it. ``None`` for an unknown price.

    Args:
        kwargs: the call's keyword arguments, as the deployment got them.
        response: its complete answer.
    """
    logging: Any = kwargs.get("litellm_logging_obj")
    if came_from_cache(kwargs):
        return Decimal(0)
    calculate = cost_calculator(logging)
    if calculate is None:
        return None
    deployment = (kwargs.get("model_info") or {}).get("id")
    return parse_usd(calculate(result=response, litellm_model_name=kwargs.get("model"), router_model_id=deployment))
