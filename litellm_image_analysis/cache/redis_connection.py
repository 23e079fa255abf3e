"""A connection to a Redis that may be slow, hung or down at any time.

Every operation may take 0.2 seconds. After a timeout, operations fail at once until a probe succeeds.
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
_GO_ON = "Requests go on with this worker's own memory"
_AT_ONCE = 16
_QUOTED = re.compile(r"(?:^|[\s(\[{:,=])['\"`]|://")


@dataclass(frozen=True, slots=True)
class NamespacedClient:
    """A Redis client, and the namespace of its keys."""

    client: Redis | RedisCluster
    namespace: str | None = None


class RedisConnection:
    """The connection of one event loop, because clients of Redis belong to a loop.

    Args:
        connection: the client and its namespace.
        warn: logs a warning: when Redis stops answering, when an operation succeeds again, and at most once a minute if
            Redis refuses.
        clock: monotonic clock, in seconds.
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
        self._is_told_gone = False

    @property
    def broken(self) -> bool:
        """Whether Redis did not answer the last operation."""
        return self._probe is not None

    async def attempt(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Return the result of an operation. ``None`` if Redis refuses or does not answer, or is known to be down."""
        if self.broken:
            return None
        try:
            result = await within(OPERATION_SECONDS, self.in_turn(operation))
        except Exception as error:  # noqa: BLE001 - the client, TLS and credential providers raise many types
            if _is_refusal(error):
                self._tell_refusal(error)
            elif not self.broken:
                self._probe = asyncio.ensure_future(self._until_it_answers())
                self._tell_outage(error)
            return None
        if self._is_told_gone:
            self._is_told_gone = False
            self._warn("image analysis: Redis answers again")
        return result

    async def aclose(self) -> None:
        """Close the connection."""
        if self._probe is not None:
            self._probe.cancel()
        await self.client.aclose()

    async def in_turn(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of an operation without a time limit. Not more run than the client has connections."""
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

    def _tell_outage(self, error: Exception) -> None:
        """Log an outage once. It ends with the next operation that succeeds: a slow Redis may still answer a ping."""
        if not self._is_told_gone:
            self._is_told_gone = True
            self._warn(
                f"image analysis: Redis does not answer ({_named(error)}). {_GO_ON}. It is tried again every"
                f" {_PROBE_SECONDS:g} s."
            )

    def _tell_refusal(self, error: Exception) -> None:
        """Log a refusal, unless one was logged within the last minute: some commands succeed between refused ones."""
        if self._clock() - self._warned < _QUIET_SECONDS:
            return
        self._warned = self._clock()
        self._warn(f"image analysis: Redis refuses ({_named(error)}). {_GO_ON}.")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {in_short(error)}"


def in_short(error: Exception) -> str:
    """Return the text of an error up to its first quotation. Redis quotes the refused command with the analysis."""
    return _QUOTED.split(str(error))[0].strip()


async def within(seconds: float, operation: Coroutine[Any, Any, T]) -> T:
    """Return the result of an operation within a number of seconds.

    The time is divided into ticks, and each takes at least one turn of the event loop. A busy event loop is therefore
    not mistaken for a slow Redis.

    Raises:
        TimeoutError: there is no result in time.
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
    """Retrieve the exception of an abandoned task. Otherwise asyncio would log it."""
    if not task.cancelled():
        task.exception()


def _connections(client: Any) -> int:
    """Return the number of connections to one node that a client may open. The client refuses to open more."""
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        return int(pool.max_connections)
    of_cluster = getattr(client, "connection_kwargs", {}).get("max_connections")  # one command may need two
    return _AT_ONCE if of_cluster is None else max(1, int(of_cluster) // 2)


def _is_refusal(error: Exception) -> bool:
    """Return whether Redis answered with an error: it is full, read-only, denies access, or a value is not text."""
    from redis.exceptions import ResponseError

    return isinstance(error, (ResponseError, UnicodeError))
