"""The gate in front of every vision call: a circuit breaker for each vision model, and a fair queue of keys.

Calls wait in this module. ``circuit_breaker`` and ``fair_queue`` make the decisions.
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

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason, Outcome
from litellm_image_analysis.event_loops import PerLoop
from litellm_image_analysis.vision.circuit_breaker import Change
from litellm_image_analysis.vision.fair_queue import Decisions, FairQueue
from litellm_image_analysis.vision.model_circuit import ModelCircuit, Payer

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.config import ImageAnalysisConfig

COUNTED = frozenset(
    {FailureReason.TIMEOUT, FailureReason.UNAVAILABLE, FailureReason.MISCONFIGURED, FailureReason.RATE_LIMITED}
)
"""Failures of the vision model itself. Other failures open no circuit."""

BUSY_SECONDS = 5
"""Seconds for ``Retry-After`` when the queue is full."""

MOST_MODELS = 100
"""Maximum number of vision models that are kept, because callers can invent names behind a wildcard."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Status of a vision model in this process.

    Attributes:
        is_open: whether its circuit is open. After a pause, one call at a time then checks the model.
        failures_in_a_row: number of failures since the last success.
        in_flight: number of calls in flight.
        queued: number of calls in the queue.
        refused_while_open: number of calls refused because its circuit was open.
        refused_while_full: number of calls refused because the queue was full.
    """

    is_open: bool = False
    failures_in_a_row: int = 0
    in_flight: int = 0
    queued: int = 0
    refused_while_open: int = 0
    refused_while_full: int = 0


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """The model group that the router calls for a vision model's name.

    Attributes:
        name: its name, without aliases. A team's own model has a name of its own.
        is_listed: whether the router lists it. Callers can invent names behind a wildcard.
        is_teams: whether it is a team's own, which other teams cannot call.
    """

    name: str
    is_listed: bool = True
    is_teams: bool = False

    @property
    def label(self) -> str | None:
        """Its name in metrics. ``None`` if it may be invented."""
        return self.name if self.is_listed else None


Observer: TypeAlias = Callable[[str, ModelStatus, FailureReason | None], None]
"""Receives the status of a vision model after each change, and the reason if a call was refused."""

CallObserver: TypeAlias = Callable[["str | None", "Outcome | None", float], None]
"""Receives each ended vision call: the model, the outcome, and the seconds that it took.

The model is ``None`` if its name may be invented. The outcome is ``None`` if the call was cancelled at its deadline.
"""

Teller: TypeAlias = Callable[[str, Change, FailureReason | None], None]
"""Receives each opening and closing of a vision model's circuit, and the failure that opened it."""


@dataclass(slots=True)
class _Model:
    name: str
    circuit: ModelCircuit
    is_shown: bool = True
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def load(self) -> ModelStatus:
        return ModelStatus(self.circuit.is_open, self.circuit.failures, **self.counts)

    @property
    def is_idle(self) -> bool:
        """Whether it can be removed without loss."""
        return not (self.circuit.is_open or self.counts["in_flight"] or self.counts["queued"])


