"""Failures of Redis: real servers that hang, die, refuse or send invalid answers, and busy event loops."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from support.clock import Clock
from support.features import needs_redis_that_tries_again
from support.proxy import free_port
from support.redis_server import RedisServer, running_redis
from support.redis_worker import AT_ONCE, FOREVER, REFUSALS, Worker, client_at, until, worker_at

from litellm_image_analysis.cache import redis_connection
from litellm_image_analysis.cache.redis_connection import PREFIX, NamespacedClient, RedisConnection

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

NAME = "a name"


@pytest.fixture
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_connection, "_PROBE_SECONDS", AT_ONCE)


class TestRedisThatIsWell:
    @pytest.mark.parametrize(("namespace", "prefix"), [(None, PREFIX), ("", PREFIX), ("gateway", f"gateway:{PREFIX}")])
    async def test_names_begin_with_the_namespace(self, redis: RedisServer, namespace: str | None, prefix: str) -> None:
        link = RedisConnection(NamespacedClient(client_at(redis.url), namespace), pytest.fail)
        assert link.prefix == prefix
        await link.aclose()

    @pytest.mark.parametrize(
        ("query", "connections"), [("", 16), ("?max_connections=100", 16), ("?max_connections=2", 2)]
    )
    async def test_a_burst_takes_turns_on_few_connections(
        self, redis: RedisServer, query: str, connections: int
    ) -> None:
        """A client raises if it needs more than ``max_connections``."""
        with redis.client as client:
            before = client.info("stats")["total_connections_received"]
            async with worker_at(redis.url + query) as worker:
                assert None not in await asyncio.gather(*(worker.ask("ECHO", "here") for _ in range(100)))
                assert worker.warnings == []
            assert client.info("stats")["total_connections_received"] - before <= connections

    async def test_a_right_password_opens(self) -> None:
        with running_redis(password="right-secret") as guarded:
            async with worker_at(guarded.url) as worker:
                assert await worker.ask("PING")


@pytest.mark.usefixtures("impatient")
class TestFrozenRedis:
    @pytest.mark.usefixtures("no_probe")
    async def test_one_operation_gives_up_and_the_breaker_answers_all_others(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            assert await worker.ask("PING")
            assert not worker.link.broken
            mortal_redis.freeze()
            assert await worker.ask("PING") is None
            assert worker.link.broken
            sent = len(worker.client.sent)
            for _ in range(1000):
                assert await worker.ask("PING") is None
            assert len(worker.client.sent) == sent
            assert len(worker.warnings) == 1

    @pytest.mark.usefixtures("no_probe")
    async def test_an_open_breaker_answers_without_a_turn_of_the_event_loop(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            mortal_redis.freeze()
            await worker.ask("PING")
            with pytest.raises(StopIteration):
                worker.ask("PING").send(None)

    @pytest.mark.usefixtures("no_probe")
    async def test_many_at_once_give_up_together_with_one_warning(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            mortal_redis.freeze()
            assert await asyncio.gather(*(worker.ask("PING") for _ in range(1000))) == [None] * 1000
            assert len(worker.client.sent) <= 16
            [warning] = worker.warnings
            assert "Redis does not answer (TimeoutError" in warning

    @pytest.mark.usefixtures("quick_probe")
    async def test_it_is_used_again_once_a_probe_succeeds(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url, socket_timeout=FOREVER) as worker:
            await worker.ask("SET", NAME, "a cat")
            mortal_redis.freeze()
            assert await worker.ask("GET", NAME) is None
            await until(lambda: worker.client.sent.count("PING") >= 2)
            assert worker.link.broken
            mortal_redis.thaw()
            await until(lambda: not worker.link.broken)
            assert await worker.ask("GET", NAME) == b"a cat"
            gone, back = worker.warnings
            assert "Redis does not answer" in gone
            assert back == "image analysis: Redis answers again"

    @pytest.mark.usefixtures("quick_probe")
    async def test_closing_ends_the_probe(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            mortal_redis.freeze()
            await asyncio.gather(*(worker.ask("PING") for _ in range(20)))
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


class TestRedisThatIsGone:
    @pytest.mark.usefixtures("no_probe")
    async def test_a_refused_connection_is_no_error(self) -> None:
        async with worker_at(f"redis://127.0.0.1:{free_port()}") as worker:
            assert await worker.ask("PING") is None
            assert worker.link.broken
            [warning] = worker.warnings
            assert "ConnectionError" in warning

    @pytest.mark.usefixtures("quick_probe")
    async def test_a_redis_that_was_killed_is_used_again_when_it_is_back(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            assert await worker.ask("PING")
            mortal_redis.stop()
            assert await worker.ask("PING") is None
            mortal_redis.start()
            await until(lambda: not worker.link.broken)
            assert await worker.ask("PING")

    @needs_redis_that_tries_again
    async def test_a_redis_that_came_back_unnoticed_costs_nothing(self, mortal_redis: RedisServer) -> None:
        """Stale connections are opened again, without a warning."""
        async with worker_at(mortal_redis.url) as worker:
            await asyncio.gather(*(worker.ask("PING") for _ in range(5)))
            mortal_redis.stop()
            mortal_redis.start()
            assert await worker.ask("PING")
            assert worker.warnings == []

    @pytest.mark.usefixtures("no_probe")
    @pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}", "redis://:wrong-secret@127.0.0.1:{port}"])
    async def test_a_wrong_password_is_told_and_not_shown(self, url: str) -> None:
        with running_redis(password="right-secret") as guarded:
            async with worker_at(url.format(port=guarded.port)) as worker:
                assert await worker.ask("PING") is None
                [warning] = worker.warnings
                assert "Authentication" in warning
                assert "secret" not in warning

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
            assert await worker.ask("PING") is None
            assert worker.link.broken
            assert len(worker.warnings) == 1


class TestRedisThatRefuses:
    @pytest.mark.parametrize("error", REFUSALS)
    async def test_a_refused_write_is_told_by_its_own_words_and_reading_goes_on(self, error: str) -> None:
        with running_redis(*REFUSALS[error]) as refusing:
            async with worker_at(refusing.url) as worker:
                for _ in range(2):
                    assert await worker.ask("SET", NAME, "a cat") is None
                    assert await worker.ask("MGET", NAME) == [None]
                assert not worker.link.broken
                [warning] = worker.warnings
                assert f"Redis refuses ({error}: " in warning

    async def test_what_redis_repeats_of_a_command_is_not_told(self) -> None:
        with running_redis("--rename-command", "SET", "WRITE") as refusing:
            async with worker_at(refusing.url) as worker:
                assert await worker.ask("SET", NAME, "an analysis") is None
                [warning] = worker.warnings
                assert "Redis refuses (ResponseError: unknown command)" in warning
                assert "an analysis" not in warning

    async def test_what_is_no_text_is_no_reason_to_ask_no_more(self, worker: Worker) -> None:
        """A client with ``decode_responses`` reads values that other programs may have written."""

        async def read() -> str:
            return b"\xff".decode()

        assert await worker.link.attempt(read) is None
        assert not worker.link.broken

    async def test_the_operator_is_warned_once_a_minute_however_often_it_refuses(self, worker: Worker) -> None:
        async def fail() -> None:
            raise ResponseError

        for seconds, warnings in ((0, 1), (30, 1), (29.9, 1), (0.1, 2), (59, 2), (1, 3)):
            worker.clock.now += seconds
            await worker.link.attempt(fail)
            assert len(worker.warnings) == warnings

    @pytest.mark.usefixtures("quick_probe")
    async def test_the_operator_is_told_of_each_outage_and_its_end(self, worker: Worker) -> None:
        async def fail() -> None:
            raise OSError

        for outage in range(1, 4):
            await asyncio.gather(*(worker.link.attempt(fail) for _ in range(5)))
            assert len(worker.warnings) == 2 * outage - 1
            for _ in range(2):  # answers to pings alone end no outage
                await until(lambda: not worker.link.broken)
                await worker.link.attempt(fail)
            assert len(worker.warnings) == 2 * outage - 1
            await until(lambda: not worker.link.broken)
            assert await worker.ask("PING")
            assert len(worker.warnings) == 2 * outage
        assert [line.partition(" (")[0] for line in worker.warnings] == 3 * [
            "image analysis: Redis does not answer",
            "image analysis: Redis answers again",
        ]

    @pytest.mark.usefixtures("quick_probe")
    async def test_a_refused_probe_is_an_answer(self, mortal_redis: RedisServer) -> None:
        """A user may have no right to ping, and a Redis that cannot save its data refuses a ping with MISCONF."""

        async def fail() -> None:
            raise OSError

        with mortal_redis.client as client:
            client.execute_command("ACL SETUSER", "default", "-ping")  # redis-py's own method would disable the user
        async with worker_at(mortal_redis.url) as worker:
            await worker.link.attempt(fail)
            await until(lambda: worker.client.sent.count("PING") >= 2 or not worker.link.broken)
            assert not worker.link.broken


class TestBusyEventLoop:
    @pytest.fixture
    async def loop_clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """A clock of the event loop that the test sets, so that operations do not take longer."""
        monkeypatch.setattr(redis_connection, "OPERATION_SECONDS", 0.2)
        loop = asyncio.get_running_loop()
        clock = Clock(loop.time())
        monkeypatch.setattr(loop, "time", clock)
        return clock

    async def test_a_busy_event_loop_is_not_a_slow_redis(self, redis: RedisServer, loop_clock: Clock) -> None:
        """Every turn of the loop takes longer than the limit of an operation, which must also open a connection."""
        loop, working = asyncio.get_running_loop(), True

        def work() -> None:
            loop_clock.now += 2 * redis_connection.OPERATION_SECONDS
            client.ping()  # Redis has time to answer the command of the previous turn
            if working:
                loop.call_soon(work)

        with redis.client as client:
            async with worker_at(redis.url, socket_timeout=FOREVER) as worker:
                loop.call_soon(work)
                assert await worker.ask("PING")
                working = False
                assert worker.warnings == []
                await checkpoint()

    async def test_a_pause_of_the_process_is_not_a_slow_redis(self, worker: Worker, loop_clock: Clock) -> None:
        for turns in range(12):
            answer = asyncio.ensure_future(worker.ask("PING"))
            for _ in range(turns):
                await checkpoint()
            loop_clock.now += 2 * redis_connection.OPERATION_SECONDS
            assert await answer
        assert worker.warnings == []


class TestCancellation:
    async def test_a_cancelled_operation_leaves_no_answer_behind(self, worker: Worker) -> None:
        """The next user of a connection must not get the answer to the previous one."""
        schedule = random.Random(4)
        for number in range(300):
            cancelled = asyncio.ensure_future(worker.ask("ECHO", "not for you"))
            for _ in range(schedule.randrange(8)):
                await checkpoint()
            cancelled.cancel()
            assert await worker.ask("ECHO", str(number)) == str(number).encode()
        assert worker.warnings == []

    async def test_a_cancelled_operation_does_not_take_a_place_at_the_gate(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            await worker.ask("PING")
            mortal_redis.freeze()
            asking = [asyncio.ensure_future(worker.ask("PING")) for _ in range(100)]
            for _ in range(5):
                await checkpoint()
            for each in asking:
                each.cancel()
            await asyncio.wait(asking)
            mortal_redis.thaw()
            assert await worker.ask("PING")
            assert worker.warnings == []

    async def test_a_deadline_around_it_is_not_redis_being_slow(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            mortal_redis.freeze()
            with anyio.move_on_after(AT_ONCE) as deadline:
                await worker.ask("PING")
            assert deadline.cancelled_caught
            assert not worker.link.broken
            mortal_redis.thaw()


class TestWithin:
    @pytest.fixture
    async def unheard(self) -> list[dict[str, Any]]:
        """Exceptions that asyncio would report."""
        unheard: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        return unheard

    async def test_an_error_in_the_moment_of_a_cancellation_is_not_left_unheard(
        self, unheard: list[dict[str, Any]]
    ) -> None:
        async def fail_as_the_caller_leaves() -> None:
            caller.cancel()
            raise RedisConnectionError

        caller = asyncio.ensure_future(redis_connection.within(FOREVER, fail_as_the_caller_leaves()))
        with pytest.raises(asyncio.CancelledError):
            await caller
        gc.collect()
        assert unheard == []

    async def test_what_was_given_up_is_ended_and_its_error_not_left_unheard(
        self, unheard: list[dict[str, Any]]
    ) -> None:
        """A client may raise its own exception when it is cancelled."""
        ended = asyncio.Event()

        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
                raise RedisConnectionError

        with pytest.raises(TimeoutError):
            await redis_connection.within(AT_ONCE, hang())
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        assert ended.is_set()
        gc.collect()
        assert unheard == []
