"""The lease for one call: one worker holds it, it is always released, and without Redis no worker waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.lowlevel import checkpoint
from support.redis_server import RedisServer, running_redis
from support.redis_worker import AT_ONCE, REFUSALS, Worker, until, worker_at

from litellm_image_analysis.cache import lease as leases
from litellm_image_analysis.cache.lease import Lease

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

NAME = "a lease"


@pytest.fixture
async def other_worker(redis: RedisServer) -> AsyncIterator[Worker]:
    async with worker_at(redis.url) as worker:
        yield worker


@pytest.fixture
def ours(worker: Worker) -> Lease:
    return Lease(worker.link, NAME)


@pytest.fixture
def theirs(other_worker: Worker) -> Lease:
    return Lease(other_worker.link, NAME)


@pytest.fixture
def quick_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_RENEWAL_SECONDS", AT_ONCE)


class TestTake:
    async def test_one_worker_has_it_at_a_time(self, ours: Lease, theirs: Lease) -> None:
        assert await ours.take() is True
        assert await theirs.take() is False
        async with ours.kept():
            assert await theirs.take() is False
        assert await theirs.take() is True

    async def test_of_many_who_ask_at_once_one_gets_it(self, worker: Worker, other_worker: Worker) -> None:
        wanted = [Lease(each.link, NAME) for each in (worker, other_worker) * 50]
        taken = await asyncio.gather(*(lease.take() for lease in wanted))
        assert (taken.count(True), taken.count(False)) == (1, 99)

    async def test_other_names_have_their_own(self, ours: Lease, other_worker: Worker) -> None:
        assert await ours.take()
        assert await Lease(other_worker.link, "another lease").take()

    async def test_it_ends_by_itself_if_its_worker_dies(
        self, ours: Lease, theirs: Lease, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
        assert await ours.take()

        async def is_free() -> bool:
            return await theirs.take() is True

        await until(is_free)

    async def test_a_worker_that_dies_holds_the_others_up_for_ten_seconds_at_most(
        self, redis: RedisServer, ours: Lease
    ) -> None:
        assert await ours.take()
        with redis.client as client:
            assert 0 < client.pttl(NAME) <= 10_000

    async def test_another_type_under_its_name_is_a_lease_somebody_has(
        self, redis: RedisServer, worker: Worker, ours: Lease
    ) -> None:
        with redis.client as client:
            client.rpush(NAME, "a list")
        assert await ours.take() is False
        assert worker.warnings == []


class TestKept:
    @pytest.mark.usefixtures("quick_renewal")
    async def test_it_is_renewed_until_the_block_ends(self, redis: RedisServer, ours: Lease) -> None:
        assert await ours.take()
        with redis.client as client:
            async with ours.kept():
                for _ in range(3):
                    client.pexpire(NAME, 5000)
                    await until(lambda: client.pttl(NAME) > 5000)
            assert not client.exists(NAME)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    async def test_an_error_inside_gives_it_back(self, ours: Lease, theirs: Lease) -> None:
        assert await ours.take()
        with pytest.raises(RuntimeError, match="vision"):
            async with ours.kept():
                raise RuntimeError("the vision model failed")
        assert await theirs.take()

    async def test_a_task_cancelled_inside_gives_it_back(self, ours: Lease, theirs: Lease) -> None:
        inside = asyncio.Event()

        async def look() -> None:
            assert await ours.take()
            async with ours.kept():
                inside.set()
                await asyncio.Event().wait()

        looking = asyncio.ensure_future(look())
        await inside.wait()
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        assert await theirs.take()

    async def test_a_deadline_inside_gives_it_back(self, worker: Worker, ours: Lease, theirs: Lease) -> None:
        assert await ours.take()
        with anyio.CancelScope() as scope:
            async with ours.kept():
                await worker.client.connection_pool.disconnect()  # a slow release
                scope.cancel()
                await checkpoint()
        assert scope.cancelled_caught
        assert await theirs.take()

    @pytest.mark.usefixtures("quick_renewal")
    async def test_a_lost_lease_is_not_taken_back_from_who_has_it_now(
        self, redis: RedisServer, worker: Worker, ours: Lease, theirs: Lease
    ) -> None:
        assert await ours.take()
        async with ours.kept():
            with redis.client as client:
                client.delete(NAME)
                assert await theirs.take()
                client.pexpire(NAME, 5000)
                renewals = worker.client.sent.count("EVALSHA")
                await until(lambda: worker.client.sent.count("EVALSHA") >= renewals + 3)
                assert client.pttl(NAME) <= 5000
        assert await ours.take() is False
        assert worker.warnings == []

    async def test_keeping_what_was_not_taken_does_nothing(self, worker: Worker, ours: Lease, theirs: Lease) -> None:
        assert await theirs.take()
        assert await ours.take() is False
        sent = len(worker.client.sent)
        async with ours.kept():
            await checkpoint()
        assert len(worker.client.sent) == sent


class TestWithoutRedis:
    """``take`` returns ``None`` and not ``False``: another worker may not exist, so there is no reason to wait."""

    async def test_there_is_none_to_take(self) -> None:
        lease = Lease(None, NAME)
        assert await lease.take() is None
        async with lease.kept():
            await checkpoint()

    @pytest.mark.parametrize("error", REFUSALS)
    async def test_a_refused_one_cannot_be_known(self, error: str) -> None:
        with running_redis(*REFUSALS[error]) as refusing:
            async with worker_at(refusing.url) as worker:
                assert await Lease(worker.link, NAME).take() is None
                assert not worker.link.broken
                [warning] = worker.warnings
                assert error in warning

    @pytest.mark.usefixtures("no_probe", "impatient")
    async def test_it_ends_in_peace_while_redis_hangs(self, mortal_redis: RedisServer) -> None:
        async with worker_at(mortal_redis.url) as worker:
            lease = Lease(worker.link, NAME)
            assert await lease.take()
            async with lease.kept():
                mortal_redis.freeze()
            assert worker.link.broken
            assert await lease.take() is None
