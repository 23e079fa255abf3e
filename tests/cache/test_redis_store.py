"""Values in a real Redis: their names, flushes, and clusters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from redis.asyncio import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from support.clock import Clock
from support.proxy import free_port
from support.redis_server import RedisServer, running_redis
from support.redis_worker import AT_ONCE, REFUSALS, client_at, until

from litellm_image_analysis.cache import lease as leases
from litellm_image_analysis.cache import redis_store
from litellm_image_analysis.cache.redis_connection import PREFIX, NamespacedClient
from litellm_image_analysis.cache.redis_store import NEVER_FLUSHED, Reading, RedisStore

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

TEAM = "team:research"
OTHER_TEAM = "team:sales"
KEY, OTHER_KEY = "a" * 64, "b" * 64
TEAM_NAMES = f"{PREFIX}:{{{TEAM}}}"

SCOPES = st.text(st.characters(exclude_categories=()))  # with lone surrogates, which JSON allows
"""Names of teams and users come from tokens and databases, so they may be any text."""


def store_at(
    url: str,
    namespace: str | None = None,
    *,
    warn: Callable[[str], object] = pytest.fail,
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> RedisStore:
    """The store of one worker."""
    return RedisStore(lambda: NamespacedClient(client_at(url, **settings), namespace), warn, clock)


def values(reading: Reading | None) -> dict[str, str]:
    """The values that were read, as text or bytes."""
    assert reading is not None
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in reading.values.items()}


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    async with aclosing(store_at(redis.url)) as store:
        yield store


@pytest.fixture
async def other_store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    async with aclosing(store_at(redis.url)) as store:
        yield store


class TestValues:
    async def test_what_one_worker_writes_all_read(self, store: RedisStore, other_store: RedisStore) -> None:
        await store.write(TEAM, KEY, "a cat", 60)
        assert values(await other_store.read(TEAM, [KEY])) == {KEY: "a cat"}

    async def test_what_is_not_there_is_left_out(self, store: RedisStore) -> None:
        await store.write(TEAM, KEY, "a cat", 60)
        assert values(await store.read(TEAM, [OTHER_KEY, KEY])) == {KEY: "a cat"}

    async def test_a_key_of_another_scope_is_not_there(self, store: RedisStore) -> None:
        await store.write(OTHER_TEAM, KEY, "a cat", 60)
        assert values(await store.read(TEAM, [KEY])) == {}

    async def test_twenty_images_cost_one_round_trip(self, redis: RedisServer, store: RedisStore) -> None:
        keys = [f"{number:064x}" for number in range(20)]
        for key in keys:
            await store.write(TEAM, key, key, 60)
        with redis.commands() as commands:
            assert values(await store.read(TEAM, keys)) == {key: key for key in keys}
        assert [command.split()[0] for command in commands] == ["MGET"]

    async def test_a_value_ends_by_itself(self, redis: RedisServer, store: RedisStore) -> None:
        await store.write(TEAM, KEY, "a cat", 60)
        with redis.client as client:
            assert 0 < client.pttl(f"{TEAM_NAMES}:{KEY}") <= 60_000

    async def test_a_life_shorter_than_redis_can_tell_is_no_error(self, store: RedisStore) -> None:
        await store.write(TEAM, KEY, "a cat", 1e-9)
        assert store.available

    async def test_a_life_longer_than_redis_can_count_is_no_error(self, store: RedisStore) -> None:
        await store.write(TEAM, KEY, "a cat", 1e18)
        assert store.available

    @pytest.mark.parametrize("decode_responses", [True, False])
    async def test_a_client_may_decode_or_not(self, redis: RedisServer, decode_responses: bool) -> None:
        async with aclosing(store_at(redis.url, decode_responses=decode_responses)) as store:
            await store.flush()
            await store.read(TEAM, ())
            await store.write(TEAM, KEY, "eine Katze, \N{CAT FACE}", 60)
            reading = await store.read(TEAM, [KEY])
            assert values(reading) == {KEY: "eine Katze, \N{CAT FACE}"}
            assert store.generation(TEAM).endswith(":-")
            assert "b'" not in store.generation(TEAM)
            await store.flush(TEAM)
            assert values(await store.read(TEAM, [KEY])) == {}


class TestOutage:
    """A Redis that is away while values are written."""

    @pytest.fixture
    def server(self) -> Iterator[RedisServer]:
        """A Redis that a test may stop."""
        with running_redis() as server:
            yield server

    @pytest.fixture
    async def lone(self, server: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
        async with aclosing(store_at(server.url, warn=lambda _: None, clock=clock)) as store:
            await store.read(TEAM, ())
            yield store

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @staticmethod
    async def written_meanwhile(server: RedisServer, store: RedisStore, *entries: tuple[str, str, str, float]) -> None:
        """Write while Redis is away, and wait until it is back."""
        server.stop()
        for entry in entries:
            await store.write(*entry)
        server.start()
        await until(lambda: store.available)

    async def test_what_was_written_meanwhile_is_stored_by_the_next_read(
        self, server: RedisServer, lone: RedisStore, clock: Clock
    ) -> None:
        entries = ((TEAM, KEY, "a cat", 60), (OTHER_TEAM, KEY, "a dog", 60), (TEAM, OTHER_KEY, "a bird", 5))
        await self.written_meanwhile(server, lone, *entries)
        clock.now += 10
        assert values(await lone.read(TEAM, [KEY])) == {}  # it was read before
        assert values(await lone.read(TEAM, [KEY, OTHER_KEY])) == {KEY: "a cat"}
        with server.client as client:
            assert 45_000 < client.pttl(f"{TEAM_NAMES}:{KEY}") <= 50_000
            assert len(client.keys()) == 1

    async def test_a_newer_value_stays(self, server: RedisServer, lone: RedisStore) -> None:
        await self.written_meanwhile(server, lone, (TEAM, KEY, "old", 60), (TEAM, OTHER_KEY, "old", 60))
        await lone.write(TEAM, KEY, "new", 60)
        async with aclosing(store_at(server.url)) as other:
            await other.write(TEAM, OTHER_KEY, "new", 60)
        await lone.read(TEAM, ())
        assert values(await lone.read(TEAM, [KEY, OTHER_KEY])) == {KEY: "new", OTHER_KEY: "new"}

    async def test_what_was_flushed_afterwards_is_not_stored(self, server: RedisServer, lone: RedisStore) -> None:
        await self.written_meanwhile(server, lone, (TEAM, KEY, "a cat", 60))
        async with aclosing(store_at(server.url)) as other:
            await other.flush()
        for _ in range(2):
            assert values(await lone.read(TEAM, [KEY])) == {}

    @pytest.mark.parametrize("scope", [TEAM, None])
    async def test_what_was_flushed_meanwhile_is_not_stored(
        self, server: RedisServer, lone: RedisStore, scope: str | None
    ) -> None:
        server.stop()
        await lone.write(TEAM, KEY, "a cat", 60)
        with pytest.raises(RedisConnectionError):
            await lone.flush(scope)
        server.start()
        await until(lambda: lone.available)
        for _ in range(2):
            assert values(await lone.read(TEAM, [KEY])) == {}

    async def test_what_is_flushed_while_it_is_stored_does_not_stay(
        self, server: RedisServer, lone: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.written_meanwhile(server, lone, (TEAM, KEY, "a cat", 60))
        put = lone._put

        async with aclosing(store_at(server.url)) as other:

            async def flush_and_put(*args: Any, **kwargs: Any) -> bool:
                await other.flush(TEAM)
                return await put(*args, **kwargs)

            monkeypatch.setattr(lone, "_put", flush_and_put)
            await lone.read(TEAM, ())
        with server.client as client:
            assert client.keys() == [f"{TEAM_NAMES}:generation"]

    async def test_a_request_that_ends_loses_nothing(
        self, server: RedisServer, lone: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.written_meanwhile(server, lone, (TEAM, KEY, "a cat", 60))
        put, begun = lone._put, asyncio.Event()

        async def put_never(*args: Any, **kwargs: Any) -> bool:
            begun.set()
            await asyncio.Event().wait()
            return False

        monkeypatch.setattr(lone, "_put", put_never)
        reading = asyncio.ensure_future(lone.read(TEAM, ()))
        await begun.wait()
        reading.cancel()
        await asyncio.wait([reading])
        monkeypatch.setattr(lone, "_put", put)
        await lone.read(TEAM, ())
        assert values(await lone.read(TEAM, [KEY])) == {KEY: "a cat"}

    async def test_a_redis_that_refuses_does_not_get_it_again(self, server: RedisServer, lone: RedisStore) -> None:
        with server.client as client:
            client.config_set("maxmemory", "1")
        for number in range(20):
            await lone.write(TEAM, f"{number:064x}", "a cat", 60)
        assert lone.available
        with server.commands() as commands:
            await lone.read(TEAM, ())
        assert [command.split()[0] for command in commands] == ["MGET"]

    async def test_what_has_expired_is_dropped_for_all_tenants(
        self, server: RedisServer, lone: RedisStore, clock: Clock
    ) -> None:
        await self.written_meanwhile(server, lone, (OTHER_TEAM, KEY, "a cat", 5))
        clock.now += 10
        await lone.read(TEAM, ())
        assert not lone._late.get()

    async def test_a_long_outage_keeps_a_bounded_amount(
        self, server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_store, "_MOST_LATE_CHARACTERS", 5 * 64)
        monkeypatch.setattr(redis_store, "_LATE_AT_ONCE", 3)
        keys = [f"{number:064x}" for number in range(8)]
        async with aclosing(store_at(server.url, warn=lambda _: None)) as store:
            await store.read(TEAM, ())
            large = (TEAM, KEY, "a cat" * 100, 60)
            await self.written_meanwhile(server, store, *((TEAM, key, key, 60) for key in keys), large)
            read = [set(values(await store.read(TEAM, [*keys, KEY]))) for _ in range(3)]
        assert read == [set(), set(keys[3:6]), set(keys[3:])]


class TestNames:
    async def test_every_name_starts_with_ours(self, redis: RedisServer, store: RedisStore) -> None:
        await store.write(TEAM, KEY, "a cat", 60)
        await store.flush()
        await store.flush(OTHER_TEAM)
        await store.read(TEAM, ())
        await store.write(TEAM, KEY, "a cat", 60)
        assert await store.lease(TEAM, KEY).take()
        with redis.client as client:
            assert sorted(client.keys()) == [
                f"{PREFIX}:generation",
                f"{TEAM_NAMES}:{KEY}",
                f"{TEAM_NAMES}:{KEY}:lease",
                f"{PREFIX}:{{{OTHER_TEAM}}}:generation",
            ]

    async def test_a_namespace_goes_before(self, redis: RedisServer) -> None:
        async with aclosing(store_at(redis.url, "gateway")) as store:
            await store.write(TEAM, KEY, "a cat", 60)
            await store.flush(TEAM)
            assert await store.lease(TEAM, KEY).take()
        with redis.client as client:
            names = client.keys()
        assert len(names) == 2
        assert all(name.startswith(f"gateway:{TEAM_NAMES}:") for name in names)

    async def test_namespaces_share_nothing(self, redis: RedisServer, store: RedisStore) -> None:
        async with aclosing(store_at(redis.url, "gateway")) as elsewhere:
            await elsewhere.write(TEAM, KEY, "a cat", 60)
            assert values(await store.read(TEAM, [KEY])) == {}
            assert await elsewhere.lease(TEAM, KEY).take()
            assert await store.lease(TEAM, KEY).take()

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

    async def test_a_scope_that_is_no_valid_text_is_a_scope_like_any_other(self, store: RedisStore) -> None:
        """JSON allows half a surrogate pair. A caller who can choose a name must not disable Redis for all."""
        scope = "user:\ud800"
        await store.write(scope, KEY, "a cat", 60)
        assert values(await store.read(scope, [KEY])) == {KEY: "a cat"}
        assert await store.lease(scope, KEY).take()
        await store.flush(scope)
        assert values(await store.read(scope, [KEY])) == {}


class TestGenerations:
    async def test_before_anybody_asked_or_flushed_it_is_the_first(self, store: RedisStore) -> None:
        assert store.generation(TEAM) == NEVER_FLUSHED
        reading = await store.read(TEAM, [])
        assert reading is not None
        assert reading.generation == store.generation(TEAM) == NEVER_FLUSHED

    async def test_a_flush_is_heard_by_all_workers(self, store: RedisStore, other_store: RedisStore) -> None:
        await store.flush(TEAM)
        await other_store.read(TEAM, [])
        await other_store.read(OTHER_TEAM, [])
        assert other_store.generation(TEAM) != NEVER_FLUSHED
        assert other_store.generation(OTHER_TEAM) == NEVER_FLUSHED

    async def test_a_flush_of_all_is_heard_in_every_scope(self, store: RedisStore, other_store: RedisStore) -> None:
        await store.flush()
        for scope in (TEAM, OTHER_TEAM):
            await other_store.read(scope, [])
            assert other_store.generation(scope) != NEVER_FLUSHED

    async def test_no_two_flushes_make_the_same_generation(self, store: RedisStore) -> None:
        seen = set()
        for scope in (None, TEAM, TEAM, None):
            await store.flush(scope)
            await store.read(TEAM, [])
            seen.add(store.generation(TEAM))
        assert len(seen) == 4

    async def test_what_was_just_heard_needs_no_asking_for_five_seconds(self, redis: RedisServer) -> None:
        clock = Clock()
        async with aclosing(store_at(redis.url, clock=clock)) as store:
            assert not store.is_current(TEAM)
            await store.read(TEAM, [])
            clock.now += 4.9
            assert store.is_current(TEAM)
            assert not store.is_current(OTHER_TEAM)
            clock.now += 0.2
            assert not store.is_current(TEAM)

    async def test_only_so_many_scopes_are_kept_in_mind(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_store, "_KNOWN_SCOPES", 2)
        for scope in ("team:1", "team:2", "team:3"):
            await store.read(scope, [])
        assert [store.is_current(f"team:{number}") for number in (1, 2, 3)] == [False, True, True]


class TestFlush:
    async def names(self, redis: RedisServer) -> set[str]:
        with redis.client as client:
            return set(client.keys())

    async def test_a_scope_is_emptied_and_its_generations_stay(self, redis: RedisServer, store: RedisStore) -> None:
        await store.flush()
        for scope in (TEAM, OTHER_TEAM):
            await store.read(scope, ())
            await store.write(scope, KEY, "a cat", 60)
        await store.flush(TEAM)
        assert await self.names(redis) == {
            f"{PREFIX}:generation",
            f"{TEAM_NAMES}:generation",
            f"{PREFIX}:{{{OTHER_TEAM}}}:{KEY}",
        }

    async def test_all_is_emptied_and_all_generations_stay(self, redis: RedisServer, store: RedisStore) -> None:
        await store.flush(TEAM)
        await store.write(TEAM, KEY, "a cat", 60)
        await store.write(OTHER_TEAM, KEY, "a dog", 60)
        await store.flush()
        assert await self.names(redis) == {f"{PREFIX}:generation", f"{TEAM_NAMES}:generation"}

    async def test_thousands_are_emptied_a_thousand_at_a_time(self, redis: RedisServer, store: RedisStore) -> None:
        with redis.client as client:
            client.mset({f"{TEAM_NAMES}:{number:064x}": "a cat" for number in range(2500)})
        with redis.commands() as commands:
            await store.flush(TEAM)
        assert [command.split()[0] for command in commands].count("UNLINK") == 3
        assert await self.names(redis) == {f"{TEAM_NAMES}:generation"}

    async def test_a_value_that_a_worker_writes_before_it_knows_of_the_flush_does_not_stay(
        self, redis: RedisServer, store: RedisStore, other_store: RedisStore
    ) -> None:
        await store.read(TEAM, ())
        await other_store.flush()
        await store.write(TEAM, KEY, "a cat", 60)
        assert await self.names(redis) == {f"{PREFIX}:generation"}
        reading = await store.read(TEAM, ())
        assert reading is not None
        assert reading.flushed  # so the worker's own memory is flushed, too

    async def test_leases_go_and_nobody_is_harmed(self, store: RedisStore, other_store: RedisStore) -> None:
        ours = store.lease(TEAM, KEY)
        assert await ours.take()
        async with ours.kept():
            await other_store.flush(TEAM)
            assert await other_store.lease(TEAM, KEY).take()

    @pytest.mark.parametrize("scope", [None, TEAM])
    async def test_what_is_not_ours_stays(self, redis: RedisServer, store: RedisStore, scope: str | None) -> None:
        foreign = {
            "litellm:spend",
            f"{PREFIX}-of-somebody-else",
            f"gateway:{PREFIX}:{{{TEAM}}}:{KEY}",
            f"{PREFIX.upper()}:{{{TEAM}}}:{KEY}",
        }
        with redis.client as client:
            client.mset(dict.fromkeys(foreign, "not ours"))
        await store.write(TEAM, KEY, "a cat", 60)
        await store.flush(scope)
        assert foreign <= await self.names(redis)
        assert f"{TEAM_NAMES}:{KEY}" not in await self.names(redis)

    @pytest.mark.parametrize(
        ("namespace", "bystander"),
        [("*", "gateway"), ("?", "g"), ("[a-z]", "g"), ("[^x]", "g"), ("\\*", "*"), ("g\\", "g")],
    )
    async def test_a_namespace_is_no_pattern(self, redis: RedisServer, namespace: str, bystander: str) -> None:
        async with aclosing(store_at(redis.url, namespace)) as ours, aclosing(store_at(redis.url, bystander)) as theirs:
            await ours.write(TEAM, KEY, "a cat", 60)
            await theirs.write(TEAM, KEY, "a dog", 60)
            await ours.flush()
            assert values(await ours.read(TEAM, [KEY])) == {}
            assert values(await theirs.read(TEAM, [KEY])) == {KEY: "a dog"}

    async def test_a_scope_is_no_pattern(self, store: RedisStore) -> None:
        await store.write("team:*", KEY, "a cat", 60)
        await store.write(TEAM, KEY, "a dog", 60)
        await store.flush("team:*")
        assert values(await store.read("team:*", [KEY])) == {}
        assert values(await store.read(TEAM, [KEY])) == {KEY: "a dog"}

    async def test_a_scope_is_no_beginning_of_others(self, store: RedisStore) -> None:
        await store.write(f"{TEAM}:and-more", KEY, "a dog", 60)
        await store.flush(TEAM)
        assert values(await store.read(f"{TEAM}:and-more", [KEY])) == {KEY: "a dog"}

    async def test_a_redis_that_is_gone_is_an_error_here(self) -> None:
        async with aclosing(store_at(f"redis://127.0.0.1:{free_port()}")) as store:
            with pytest.raises(RedisConnectionError):
                await store.flush()

    async def test_it_takes_its_turn_on_few_connections(self, redis: RedisServer) -> None:
        async with aclosing(store_at(redis.url, max_connections=1)) as store:
            await asyncio.gather(store.flush(), *(store.read(TEAM, [KEY]) for _ in range(100)))


class TestWithoutRedis:
    async def test_where_there_is_none_nothing_is_stored_and_nobody_warned(self) -> None:
        store = RedisStore(lambda: None, pytest.fail)
        await self.nothing_works(store)
        with pytest.raises(ConnectionError, match="redis_url"):
            await store.flush()
        await store.aclose()

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            ("Both 'sentinel_nodes' and 'service_name' are required", "(ValueError: Both). Look at cache.redis_url"),
            ("Port could not be cast to integer value as 'PASSWORD'", "(ValueError: Port could not be cast to integer"),
            ("no host in redis://:PASSWORD@", "(ValueError: no host in redis)"),
        ],
    )
    async def test_settings_that_make_no_client_cost_redis_only(self, error: str, told: str) -> None:
        """LiteLLM raises an error for incomplete settings, which may quote a password."""
        warnings: list[str] = []

        def connect() -> NamespacedClient:
            raise ValueError(error)

        await self.nothing_works(RedisStore(connect, warnings.append))
        [warning] = warnings
        assert told in warning
        assert "PASSWORD" not in warning

    @pytest.mark.usefixtures("no_probe")
    async def test_one_that_is_gone_costs_redis_only(self) -> None:
        warnings: list[str] = []
        async with aclosing(store_at(f"redis://127.0.0.1:{free_port()}", warn=warnings.append)) as store:
            assert store.available
            await self.nothing_works(store)
        assert len(warnings) == 1

    @staticmethod
    async def nothing_works(store: RedisStore) -> None:
        assert await store.read(TEAM, [KEY]) is None
        await store.write(TEAM, KEY, "a cat", 60)
        assert await store.lease(TEAM, KEY).take() is None
        assert not store.available
        # Without Redis, the last known generation counts as current.
        assert (store.generation(TEAM), store.is_current(TEAM)) == (NEVER_FLUSHED, True)

    @pytest.mark.parametrize("error", REFUSALS)
    async def test_one_that_takes_no_writes_is_still_read(self, error: str) -> None:
        warnings: list[str] = []
        with running_redis(*REFUSALS[error]) as refusing:
            async with aclosing(store_at(refusing.url, warn=warnings.append)) as store:
                await store.write(TEAM, KEY, "a cat", 60)
                assert values(await store.read(TEAM, [KEY])) == {}
                assert store.available
                assert len(warnings) == 1
                with pytest.raises(ResponseError):
                    await store.flush()

    async def test_other_types_under_our_names_are_nothing(self, redis: RedisServer, store: RedisStore) -> None:
        with redis.client as client:
            client.rpush(f"{TEAM_NAMES}:{KEY}", "a list")
            client.hset(f"{TEAM_NAMES}:generation", "a", "hash")
            client.sadd(f"{PREFIX}:generation", "a set")
        assert values(await store.read(TEAM, [KEY])) == {}
        assert store.generation(TEAM) == NEVER_FLUSHED
        await store.write(TEAM, KEY, "a cat", 60)
        await store.flush()


class TestEventLoops:
    def test_each_has_a_connection_of_its_own(self, redis: RedisServer) -> None:
        connections: list[NamespacedClient] = []

        def connect() -> NamespacedClient:
            connections.append(NamespacedClient(client_at(redis.url)))
            return connections[-1]

        store = RedisStore(connect, pytest.fail)

        async def use(number: int) -> dict[str, str]:
            async with aclosing(store):
                await store.write(TEAM, f"{number:064x}", "a cat", 60)
                return values(await store.read(TEAM, [f"{seen:064x}" for seen in range(3)]))

        assert [len(asyncio.run(use(number))) for number in range(3)] == [1, 2, 3]
        assert len(connections) == 3

    @pytest.mark.filterwarnings(  # connections of a closed loop cannot be closed
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    )
    def test_one_that_ended_without_a_word_harms_not_the_next(self, redis: RedisServer) -> None:
        store = store_at(redis.url)
        for _ in range(3):
            assert asyncio.run(store.read(TEAM, [KEY])) is not None

    @pytest.mark.usefixtures("no_probe")
    def test_what_is_broken_in_one_is_tried_in_the_next(self, mortal_redis: RedisServer) -> None:
        warnings: list[str] = []
        store = store_at(mortal_redis.url, warn=warnings.append)

        async def use() -> Reading | None:
            async with aclosing(store):
                return await store.read(TEAM, [KEY])

        mortal_redis.stop()
        assert asyncio.run(use()) is None
        mortal_redis.start()
        assert asyncio.run(use()) is not None
        assert len(warnings) == 1

    async def test_closing_twice_or_before_use_is_no_error(self, redis: RedisServer) -> None:
        store = store_at(redis.url)
        await store.aclose()
        await store.read(TEAM, [KEY])
        await store.aclose()
        await store.aclose()

    async def test_after_closing_it_connects_anew(self, store: RedisStore) -> None:
        await store.write(TEAM, KEY, "a cat", 60)
        await store.aclose()
        assert values(await store.read(TEAM, [KEY])) == {KEY: "a cat"}


class TestClusterMode:
    @pytest.fixture
    async def store(self, nodes: tuple[RedisServer, RedisServer]) -> AsyncIterator[RedisStore]:
        async with aclosing(self.store_on(nodes[0])) as store:
            yield store

    @staticmethod
    def store_on(node: RedisServer, **settings: Any) -> RedisStore:
        def connect() -> NamespacedClient:
            client = RedisCluster(host="127.0.0.1", port=node.port, socket_timeout=5, **settings)
            client.set_retry(Retry(NoBackoff(), 1))
            return NamespacedClient(client)

        return RedisStore(connect, pytest.fail)

    async def test_values_of_many_scopes_are_written_and_read(self, store: RedisStore) -> None:
        keys = [f"{number:064x}" for number in range(20)]
        for scope in (TEAM, OTHER_TEAM, "global", "nobody"):
            for key in keys:
                await store.write(scope, key, f"{scope} {key}", 60)
            expected = {key: f"{scope} {key}" for key in keys}
            assert values(await store.read(scope, [*keys, KEY])) == expected

    async def test_a_burst_takes_turns_on_few_connections(self, nodes: tuple[RedisServer, RedisServer]) -> None:
        async with aclosing(self.store_on(nodes[0], max_connections=2)) as store:
            await store.write(TEAM, KEY, "a cat", 60)
            readings = await asyncio.gather(*(store.read(TEAM, [KEY]) for _ in range(100)))
        assert None not in readings

    async def test_a_scope_lives_on_one_node(self, store: RedisStore, nodes: tuple[RedisServer, RedisServer]) -> None:
        for number in range(20):
            await store.write(TEAM, f"{number:064x}", "a cat", 60)
        assert await store.lease(TEAM, KEY).take()
        with nodes[0].client as one, nodes[1].client as two:
            assert {one.dbsize(), two.dbsize()} == {0, 21}

    async def test_a_lease_has_one_holder(self, store: RedisStore, nodes: tuple[RedisServer, RedisServer]) -> None:
        other = self.store_on(nodes[1])
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
        store = RedisStore(lambda: NamespacedClient(RedisCluster(host="127.0.0.1", port=free_port())), warnings.append)
        assert await store.read(TEAM, [KEY]) is None
        assert len(warnings) == 1
        with pytest.raises(RedisConnectionError):
            await store.flush()
        await store.aclose()

    async def test_the_log_is_one_of_all_nodes(self, store: RedisStore) -> None:
        await store.append_to_log(["1", "2"], most=5, ttl_seconds=60)
        assert await store.read_log(5) == [b"2", b"1"]


class TestLog:
    async def test_workers_share_the_latest_texts(
        self, store: RedisStore, other_store: RedisStore, redis: RedisServer
    ) -> None:
        await store.append_to_log(["1", "2"], most=3, ttl_seconds=60)
        await other_store.append_to_log(["3", "4"], most=3, ttl_seconds=60)
        assert await store.read_log(3) == [b"4", b"3", b"2"]
        assert await store.read_log(1) == [b"4"]
        with redis.client as client:
            assert client.keys() == [f"{PREFIX}-page"]
            assert 0 < client.ttl(f"{PREFIX}-page") <= 60

    async def test_a_flush_keeps_it(self, store: RedisStore) -> None:
        await store.append_to_log(["1"], most=3, ttl_seconds=60)
        await store.flush()
        assert await store.read_log(3) == [b"1"]

    async def test_it_is_in_the_namespace(self, redis: RedisServer) -> None:
        async with aclosing(store_at(redis.url, "gateway")) as store:
            await store.append_to_log(["1"], most=3, ttl_seconds=60)
        with redis.client as client:
            assert client.keys() == [f"gateway:{PREFIX}-page"]

    async def test_without_redis_texts_are_lost(self) -> None:
        store = RedisStore(lambda: None, pytest.fail)
        await store.append_to_log(["1"], most=3, ttl_seconds=60)
        assert await store.read_log(3) is None

    async def test_a_redis_that_is_gone_is_no_error(self) -> None:
        warnings: list[str] = []
        async with aclosing(store_at(f"redis://127.0.0.1:{free_port()}", warn=warnings.append)) as store:
            await store.append_to_log(["1"], most=3, ttl_seconds=60)
            assert await store.read_log(3) is None
        assert len(warnings) == 1
