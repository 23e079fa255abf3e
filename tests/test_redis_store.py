"""Redis as it is and as it fails: real servers that hang, die, refuse and answer nonsense."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import assume, example, given
from hypothesis import strategies as st
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from support.proxy import free_port
from support.redis_server import RedisServer, running_redis, running_redis_cluster

from litellm_image_analysis import lease as leases
from litellm_image_analysis import redis_link, redis_store
from litellm_image_analysis.redis_link import PREFIX, Connection
from litellm_image_analysis.redis_store import NEVER_FLUSHED, Reading, RedisStore

TEAM = "team:research"
OTHER_TEAM = "team:sales"
KEY, OTHER_KEY = "a" * 64, "b" * 64
TEAM_NAMES = f"{PREFIX}:{{{TEAM}}}"
FOREVER = 3600.0
AT_ONCE = 0.01

SCOPES = st.text(st.characters(exclude_categories=()))  # lone surrogates as well: JSON may hold them
"""Team and user names come from tokens and from databases: they may be any text."""


class CountedRedis(Redis):
    """A client that remembers what it was asked to send."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sent: list[str] = []

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.sent.append(str(args[0]))
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # as redis has it


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Worker:
    """One worker's store, its connections and what it told the operator."""

    def __init__(self, url: str, namespace: str | None = None, **settings: Any) -> None:
        self.clients: list[CountedRedis] = []
        self.warnings: list[str] = []
        self.clock = Clock()
        self._url, self._namespace, self._settings = url, namespace, settings
        self.store = RedisStore(self._connect, self.warnings.append, self.clock)

    @property
    def sent(self) -> list[str]:
        return [command for client in self.clients for command in client.sent]

    def _connect(self) -> Connection:
        pool = ConnectionPool.from_url(self._url, **{"socket_timeout": 5, **self._settings})
        client = CountedRedis.from_pool(pool)
        assert isinstance(client, CountedRedis)
        client.set_retry(Retry(NoBackoff(), 1))
        self.clients.append(client)
        return Connection(client, self._namespace)


@asynccontextmanager
async def worker_at(url: str, namespace: str | None = None, **settings: Any) -> AsyncIterator[Worker]:
    worker = Worker(url, namespace, **settings)
    try:
        yield worker
    finally:
        await worker.store.aclose()


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for what a background task or another process is about to do."""
    with anyio.fail_after(30):
        while not (held if isinstance(held := condition(), bool) else await held):  # noqa: ASYNC110 - others' doing
            await anyio.sleep(0.005)


def values(reading: Reading | None) -> dict[str, str]:
    """What was read, whatever the client makes of bytes."""
    assert reading is not None
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in reading.values.items()}


@pytest.fixture(scope="module")
def module_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def server(module_server: RedisServer) -> RedisServer:
    """A server that stays well."""
    with module_server.client as client:
        client.flushall()
    return module_server


@pytest.fixture
def patient() -> Iterator[RedisServer]:
    """A server for tests that make it hang or die."""
    with running_redis() as fragile:
        yield fragile


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[RedisServer, RedisServer]]:
    with running_redis_cluster() as nodes:
        yield nodes


@pytest.fixture
async def worker(server: RedisServer) -> AsyncIterator[Worker]:
    async with worker_at(server.url) as worker:
        yield worker


@pytest.fixture
async def other_worker(server: RedisServer) -> AsyncIterator[Worker]:
    async with worker_at(server.url) as worker:
        yield worker


@pytest.fixture
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The breaker stays open once it is."""
    monkeypatch.setattr(redis_link, "_PROBE_SECONDS", FOREVER)


@pytest.fixture
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "_PROBE_SECONDS", AT_ONCE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of a hung Redis need not wait a quarter of a second each time."""
    monkeypatch.setattr(redis_link, "OPERATION_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def nothing_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task's exception goes unheard, no connection is left open (an error by pytest's own settings)."""
    yield
    gc.collect()
    asyncio_said = [record for record in caplog.get_records("call") if record.name == "asyncio"]
    assert [record.getMessage() for record in asyncio_said if record.levelno >= logging.WARNING] == []


