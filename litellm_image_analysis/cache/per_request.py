"""What came of one request's images, for its retries and fallbacks: whatever happens to them, nobody asks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason, Outcome

if TYPE_CHECKING:
    import anyio

    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.cache.cache import Cache


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class RequestOutcomes:
    """What came of a request's images in its attempts so far.

    It stands in LiteLLM's metadata, which are copied and printed: it is never copied, and shows nothing.

    Attributes:
        by_key: one outcome for each vision request.
    """

    by_key: dict[str, Outcome] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestOutcomes:
        """Itself."""
        return self


class RequestCache:
    """A cache of one request's own, in front of the shared one.

    It keeps outcomes as they were: failures too, and what they cost, so that each attempt reports what the request
    has cost altogether.

    Args:
        cache: what is shared, if anything is.
        outcomes: those of earlier attempts; this one's are added.
    """

    def __init__(self, cache: Cache, outcomes: RequestOutcomes) -> None:
        self._cache = cache
        self._outcomes = outcomes.by_key

    async def recall(self, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        """What is known of these requests, by key."""
        self._outcomes |= await self._cache.recall([one for one in requests if one.key not in self._outcomes])
        return {request.key: self._outcomes[request.key] for request in requests if request.key in self._outcomes}

    async def ask(self, request: VisionRequest, ask: AskVision, limiter: anyio.CapacityLimiter) -> Outcome:
        """Ask the vision model, or wait for the answer if the same request is in flight."""
        self._outcomes[request.key] = Failed(FailureReason.TIMEOUT)  # if we are cancelled, the time was up
        outcome = self._outcomes[request.key] = await self._cache.ask(request, ask, limiter)
        return outcome
