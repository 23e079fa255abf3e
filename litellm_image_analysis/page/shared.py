"""The entries of all workers, in a list in the Redis of the cache. A request never waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from litellm_image_analysis.engine import containment
from litellm_image_analysis.event_loops import PerLoop, computed
from litellm_image_analysis.page.journal import dump, load

if TYPE_CHECKING:
    from litellm_image_analysis.cache.redis_store import RedisStore
    from litellm_image_analysis.page.journal import Entry

SECONDS: Final = 7 * 86400
"""Seconds until the list ends after its last entry."""
_AT_ONCE = 100


class SharedJournal:
    """Sends entries to Redis in the background. If Redis does not take them, they are only in this worker's memory.

    Args:
        store: the Redis of the cache, which also logs outages.
        most: number of entries in Redis.
    """

    def __init__(self, store: RedisStore, most: int) -> None:
        self._store, self._most = store, most
        self._senders: PerLoop[_Sender] = PerLoop(lambda: _Sender(store, most))

    def add(self, entry: Entry) -> None:
        """Send an entry soon. It returns at once."""
        self._senders.get().add(entry)

    async def read(self) -> list[Entry] | None:
        """Return the entries of all workers, the newest first. ``None`` if Redis is not available."""
        texts = await self._store.read_log(self._most)
        if texts is None:
            return None
        return await computed(lambda: [entry for entry in map(load, texts) if entry is not None], in_thread=True)


class _Sender:
    """The entries of one event loop that are not in Redis yet."""

    def __init__(self, store: RedisStore, most: int) -> None:
        self._store, self._most = store, most
        self._waiting: deque[Entry] = deque(maxlen=most)
        self._task: asyncio.Task[None] | None = None

    def add(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        with containment.log_and_continue("sharing entries of the page"):
            while self._waiting:
                number = min(len(self._waiting), _AT_ONCE)
                texts = [dump(self._waiting.popleft()) for _ in range(number)]
                await self._store.append_to_log(texts, most=self._most, ttl_seconds=SECONDS)