class TestValues:
    async def test_what_one_worker_writes_all_read(self, worker: Worker, other_worker: Worker) -> None:
        await worker.store.write(TEAM, KEY, "a cat", 60)
        assert values(await other_worker.store.read(TEAM, [KEY])) == {KEY: "a cat"}

    async def test_what_is_not_there_is_left_out(self, worker: Worker) -> None:
        await worker.store.write(TEAM, KEY, "a cat", 60)
        assert values(await worker.store.read(TEAM, [OTHER_KEY, KEY])) == {KEY: "a cat"}

    async def test_a_key_of_another_scope_is_not_there(self, worker: Worker) -> None:
        await worker.store.write(OTHER_TEAM, KEY, "a cat", 60)
        assert values(await worker.store.read(TEAM, [KEY])) == {}

    async def test_twenty_images_cost_one_round_trip(self, server: RedisServer, worker: Worker) -> None:
        keys = [f"{number:064x}" for number in range(20)]
        for key in keys:
            await worker.store.write(TEAM, key, key, 60)
        with server.commands() as commands:
            assert values(await worker.store.read(TEAM, keys)) == {key: key for key in keys}
        assert [command.split()[0] for command in commands] == ["MGET"]

    async def test_a_value_ends_by_itself(self, server: RedisServer, worker: Worker) -> None:
        await worker.store.write(TEAM, KEY, "a cat", 60)
        with server.client as client:
            assert 0 < client.pttl(f"{TEAM_NAMES}:{KEY}") <= 60_000

    async def test_a_life_shorter_than_redis_can_tell_is_no_error(self, worker: Worker) -> None:
        await worker.store.write(TEAM, KEY, "a cat", 1e-9)
        assert worker.store.available

    async def test_a_life_longer_than_redis_can_count_is_no_error(self, worker: Worker) -> None:
        await worker.store.write(TEAM, KEY, "a cat", 1e18)
        assert worker.store.available

    @pytest.mark.parametrize("decode_responses", [True, False])
    async def test_a_client_may_decode_or_not(self, server: RedisServer, decode_responses: bool) -> None:
        async with worker_at(server.url, decode_responses=decode_responses) as worker:
            await worker.store.flush()
            await worker.store.write(TEAM, KEY, "eine Katze, \N{CAT FACE}", 60)
            reading = await worker.store.read(TEAM, [KEY])
            assert values(reading) == {KEY: "eine Katze, \N{CAT FACE}"}
            assert worker.store.generation(TEAM).endswith(":-")
            assert "b'" not in worker.store.generation(TEAM)
            await worker.store.flush(TEAM)
            assert values(await worker.store.read(TEAM, [KEY])) == {}

    async def test_more_readers_than_connections_wait_for_their_turn(self, server: RedisServer) -> None:
        """``max_connections`` is a setting of LiteLLM's; a client beyond it raises at once."""
        async with worker_at(server.url, max_connections=2) as worker:
            readings = await asyncio.gather(*(worker.store.read(TEAM, [KEY]) for _ in range(50)))
            assert (None in readings, worker.warnings) == (False, [])

    async def test_a_burst_takes_few_connections(self, server: RedisServer, worker: Worker) -> None:
        with server.client as client:
            before = client.info("stats")["total_connections_received"]
            await asyncio.gather(*(worker.store.read(TEAM, [f"{number:064x}"]) for number in range(300)))
            opened = client.info("stats")["total_connections_received"] - before
        assert 1 <= opened <= 16


class TestNames:
    async def test_every_name_starts_with_ours(self, server: RedisServer, worker: Worker) -> None:
        await worker.store.write(TEAM, KEY, "a cat", 60)
        await worker.store.flush()
        await worker.store.flush(OTHER_TEAM)
        await worker.store.write(TEAM, KEY, "a cat", 60)
        assert await worker.store.lease(TEAM, KEY).take()
        with server.client as client:
            assert sorted(client.keys()) == [
                f"{PREFIX}:generation",
                f"{TEAM_NAMES}:{KEY}",
                f"{TEAM_NAMES}:{KEY}:lease",
                f"{PREFIX}:{{{OTHER_TEAM}}}:generation",
            ]

    async def test_a_namespace_goes_before(self, server: RedisServer) -> None:
        async with worker_at(server.url, "gateway") as worker:
            await worker.store.write(TEAM, KEY, "a cat", 60)
            await worker.store.flush(TEAM)
            assert await worker.store.lease(TEAM, KEY).take()
        with server.client as client:
            names = client.keys()
        assert len(names) == 2
        assert all(name.startswith(f"gateway:{TEAM_NAMES}:") for name in names)

    async def test_namespaces_share_nothing(self, server: RedisServer, worker: Worker) -> None:
        async with worker_at(server.url, "gateway") as elsewhere:
            await elsewhere.store.write(TEAM, KEY, "a cat", 60)
            assert values(await worker.store.read(TEAM, [KEY])) == {}
            assert await elsewhere.store.lease(TEAM, KEY).take()
            assert await worker.store.lease(TEAM, KEY).take()

    @given(SCOPES, SCOPES)
    @example("\ud800", "\udfff")
    def test_two_scopes_never_share_a_name(self, one: str, other: str) -> None:
        assume(one != other)
        assert redis_store._tag(one) != redis_store._tag(other)

    @given(SCOPES)
    @example("}{*?[]^\\\ud800")
    def test_a_scope_cannot_end_its_tag_or_be_a_pattern(self, scope: str) -> None:
        tag = redis_store._tag(scope)
        assert (tag[0], tag[-1]) == ("{", "}")
        assert tag.isascii()
        assert not set("{}*?[]\\^ \r\n\x00") & set(tag[1:-1])

    async def test_a_scope_that_is_no_valid_text_is_a_scope_like_any_other(self, worker: Worker) -> None:
        """JSON may hold half a surrogate pair; a caller who can choose a name must not switch Redis off for all."""
        scope = "user:\ud800"
        await worker.store.write(scope, KEY, "a cat", 60)
        assert values(await worker.store.read(scope, [KEY])) == {KEY: "a cat"}
        assert await worker.store.lease(scope, KEY).take()
        await worker.store.flush(scope)
        assert values(await worker.store.read(scope, [KEY])) == {}


