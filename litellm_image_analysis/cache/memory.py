"""Outcomes in the memory of this process, limited in bytes, each with its own time to live."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import TLRUCache

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.outcomes import Outcome

_OVERHEAD_BYTES = 1200
"""Bytes of an entry without its text: key, objects, and the cache's own data. ``make bench-parts`` measures it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    outcome: Outcome
    scope: str
    expires: float


class Memory:
    """Outcomes by key. The least recently used are evicted first. Thread-safe.

    Args:
        max_bytes: limit for all entries, including the cache's own data.
        clock: monotonic clock, in seconds.
        on_change: is called after each change with the bytes and the number of the entries. It must not raise.
    """

    def __init__(
        self,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[int, int], None] = lambda _bytes, _entries: None,
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._on_change = on_change
        self._entries: TLRUCache[str, _Entry] = TLRUCache(
            max_bytes, ttu=lambda _key, entry, _now: entry.expires, timer=clock, getsizeof=_size
        )

    @property
    def used_bytes(self) -> int:
        """Bytes that the entries take."""
        with self._lock:
            return int(self._entries.currsize)

    def get(self, key: str) -> Outcome | None:
        """Return the outcome, or ``None``."""
        with self._lock:
            try:
                return self._entries[key].outcome
            except KeyError:
                return None

    def put(self, key: str, outcome: Outcome, *, scope: str, ttl_seconds: float) -> None:
        """Store an outcome for a number of seconds. An outcome larger than the whole memory is not stored."""
        entry = _Entry(outcome, scope, self._clock() + ttl_seconds)
        if _size(entry) > self._entries.maxsize:
            return
        with self._lock:
            self._entries[key] = entry
            self._on_change(int(self._entries.currsize), len(self._entries))

    def forget(self, scope: str | None = None) -> None:
        """Remove all outcomes, or those of one scope."""
        with self._lock:
            for key in list(self._entries):
                with suppress(KeyError):  # it expires in this moment
                    if scope in (None, self._entries[key].scope):
                        del self._entries[key]
            self._on_change(int(self._entries.currsize), len(self._entries))


def _size(entry: _Entry) -> int:
    return _OVERHEAD_BYTES + sys.getsizeof(getattr(entry.outcome, "text", ""))
