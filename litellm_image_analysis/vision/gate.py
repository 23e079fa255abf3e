"""The gate every vision call goes through: a model that keeps failing is not asked, and keys take turns.

Here calls wait; ``breaker`` and ``turns`` decide.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from cachetools import LRUCache

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason, Outcome
from litellm_image_analysis.event_loops import PerLoop
from litellm_image_analysis.vision.circuit_breaker import Change, CircuitBreaker
from litellm_image_analysis.vision.fair_queue import Decisions, FairQueue

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.config import ImageAnalysisConfig

COUNTED = frozenset(
    {FailureReason.TIMEOUT, FailureReason.UNAVAILABLE, FailureReason.MISCONFIGURED, FailureReason.RATE_LIMITED}
)
"""Failures of the vision model itself. With any other it has answered: about the image, or with nothing."""

BUSY_SECONDS = 5
"""When to try again after a full queue."""

MOST_MODELS = 100
"""Vision models that are told apart: behind a wildcard, callers make up names."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """How a vision model fares in this process.

    Attributes:
        is_open: whether its circuit is: it keeps failing, and is asked by one call at a time to see if it still does.
        failures_in_a_row: its latest calls, if they failed.
        in_flight: calls under way.
        queued: calls that wait for their turn.
        refused_while_open: calls that were not made, because its circuit was open.
        refused_while_full: calls that were not made, because the queue was full.
    """

    is_open: bool = False
    failures_in_a_row: int = 0
    in_flight: int = 0
    queued: int = 0
    refused_while_open: int = 0
    refused_while_full: int = 0


Observer: TypeAlias = Callable[[str, ModelStatus, FailureReason | None], None]
"""Hears of a vision model's load when it has changed, and why a call was refused, if one was."""

Teller: TypeAlias = Callable[[str, Change, FailureReason | None], None]
"""Tells the operator that a vision model's circuit has opened or closed, and after which failure."""


@dataclass(slots=True)
class _Model:
    name: str
    breaker: CircuitBreaker
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def load(self) -> ModelStatus:
        return ModelStatus(self.breaker.is_open, self.breaker.failures, **self.counts)


class Gate:
    """Lets vision calls through, or says at once why not.

    A circuit is one for the whole process. Turns are taken in an event loop, of which a proxy has one.

    Args:
        config: how many at once, and how long a call may take.
        observe: hears of every change.
        tell: hears of circuits.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        config: ImageAnalysisConfig,
        observe: Observer,
        tell: Teller,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause_seconds = config.circuit_pause_seconds
        self._call_seconds = config.timeout_seconds
        self._observe = observe
        self._tell = tell
        self._clock = clock
        limits = config.max_process_concurrency, config.max_key_concurrency, config.max_queued
        self._turns: PerLoop[FairQueue[asyncio.Future[bool]]] = PerLoop(partial(FairQueue, *limits))
        self._models: LRUCache[str, _Model] = LRUCache(MOST_MODELS)
        self._lock = threading.Lock()

    def loads(self) -> dict[str, ModelStatus]:
        """How each vision model fares that was asked lately. Safe to call from any thread."""
        with self._lock:
            return {model.name: model.load for model in self._models.values()}

    def guarded(self, ask: AskVision, key: str) -> AskVision:
        """Make a way to ask a vision model that goes through the gate.

        Args:
            ask: asks it.
            key: who is to take turns with others.
        """

        async def ask_in_turn(request: VisionRequest) -> Outcome:
            model = self._model(request.model)
            with self._lock:
                may_begin = model.breaker.may_begin(self._clock())
            if not may_begin:
                return self._refused(model, FailureReason.CIRCUIT_OPEN)
            async with self._turn(model, key) as has_come:
                if has_come:
                    return await self._called(model, ask, request)
            return self._refused(model, FailureReason.BUSY)

        return ask_in_turn

    def _model(self, name: str) -> _Model:
        with self._lock:
            model = self._models.get(name)
            if model is None:
                model = self._models[name] = _Model(name, CircuitBreaker(self._pause_seconds, self._call_seconds))
            return model

    def _refused(self, model: _Model, reason: FailureReason) -> Failed:
        is_open = reason is FailureReason.CIRCUIT_OPEN
        with self._lock:
            model.counts["refused_while_open" if is_open else "refused_while_full"] += 1
            load = model.load
            seconds = model.breaker.retry_after_seconds(self._clock()) if is_open else BUSY_SECONDS
        self._observe(model.name, load, reason)
        return Failed(reason, retry_after_seconds=seconds)

    @asynccontextmanager
    async def _turn(self, model: _Model, key: str) -> AsyncIterator[bool]:
        """Wait for a turn and hold it; ``False`` if there is no room to wait."""
        turns, ticket = self._turns.get(), asyncio.get_running_loop().create_future()
        _deliver(turns.ask(key, ticket))
        try:
            with self._counted(model, "queued"):
                has_come = await ticket
            yield has_come
        finally:
            _deliver(turns.leave(key, ticket))

    async def _called(self, model: _Model, ask: AskVision, request: VisionRequest) -> Outcome:
        """The call itself, unless the circuit has opened while it waited for its turn."""
        with self._lock:
            began = self._clock()
            call = model.breaker.begin(began)
        if call is None:
            return self._refused(model, FailureReason.CIRCUIT_OPEN)
        outcome: Outcome | None = None
        asked = asyncio.ensure_future(ask(request))  # a task of its own: it may go on when it is told to end
        try:
            with self._counted(model, "in_flight"):
                outcome = await asyncio.shield(asked)
        finally:
            asked.cancel()
            now = self._clock()
            answered, reason = _verdict(outcome, had_time=now - began >= self._call_seconds / 2)
            with self._lock:
                change = model.breaker.end(call, now, answered=answered)
                load = model.load
            self._observe(model.name, load, None)
            if change is not None:
                self._tell(model.name, change, reason)
        return outcome

    @contextmanager
    def _counted(self, model: _Model, what: Literal["in_flight", "queued"]) -> Iterator[None]:
        self._count(model, what, 1)
        try:
            yield
        finally:
            self._count(model, what, -1)

    def _count(self, model: _Model, what: str, by: int) -> None:
        with self._lock:
            model.counts[what] += by
            load = model.load
        self._observe(model.name, load, None)


def _deliver(decisions: Decisions[asyncio.Future[bool]]) -> None:
    for ticket, may_call in decisions:
        if not ticket.done():  # cancelled, and about to leave
            ticket.set_result(may_call)


def _verdict(outcome: Outcome | None, *, had_time: bool) -> tuple[bool | None, FailureReason | None]:
    """Whether the vision model answered, if that can be told, and how it failed.

    A call without an outcome was cut off by its deadline; one that had waited for its turn until then says nothing.
    Nor does one that LiteLLM's Router led nowhere.
    """
    if outcome is None:
        return (False, FailureReason.TIMEOUT) if had_time else (None, None)
    reason = outcome.reason if isinstance(outcome, Failed) else None
    return None if reason is FailureReason.NOT_ROUTED else reason not in COUNTED, reason
