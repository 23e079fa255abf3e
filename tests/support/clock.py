"""A clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Returns ``now``, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
