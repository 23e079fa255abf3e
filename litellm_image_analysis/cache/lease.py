"""A lease for one vision call. Only one worker of the gateway holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from redis.asyncio.lock import Lock

    from litellm_image_analysis.cache.redis_connection import RedisConnection

LEASE_SECONDS = 10.0
_RENEWAL_SECONDS = 3.0


class Lease:
    """A lock in Redis that expires if its worker dies.

    Args:
        link: the connection to Redis. ``None`` if there is none.
        name: the name of the lock in Redis.
    """

    def __init__(self, link: RedisConnection | None, name: str) -> None:
        self._link = link
        self._name = name
        self._lock: Lock | None = None

    async def take(self) -> bool | None:
        """Take the lease if it is free. Returns whether it was taken, or ``None`` if Redis is not available."""
        if self._link is None:
            return None
        lock = self._link.client.lock(self._name, timeout=LEASE_SECONDS, thread_local=False)

        async def take() -> bool:
            return bool(await lock.acquire(blocking=False))

        ours = await self._link.attempt(take)
        self._lock = lock if ours else None
        return ours

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew the lease until the block ends, then release it. Do nothing if the lease was not taken."""
        if self._link is None or self._lock is None:
            yield
            return
        renewal = asyncio.ensure_future(self._renew(self._link, self._lock))
        try:
            yield
        finally:
            renewal.cancel()
            with anyio.CancelScope(shield=True):
                await _settle(self._link, self._lock, "release")

    async def _renew(self, link: RedisConnection, lock: Lock) -> None:
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            await _settle(link, lock, "reacquire")


async def _settle(link: RedisConnection, lock: Lock, what: str) -> None:
    async def settle() -> None:
        from redis.exceptions import LockError

        with suppress(LockError):  # the lease has expired, so another worker may also make the call
            await getattr(lock, what)()

    await link.attempt(settle)
