"""Circuit breaker of a vision model. Pure: the calling code passes the time and holds the lock."""

from __future__ import annotations

import math
from enum import Enum

FAILURES = 5
"""Number of failures in a row that open the circuit."""


class Change(Enum):
    """A change of the circuit at the end of a call."""

    OPENED = "opened"
    CLOSED = "closed"
    OPENED_FOR_KEY = "opened for one key"
    CLOSED_FOR_KEY = "closed for one key"
    OPENED_FOR_OWNER = "opened for one team or user"
    CLOSED_FOR_OWNER = "closed for one team or user"


class CircuitBreaker:
    """The circuit of one vision model. It opens after five failures in a row.

    After a pause, an open circuit admits one call as a probe. Success closes the circuit, failure starts another pause.
    Calls that began before the circuit opened do not change it.

    Args:
        pause_seconds: seconds until an open circuit admits a probe. With 0, the circuit never opens.
        call_seconds: seconds that a call may take. After that, another probe may begin.
    """

    def __init__(self, pause_seconds: float, call_seconds: float) -> None:
        self.failures = 0
        self._pause_seconds = pause_seconds
        self._call_seconds = call_seconds
        self._era = 0
        self._next_try: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open."""
        return self._next_try is not None

    def may_begin(self, now: float) -> bool:
        """Return whether a call may begin."""
        return self._next_try is None or now >= self._next_try

    def retry_after_seconds(self, now: float) -> int:
        """Return the seconds until the next probe, as a whole number for ``Retry-After``."""
        seconds = 0.0 if self._next_try is None else self._next_try - now
        return max(1, math.ceil(min(seconds, self._pause_seconds)))

    def begin(self, now: float, *, is_beside: bool = False) -> int | None:
        """Begin a call. In an open circuit, it is the probe.

        Args:
            now: the time, in seconds.
            is_beside: whether an open circuit admits the probe of another caller beside this one.

        Returns:
            A number for ``end``, or ``None`` if the call may not begin.
        """
        if not self.may_begin(now):
            return None
        if self.is_open and not is_beside:
            self._era += 1
            self._next_try = now + self._call_seconds
        return self._era

    def end(self, call: int, now: float, *, answered: bool | None, may_open: bool = True) -> Change | None:
        """Record the end of a call.

        Args:
            call: the number that ``begin`` returned.
            now: the time, in seconds.
            answered: whether the model answered. ``None`` if it is not known.
            may_open: whether a failure may open the circuit.

        Returns:
            The change of the circuit, or ``None``.
        """
        if call != self._era:
            return None
        if answered is None:
            self._next_try = now if self.is_open else None
            return None
        was_open = self.is_open
        self.failures = 0 if answered else self.failures + 1
        if answered:
            self._next_try = None
            return Change.CLOSED if was_open else None
        if self.failures < FAILURES or not self._pause_seconds or not (was_open or may_open):
            return None
        self._era += 1
        self._next_try = now + self._pause_seconds
        return None if was_open else Change.OPENED