class TestGenerations:
    async def test_before_anybody_asked_or_flushed_it_is_the_first(self, worker: Worker) -> None:
        assert worker.store.generation(TEAM) == NEVER_FLUSHED
        reading = await worker.store.read(TEAM, [])
        assert reading is not None
        assert reading.generation == worker.store.generation(TEAM) == NEVER_FLUSHED

    async def test_a_flush_is_heard_by_all_workers(self, worker: Worker, other_worker: Worker) -> None:
        await worker.store.flush(TEAM)
        await other_worker.store.read(TEAM, [])
        await other_worker.store.read(OTHER_TEAM, [])
        assert other_worker.store.generation(TEAM) != NEVER_FLUSHED
        assert other_worker.store.generation(OTHER_TEAM) == NEVER_FLUSHED

    async def test_a_flush_of_all_is_heard_in_every_scope(self, worker: Worker, other_worker: Worker) -> None:
        await worker.store.flush()
        for scope in (TEAM, OTHER_TEAM):
            await other_worker.store.read(scope, [])
            assert other_worker.store.generation(scope) != NEVER_FLUSHED

    async def test_no_two_flushes_make_the_same_generation(self, worker: Worker) -> None:
        seen = set()
        for scope in (None, TEAM, TEAM, None):
            await worker.store.flush(scope)
            await worker.store.read(TEAM, [])
            seen.add(worker.store.generation(TEAM))
        assert len(seen) == 4

    async def test_what_was_just_heard_needs_no_asking_for_five_seconds(self, worker: Worker) -> None:
        assert not worker.store.is_current(TEAM)
        await worker.store.read(TEAM, [])
        worker.clock.now += 4.9
        assert worker.store.is_current(TEAM)
        assert not worker.store.is_current(OTHER_TEAM)
        worker.clock.now += 0.2
        assert not worker.store.is_current(TEAM)

    @pytest.mark.usefixtures("no_probe")
    async def test_there_is_no_use_in_asking_a_redis_that_is_gone(self) -> None:
        async with worker_at(f"redis://127.0.0.1:{free_port()}") as worker:
            await worker.store.read(TEAM, [])
            assert worker.store.is_current(TEAM)

    async def test_without_redis_all_is_of_the_first_generation(self) -> None:
        store = RedisStore(lambda: None, pytest.fail)
        assert store.generation(TEAM) == NEVER_FLUSHED
        assert store.is_current(TEAM)

    async def test_only_so_many_scopes_are_kept_in_mind(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_store, "_KNOWN_SCOPES", 2)
        for scope in ("team:1", "team:2", "team:3"):
            await worker.store.read(scope, [])
        assert [worker.store.is_current(f"team:{number}") for number in (1, 2, 3)] == [False, True, True]


class TestFlush:
    async def names(self, server: RedisServer) -> set[str]:
        with server.client as client:
            return set(client.keys())

    async def test_a_scope_is_emptied_and_its_generations_stay(self, server: RedisServer, worker: Worker) -> None:
        await worker.store.flush()
        await worker.store.write(TEAM, KEY, "a cat", 60)
        await worker.store.write(OTHER_TEAM, KEY, "a dog", 60)
        await worker.store.flush(TEAM)
        assert await self.names(server) == {
            f"{PREFIX}:generation",
            f"{TEAM_NAMES}:generation",
            f"{PREFIX}:{{{OTHER_TEAM}}}:{KEY}",
        }

    async def test_all_is_emptied_and_all_generations_stay(self, server: RedisServer, worker: Worker) -> None:
        await worker.store.flush(TEAM)
        await worker.store.write(TEAM, KEY, "a cat", 60)
        await worker.store.write(OTHER_TEAM, KEY, "a dog", 60)
        await worker.store.flush()
        assert await self.names(server) == {f"{PREFIX}:generation", f"{TEAM_NAMES}:generation"}

    async def test_thousands_are_emptied_a_thousand_at_a_time(self, server: RedisServer, worker: Worker) -> None:
        with server.client as client:
            client.mset({f"{TEAM_NAMES}:{number:064x}": "a cat" for number in range(2500)})
        await worker.store.flush(TEAM)
        assert await self.names(server) == {f"{TEAM_NAMES}:generation"}
        assert worker.sent.count("UNLINK") == 3

    @pytest.mark.parametrize("scope", [None, TEAM])
    async def test_what_is_not_ours_stays(self, server: RedisServer, worker: Worker, scope: str | None) -> None:
        foreign = {
            "litellm:spend",
            f"{PREFIX}-of-somebody-else",
            f"gateway:{PREFIX}:{{{TEAM}}}:{KEY}",
            f"{PREFIX.upper()}:{{{TEAM}}}:{KEY}",
        }
        with server.client as client:
            client.mset(dict.fromkeys(foreign, "not ours"))
        await worker.store.write(TEAM, KEY, "a cat", 60)
        await worker.store.flush(scope)
        assert foreign <= await self.names(server)
        assert f"{TEAM_NAMES}:{KEY}" not in await self.names(server)

    @pytest.mark.parametrize(
        ("namespace", "bystander"),
        [("*", "gateway"), ("?", "g"), ("[a-z]", "g"), ("[^x]", "g"), ("\\*", "*"), ("g\\", "g")],
    )
    async def test_a_namespace_is_no_pattern(self, server: RedisServer, namespace: str, bystander: str) -> None:
        async with worker_at(server.url, namespace) as ours, worker_at(server.url, bystander) as theirs:
            await ours.store.write(TEAM, KEY, "a cat", 60)
            await theirs.store.write(TEAM, KEY, "a dog", 60)
            await ours.store.flush()
            assert values(await ours.store.read(TEAM, [KEY])) == {}
            assert values(await theirs.store.read(TEAM, [KEY])) == {KEY: "a dog"}

    async def test_a_scope_is_no_pattern(self, worker: Worker) -> None:
        await worker.store.write("team:*", KEY, "a cat", 60)
        await worker.store.write(TEAM, KEY, "a dog", 60)
        await worker.store.flush("team:*")
        assert values(await worker.store.read("team:*", [KEY])) == {}
        assert values(await worker.store.read(TEAM, [KEY])) == {KEY: "a dog"}

    async def test_a_scope_is_no_beginning_of_others(self, worker: Worker) -> None:
        await worker.store.write(f"{TEAM}:and-more", KEY, "a dog", 60)
        await worker.store.flush(TEAM)
        assert values(await worker.store.read(f"{TEAM}:and-more", [KEY])) == {KEY: "a dog"}

    async def test_without_redis_the_operator_is_told_what_to_set(self) -> None:
        with pytest.raises(ConnectionError, match="redis_url"):
            await RedisStore(lambda: None, pytest.fail).flush()

    async def test_a_redis_that_is_gone_is_an_error_here(self) -> None:
        async with worker_at(f"redis://127.0.0.1:{free_port()}") as worker:
            with pytest.raises(RedisConnectionError):
                await worker.store.flush()


