"""Workers that use a real Redis, and fixtures for their tests. ``conftest.py`` imports the fixtures."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from support.clock import Clock
from support.redis_server import RedisServer, running_redis, running_redis_cluster

from litellm_image_analysis.cache import redis_connection
from litellm_image_analysis.cache.redis_connection import NamespacedClient, RedisConnection

FOREVER = 3600.0
AT_ONCE = 0.01

REFUSALS = {
    "OutOfMemoryError": ("--maxmemory", "1"),
    "ReadOnlyError": ("--replicaof", "127.0.0.1", "1"),
    "NoPermissionError": ("--user", "default", "on", "nopass", "~*", "+@all", "-set"),
}
"""Settings of servers that answer but refuse writes, by the client's error."""


class CountedRedis(Redis):
    """A client that records its commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sent: list[str] = []

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.sent.append(str(args[0]))
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # as redis has it


def client_at(url: str, **settings: Any) -> CountedRedis:
    """A client with the same retries as the gateway's clients."""
    client = CountedRedis.from_url(url, **{"socket_timeout": 5, **settings})
    assert isinstance(client, CountedRedis)
    client.set_retry(Retry(NoBackoff(), 1))
    return client


class Worker:
    """The Redis connection of one worker, and its messages to the operator."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.client = client_at(url, **settings)
        self.warnings: list[str] = []
        self.clock = Clock()
        self.link = RedisConnection(NamespacedClient(self.client), self.warnings.append, self.clock)

    async def ask(self, *command: str) -> Any:
        """The answer of Redis to one command. ``None`` if there is no answer."""

        async def operation() -> Any:
            return await self.client.execute_command(*command)

        return await self.link.attempt(operation)


@asynccontextmanager
async def worker_at(url: str, **settings: Any) -> AsyncIterator[Worker]:
    worker = Worker(url, **settings)
    try:
        yield worker
    finally:
        await worker.link.aclose()


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for a condition that a background task or another process fulfils."""
    with anyio.fail_after(30):
        while not (held if isinstance(held := condition(), bool) else await held):  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.005)


@pytest.fixture(scope="module")
def redis_process() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow a working Redis more time, because the machine may be busy."""
    monkeypatch.setattr(redis_connection, "OPERATION_SECONDS", 20.0)


@pytest.fixture
def redis(redis_process: RedisServer, patient: None) -> RedisServer:
    """A working, empty Redis."""
    with redis_process.client as client:
        client.flushall()
    return redis_process


@pytest.fixture(scope="module")
def cluster_processes() -> Iterator[tuple[RedisServer, RedisServer]]:
    with running_redis_cluster() as servers:
        yield servers


@pytest.fixture
def nodes(cluster_processes: tuple[RedisServer, RedisServer], patient: None) -> tuple[RedisServer, RedisServer]:
    """The nodes of a working, empty Redis Cluster."""
    for node in cluster_processes:
        with node.client as client:
            client.flushall()
    return cluster_processes


@pytest.fixture
def mortal_redis() -> Iterator[RedisServer]:
    """A Redis that a test may freeze or kill."""
    with running_redis() as server:
        yield server


@pytest.fixture
async def worker(redis: RedisServer) -> AsyncIterator[Worker]:
    async with worker_at(redis.url) as worker:
        yield worker


@pytest.fixture
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure, Redis is not tried again."""
    monkeypatch.setattr(redis_connection, "_PROBE_SECONDS", FOREVER)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time limit for tests of a hanging Redis."""
    monkeypatch.setattr(redis_connection, "OPERATION_SECONDS", 0.05)


@pytest.fixture
def nothing_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if the exception of a task is not retrieved. An open connection is an error by pytest's settings."""
    yield
    gc.collect()
    asyncio_said = [record for record in caplog.get_records("call") if record.name == "asyncio"]
    assert [record.getMessage() for record in asyncio_said if record.levelno >= logging.WARNING] == []
