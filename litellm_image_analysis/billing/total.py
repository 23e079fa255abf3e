"""The cost of a request with its image analysis. Programs read it in the response, and a proxy sends it in headers."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio

from litellm_image_analysis.billing.metadata import METADATA_KEY
from litellm_image_analysis.billing.prices import came_from_cache, parse_usd, reported_cost
from litellm_image_analysis.billing.request_state import load_state, state_in, update_state
from litellm_image_analysis.billing.summary import summary
from litellm_image_analysis.compat import HIDDEN_PARAMS

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.report import Report

LATEST_COST: ContextVar[RequestCost | None] = ContextVar("litellm_image_analysis_bill", default=None)
"""The cost of the last call in this task."""


@dataclass(slots=True)
class RequestCost:
    """The cost of one request with its image analysis.

    Attributes:
        call_type: LiteLLM's name for the call. Other calls that LiteLLM makes for it show no total.
        report: the report on image analysis.
        is_shown: whether the response shows the total, as it does in a library.
        base_cost: USD of the call itself. ``None`` if unknown, or not known yet.
    """

    call_type: str
    report: Report
    is_shown: bool = True
    base_cost: Decimal | None = None
    is_settled: anyio.Event = field(default_factory=anyio.Event, repr=False, compare=False)
    """Set when LiteLLM has reported the cost of the call."""

    @property
    def total(self) -> Decimal | None:
        """USD of the request's own call and its vision calls. ``None`` if one of them is unknown."""
        if self.base_cost is None or self.report.cost is None:
            return None
        return self.base_cost + self.report.cost

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestCost:
        """Itself. LiteLLM copies the data that it logs, and the price is known only later."""
        return self


def attach_cost(metadata: MutableMapping[str, Any], call_type: str, *, is_shown: bool) -> None:
    """Attach a cost record to a request whose report is saved.

    Args:
        metadata: the request's metadata mapping, which has the report.
        call_type: LiteLLM's name for the call.
        is_shown: whether the response shows the total.
    """
    report: Any = state_in(metadata).report
    made = RequestCost(call_type, report, is_shown)
    update_state(metadata, cost=made)
    LATEST_COST.set(made)


def get_cost(data: Mapping[str, Any]) -> RequestCost | None:
    """The cost record of a request, or ``None``."""
    return load_state(data).cost


def get_base_cost(data: Mapping[str, Any], response: Any) -> Decimal | None:
    """USD of the request's own call. ``None`` for a stream or an unknown price."""
    if response is None or hasattr(response, "__aiter__"):
        return None
    if came_from_cache(data):
        return Decimal(0)
    reported, found = reported_cost(response), get_cost(data)
    return reported if reported is not None or found is None else found.base_cost


def show_total(response: Any, bill: RequestCost) -> None:
    """Write the total and its parts to a response's hidden parameters, where LiteLLM reports prices."""
    base_cost = None if bill.base_cost is None else float(bill.base_cost)
    reasons = {"reasons": list(bill.report.reasons)} if bill.report.reasons else {}
    shown: dict[str, Any] = {METADATA_KEY: {"base_cost": base_cost, **summary(bill.report), **reasons}}
    if bill.total is not None:
        shown["response_cost"] = float(bill.total)
    hidden = (
        response.setdefault(HIDDEN_PARAMS, {}) if isinstance(response, dict) else getattr(response, HIDDEN_PARAMS, None)
    )
    if isinstance(hidden, dict):
        hidden.update(shown)


def log_base_cost(details: MutableMapping[str, Any]) -> None:
    """Show loggers the price of the call itself. The vision call has its own log entry."""
    found = get_cost(details.get("litellm_params") or {})
    if found is None or not found.is_shown or found.base_cost is None or found.total is None:
        return
    details["response_cost"] = float(found.base_cost)
    payload = details.get("standard_logging_object")
    if isinstance(payload, dict):
        payload["response_cost"] = details["response_cost"]


def finish(details: Mapping[str, Any]) -> None:
    """Save the price of the call itself when LiteLLM logs it. The price of a stream is known only then."""
    found = get_cost(details.get("litellm_params") or {})
    if found is not None and not found.is_settled.is_set():
        if found.base_cost is None:
            found.base_cost = parse_usd(details.get("response_cost"))
        found.is_settled.set()
