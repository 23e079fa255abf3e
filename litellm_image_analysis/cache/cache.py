"""The cache of analyses by key. Concurrent requests with the same key share one vision call.

It has two tiers: the memory of the process, and Redis. Either may be missing, and Redis may fail at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
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
"""Seconds until a failed request is tried again, to limit the load on a failing vision model."""

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.25


class Cache:
    """Answers of vision models, for later and concurrent requests with the same key.

    Args:
        config: the settings of the cache.
        call_seconds: seconds that a vision call may take.
        store: Redis, if other workers share the answers.
        on_join: is called when a request has waited for the vision call of another one and uses its outcome. It must
            not raise.
        on_change: is called after each change of the memory with the bytes and the number of its entries. It must not
            raise.
    """

    def __init__(
        self,
        config: CacheConfig,
        call_seconds: float,
        store: RedisStore | None = None,
        *,
        on_join: Callable[[], None] = lambda: None,
        on_change: Callable[[int, int], None] = lambda _bytes, _entries: None,
    ) -> None:
        self._config = config
        self._call_seconds = call_seconds
        self._memory = None if config.backend == "off" else Memory(config.max_bytes, on_change=on_change)
        self.store = store
        self._on_join = on_join
        self._flushes = 0
        self._calls: SingleFlight[Outcome] = SingleFlight()
        self._reads: SingleFlight[dict[str, Outcome]] = SingleFlight()

    async def recall(self, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        """Return the known answers to these requests of one tenant, by key, with at most one round trip to Redis."""
        found = self._remembered(requests)
        if self.store is None or not requests:
            return found
        scope = requests[0].scope
        missing = [request for request in requests if request.key not in found and request.key not in self._calls]
        if missing or not self.store.is_current(scope):
            keys = tuple(request.key for request in missing)
            read, _ = await self._reads.join((scope, keys), partial(self._read, scope, missing))
            found = self._remembered(requests) | read  # again, because the read may show that the cache was flushed
        return found

    async def ask(self, request: VisionRequest, ask: AskVision, limiter: anyio.CapacityLimiter) -> Outcome:
        """Ask the vision model, or wait for the answer if the same request is in flight.

        Args:
            request: the question and its images.
            ask: asks the vision model. It is called only if the same request is not in flight.
            limiter: held during the vision call, and not while another call is awaited.

        Returns:
            The outcome. It has the cost of the call only if this request made the call.
        """
        call = partial(self._call, request, ask)
        while True:
            if request.key not in self._calls:
                async with limiter:
                    if request.key not in self._calls:  # no other call began while this one waited for the limiter
                        outcome, _ = await self._calls.join(request.key, call)
                        return outcome
            outcome, asked = await self._calls.join(request.key, call)
            if asked:
                return outcome
            if not isinstance(outcome, Failed) or outcome.is_shared:
                self._on_join()
                return outcome.as_cached()
            # The failure belongs to the request that made the call, such as its region or its place in the queue.

    async def ask_alone(self, request: VisionRequest, ask: AskVision, *, no_store: bool) -> Outcome:
        """Ask the vision model, also if the same request is in flight or its answer is cached.

        Like every vision call, it continues if its request is cancelled: the provider charges for it.

        Args:
            request: the question and its images.
            ask: asks the vision model.
            no_store: whether the answer is not cached.
        """
        outcome, _ = await self._calls.join(object(), partial(self._asked, request, ask, no_store=no_store))
        return outcome

    async def flush(self, scope: str | None = None) -> None:
        """Flush all analyses, or those of one scope.

        Raises:
            ConnectionError: the cache uses Redis, but no Redis is configured.
            redis.exceptions.RedisError: Redis could not be reached or refused. This process has flushed its memory.
        """
        self._flushes += 1
        self._forget(scope)
        if self.store is not None:
            await self.store.flush(scope)

    async def check(self) -> None:
        """Try Redis, so that the log shows problems before the first request."""
        if self.store is not None:
            await self.store.read("", ())

    async def has_other_keys(self, fingerprint: str) -> bool:
        """Return whether another host has left another fingerprint in Redis, and leave this one.

        Args:
            fingerprint: hosts whose cache keys are the same have it in common.
        """
        before = None if self.store is None else await self.store.replace_fingerprint(fingerprint)
        return before not in (None, fingerprint)

    async def aclose(self) -> None:
        """Close the connection to Redis."""
        if self.store is not None:
            await self.store.aclose()

    async def _call(self, request: VisionRequest, ask: AskVision) -> Outcome:
        if found := self._remembered([request]):  # answered while this request waited
            return found[request.key]
        if self.store is None or self._analysis_seconds(request) <= 0:  # an answer that is not stored cannot be awaited
            return await self._asked(request, ask)
        with anyio.move_on_after(self._call_seconds):
            return await self._asked_by_one_worker(request, ask, self.store)
        return Failed(FailureReason.TIMEOUT)  # while another worker made the call

    async def _asked_by_one_worker(self, request: VisionRequest, ask: AskVision, store: RedisStore) -> Outcome:
        """Ask if no other worker does, or wait for its answer. Without Redis, each worker asks."""
        lease = store.lease(request.scope, request.key)
        pause = _FIRST_PAUSE_SECONDS
        while await lease.take() is False:
            await anyio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            if found := await self._read(request.scope, [request]):
                self._on_join()
                return found[request.key]
        async with lease.kept():
            if found := await self._read(request.scope, [request]):  # stored between the lookup and the lease
                return found[request.key]
            with anyio.CancelScope(shield=True):  # the call has its own time limit
                outcome = await self._asked(request, ask)
        return outcome

    async def _asked(self, request: VisionRequest, ask: AskVision, *, no_store: bool = False) -> Outcome:
        """Ask, and store the outcome unless the cache was flushed in the meantime."""
        if self.store is not None and not self.store.is_current(request.scope):
            await self._read(request.scope, [])  # an answer of an unknown generation would not be found again
        era = self._era(request.scope)
        outcome = await _within(self._call_seconds, ask(request))
        seconds = 0.0 if no_store else self._seconds(request, outcome)
        if seconds > 0 and era == self._era(request.scope):
            self._remember(request, outcome.as_cached(), seconds)
            if self.store is not None:
                _, generation = era
                value = stored_outcome.dump(request.key, outcome, generation, seconds)
                await self.store.write(request.scope, request.key, value, seconds)
        return outcome

    def _seconds(self, request: VisionRequest, outcome: Outcome) -> float:
        """Return the seconds to keep an outcome. Failures that describe this worker's moment are not kept."""
        if isinstance(outcome, Failed):
            return FAILURE_SECONDS if outcome.is_shared else 0.0
        return self._analysis_seconds(request)

    def _remembered(self, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        if self._memory is None:
            return {}
        known = {request.key: self._memory.get(request.key) for request in requests}
        return {key: outcome for key, outcome in known.items() if outcome is not None}

    async def _read(self, scope: str, requests: Sequence[VisionRequest]) -> dict[str, Outcome]:
        """Return the answers in Redis, and copy them to the memory."""
        reading = await self.store.read(scope, [request.key for request in requests]) if self.store else None
        if reading is None:
            return {}
        if reading.flushed:
            self._forget(scope)
        found: dict[str, Outcome] = {}
        for request in requests:
            value = reading.values.get(request.key)
            if value is None:
                continue
            known = stored_outcome.load(value, request.key, reading.generation, request.max_characters)
            if known is not None:
                outcome, seconds_left = known
                found[request.key] = outcome
                # The clock of the host that wrote it may differ.
                longest = FAILURE_SECONDS if isinstance(outcome, Failed) else self._analysis_seconds(request)
                self._remember(request, outcome, min(seconds_left, longest))
        return found

    def _remember(self, request: VisionRequest, outcome: Outcome, ttl_seconds: float) -> None:
        if self._memory is not None:
            self._memory.put(request.key, outcome, scope=request.scope, ttl_seconds=ttl_seconds)

    def _forget(self, scope: str | None) -> None:
        if self._memory is not None:
            self._memory.forget(scope)

    def _era(self, scope: str) -> tuple[int, str]:
        """Return a value that changes with each flush, in this worker or another."""
        return self._flushes, NEVER_FLUSHED if self.store is None else self.store.generation(scope)

    def _analysis_seconds(self, request: VisionRequest) -> float:
        """Return the seconds to keep an analysis."""
        return self._config.remote_url_ttl_seconds if request.may_change else self._config.ttl_seconds


async def _within(seconds: float, call_vision: Coroutine[None, None, Outcome]) -> Outcome:
    """Return the outcome of a vision call within a number of seconds. After that, cancel it once.

    The end of the cancelled call is not awaited. A call that ignores the cancellation would delay later requests, and a
    cancel scope would cancel it again in every turn of the event loop.
    """
    call = asyncio.ensure_future(call_vision)
    try:
        await asyncio.wait([call], timeout=seconds)
        return call.result() if call.done() and not call.cancelled() else Failed(FailureReason.TIMEOUT)
    finally:
        call.cancel()
