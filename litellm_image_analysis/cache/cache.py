"""Analyses by key: what is known is not asked again, and what many ask at once is asked once.

Two tiers, this process's memory and Redis behind it; either may be missing, and Redis may be gone at any time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING

import anyio

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason, Outcome
from litellm_image_analysis.cache import stored_outcome
from litellm_image_analysis.cache.memory import Memory
from litellm_image_analysis.cache.redis_store import NEVER_FLUSHED, RedisStore
from litellm_image_analysis.cache.single_flight import SingleFlight

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.config import CacheConfig

FAILURE_SECONDS = 5.0
"""How long a failed question is not asked again, so that a broken vision model is not hammered."""

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.25


class Cache:
    """What vision models said, for those who ask the same again.

    Args:
        config: how long, where and how much.
        call_seconds: how long a vision call may take.
        store: Redis, if other workers are to know too.
    """

    def __init__(self, config: CacheConfig, call_seconds: float, store: RedisStore | None = None) -> None:
        self._config = config
        self._call_seconds = call_seconds
        self._memory = None if config.backend == "off" else Memory(config.max_bytes)
        self._store = store
        self._flushes = 0
        self._calls: SingleFlight[Outcome] = SingleFlight()
        self._reads: SingleFlight[dict[str, Outcome]] = SingleFlight()

    async def recall(self, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        """What is known of these requests of one tenant, by key, in at most one round trip to Redis."""
        found = self._remembered(requests)
        if self._store is None or not requests:
            return found
        scope = requests[0].scope
        missing = [request for request in requests if request.key not in found and request.key not in self._calls]
        if missing or not self._store.is_current(scope):
            keys = tuple(request.key for request in missing)
            read, _ = await self._reads.join((scope, keys), partial(self._read, scope, missing))
            found = self._remembered(requests) | read  # again: it may have come out that all was flushed
        return found

    async def ask(self, request: VisionRequest, ask: AskVision, limiter: anyio.CapacityLimiter) -> Outcome:
        """Ask the vision model, or wait for the answer if the same request is in flight.

        Args:
            request: what to ask.
            ask: asks the vision model. It is called only if the same request is not in flight.
            limiter: held by the one who asks.

        Returns:
            The outcome, at its price only for the one who asked.
        """
        call = partial(self._call, request, ask)
        if request.key not in self._calls:
            async with limiter:
                if request.key not in self._calls:  # nobody has begun while we waited for our turn
                    outcome, _ = await self._calls.join(request.key, call)
                    return outcome
        outcome, asked = await self._calls.join(request.key, call)
        return outcome if asked else outcome.as_cached()

    async def flush(self, scope: str | None = None) -> None:
        """Forget all analyses, or those of one scope.

        Raises:
            ConnectionError: there is no Redis to connect to.
            redis.exceptions.RedisError: Redis could not be reached, or refused; this process has forgotten.
        """
        self._flushes += 1
        self._forget(scope)
        if self._store is not None:
            await self._store.flush(scope)

    async def check(self) -> None:
        """Try Redis, so that the operator hears of trouble before the first request."""
        if self._store is not None:
            await self._store.read("", ())

    async def aclose(self) -> None:
        """Close the connection to Redis."""
        if self._store is not None:
            await self._store.aclose()

    async def _call(self, request: VisionRequest, ask: AskVision) -> Outcome:
        if found := self._remembered([request]):  # it was made while we waited for our turn
            return found[request.key]
        if self._store is None or self._analysis_seconds(request) <= 0:  # what is not kept cannot be waited for
            return await self._asked(request, ask)
        with anyio.move_on_after(self._call_seconds):
            return await self._asked_by_one_worker(request, ask, self._store)
        return Failed(FailureReason.TIMEOUT)  # of another worker's call

    async def _asked_by_one_worker(self, request: VisionRequest, ask: AskVision, store: RedisStore) -> Outcome:
        """Ask if no other worker does, or wait for its answer. Without Redis each worker asks for itself."""
        lease = store.lease(request.scope, request.key)
        pause = _FIRST_PAUSE_SECONDS
        while await lease.take() is False:
            await anyio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            if found := await self._read(request.scope, [request]):
                return found[request.key]
        async with lease.kept():
            if found := await self._read(request.scope, [request]):  # made between our look-up and the lease
                return found[request.key]
            with anyio.CancelScope(shield=True):  # the call has a time limit of its own
                outcome = await self._asked(request, ask)
        return outcome

    async def _asked(self, request: VisionRequest, ask: AskVision) -> Outcome:
        """Ask, and store the outcome unless the cache was flushed in the meantime."""
        era = self._era(request.scope)
        outcome = await _within(self._call_seconds, ask(request))
        seconds = self._seconds(request, outcome)
        if seconds > 0 and era == self._era(request.scope):
            self._remember(request, outcome.as_cached(), seconds)
            if self._store is not None:
                _, generation = era
                value = stored_outcome.dump(request.key, outcome, generation, seconds)
                await self._store.write(request.scope, request.key, value, seconds)
        return outcome

    def _seconds(self, request: VisionRequest, outcome: Outcome) -> float:
        """How long an outcome is kept: not at all if it says more of this worker's moment than of the question."""
        if isinstance(outcome, Failed):
            return 0.0 if outcome.reason.not_cacheable else FAILURE_SECONDS
        return self._analysis_seconds(request)

    def _remembered(self, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        if self._memory is None:
            return {}
        known = {request.key: self._memory.get(request.key) for request in requests}
        return {key: outcome for key, outcome in known.items() if outcome is not None}

    async def _read(self, scope: str, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        """What Redis knows, remembered from now on."""
        reading = await self._store.read(scope, [request.key for request in requests]) if self._store else None
        if reading is None:
            return {}
        if reading.flushed:
            self._forget(scope)
        found: dict[str, Outcome] = {}
        for request in requests:
            value = reading.values.get(request.key)
            known = None if value is None else stored_outcome.load(value, request.key, reading.generation)
            if known is not None:
                outcome, seconds_left = known
                found[request.key] = outcome
                longest = math.inf if isinstance(outcome, Failed) else self._analysis_seconds(request)
                self._remember(request, outcome, min(seconds_left, longest))
        return found

    def _remember(self, request: VisionRequest, outcome: Outcome, ttl_seconds: float) -> None:
        if self._memory is not None:
            self._memory.put(request.key, outcome, scope=request.scope, ttl_seconds=ttl_seconds)

    def _forget(self, scope: str | None) -> None:
        if self._memory is not None:
            self._memory.forget(scope)

    def _era(self, scope: str) -> tuple[int, str]:
        """What changes with a flush, be it here or at another worker."""
        return self._flushes, NEVER_FLUSHED if self._store is None else self._store.generation(scope)

    def _analysis_seconds(self, request: VisionRequest) -> float:
        """How long an analysis is kept."""
        return self._config.remote_url_ttl_seconds if request.may_change else self._config.ttl_seconds


async def _within(seconds: float, call_vision: Coroutine[None, None, Outcome]) -> Outcome:
    """Return the outcome of a vision call within a number of seconds. After that, cancel it once.

    Nobody waits for its end: a call that goes on all the same would hold up those who ask later, and a cancel scope
    would cancel it again in every turn of the event loop.
    """
    call = asyncio.ensure_future(call_vision)
    try:
        await asyncio.wait([call], timeout=seconds)
        return call.result() if call.done() and not call.cancelled() else Failed(FailureReason.TIMEOUT)
    finally:
        call.cancel()
