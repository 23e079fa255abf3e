"""Fair queue of vision calls: a limited number of slots, given to keys in turn. Pure: nothing waits in this module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)

Decisions: TypeAlias = list[tuple[T, bool]]
"""Calls that stop waiting, and whether each has a slot (``True``) or is refused (``False``)."""


class FairQueue(Generic[T]):
    """Slots for calls in flight, and the waiters for a slot.

    Free slots go to the keys in turn (round-robin). If the queue is full, the key with the most waiters loses its
    newest one to a key with fewer. A busy key can therefore take neither all slots nor the whole queue.

    Args:
        slots: calls in flight of all keys together.
        slots_per_key: calls in flight of one key.
        max_queued: waiters of all keys together.
    """

    def __init__(self, slots: int, slots_per_key: int, max_queued: int) -> None:
        self._slots = slots
        self._slots_per_key = slots_per_key
        self._max_queued = max_queued
        self._key_of_slot: dict[T, str] = {}
        self._in_flight: Counter[str] = Counter()
        self._queued: dict[str, dict[T, None]] = {}  # keys in the order of their turns, waiters in the order of arrival

    def acquire(self, key: str, waiter: T) -> Decisions[T]:
        """Ask for a slot, or for a place in the queue.

        Args:
            key: the key that takes turns with other keys.
            waiter: identifies the call until it is released.
        """
        decisions: Decisions[T] = []
        if not self._has_slot_for(key) and sum(map(self._length, self._queued)) >= self._max_queued:
            longest = max(self._queued, key=self._length, default=key)
            if self._length(longest) <= self._length(key) + 1:
                return [(waiter, False)]
            newest = next(reversed(self._queued[longest]))
            self._dequeue(longest, newest)
            decisions.append((newest, False))
        self._queued.setdefault(key, {})[waiter] = None
        return decisions + self._assign_slots()

    def release(self, key: str, waiter: T) -> Decisions[T]:
        """Give a slot back, or leave the queue. Does nothing for a waiter that was refused."""
        if self._key_of_slot.pop(waiter, None) is not None:
            self._in_flight[key] -= 1
            if not self._in_flight[key]:
                del self._in_flight[key]
        elif waiter in self._queued.get(key, {}):
            self._dequeue(key, waiter)
        return self._assign_slots()

    def _assign_slots(self) -> Decisions[T]:
        decisions: Decisions[T] = []
        while len(self._key_of_slot) < self._slots:
            key = next(filter(self._has_slot_for, self._queued), None)
            if key is None:
                break
            waiter = next(iter(self._queued[key]))
            self._dequeue(key, waiter)
            if key in self._queued:
                self._queued[key] = self._queued.pop(key)  # its next turn is after the other keys'
            self._key_of_slot[waiter] = key
            self._in_flight[key] += 1
            decisions.append((waiter, True))
        return decisions

    def _has_slot_for(self, key: str) -> bool:
        return len(self._key_of_slot) < self._slots and self._in_flight[key] < self._slots_per_key

    def _length(self, key: str) -> int:
        return len(self._queued.get(key, {}))

    def _dequeue(self, key: str, waiter: T) -> None:
        del self._queued[key][waiter]
        if not self._queued[key]:
            del self._queued[key]
