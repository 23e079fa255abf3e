"""The outcomes of one request's images, so that its retries and fallbacks make no further vision calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason, Outcome

if TYPE_CHECKING:
    import anyio

    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.cache.cache import Cache


@dataclass(slots=True, repr=False, eq=False)
class RequestOutcomes:
    """The outcomes of a request's images in its attempts so far.

    This object is saved in metadata, which LiteLLM copies and prints. It is not copied, and its text shows nothing.

    Attributes:
        by_key: one outcome for each vision request.
    """

    by_key: dict[str, Outcome] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestOutcomes:
        """Itself."""
        return self


class RequestCache:
    """A cache for one request, in front of the shared cache.

    It keeps all outcomes with their costs, including failures, so each attempt reports the total cost of the request.

    Args:
        cache: the shared cache.
        outcomes: the outcomes of earlier attempts. Those of this attempt are added.
        no_cache: whether answers to other requests are not used.
        no_store: whether answers are not kept for other requests.
    """

    def __init__(
        self, cache: Cache, outcomes: RequestOutcomes | None = None, *, no_cache: bool = False, no_store: bool = False
    ) -> None:
        self._cache = cache
        self._outcomes = {} if outcomes is None else outcomes.by_key
        self._no_cache = no_cache
        self._no_store = no_store

    async def recall(self, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        """Return the known answers to these requests, by key."""
        if not self._no_cache:
            self._outcomes |= await self._cache.recall([one for one in requests if one.key not in self._outcomes])
        return {request.key: self._outcomes[request.key] for request in requests if request.key in self._outcomes}

    def skip(self, outcomes: Mapping[str, Outcome]) -> None:
        """Remember the outcomes of requests that are not made, by key, for later attempts at the same request."""
        self._outcomes |= outcomes

    async def ask(self, request: VisionRequest, ask: AskVision, limiter: anyio.CapacityLimiter) -> Outcome:
        """Ask the vision model, or wait for the answer if the same request is in flight."""
        self._outcomes[request.key] = Failed(
            FailureReason.TIMEOUT
        )  # holds if the call is cancelled, because the time is up
        if self._no_cache or self._no_store:
            async with limiter:
                outcome = await self._cache.ask_alone(request, ask, no_store=self._no_store)
        else:
            outcome = await self._cache.ask(request, ask, limiter)
        self._outcomes[request.key] = outcome
        return outcome
