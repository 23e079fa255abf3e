"""Outcomes in Redis, for all workers and hosts of a gateway. ``docs/cache.md`` lists the names in Redis."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from cachetools import LRUCache

from litellm_image_analysis.cache.lease import Lease
from litellm_image_analysis.cache.redis_connection import NamespacedClient, RedisConnection, in_short
from litellm_image_analysis.event_loops import PerLoop

NEVER_FLUSHED = "-:-"
"""The generation before the first flush."""
FINGERPRINT = "fingerprint"
"""The name of a value that hosts with the same cache keys have in common."""
LOG = "page"
"""The end of the name of the list of recent requests."""
CURRENT_SECONDS = 5.0
"""Seconds until a worker asks again whether the cache was flushed."""

_KNOWN_SCOPES = 10_000
_LONGEST_SECONDS = 10 * 365 * 86400
_MOST_LATE_CHARACTERS = 8 * 2**20
"""The characters of all values that are kept for Redis while it is away."""
_LATE_AT_ONCE = 16
"""As many as a connection sends at once. More would use up the time limit of the last ones, and of other requests."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of a read.

    Attributes:
        values: the stored values, by key.
        generation: the current generation.
        flushed: whether the generation has changed since the last read in this event loop.
    """

    values: dict[str, str | bytes]
    generation: str
    flushed: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    """A value under its name in Redis, until a time of the store's clock."""

    scope: str
    name: str
    value: str
    generation: str
    until: float


