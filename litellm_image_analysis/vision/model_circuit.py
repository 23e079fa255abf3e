"""The circuits of one vision model: for each key, for each team or user, and for all. Pure: the calling code locks.

The failures of one member of a group open only the member's own circuit, so it cannot block the model for the others.
"""

from __future__ import annotations

from typing import TypeAlias

from litellm_image_analysis.vision.circuit_breaker import Change, CircuitBreaker

Payer: TypeAlias = tuple[str, ...]
"""The groups that a call belongs to, from the largest to the key: a team and its key, or a key alone."""

Call: TypeAlias = tuple[int, ...]
"""The numbers of a call: in the circuit for all, and in those of its payer."""

_FOR_KEY = {Change.OPENED: Change.OPENED_FOR_KEY, Change.CLOSED: Change.CLOSED_FOR_KEY}
_FOR_OWNER = {Change.OPENED: Change.OPENED_FOR_OWNER, Change.CLOSED: Change.CLOSED_FOR_OWNER}


class ModelCircuit:
    """The circuit that a group of payers shares, and the circuits of its members, which are groups or keys.

    A key's circuit opens after five failures of its calls in a row. The circuit of a group opens after five failures in
    a row, by calls of at least two members. Any answer to a member resets the group's count. A call must pass the
    circuit for all and those of its payer.

    When the circuit of a group is open, members take turns with its probes: of those that were refused in the last
    pause, the member whose last probe is the oldest is next. The server of an image behind a URL may be the cause of a
    timeout. Calls for such images therefore run beside the probe, one for each member, and another member can still
    probe.

    Args:
        pause_seconds: seconds until an open circuit admits a probe. With 0, no circuit opens.
        call_seconds: seconds that a call may take. After that, another probe may begin.
    """

    def __init__(self, pause_seconds: float, call_seconds: float) -> None:
        self._seconds = pause_seconds, call_seconds
        self._shared = CircuitBreaker(pause_seconds, call_seconds)
        self._members: dict[str, ModelCircuit] = {}
        self._failing: set[str] = set()
        self._refused: dict[str, float] = {}
        self._probes: dict[str, int] = {}
        self._beside: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open, for all or for some."""
        return self._shared.is_open or any(member.is_open for member in self._members.values())

    @property
    def is_idle(self) -> bool:
        """Whether it can be removed without loss."""
        return not (self.failures or self._members)

    @property
    def failures(self) -> int:
        """Number of failures of all payers since the last answer."""
        return self._shared.failures

    def may_begin(self, now: float, payer: Payer, *, is_elsewhere: bool = False) -> bool:
        """Return whether a call of this payer may begin.

        Args:
            now: the time, in seconds.
            payer: the payer of the call.
            is_elsewhere: whether the image is behind a URL or stored at a provider.
        """
        if not payer or not self._shared.may_begin(now):
            return self._shared.may_begin(now)
        member = self._members.get(payer[0])
        if member is not None and not member.may_begin(now, payer[1:], is_elsewhere=is_elsewhere):
            return False
        if not self._shared.is_open:
            return True
        return payer[0] not in self._beside if is_elsewhere else self._is_next(now, payer[0])

    def refuse(self, now: float, payer: Payer) -> int:
        """Remember that a call of this payer was refused.

        Returns:
            The seconds until its next attempt makes sense, as a whole number for ``Retry-After``.
        """
        seconds = self._shared.retry_after_seconds(now)
        if not payer:
            return seconds
        self._refused[payer[0]] = now
        member = self._members.get(payer[0])
        return seconds if member is None else max(seconds, member.refuse(now, payer[1:]))

    def begin(self, now: float, payer: Payer, *, is_elsewhere: bool = False) -> Call | None:
        """Begin a call. In an open circuit, it is the probe or runs beside it.

        Args:
            now: the time, in seconds.
            payer: the payer of the call.
            is_elsewhere: whether the image is behind a URL or stored at a provider.

        Returns:
            Numbers for ``end``, or ``None`` if the call may not begin.
        """
        if not self.may_begin(now, payer, is_elsewhere=is_elsewhere):
            return None
        is_beside = is_elsewhere and self._shared.is_open and bool(payer)
        shared = self._shared.begin(now, is_beside=is_beside)
        own = self._member(payer[0]).begin(now, payer[1:], is_elsewhere=is_elsewhere) if payer else ()
        if shared is None or own is None:
            return None
        if is_beside:
            self._beside[payer[0]] = shared
        elif self._shared.is_open and payer:
            self._probes[payer[0]] = 1 + max(self._probes.values(), default=0)
            self._refused.pop(payer[0], None)
        return shared, *own

    def end(self, call: Call, now: float, payer: Payer, *, answered: bool | None) -> Change | None:
        """Record the end of a call.

        Args:
            call: the numbers that ``begin`` returned.
            now: the time, in seconds.
            payer: the payer of the call.
            answered: whether the model answered. ``None`` if it is not known.

        Returns:
            The change of the largest circuit that changed, or ``None``.
        """
        if not payer:
            return self._shared.end(call[0], now, answered=answered)
        if self._beside.get(payer[0]) == call[0]:
            del self._beside[payer[0]]
        if answered is False:
            self._failing.add(payer[0])
        elif answered:
            self._failing.clear()
            self._refused.clear()
            self._probes.clear()
        change = self._shared.end(call[0], now, answered=answered, may_open=len(self._failing) > 1)
        own_change = self._member(payer[0]).end(call[1:], now, payer[1:], answered=answered)
        if self._members[payer[0]].is_idle:
            del self._members[payer[0]]
        if change is not None or own_change is None:
            return change
        return (_FOR_OWNER if payer[1:] else _FOR_KEY).get(own_change, own_change)

    def _member(self, name: str) -> ModelCircuit:
        return self._members.setdefault(name, ModelCircuit(*self._seconds))

    def _is_next(self, now: float, member: str) -> bool:
        """Return whether this member is next: no other waiting member made its last probe earlier."""
        waiting = [other for other, when in self._refused.items() if now - when <= self._seconds[0]]
        last = self._probes.get(member, 0)
        return all(self._probes.get(other, 0) >= last for other in waiting)