class TestFrozenRedis:
    @pytest.mark.usefixtures("no_probe", "impatient")
    async def test_one_operation_gives_up_and_the_breaker_answers_all_others(self, patient: RedisServer) -> None:
        async with worker_at(patient.url) as worker:
            await worker.store.write(TEAM, KEY, "a cat", 60)
            patient.freeze()
            assert await worker.store.read(TEAM, [KEY]) is None
            assert not worker.store.available
            sent = len(worker.sent)
            for _ in range(1000):
                assert await worker.store.read(TEAM, [KEY]) is None
                await worker.store.write(TEAM, KEY, "a dog", 60)
                assert not await worker.store.lease(TEAM, KEY).take()
            assert len(worker.sent) == sent
            assert len(worker.warnings) == 1

    @pytest.mark.usefixtures("no_probe", "impatient")
    async def test_an_open_breaker_answers_without_a_turn_of_the_event_loop(self, patient: RedisServer) -> None:
        async with worker_at(patient.url) as worker:
            patient.freeze()
            await worker.store.read(TEAM, [KEY])
            with pytest.raises(StopIteration):
                worker.store.read(TEAM, [KEY]).send(None)

    @pytest.mark.usefixtures("no_probe", "impatient")
    async def test_many_at_once_give_up_together_with_one_warning(self, patient: RedisServer) -> None:
        async with worker_at(patient.url) as worker:
            await worker.store.read(TEAM, [])
            patient.freeze()
            readings = await asyncio.gather(*(worker.store.read(TEAM, [KEY]) for _ in range(1000)))
            assert readings == [None] * 1000
            assert len(worker.sent) <= 1 + 16
            [warning] = worker.warnings
            assert "Redis does not answer (TimeoutError" in warning

    @pytest.mark.usefixtures("quick_probe", "impatient")
    async def test_it_is_used_again_once_a_probe_succeeds(self, patient: RedisServer) -> None:
        async with worker_at(patient.url, socket_timeout=FOREVER) as worker:
            await worker.store.write(TEAM, KEY, "a cat", 60)
            patient.freeze()
            assert await worker.store.read(TEAM, [KEY]) is None
            await until(lambda: worker.sent.count("PING") >= 2)
            assert not worker.store.available
            patient.thaw()
            await until(lambda: worker.store.available)
            assert values(await worker.store.read(TEAM, [KEY])) == {KEY: "a cat"}
            assert len(worker.warnings) == 1

    @pytest.mark.usefixtures("no_probe", "impatient")
    async def test_a_lease_ends_in_peace_while_redis_hangs(self, patient: RedisServer) -> None:
        async with worker_at(patient.url) as worker:
            lease = worker.store.lease(TEAM, KEY)
            assert await lease.take()
            async with lease.kept():
                patient.freeze()
            assert not worker.store.available

    @pytest.mark.usefixtures("quick_probe")
    async def test_closing_ends_the_probe(self, patient: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_link, "OPERATION_SECONDS", 0.05)
        worker = Worker(patient.url)
        patient.freeze()
        await worker.store.read(TEAM, [KEY])
        await worker.store.aclose()
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


