"""A connection to a Redis that may be slow, hung or gone at any time.

Every operation has a fifth of a second; then a breaker answers for Redis until a probe has succeeded.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

T = TypeVar("T")

PREFIX = "litellm-image-analysis"
OPERATION_SECONDS = 0.2

_TICKS = 20
_PROBE_SECONDS = 1.0
_QUIET_SECONDS = 60.0
_AT_ONCE = 16
_QUOTED = re.compile(r"(?:^|[\s(\[{:,=])['\"`]|://")


@dataclass(frozen=True, slots=True)
class NamespacedClient:
    """A client of Redis, and the namespace its user keeps to."""

    client: Redis | RedisCluster
    namespace: str | None = None


class RedisConnection:
    """One event loop's connection; clients of Redis belong to a loop.

    Args:
        connection: what to talk through.
        warn: tells the operator, once a minute at most.
        clock: seconds that never go back.
    """

    def __init__(
        self, connection: NamespacedClient, warn: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.client = connection.client
        self.prefix = f"{connection.namespace}:{PREFIX}" if connection.namespace else PREFIX
        self._warn = warn
        self._clock = clock
        self._gate = asyncio.Semaphore(min(_AT_ONCE, _connections(connection.client)))
        self._probe: asyncio.Task[None] | None = None
        self._warned = -_QUIET_SECONDS

    @property
    def broken(self) -> bool:
        """Whether Redis did not answer when it was last asked."""
        return self._probe is not None

    async def attempt(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """What Redis answers, or ``None`` if it does not or refuses: at once while the breaker is open."""
        if self.broken:
            return None
        try:
            return await within(OPERATION_SECONDS, self.in_turn(operation))
        except Exception as error:  # noqa: BLE001 - a client, its TLS and its credential provider may raise anything
            refused = _is_refusal(error)
            if not refused and not self.broken:
                self._probe = asyncio.ensure_future(self._until_it_answers())
            self._complain("refuses" if refused else "does not answer", error)
            return None

    async def aclose(self) -> None:
        """Close the connection."""
        if self._probe is not None:
            self._probe.cancel()
        await self.client.aclose()

    async def in_turn(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What Redis answers, however long it takes: as many at once as the client has connections."""
        async with self._gate:
            return await operation()

    async def _until_it_answers(self) -> None:
        while self.broken:
            await asyncio.sleep(_PROBE_SECONDS)
            try:
                await within(OPERATION_SECONDS, self._ping())
            except Exception as error:  # noqa: BLE001 - as above
                if not _is_refusal(error):
                    continue
            self._probe = None

    async def _ping(self) -> None:
        await self.client.ping()

    def _complain(self, what: str, error: Exception) -> None:
        if self._clock() - self._warned < _QUIET_SECONDS:
            return
        self._warned = self._clock()
        self._warn(
            f"image analysis: Redis {what} ({type(error).__name__}: {in_short(error)}). Requests go on with this"
            f" worker's own memory; a Redis that does not answer is tried again every {_PROBE_SECONDS:g} s."
        )


def in_short(error: Exception) -> str:
    """An error's words up to what it quotes: Redis quotes the command it refuses, and with it an analysis."""
    return _QUOTED.split(str(error))[0].strip()


async def within(seconds: float, operation: Coroutine[Any, Any, T]) -> T:
    """The operation's result, if it has one in so much time.

    Time goes by in ticks that each last at least one turn of the event loop: a loop busy with other things must not
    be taken for a slow Redis.

    Raises:
        TimeoutError: it has none.
    """
    task = asyncio.ensure_future(operation)
    task.add_done_callback(_noted)
    try:
        for _ in range(_TICKS):
            done, _ = await asyncio.wait({task}, timeout=seconds / _TICKS)
            if done:
                return task.result()
    finally:
        task.cancel()
    raise TimeoutError(f"no answer within {seconds:g} s")


def _noted(task: asyncio.Task[Any]) -> None:
    """Look at the error of what was given up, which asyncio would report otherwise."""
    if not task.cancelled():
        task.exception()


def _connections(client: Any) -> int:
    """How many connections to one node a client may open; past that it does not wait, it fails."""
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        return int(pool.max_connections)
    of_cluster = getattr(client, "connection_kwargs", {}).get("max_connections")  # it may take two for one command
    return _AT_ONCE if of_cluster is None else max(1, int(of_cluster) // 2)


def _is_refusal(error: Exception) -> bool:
    """Whether Redis is there and will not: it is full, or a replica, wants other rights, or holds what is no text."""
    from redis.exceptions import ResponseError

    return isinstance(error, (ResponseError, UnicodeError))
