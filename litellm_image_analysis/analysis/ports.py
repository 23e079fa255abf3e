"""Interfaces to the outside: a function that asks the vision model, a store of its answers, and readers of reports."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import anyio

    from litellm_image_analysis.analysis.outcomes import Outcome
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.analysis.report import Report

AskVision: TypeAlias = "Callable[[VisionRequest], Coroutine[None, None, Outcome]]"
"""Asks the vision model. A failure is returned as ``Failed`` and never raised."""

ReportObserver: TypeAlias = "Callable[[Mapping[str, Any], Report], None]"
"""Gets a request, which it must not change, and its report. It returns at once: the request waits for it."""


class AnswerStore(Protocol):
    """Earlier answers of vision models."""

    async def recall(self, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        """Return the known answers to these requests of one tenant, by key."""

    def skip(self, outcomes: Mapping[str, Outcome]) -> None:
        """Remember the outcomes of requests that are not made, by key, for later attempts at the same request."""

    async def ask(self, request: VisionRequest, ask: AskVision, limiter: anyio.CapacityLimiter) -> Outcome:
        """Ask the vision model, or wait for the answer if the same request is in flight.

        Args:
            request: the question and its images.
            ask: asks the vision model.
            limiter: limits the number of concurrent vision calls of a request.
        """
