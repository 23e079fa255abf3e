"""Whether a vision model that keeps failing is to be asked. Pure: the caller tells the time, and locks."""

from __future__ import annotations

import math
from enum import Enum

FAILURES = 5
"""So many in a row open the circuit."""


class Change(Enum):
    """What the end of a call made of the circuit."""

    OPENED = "opened"
    CLOSED = "closed"


class CircuitBreaker:
    """One vision model's circuit: closed while it answers, open once it has failed five times in a row.

    An open circuit lets one call through after a pause, and its end decides; calls that began before have no say.

    Args:
        pause_seconds: how long an open circuit lets nobody through before it lets one try; 0: it never opens.
        call_seconds: how long a call may take; a probe that has not ended by then is given up.
    """

    def __init__(self, pause_seconds: float, call_seconds: float) -> None:
        self.failures = 0
        self._pause_seconds = pause_seconds
        self._call_seconds = call_seconds
        self._era = 0
        self._next_try: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the model is not to be asked, but for a probe."""
        return self._next_try is not None

    def may_begin(self, now: float) -> bool:
        """Whether a call is let through."""
        return self._next_try is None or now >= self._next_try

    def retry_after_seconds(self, now: float) -> int:
        """When to ask again a model that may not be asked now: in whole seconds, as HTTP has it."""
        seconds = 0.0 if self._next_try is None else self._next_try - now
        return max(1, math.ceil(min(seconds, self._pause_seconds)))

    def begin(self, now: float) -> int | None:
        """Let a call through, if it may begin: through an open circuit as its one probe.

        Returns:
            What to end the call with; ``None``: it is not let through.
        """
        if not self.may_begin(now):
            return None
        if self.is_open:
            self._era += 1
            self._next_try = now + self._call_seconds
        return self._era

    def end(self, call: int, now: float, *, answered: bool | None) -> Change | None:
        """Note how a call ended.

        Args:
            call: what ``begin`` returned.
            now: the time.
            answered: whether the model did; ``None``: nobody can tell.

        Returns:
            What that changes for the calls to come.
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
        if self.failures < FAILURES or not self._pause_seconds:
            return None
        self._era += 1
        self._next_try = now + self._pause_seconds
        return None if was_open else Change.OPENED
