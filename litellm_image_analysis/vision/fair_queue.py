"""Who may make a vision call now, and who is next: keys take turns. Pure: nobody waits here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)

Decisions: TypeAlias = list[tuple[T, bool]]
"""Tickets that need not wait any longer: each may call, or is turned away."""


class FairQueue(Generic[T]):
    """Places for calls in flight, and the tickets that wait for one.

    A free place goes to the next key in turn that may hold one more. A full queue turns away the newest ticket of the
    key that has the most there: a busy key takes neither all turns nor all room.

    Args:
        places: calls in flight, of all keys together.
        places_a_key: of them, those of one key.
        most_waiting: tickets that may wait, of all keys together.
    """

    def __init__(self, places: int, places_a_key: int, most_waiting: int) -> None:
        self._places = places
        self._places_a_key = places_a_key
        self._most_waiting = most_waiting
        self._holders: dict[T, str] = {}
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, dict[T, None]] = {}  # keys as their turns come, tickets as they came

    def ask(self, key: str, ticket: T) -> Decisions[T]:
        """Ask for a place, or for room to wait for one.

        Args:
            key: who is to take turns with the others.
            ticket: stands for the call until it leaves.
        """
        decisions: Decisions[T] = []
        if not self._has_place_for(key) and sum(map(self._length, self._waiting)) >= self._most_waiting:
            longest = max(self._waiting, key=self._length, default=key)
            if self._length(longest) <= self._length(key) + 1:
                return [(ticket, False)]
            newest = next(reversed(self._waiting[longest]))
            self._stop_waiting(longest, newest)
            decisions.append((newest, False))
        self._waiting.setdefault(key, {})[ticket] = None
        return decisions + self._admit()

    def leave(self, key: str, ticket: T) -> Decisions[T]:
        """Give back a place, or stop waiting for one; whoever was turned away may say so, too."""
        if self._holders.pop(ticket, None) is not None:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
        elif ticket in self._waiting.get(key, {}):
            self._stop_waiting(key, ticket)
        return self._admit()

    def _admit(self) -> Decisions[T]:
        """Give the free places away."""
        decisions: Decisions[T] = []
        while len(self._holders) < self._places:
            key = next(filter(self._has_place_for, self._waiting), None)
            if key is None:
                break
            ticket = next(iter(self._waiting[key]))
            self._stop_waiting(key, ticket)
            if key in self._waiting:
                self._waiting[key] = self._waiting.pop(key)  # behind the others
            self._holders[ticket] = key
            self._held[key] += 1
            decisions.append((ticket, True))
        return decisions

    def _has_place_for(self, key: str) -> bool:
        return len(self._holders) < self._places and self._held[key] < self._places_a_key

    def _length(self, key: str) -> int:
        return len(self._waiting.get(key, {}))

    def _stop_waiting(self, key: str, ticket: T) -> None:
        del self._waiting[key][ticket]
        if not self._waiting[key]:
            del self._waiting[key]
