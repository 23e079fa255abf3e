"""The report on image analysis for one call of a program, with the cost of the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litellm_image_analysis.billing.metadata import METADATA_KEY
from litellm_image_analysis.compat import HIDDEN_PARAMS, hidden_params


@dataclass(frozen=True, slots=True)
class CallReport:
    """The report on one call.

    Attributes:
        model: the vision model.
        images: number of images replaced by a text, an analysis or a note.
        cached: number of images with an analysis for which the call made no vision call.
        failed: number of images without an analysis.
        reasons: code of each failure such as ``"timeout"``, in the images' order.
        base_cost: USD of the call itself. ``None`` if LiteLLM knows no price, or a stream has not ended.
        cost: USD of all vision calls. ``None`` if LiteLLM knows no price for one of them.
        duration_ms: wall time of the analysis, in milliseconds.
        call_ids: LiteLLM's ids of the vision calls.
    """

    model: str
    images: int
    cached: int
    failed: int
    reasons: tuple[str, ...]
    base_cost: float | None
    cost: float | None
    duration_ms: int
    call_ids: tuple[str, ...]

    @property
    def total_cost(self) -> float | None:
        """USD of the call and its vision calls. ``None`` if one of them is not known."""
        return None if self.base_cost is None or self.cost is None else self.base_cost + self.cost


def report(response: object) -> CallReport | None:
    """Return the report on a call.

    Args:
        response: the response of LiteLLM, a Router or this package. A stream of this package's functions, or of an
            attached Router's blocking methods, has the report after its last chunk.

    Returns:
        The report. ``None`` if the call had no image analysis, and for other streams.
    """
    hidden = response.get(HIDDEN_PARAMS) if isinstance(response, dict) else hidden_params(response)
    found: Any = hidden.get(METADATA_KEY) if isinstance(hidden, dict) else None
    if not isinstance(found, dict):
        return None
    return CallReport(**{**found, "reasons": tuple(found.get("reasons", ())), "call_ids": tuple(found["call_ids"])})