class TestRedisThatIsGone:
    @pytest.mark.usefixtures("no_probe")
    async def test_a_refused_connection_is_no_error(self) -> None:
        async with worker_at(f"redis://127.0.0.1:{free_port()}") as worker:
            assert worker.store.available
            assert await worker.store.read(TEAM, [KEY]) is None
            assert not worker.store.available
            assert not await worker.store.lease(TEAM, KEY).take()
            await worker.store.write(TEAM, KEY, "a cat", 60)
            [warning] = worker.warnings
            assert "ConnectionError" in warning

    @pytest.mark.usefixtures("quick_probe")
    async def test_a_redis_that_was_killed_is_used_again_when_it_is_back(self, patient: RedisServer) -> None:
        async with worker_at(patient.url) as worker:
            await worker.store.write(TEAM, KEY, "a cat", 60)
            patient.stop()
            assert await worker.store.read(TEAM, [KEY]) is None
            patient.start()
            await until(lambda: worker.store.available)
            assert values(await worker.store.read(TEAM, [KEY])) == {}
            await worker.store.write(TEAM, KEY, "a dog", 60)
            assert values(await worker.store.read(TEAM, [KEY])) == {KEY: "a dog"}

    async def test_a_redis_that_came_back_unnoticed_costs_nothing(self, patient: RedisServer) -> None:
        """Connections that went stale are made anew, without a warning."""
        async with worker_at(patient.url) as worker:
            await asyncio.gather(*(worker.store.read(TEAM, [KEY]) for _ in range(5)))
            patient.stop()
            patient.start()
            assert await worker.store.read(TEAM, [KEY]) is not None
            assert worker.warnings == []

    @pytest.mark.usefixtures("no_probe")
    @pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}", "redis://:wrong-secret@127.0.0.1:{port}"])
    async def test_a_wrong_password_is_told_and_not_shown(self, url: str) -> None:
        with running_redis(password="right-secret") as guarded:
            async with worker_at(url.format(port=guarded.port)) as worker:
                assert await worker.store.read(TEAM, [KEY]) is None
                [warning] = worker.warnings
                assert "Authentication" in warning
                assert "secret" not in warning

    async def test_a_right_password_opens(self) -> None:
        with running_redis(password="right-secret") as guarded:
            async with worker_at(guarded.url) as worker:
                assert values(await worker.store.read(TEAM, [KEY])) == {}

    @pytest.mark.usefixtures("no_probe")
    async def test_settings_that_make_no_client_cost_redis_only(self) -> None:
        """LiteLLM raises where settings are incomplete, such as a sentinel without its service name."""
        warnings: list[str] = []

        def connect() -> Connection:
            raise ValueError("Either 'host' or 'url' must be specified for redis.")

        store = RedisStore(connect, warnings.append)
        assert await store.read(TEAM, [KEY]) is None
        await store.write(TEAM, KEY, "a cat", 60)
        assert not await store.lease(TEAM, KEY).take()
        assert not store.available
        assert (store.generation(TEAM), store.is_current(TEAM)) == (NEVER_FLUSHED, True)
        assert len(warnings) == 1
        assert "must be specified for redis" in warnings[0]

    async def test_without_redis_nothing_is_stored_and_nobody_warned(self) -> None:
        store = RedisStore(lambda: None, pytest.fail)
        await store.write(TEAM, KEY, "a cat", 60)
        assert await store.read(TEAM, [KEY]) is None
        assert not await store.lease(TEAM, KEY).take()
        assert not store.available
        await store.aclose()


class TestRedisThatRefuses:
    @pytest.mark.usefixtures("no_probe")
    @pytest.mark.parametrize("answer", [b"", b"!!garbage\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00"])
    async def test_what_is_no_redis_is_told_from_one(self, answer: bytes) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(answer)
            await writer.drain()
            writer.close()

        listener = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with listener, worker_at(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}") as worker:
            assert await worker.store.read(TEAM, [KEY]) is None
            assert not worker.store.available
            assert len(worker.warnings) == 1

    async def test_other_types_under_our_names_are_nothing(self, server: RedisServer, worker: Worker) -> None:
        with server.client as client:
            client.rpush(f"{TEAM_NAMES}:{KEY}", "a list")
            client.hset(f"{TEAM_NAMES}:generation", "a", "hash")
            client.sadd(f"{PREFIX}:generation", "a set")
        reading = await worker.store.read(TEAM, [KEY])
        assert values(reading) == {}
        assert worker.store.generation(TEAM) == NEVER_FLUSHED
        await worker.store.write(TEAM, KEY, "a cat", 60)
        await worker.store.flush()
        assert worker.store.available

    async def test_another_type_under_a_leases_name_is_a_lease_somebody_has(
        self, server: RedisServer, worker: Worker
    ) -> None:
        with server.client as client:
            client.rpush(f"{TEAM_NAMES}:{KEY}:lease", "a list")
        assert not await worker.store.lease(TEAM, KEY).take()
        assert worker.store.available

    @pytest.mark.usefixtures("no_probe")
    async def test_a_full_redis_is_told_by_its_own_words(self) -> None:
        with running_redis("--maxmemory", "1") as full:
            async with worker_at(full.url) as worker:
                assert values(await worker.store.read(TEAM, [KEY])) == {}
                await worker.store.write(TEAM, KEY, "a cat", 60)
                [warning] = worker.warnings
                assert "maxmemory" in warning
                with pytest.raises(ResponseError, match="maxmemory"):
                    await worker.store.flush()

    @pytest.mark.usefixtures("no_probe")
    async def test_a_replica_that_takes_no_writes_is_told(self) -> None:
        with running_redis("--replicaof", "127.0.0.1", str(free_port())) as replica:
            async with worker_at(replica.url) as worker:
                assert values(await worker.store.read(TEAM, [KEY])) == {}
                assert not await worker.store.lease(TEAM, KEY).take()
                [warning] = worker.warnings
                assert "read only replica" in warning

    @pytest.mark.usefixtures("quick_probe")
    async def test_the_operator_is_warned_once_a_minute_however_often_it_breaks(self) -> None:
        with running_redis("--maxmemory", "1") as full:
            async with worker_at(full.url) as worker:
                for seconds, warnings in ((0, 1), (30, 1), (29.9, 1), (0.1, 2), (59, 2), (1, 3)):
                    worker.clock.now += seconds
                    await worker.store.write(TEAM, KEY, "a cat", 60)
                    await until(lambda: worker.store.available)
                    assert len(worker.warnings) == warnings