class RedisStore:
    """Values by scope and key.

    Args:
        connect: opens a connection in the running event loop. It returns ``None`` if no Redis is configured.
        warn: logs a warning.
        clock: monotonic clock, in seconds.
    """

    def __init__(
        self,
        connect: Callable[[], NamespacedClient | None],
        warn: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._warn = warn
        self._clock = clock
        self._links: PerLoop[RedisConnection | None] = PerLoop(self._linked)
        self._heard: PerLoop[LRUCache[str, tuple[str, float]]] = PerLoop(lambda: LRUCache(_KNOWN_SCOPES))
        self._late: PerLoop[LRUCache[str, _Entry]] = PerLoop(
            lambda: LRUCache(_MOST_LATE_CHARACTERS, getsizeof=lambda entry: len(entry.value))
        )

    @property
    def available(self) -> bool:
        """Whether Redis answered the last operation."""
        link = self._links.get()
        return link is not None and not link.broken

    def generation(self, scope: str) -> str:
        """Return the generation of a scope as of the last read. Values of other generations were flushed."""
        return self._heard_of(scope)[0]

    def is_current(self, scope: str) -> bool:
        """Return whether the generation of the scope is recent, or Redis is not available."""
        return not self.available or self._clock() - self._heard_of(scope)[1] < CURRENT_SECONDS

    async def read(self, scope: str, keys: Sequence[str]) -> Reading | None:
        """Return the values of these keys, in one round trip, or ``None`` if Redis is not available."""
        link = self._links.get()
        if link is None:
            return None
        answer = await _read(link, scope, keys)
        if answer is None:
            return None
        generation, values = answer
        flushed = generation != self.generation(scope)
        self._heard.get()[scope] = (generation, self._clock())
        if self._late.get():
            await self._write_late(link, scope, generation)
        found = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        return Reading(found, generation, flushed)

    async def write(self, scope: str, key: str, value: str, ttl_seconds: float) -> None:
        """Store a value for a number of seconds, as a value of the generation that was read last.

        If Redis does not take the value, a later read of the scope stores it, unless the scope was flushed meanwhile.
        """
        link = self._links.get()
        if link is None:
            return
        name = f"{link.prefix}:{_tag(scope)}:{key}"
        until = self._clock() + min(ttl_seconds, _LONGEST_SECONDS)
        entry = _Entry(scope, name, value, self.generation(scope), until)
        late = self._late.get()
        late.pop(name, None)  # it is older
        if not await self._put(link, entry):
            # If Redis refuses instead, it would refuse later, too.
            if link.broken and len(value) <= _MOST_LATE_CHARACTERS:
                late[name] = entry
            return
        now = await _read(link, scope, ())
        if now is not None and now[0] != entry.generation:
            # Another worker has flushed, and did not see this value. It must not come back if Redis evicts the
            # generation.
            await link.attempt(partial(_unlink, link, name))

    async def _write_late(self, link: RedisConnection, scope: str, generation: str) -> None:
        """Store values of a scope that Redis did not take when they were written. Newer values in Redis stay."""
        late, now = self._late.get(), self._clock()
        for entry in list(late.values()):
            if entry.until <= now or (entry.scope == scope and entry.generation != generation):
                del late[entry.name]
        entries = [entry for entry in late.values() if entry.scope == scope][:_LATE_AT_ONCE]
        left = {entry.name: late.pop(entry.name) for entry in entries}

        async def put(entry: _Entry) -> None:
            if await self._put(link, entry, nx=True) or not link.broken:
                del left[entry.name]

        try:
            await asyncio.gather(*map(put, entries))
        finally:  # also if the request is cancelled
            for name, entry in left.items():
                late.setdefault(name, entry)
        again = await _read(link, scope, ()) if entries else None
        if again is not None and again[0] != generation:
            await link.attempt(partial(_unlink, link, *(entry.name for entry in entries)))

    async def _put(self, link: RedisConnection, entry: _Entry, *, nx: bool = False) -> bool:
        """Return whether Redis has stored the value."""
        milliseconds = max(1, round((entry.until - self._clock()) * 1000))

        async def put() -> bool:
            await link.client.set(entry.name, entry.value, px=milliseconds, nx=nx)
            return True

        return await link.attempt(put) is not None

    async def replace_fingerprint(self, fingerprint: str) -> str | None:
        """Store the fingerprint of this gateway, without a time limit.

        Returns:
            The fingerprint that was there before. ``None`` if there was none, or Redis is not available.
        """
        link = self._links.get()
        if link is None:
            return None
        name = f"{link.prefix}:{FINGERPRINT}"

        async def read() -> list[str | bytes | None]:
            values: list[str | bytes | None] = await link.client.mget([name])
            return values

        async def write() -> Any:
            return await link.client.set(name, fingerprint)

        before = await link.attempt(read)
        if before is None:
            return None
        await link.attempt(write)
        return None if before[0] is None else _text(before[0])

    def lease(self, scope: str, key: str) -> Lease:
        """Return the lease for the call of this key. It is not taken yet."""
        link = self._links.get()
        return Lease(link, "" if link is None else f"{link.prefix}:{_tag(scope)}:{key}:lease")

    async def flush(self, scope: str | None = None) -> None:
        """Flush a scope, or all: at once in Redis, and within seconds in the memory of every worker.

        Raises:
            ConnectionError: no Redis is configured.
            redis.exceptions.RedisError: Redis could not be reached or refused.
        """
        from redis.exceptions import ConnectionError as Unreachable
        from redis.exceptions import RedisClusterException

        link, late = self._links.get(), self._late.get()
        for entry in [entry for entry in late.values() if scope in {None, entry.scope}]:
            del late[entry.name]
        if link is None:
            raise ConnectionError("there is no Redis to flush: set cache.redis_url")
        try:
            await link.in_turn(partial(_flush, link, link.prefix if scope is None else f"{link.prefix}:{_tag(scope)}"))
        except RedisClusterException as error:
            raise Unreachable(str(error)) from error

    async def append_to_log(self, texts: Sequence[str], *, most: int, ttl_seconds: int) -> None:
        """Add texts to a list that all workers share. They are lost if Redis is not available.

        Args:
            texts: the texts, the newest last.
            most: number of texts in the list. The oldest are dropped first.
            ttl_seconds: seconds until the list ends, unless further texts come.
        """
        link = self._links.get()
        if link is None:
            return

        async def append() -> None:
            name = _log(link)
            async with link.client.pipeline(transaction=False) as pipeline:
                pipeline.lpush(name, *texts)
                pipeline.ltrim(name, 0, most - 1)
                pipeline.expire(name, ttl_seconds)
                await pipeline.execute()

        await link.attempt(append)

    async def read_log(self, most: int) -> list[str | bytes] | None:
        """Return the latest texts of the list, the newest first, or ``None`` if Redis is not available."""
        link = self._links.get()
        if link is None:
            return None

        async def read() -> list[str | bytes]:
            texts: list[str | bytes] = await link.client.lrange(_log(link), 0, most - 1)
            return texts

        return await link.attempt(read)

    async def aclose(self) -> None:
        """Close the connection of the running event loop."""
        link = self._links.pop()
        if link is not None:
            await link.aclose()

    def _linked(self) -> RedisConnection | None:
        try:
            connection = self._connect()
        except Exception as error:  # noqa: BLE001 - the client validates its many settings
            self._warn(
                f"image analysis: no connection to Redis can be made ({type(error).__name__}: {in_short(error)})."
                " Look at cache.redis_url, or at the gateway's own settings of Redis."
            )
            return None
        return None if connection is None else RedisConnection(connection, self._warn, self._clock)

    def _heard_of(self, scope: str) -> tuple[str, float]:
        """Return the generation of a scope, and the time of the read."""
        never = (NEVER_FLUSHED, -math.inf)
        heard: tuple[str, float] = self._heard.get().get(scope, never)
        return heard


async def _read(link: RedisConnection, scope: str, keys: Sequence[str]) -> tuple[str, list[str | bytes | None]] | None:
    """Return the generation of a scope and the values of these keys, or ``None`` if Redis is not available."""
    tagged = f"{link.prefix}:{_tag(scope)}"
    names = [f"{link.prefix}:generation", f"{tagged}:generation", *(f"{tagged}:{key}" for key in keys)]

    async def mget() -> list[str | bytes | None]:
        # In a cluster the keys of a scope are in one slot, and the generation of all scopes is in another.
        answer: list[str | bytes | None] = await getattr(link.client, "mget_nonatomic", link.client.mget)(names)
        return answer

    answer = await link.attempt(mget)
    if answer is None:
        return None
    of_all, of_scope, *values = answer
    return f"{_text(of_all)}:{_text(of_scope)}", values


async def _unlink(link: RedisConnection, *names: str) -> Any:
    return await link.client.unlink(*names)


async def _flush(link: RedisConnection, start: str) -> None:
    """Begin a new generation of all names with this start, and delete the values of the old one."""
    await link.client.set(f"{start}:generation", uuid.uuid4().hex)
    names = [name async for name in link.client.scan_iter(match=f"{_escaped(start)}:*", count=1000)]
    entries = [name for name in names if not _text(name).endswith((":generation", f":{FINGERPRINT}"))]
    for place in range(0, len(entries), 1000):
        await link.client.unlink(*entries[place : place + 1000])


def _log(link: RedisConnection) -> str:
    """Return the name of the list. A flush deletes names with the prefix and a colon, so it keeps the list."""
    return f"{link.prefix}-{LOG}"


def _tag(scope: str) -> str:
    """Return the scope as part of a name. The braces keep its names on one node of a cluster."""
    return f"{{{quote(scope, safe=':@.-_', errors='surrogatepass')}}}"


def _escaped(name: str) -> str:
    """Return a pattern that matches only this name."""
    return "".join(f"\\{character}" if character in "*?[]\\^" else character for character in name)


def _text(value: str | bytes | None) -> str:
    if value is None:
        return "-"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