class Gate:
    """Admits vision calls, or refuses them with a reason.

    A circuit belongs to the process. The queue belongs to an event loop, and a proxy has one loop.

    Args:
        config: the limits of concurrent calls, and the seconds that a call may take.
        observe: receives every change of a model's status.
        tell: receives every change of a circuit.
        clock: monotonic clock, in seconds.
        observe_call: receives every vision call that has ended.
    """

    def __init__(
        self,
        config: ImageAnalysisConfig,
        observe: Observer,
        tell: Teller,
        clock: Callable[[], float] = time.monotonic,
        observe_call: CallObserver = lambda _model, _outcome, _seconds: None,
    ) -> None:
        self._pause_seconds = config.circuit_pause_seconds
        self._call_seconds = config.timeout_seconds
        self._observe = observe
        self._tell = tell
        self._clock = clock
        self._observe_call = observe_call
        limits = config.max_process_concurrency, config.max_key_concurrency, config.max_queued
        self._queues: PerLoop[FairQueue[asyncio.Future[bool]]] = PerLoop(partial(FairQueue, *limits))
        self._models: dict[str, _Model] = {}  # in order of use, the most recently used last
        self._lock = threading.Lock()

    def loads(self) -> dict[str, ModelStatus]:
        """Return the status of each recently used vision model, except those with invented names. Thread-safe."""
        with self._lock:
            return {model.name: model.load for model in self._models.values() if model.is_shown}

    def guarded(self, ask: AskVision, key: str, group: ModelGroup | None = None, owner: str | None = None) -> AskVision:
        """Return a function that asks a vision model through the gate.

        Args:
            ask: asks the vision model.
            key: the key that pays, and takes turns with other keys.
            group: the model group that the router calls. ``None`` for the model that the request names.
            owner: the team or user of the key. Failures of its keys alone open no circuit for others.
        """
        payer = (key,) if owner is None else (owner, key)

        async def ask_through_gate(request: VisionRequest) -> Outcome:
            model = self._model(group or ModelGroup(request.model))
            with self._lock:
                may_begin = model.circuit.may_begin(self._clock(), payer, is_elsewhere=request.is_elsewhere)
            if not may_begin:
                return self._refused(model, payer, FailureReason.CIRCUIT_OPEN)
            async with self._slot(model, key) as has_slot:
                if has_slot:
                    return await self._called(model, payer, ask, request)
            return self._refused(model, payer, FailureReason.BUSY)

        return ask_through_gate

    def _model(self, group: ModelGroup) -> _Model:
        with self._lock:
            model = self._models.pop(group.name, None)
            if model is None:
                model = _Model(group.name, ModelCircuit(self._pause_seconds, self._call_seconds), group.is_listed)
            self._models[group.name] = model
            if len(self._models) > MOST_MODELS:
                self._forget_one()
            return model

    def _forget_one(self) -> None:
        """Remove the least recently used idle model. If none is idle, remove one with an invented name."""
        models = list(self._models.values())[:-1]
        idle = (model for model in models if model.is_idle)
        invented = (model for model in models if not model.is_shown and len(models) >= 10 * MOST_MODELS)
        forgotten = next(idle, None) or next(invented, None)
        if forgotten is not None:
            del self._models[forgotten.name]

    def _refused(self, model: _Model, payer: Payer, reason: FailureReason) -> Failed:
        is_open = reason is FailureReason.CIRCUIT_OPEN
        with self._lock:
            model.counts["refused_while_open" if is_open else "refused_while_full"] += 1
            seconds = model.circuit.refuse(self._clock(), payer) if is_open else BUSY_SECONDS
        self._show(model, reason)
        return Failed(reason, retry_after_seconds=seconds)

    @asynccontextmanager
    async def _slot(self, model: _Model, key: str) -> AsyncIterator[bool]:
        """Wait for a slot and hold it during the block. Yields ``False`` if the queue is full."""
        queue, waiter = self._queues.get(), asyncio.get_running_loop().create_future()
        _deliver(queue.acquire(key, waiter))
        try:
            with self._counted(model, "queued"):
                has_slot = await waiter
            yield has_slot
        finally:
            _deliver(queue.release(key, waiter))

    async def _called(self, model: _Model, payer: Payer, ask: AskVision, request: VisionRequest) -> Outcome:
        """Make the call, unless the circuit opened while it waited."""
        with self._lock:
            began = self._clock()
            call = model.circuit.begin(began, payer, is_elsewhere=request.is_elsewhere)
        if call is None:
            return self._refused(model, payer, FailureReason.CIRCUIT_OPEN)
        outcome: Outcome | None = None
        asked = asyncio.ensure_future(ask(request))  # in a separate task, because the call may ignore cancellation
        try:
            with self._counted(model, "in_flight"):
                outcome = await asyncio.shield(asked)
        finally:
            asked.cancel()
            now = self._clock()
            had_time = now - began >= self._call_seconds / 2
            answered, reason = _verdict(outcome, had_time=had_time, is_elsewhere=request.is_elsewhere)
            with self._lock:
                change = model.circuit.end(call, now, payer, answered=answered)
            self._show(model, None)
            self._observe_call(model.name if model.is_shown else None, outcome, now - began)
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
        self._show(model, None)

    def _show(self, model: _Model, refused: FailureReason | None) -> None:
        if model.is_shown:
            with self._lock:
                load = model.load
            self._observe(model.name, load, refused)


def _deliver(decisions: Decisions[asyncio.Future[bool]]) -> None:
    for waiter, has_slot in decisions:
        if not waiter.done():  # this call was cancelled and will be released
            waiter.set_result(has_slot)


def _verdict(
    outcome: Outcome | None, *, had_time: bool, is_elsewhere: bool
) -> tuple[bool | None, FailureReason | None]:
    """Return whether the vision model answered, and its failure. ``None`` if it is not known.

    A failure counts only if the provider or the network is the cause.

    Args:
        outcome: the outcome of the call. ``None`` if it was cancelled at its deadline.
        had_time: whether the call ran long enough for an answer.
        is_elsewhere: whether the image is behind a URL or stored at a provider. Its server may be the cause of a
            timeout or of an unknown file.
    """
    if outcome is None:
        outcome = Failed(FailureReason.TIMEOUT, blames_model=had_time)
    if not isinstance(outcome, Failed):
        return True, None
    reason = outcome.reason
    blames_server = is_elsewhere and reason in (FailureReason.TIMEOUT, FailureReason.MISCONFIGURED)
    if reason is FailureReason.NOT_ROUTED or (reason in COUNTED and (blames_server or not outcome.blames_model)):
        return None, reason
    return reason not in COUNTED, reason