class TestBusyEventLoop:
    async def test_a_busy_event_loop_is_not_a_slow_redis(
        self, server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every turn takes longer than all the time an operation has, and a connection is to be made as well."""
        monkeypatch.setattr(redis_link, "OPERATION_SECONDS", 0.01)
        loop, working = asyncio.get_running_loop(), True

        def work() -> None:
            time.sleep(0.02)
            if working:
                loop.call_soon(work)

        async with worker_at(server.url) as worker:
            loop.call_soon(work)
            reading = await worker.store.read(TEAM, [KEY])
            working = False
            assert (reading is not None, worker.warnings) == (True, [])
            await checkpoint()

    async def test_a_pause_of_the_process_is_not_a_slow_redis(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_link, "OPERATION_SECONDS", 0.05)
        for turns in range(12):
            reading = asyncio.ensure_future(worker.store.read(TEAM, [KEY]))
            for _ in range(turns):
                await checkpoint()
            pause()
            assert await reading is not None
        assert worker.warnings == []


def pause() -> None:
    """Nothing happens in this process for longer than an operation may take."""
    time.sleep(0.1)


class TestCancellation:
    async def test_a_cancelled_operation_leaves_no_answer_behind(self, worker: Worker) -> None:
        """The next user of a connection must not get what was meant for the one before."""
        keys = [f"{number:064x}" for number in range(20)]
        for key in keys:
            await worker.store.write(TEAM, key, key, 60)
        schedule = random.Random(4)
        for _ in range(300):
            key = schedule.choice(keys)
            reading = asyncio.ensure_future(worker.store.read(TEAM, [key]))
            for _ in range(schedule.randrange(8)):
                await checkpoint()
            reading.cancel()
            other = schedule.choice(keys)
            assert values(await worker.store.read(TEAM, [other])) == {other: other}
        assert worker.warnings == []

    async def test_a_cancelled_operation_does_not_take_a_place_at_the_gate(self, patient: RedisServer) -> None:
        async with worker_at(patient.url) as worker:
            await worker.store.write(TEAM, KEY, "a cat", 60)
            patient.freeze()
            readings = [asyncio.ensure_future(worker.store.read(TEAM, [KEY])) for _ in range(100)]
            for _ in range(5):
                await checkpoint()
            for reading in readings:
                reading.cancel()
            await asyncio.wait(readings)
            patient.thaw()
            assert values(await worker.store.read(TEAM, [KEY])) == {KEY: "a cat"}
            assert worker.warnings == []

    async def test_a_deadline_around_it_is_not_redis_being_slow(self, patient: RedisServer) -> None:
        async with worker_at(patient.url) as worker:
            await worker.store.read(TEAM, [])
            patient.freeze()
            with anyio.move_on_after(AT_ONCE) as deadline:
                await worker.store.read(TEAM, [KEY])
            assert deadline.cancelled_caught
            assert worker.store.available
            patient.thaw()

    async def test_an_error_in_the_moment_of_a_cancellation_is_not_left_unheard(self) -> None:
        unheard: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

        async def fail_as_the_caller_leaves() -> None:
            caller.cancel()
            raise RedisConnectionError

        caller = asyncio.ensure_future(redis_link.within(FOREVER, fail_as_the_caller_leaves()))
        with pytest.raises(asyncio.CancelledError):
            await caller
        gc.collect()
        assert unheard == []

    async def test_what_was_given_up_is_ended(self) -> None:
        ended = asyncio.Event()

        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        with pytest.raises(TimeoutError):
            await redis_link.within(AT_ONCE, hang())
        with anyio.fail_after(30):
            await ended.wait()

    async def test_an_error_after_the_time_is_up_is_not_left_unheard(self) -> None:
        """A client may raise something of its own when it is cancelled."""
        unheard: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise RedisConnectionError

        with pytest.raises(TimeoutError):
            await redis_link.within(AT_ONCE, hang())
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        gc.collect()
        assert unheard == []


class TestLease:
    @pytest.fixture
    def quick_renewal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leases, "_RENEWAL_SECONDS", AT_ONCE)

    async def test_one_worker_has_it_at_a_time(self, worker: Worker, other_worker: Worker) -> None:
        ours, theirs = worker.store.lease(TEAM, KEY), other_worker.store.lease(TEAM, KEY)
        assert await ours.take()
        assert not await theirs.take()
        async with ours.kept():
            assert not await theirs.take()
        assert await theirs.take()

    async def test_of_many_who_ask_at_once_one_gets_it(self, worker: Worker, other_worker: Worker) -> None:
        leases = [each.store.lease(TEAM, KEY) for each in (worker, other_worker) * 50]
        taken = await asyncio.gather(*(lease.take() for lease in leases))
        assert taken.count(True) == 1

    async def test_other_keys_and_scopes_have_their_own(self, worker: Worker) -> None:
        for scope, key in ((TEAM, KEY), (TEAM, OTHER_KEY), (OTHER_TEAM, KEY)):
            assert await worker.store.lease(scope, key).take()

    @pytest.mark.usefixtures("quick_renewal")
    async def test_it_is_renewed_while_it_is_kept(self, server: RedisServer, worker: Worker) -> None:
        lease = worker.store.lease(TEAM, KEY)
        assert await lease.take()
        with server.client as client:
            async with lease.kept():
                for _ in range(3):
                    client.pexpire(f"{TEAM_NAMES}:{KEY}:lease", 5000)
                    await until(lambda: client.pttl(f"{TEAM_NAMES}:{KEY}:lease") > 5000)

    async def test_it_ends_by_itself_if_its_worker_dies(
        self, worker: Worker, other_worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
        assert await worker.store.lease(TEAM, KEY).take()
        theirs = other_worker.store.lease(TEAM, KEY)

        async def is_free() -> bool:
            return await theirs.take() is True

        await until(is_free)

    async def test_a_worker_that_dies_holds_the_others_up_for_ten_seconds_at_most(
        self, server: RedisServer, worker: Worker
    ) -> None:
        assert await worker.store.lease(TEAM, KEY).take()
        with server.client as client:
            assert 0 < client.pttl(f"{TEAM_NAMES}:{KEY}:lease") <= 10_000

    async def test_an_error_inside_gives_it_back(self, worker: Worker, other_worker: Worker) -> None:
        lease = worker.store.lease(TEAM, KEY)
        assert await lease.take()
        with pytest.raises(RuntimeError, match="vision"):
            async with lease.kept():
                raise RuntimeError("the vision model failed")
        assert await other_worker.store.lease(TEAM, KEY).take()

    async def test_a_task_cancelled_inside_gives_it_back(self, worker: Worker, other_worker: Worker) -> None:
        inside = asyncio.Event()

        async def look() -> None:
            lease = worker.store.lease(TEAM, KEY)
            assert await lease.take()
            async with lease.kept():
                inside.set()
                await asyncio.Event().wait()

        looking = asyncio.ensure_future(look())
        await inside.wait()
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        assert await other_worker.store.lease(TEAM, KEY).take()

    async def test_a_deadline_inside_gives_it_back(self, worker: Worker, other_worker: Worker) -> None:
        lease = worker.store.lease(TEAM, KEY)
        assert await lease.take()
        with anyio.CancelScope() as scope:
            async with lease.kept():
                await worker.clients[0].connection_pool.disconnect()  # giving back takes more than a moment
                scope.cancel()
                await checkpoint()
        assert scope.cancelled_caught
        assert await other_worker.store.lease(TEAM, KEY).take()

    @pytest.mark.usefixtures("quick_renewal")
    async def test_a_lost_lease_is_not_taken_back_from_who_has_it_now(
        self, server: RedisServer, worker: Worker, other_worker: Worker
    ) -> None:
        ours, theirs = worker.store.lease(TEAM, KEY), other_worker.store.lease(TEAM, KEY)
        assert await ours.take()
        async with ours.kept():
            with server.client as client:
                client.delete(f"{TEAM_NAMES}:{KEY}:lease")
                assert await theirs.take()
                client.pexpire(f"{TEAM_NAMES}:{KEY}:lease", 5000)
                renewals = worker.sent.count("EVALSHA")
                await until(lambda: worker.sent.count("EVALSHA") >= renewals + 3)
                assert client.pttl(f"{TEAM_NAMES}:{KEY}:lease") <= 5000
        assert not await worker.store.lease(TEAM, KEY).take()
        assert worker.warnings == []

    @pytest.mark.usefixtures("quick_renewal")
    async def test_a_flush_takes_leases_and_harms_nobody(self, worker: Worker, other_worker: Worker) -> None:
        ours = worker.store.lease(TEAM, KEY)
        assert await ours.take()
        async with ours.kept():
            await other_worker.store.flush(TEAM)
            assert await other_worker.store.lease(TEAM, KEY).take()
        assert worker.warnings == []

    async def test_keeping_what_was_not_taken_does_nothing(self, worker: Worker, other_worker: Worker) -> None:
        assert await other_worker.store.lease(TEAM, KEY).take()
        lease = worker.store.lease(TEAM, KEY)
        assert not await lease.take()
        sent = len(worker.sent)
        async with lease.kept():
            await checkpoint()
        assert len(worker.sent) == sent

    @pytest.mark.usefixtures("quick_renewal")
    async def test_nothing_is_renewed_after_the_block(self, worker: Worker) -> None:
        lease = worker.store.lease(TEAM, KEY)
        assert await lease.take()
        async with lease.kept():
            await until(lambda: "EVALSHA" in worker.sent)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


class TestEventLoops:
    def test_each_has_a_connection_of_its_own(self, server: RedisServer) -> None:
        worker = Worker(server.url)

        async def use(number: int) -> dict[str, str]:
            await worker.store.write(TEAM, f"{number:064x}", "a cat", 60)
            try:
                return values(await worker.store.read(TEAM, [f"{seen:064x}" for seen in range(3)]))
            finally:
                await worker.store.aclose()

        assert [len(asyncio.run(use(number))) for number in range(3)] == [1, 2, 3]
        assert len(worker.clients) == 3
        assert worker.warnings == []

    @pytest.mark.filterwarnings(  # nobody could close what belonged to a loop that is gone
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    )
    def test_one_that_ended_without_a_word_harms_not_the_next(self, server: RedisServer) -> None:
        worker = Worker(server.url)
        for _ in range(3):
            assert asyncio.run(worker.store.read(TEAM, [KEY])) is not None
        assert worker.warnings == []

    @pytest.mark.usefixtures("no_probe")
    def test_what_is_broken_in_one_is_tried_in_the_next(self, patient: RedisServer) -> None:
        worker = Worker(patient.url)

        async def use() -> Reading | None:
            try:
                return await worker.store.read(TEAM, [KEY])
            finally:
                await worker.store.aclose()

        patient.stop()
        assert asyncio.run(use()) is None
        patient.start()
        assert asyncio.run(use()) is not None

    async def test_closing_twice_or_before_use_is_no_error(self, server: RedisServer) -> None:
        worker = Worker(server.url)
        await worker.store.aclose()
        await worker.store.read(TEAM, [KEY])
        await worker.store.aclose()
        await worker.store.aclose()

    async def test_after_closing_it_connects_anew(self, worker: Worker) -> None:
        await worker.store.write(TEAM, KEY, "a cat", 60)
        await worker.store.aclose()
        assert values(await worker.store.read(TEAM, [KEY])) == {KEY: "a cat"}


class TestClusterMode:
    @pytest.fixture
    async def store(self, nodes: tuple[RedisServer, RedisServer]) -> AsyncIterator[RedisStore]:
        for node in nodes:
            with node.client as client:
                client.flushall()
        store = self.store_at(nodes[0])
        yield store
        await store.aclose()

    @staticmethod
    def store_at(node: RedisServer) -> RedisStore:
        def connect() -> Connection:
            client = RedisCluster(host="127.0.0.1", port=node.port, socket_timeout=5)
            client.set_retry(Retry(NoBackoff(), 1))
            return Connection(client)

        return RedisStore(connect, pytest.fail)

    async def test_values_of_many_scopes_are_written_and_read(self, store: RedisStore) -> None:
        keys = [f"{number:064x}" for number in range(20)]
        for scope in (TEAM, OTHER_TEAM, "global", "nobody"):
            for key in keys:
                await store.write(scope, key, f"{scope} {key}", 60)
            expected = {key: f"{scope} {key}" for key in keys}
            assert values(await store.read(scope, [*keys, KEY])) == expected

    async def test_a_scope_lives_on_one_node(self, store: RedisStore, nodes: tuple[RedisServer, RedisServer]) -> None:
        for number in range(20):
            await store.write(TEAM, f"{number:064x}", "a cat", 60)
        assert await store.lease(TEAM, KEY).take()
        with nodes[0].client as one, nodes[1].client as two:
            assert {one.dbsize(), two.dbsize()} == {0, 21}

    async def test_a_lease_has_one_holder(self, store: RedisStore, nodes: tuple[RedisServer, RedisServer]) -> None:
        other = self.store_at(nodes[1])
        for scope in (TEAM, OTHER_TEAM, "global", "nobody"):
            ours, theirs = store.lease(scope, KEY), other.lease(scope, KEY)
            assert await ours.take()
            assert not await theirs.take()
            async with ours.kept():
                assert not await theirs.take()
            assert await theirs.take()
        await other.aclose()

    async def test_a_lease_is_renewed(
        self, store: RedisStore, nodes: tuple[RedisServer, RedisServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "_RENEWAL_SECONDS", AT_ONCE)
        lease, name = store.lease(TEAM, KEY), f"{TEAM_NAMES}:{KEY}:lease"
        assert await lease.take()
        with nodes[0].client as one, nodes[1].client as two:
            [holder] = [node for node in (one, two) if node.dbsize()]
            async with lease.kept():
                holder.pexpire(name, 5000)
                await until(lambda: holder.pttl(name) > 5000)

    async def test_a_flush_of_all_reaches_every_node(
        self, store: RedisStore, nodes: tuple[RedisServer, RedisServer]
    ) -> None:
        for number in range(50):
            await store.write(f"team:{number}", KEY, "a cat", 60)
        with nodes[0].client as one, nodes[1].client as two:
            assert one.dbsize() > 0
            assert two.dbsize() > 0
            await store.flush()
            assert [*one.keys(), *two.keys()] == [f"{PREFIX}:generation"]
        await store.read(TEAM, [])
        assert store.generation(TEAM) != NEVER_FLUSHED

    async def test_a_flush_of_a_scope_leaves_the_others(self, store: RedisStore) -> None:
        for scope in (TEAM, OTHER_TEAM):
            await store.write(scope, KEY, "a cat", 60)
        await store.flush(TEAM)
        assert values(await store.read(TEAM, [KEY])) == {}
        assert values(await store.read(OTHER_TEAM, [KEY])) == {KEY: "a cat"}

    async def test_a_cluster_that_is_gone_is_no_error_and_a_flush_says_so(self) -> None:
        warnings: list[str] = []
        store = RedisStore(lambda: Connection(RedisCluster(host="127.0.0.1", port=free_port())), warnings.append)
        assert await store.read(TEAM, [KEY]) is None
        assert len(warnings) == 1
        with pytest.raises(RedisConnectionError):
            await store.flush()
        await store.aclose()
