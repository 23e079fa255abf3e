"""The cache of analyses: cached ones need no call, and equal requests at once share one call across workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from support.clock import Clock
from support.eyes import Eyes
from support.redis_server import RedisServer

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.prompt import Asked, VisionRequest, vision_request
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.cache import cache as cache_module
from litellm_image_analysis.cache import lease, redis_store, stored_outcome
from litellm_image_analysis.cache.cache import FAILURE_SECONDS, Cache
from litellm_image_analysis.cache.memory import Memory
from litellm_image_analysis.cache.redis_connection import NamespacedClient
from litellm_image_analysis.cache.redis_store import RedisStore
from litellm_image_analysis.config import CacheConfig
from litellm_image_analysis.request.image import ImageSource

SCOPE = "team:research"
PRICE = Decimal("0.25")
CAT = Analysed("a cat", cost=PRICE, call_id="call-1")
BROKEN = Failed(FailureReason.UNAVAILABLE, retry_after_seconds=7)
TIMEOUT = Failed(FailureReason.TIMEOUT)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(2_000_000_000.0)  # for both memory and stored outcomes
    monkeypatch.setattr(cache_module, "Memory", partial(Memory, clock=clock))
    monkeypatch.setattr(stored_outcome, "time", SimpleNamespace(time=clock))
    return clock


def request_for(key: str = "cat", *, scope: str = SCOPE, may_change: bool = False) -> VisionRequest:
    return VisionRequest(key, scope, "eyes", Asked("", "", ()), 100, may_change=may_change)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that another task or Redis fulfils."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - Redis sends no event
            await anyio.sleep(0.005)


async def answer(cache: Cache, eyes: Eyes, request: VisionRequest | None = None) -> Outcome:
    """The outcome of a request with one image."""
    request = request or request_for()
    known = await cache.recall([request])
    return known.get(request.key) or await cache.ask(request, eyes, anyio.CapacityLimiter(8))


def asking(times: int, cache: Cache, eyes: Eyes, request: VisionRequest | None = None) -> list[asyncio.Task[Outcome]]:
    """This number of requests at once."""
    return [asyncio.ensure_future(answer(cache, eyes, request)) for _ in range(times)]


def total_cost(outcomes: Sequence[Outcome]) -> Decimal:
    return sum((outcome.cost or Decimal(0) for outcome in outcomes), Decimal(0))


def in_memory(call_seconds: float = 60, **settings: Any) -> Cache:
    return Cache(CacheConfig(**settings), call_seconds)


@dataclass
class Workers:
    """Processes of a gateway that share only Redis."""

    redis: RedisServer
    clock: Clock
    warnings: list[str] = field(default_factory=list)
    running: list[Cache] = field(default_factory=list)

    def start(self, count: int, call_seconds: float = 60, **settings: Any) -> list[Cache]:
        config = CacheConfig(backend="redis", **settings)
        stores = [RedisStore(self._connect, self.warnings.append, self.clock) for _ in range(count)]
        started = [Cache(config, call_seconds, store) for store in stores]
        self.running += started
        return started

    def stored(self) -> list[str]:
        """The names in Redis, including leases."""
        with self.redis.client as client:
            return sorted(client.scan_iter())

    def _connect(self) -> NamespacedClient:
        return NamespacedClient(Redis.from_url(self.redis.url, socket_timeout=5, retry=Retry(NoBackoff(), 1)))


@asynccontextmanager
async def workers_of(server: RedisServer, clock: Clock) -> AsyncIterator[Workers]:
    workers = Workers(server, clock)
    try:
        yield workers
    finally:
        for worker in workers.running:
            await worker.aclose()


@pytest.fixture
async def workers(redis: RedisServer, clock: Clock) -> AsyncIterator[Workers]:
    async with workers_of(redis, clock) as workers:
        yield workers
        assert not workers.warnings


# One worker with memory only


async def test_what_is_known_is_not_asked_again() -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    first = await answer(cache, eyes)
    again = [await answer(cache, eyes) for _ in range(3)]
    assert first == CAT
    assert again == [Analysed("a cat", cost=Decimal(0), cached=True)] * 3
    assert eyes.asked == ["cat"]


async def test_each_question_is_recalled_under_its_own_key() -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    await answer(cache, eyes, request_for("cat"))
    eyes.outcome = Analysed("a dog")
    await answer(cache, eyes, request_for("dog"))
    known = await cache.recall([request_for(key) for key in ("bird", "dog", "cat")])
    assert {key: outcome.text for key, outcome in known.items() if isinstance(outcome, Analysed)} == {
        "cat": "a cat",
        "dog": "a dog",
    }


async def test_nothing_is_known_of_no_images() -> None:
    assert await in_memory().recall([]) == {}


async def test_1_000_who_ask_at_once_make_one_call_and_one_pays() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    tasks = asking(1000, cache, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    eyes.may_end.set()
    outcomes = await asyncio.gather(*tasks)
    assert eyes.asked == ["cat"]
    assert [outcome.text for outcome in outcomes if isinstance(outcome, Analysed)] == ["a cat"] * 1000
    assert total_cost(outcomes) == PRICE
    assert sum(isinstance(outcome, Analysed) and outcome.cached for outcome in outcomes) == 999
    assert [outcome.call_id for outcome in outcomes if outcome.call_id] == ["call-1"]


async def test_requests_that_share_a_call_are_counted() -> None:
    joined: list[int] = []
    cache, eyes = Cache(CacheConfig(), 60, on_join=lambda: joined.append(1)), Eyes(CAT, may_end=False)
    tasks = asking(3, cache, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    eyes.may_end.set()
    await asyncio.gather(*tasks)
    await answer(cache, eyes)
    assert len(joined) == 2


async def test_whoever_started_a_call_may_go_and_it_is_remembered() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    leader, *others = asking(3, cache, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    leader.cancel()
    eyes.may_end.set()
    outcomes = await asyncio.gather(*others)
    assert outcomes == [CAT.as_cached()] * 2
    assert await answer(cache, eyes) == CAT.as_cached()
    assert eyes.asked == ["cat"]


async def test_when_all_who_asked_are_gone_the_call_ends_and_is_remembered() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    tasks = asking(3, cache, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    eyes.may_end.set()
    await answer(cache, eyes)
    assert (eyes.asked, eyes.cancelled) == (["cat"], 0)


async def test_two_tenants_with_the_same_image_make_two_calls_now_and_later() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    image = ImageSource("data:image/png;base64,AAAA")
    asks = [
        vision_request(Tenant(scope, b"secret"), "eyes", [(1, image)], "What?", None, 100)
        for scope in ("team:a", "team:b")
    ]
    tasks = [task for request in asks for task in asking(2, cache, eyes, request)]
    await until(lambda: len(eyes.asked) >= 2)
    eyes.may_end.set()
    assert total_cost(await asyncio.gather(*tasks)) == 2 * PRICE
    assert eyes.asked == [request.key for request in asks]


async def test_an_analysis_lives_its_time(clock: Clock) -> None:
    cache, eyes = in_memory(ttl_seconds=100, remote_url_ttl_seconds=10), Eyes(CAT)
    await answer(cache, eyes)
    clock.now += 99
    await answer(cache, eyes)
    assert eyes.asked == ["cat"]
    clock.now += 1
    await answer(cache, eyes)
    assert eyes.asked == ["cat", "cat"]


async def test_what_is_behind_a_url_is_known_for_a_shorter_time(clock: Clock) -> None:
    cache, eyes = in_memory(ttl_seconds=100, remote_url_ttl_seconds=10), Eyes(CAT)
    there = request_for(may_change=True)
    await answer(cache, eyes, there)
    clock.now += 9
    await answer(cache, eyes, there)
    assert eyes.asked == ["cat"]
    clock.now += 1
    await answer(cache, eyes, there)
    assert eyes.asked == ["cat", "cat"]


async def test_what_is_behind_a_url_is_not_remembered_where_that_is_set_to_0() -> None:
    cache, eyes = in_memory(remote_url_ttl_seconds=0), Eyes(CAT)
    there = request_for(may_change=True)
    assert [await answer(cache, eyes, there) for _ in range(3)] == [CAT] * 3
    assert eyes.asked == ["cat"] * 3
    await answer(cache, eyes, request_for("inline"))
    await answer(cache, eyes, request_for("inline"))
    assert eyes.asked[3:] == ["inline"]


async def test_without_a_memory_those_who_ask_at_once_share_a_call_and_those_later_do_not() -> None:
    cache, eyes = in_memory(backend="off"), Eyes(CAT)
    await asyncio.gather(*asking(5, cache, eyes))
    assert eyes.asked == ["cat"]
    assert await answer(cache, eyes) == CAT
    assert eyes.asked == ["cat", "cat"]
    await cache.flush()


async def test_a_failure_is_not_asked_for_again_for_some_seconds(clock: Clock) -> None:
    cache, eyes = in_memory(), Eyes(BROKEN)
    assert [await answer(cache, eyes) for _ in range(5)] == [BROKEN] * 5
    clock.now += FAILURE_SECONDS - 0.125
    await answer(cache, eyes)
    assert eyes.asked == ["cat"]
    clock.now += 0.125
    eyes.outcome = CAT
    assert await answer(cache, eyes) == CAT
    assert eyes.asked == ["cat", "cat"]


async def test_the_memory_of_failures_is_short_also_for_what_is_never_remembered(clock: Clock) -> None:
    assert FAILURE_SECONDS <= 10
    cache, eyes = in_memory(remote_url_ttl_seconds=0), Eyes(BROKEN)
    for _ in range(5):
        await answer(cache, eyes, request_for(may_change=True))
    assert eyes.asked == ["cat"]
    clock.now += FAILURE_SECONDS
    await answer(cache, eyes, request_for(may_change=True))
    assert eyes.asked == ["cat", "cat"]


OWN_TROUBLE = [FailureReason.NOT_ROUTED, FailureReason.BUSY, FailureReason.CIRCUIT_OPEN]


@pytest.mark.parametrize("reason", OWN_TROUBLE)
async def test_trouble_of_one_who_asks_is_not_that_of_others_who_ask_the_same(reason: FailureReason) -> None:
    cache, troubled, well = in_memory(), Eyes(Failed(reason), may_end=False), Eyes(CAT)
    leader = asyncio.ensure_future(answer(cache, troubled))
    await checkpoint()
    followers = asking(3, cache, well)
    await checkpoint()
    troubled.may_end.set()
    assert await leader == Failed(reason)
    outcomes = await asyncio.gather(*followers)
    assert outcomes == [CAT, CAT.as_cached(), CAT.as_cached()]
    assert len(well.asked) == 1


@pytest.mark.timeout(20)  # without an own call, it would ask for the failure of another for ever, in one turn
async def test_whoever_comes_in_the_turn_in_which_another_s_call_fails_asks_on_its_own() -> None:
    cache, is_open = in_memory(), asyncio.Event()

    async def refused(_: VisionRequest) -> Outcome:
        await is_open.wait()
        return Failed(FailureReason.CIRCUIT_OPEN)

    limiter = anyio.CapacityLimiter(8)
    first = asyncio.ensure_future(cache.ask(request_for(), refused, limiter))
    await checkpoint()
    await checkpoint()
    is_open.set()
    others = []
    while not first.done():
        others.append(asyncio.ensure_future(cache.ask(request_for(), Eyes(CAT), limiter)))
        await checkpoint()
    assert await first == Failed(FailureReason.CIRCUIT_OPEN)
    assert {(await other).as_cached() for other in others} == {CAT.as_cached()}


async def test_they_take_a_turn_of_their_own_for_it() -> None:
    cache, troubled, well = in_memory(), Eyes(Failed(FailureReason.BUSY), may_end=False), Eyes(CAT)
    leader = asyncio.ensure_future(answer(cache, troubled))
    await checkpoint()
    limiter = anyio.CapacityLimiter(1)
    follower = asyncio.ensure_future(cache.ask(request_for(), well, limiter))
    await checkpoint()
    assert limiter.borrowed_tokens == 0
    well.may_end.clear()
    troubled.may_end.set()
    await leader
    await until(lambda: well.asked)
    assert limiter.borrowed_tokens == 1
    well.may_end.set()
    assert await follower == CAT


@pytest.mark.parametrize("no_store", [False, True])
async def test_one_who_asks_alone_joins_nobody(no_store: bool) -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    await answer(cache, eyes)
    assert await cache.ask_alone(request_for(), eyes, no_store=no_store) == CAT
    assert len(eyes.asked) == 2


@pytest.mark.parametrize(("no_store", "calls"), [(False, 1), (True, 2)])
async def test_what_was_asked_alone_is_remembered_if_it_may_be(no_store: bool, calls: int) -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    await cache.ask_alone(request_for(), eyes, no_store=no_store)
    await answer(cache, eyes)
    assert len(eyes.asked) == calls


async def test_a_call_that_was_asked_alone_goes_on_after_its_request() -> None:
    """The provider charges for it, but LiteLLM bills a call only if it ends."""
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    request = asyncio.create_task(cache.ask_alone(request_for(), eyes, no_store=False))
    await until(lambda: bool(eyes.asked))
    request.cancel()
    await asyncio.wait([request])
    assert (eyes.in_flight, eyes.cancelled) == (1, 0)
    eyes.may_end.set()
    await until(lambda: not eyes.in_flight)
    assert await answer(cache, eyes) == CAT.as_cached()
    assert len(eyes.asked) == 1


async def test_a_failure_that_cost_something_is_paid_by_one() -> None:
    cache, eyes = in_memory(), Eyes(Failed(FailureReason.EMPTY, cost=PRICE, call_id="call-1"), may_end=False)
    tasks = asking(5, cache, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    eyes.may_end.set()
    outcomes = [*await asyncio.gather(*tasks), await answer(cache, eyes)]
    assert total_cost(outcomes) == PRICE
    assert [outcome.call_id for outcome in outcomes if outcome.call_id] == ["call-1"]


async def test_a_call_ends_at_its_deadline_and_nothing_stays_in_flight(clock: Clock) -> None:
    cache, eyes = in_memory(call_seconds=0.01), Eyes(CAT, may_end=False)
    assert await asyncio.gather(*asking(3, cache, eyes)) == [TIMEOUT] * 3
    assert (eyes.asked, eyes.cancelled) == (["cat"], 1)
    assert await answer(cache, eyes) == TIMEOUT
    assert eyes.asked == ["cat"]
    clock.now += FAILURE_SECONDS
    eyes.may_end.set()
    assert await answer(cache, eyes) == CAT


async def test_a_call_has_the_time_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[dict[str, float]] = []
    wait = asyncio.wait

    def noted(tasks: Any, **limit: Any) -> Any:
        limits.append(limit)
        return wait(tasks, **limit)

    monkeypatch.setattr(asyncio, "wait", noted)
    assert await answer(in_memory(call_seconds=1000), Eyes(CAT)) == CAT
    assert limits == [{"timeout": 1000}]


async def test_a_call_that_goes_on_when_it_is_cancelled_is_told_once_and_left_alone(clock: Clock) -> None:
    cancelled, may_end, has_ended = 0, asyncio.Event(), asyncio.Event()

    async def stubborn(_: VisionRequest) -> Outcome:
        nonlocal cancelled
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                cancelled += 1
        has_ended.set()
        return CAT

    cache, limiter = in_memory(call_seconds=0.01), anyio.CapacityLimiter(1)
    with anyio.fail_after(30):
        assert await cache.ask(request_for(), stubborn, limiter) == TIMEOUT
    for _ in range(20):
        await checkpoint()
    assert cancelled == 1
    clock.now += FAILURE_SECONDS
    assert await answer(cache, Eyes(CAT)) == CAT
    may_end.set()
    await has_ended.wait()


async def test_a_call_that_somebody_cancels_fails_alone() -> None:
    """A closed connection pool cancels the calls that wait for it."""

    async def cancelled(_: VisionRequest) -> Outcome:
        raise asyncio.CancelledError

    cache, limiter = in_memory(), anyio.CapacityLimiter(1)
    assert await cache.ask(request_for(), cancelled, limiter) == TIMEOUT
    assert await cache.ask(request_for("dog"), Eyes(CAT), limiter) == CAT


async def test_a_call_ends_with_those_who_own_the_loop() -> None:
    """When a program ends, its calls in flight are cancelled."""
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    flight = asyncio.ensure_future(cache._asked(request_for(), eyes))
    await until(lambda: len(eyes.asked) >= 1)
    flight.cancel()
    await asyncio.wait([flight])
    await checkpoint()
    assert eyes.cancelled == 1


async def test_only_those_who_ask_take_a_turn() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    first, second = anyio.CapacityLimiter(1), anyio.CapacityLimiter(1)
    leader = asyncio.ensure_future(cache.ask(request_for(), eyes, first))
    await until(lambda: len(eyes.asked) >= 1)
    joined = asyncio.ensure_future(cache.ask(request_for(), eyes, second))
    await anyio.wait_all_tasks_blocked()
    assert (first.borrowed_tokens, second.borrowed_tokens) == (1, 0)
    eyes.may_end.set()
    assert await asyncio.gather(*[leader, joined]) == [CAT, CAT.as_cached()]
    assert (first.borrowed_tokens, second.borrowed_tokens) == (0, 0)


async def test_a_turn_of_whoever_goes_away_is_free_again() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    limiter = anyio.CapacityLimiter(1)
    leader = asyncio.ensure_future(cache.ask(request_for(), eyes, limiter))
    await until(lambda: len(eyes.asked) >= 1)
    leader.cancel()
    await asyncio.wait([leader])
    assert limiter.borrowed_tokens == 0
    eyes.may_end.set()
    await answer(cache, eyes)


async def test_what_was_answered_while_a_request_waited_for_its_turn_is_not_asked_again() -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    limiter = anyio.CapacityLimiter(1)
    await limiter.acquire_on_behalf_of("another image")
    late = asyncio.ensure_future(cache.ask(request_for(), eyes, limiter))
    await anyio.wait_all_tasks_blocked()
    await answer(cache, eyes)
    limiter.release_on_behalf_of("another image")
    assert await late == CAT.as_cached()
    assert eyes.asked == ["cat"]


async def test_whoever_finds_somebody_asking_when_its_turn_comes_passes_the_turn_on() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    limiter = anyio.CapacityLimiter(1)
    await limiter.acquire_on_behalf_of("another image")
    late = asyncio.ensure_future(cache.ask(request_for(), eyes, limiter))
    await anyio.wait_all_tasks_blocked()
    [elsewhere] = asking(1, cache, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    limiter.release_on_behalf_of("another image")
    await anyio.wait_all_tasks_blocked()
    turns_taken = limiter.borrowed_tokens
    eyes.may_end.set()
    assert await asyncio.gather(*[elsewhere, late]) == [CAT, CAT.as_cached()]
    assert turns_taken == 0


async def test_flushing_a_scope_leaves_the_others() -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    mine, yours = request_for("mine", scope="team:a"), request_for("yours", scope="team:b")
    for request in (mine, yours):
        await answer(cache, eyes, request)
    await cache.flush("team:a")
    for request in (mine, yours):
        await answer(cache, eyes, request)
    assert eyes.asked == ["mine", "yours", "mine"]


async def test_flushing_all_leaves_nothing() -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    for scope in ("team:a", "team:b"):
        await answer(cache, eyes, request_for(scope, scope=scope))
    await cache.flush()
    for scope in ("team:a", "team:b"):
        await answer(cache, eyes, request_for(scope, scope=scope))
    assert eyes.asked == ["team:a", "team:b"] * 2


async def test_a_call_made_before_a_flush_is_not_remembered_after_it() -> None:
    cache, eyes = in_memory(), Eyes(CAT, may_end=False)
    [before] = asking(1, cache, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    await cache.flush()
    eyes.may_end.set()
    assert await before == CAT
    await answer(cache, eyes)
    assert eyes.asked == ["cat", "cat"]


def test_loops_one_after_the_other_share_what_is_known_and_no_call() -> None:
    cache = in_memory()

    async def leave_in_the_middle() -> None:
        eyes = Eyes(CAT, may_end=False)
        asking(2, cache, eyes)
        await until(lambda: len(eyes.asked) >= 1)

    async def ask() -> Outcome:
        return await answer(cache, Eyes(CAT))

    asyncio.run(leave_in_the_middle())
    assert asyncio.run(ask()) == CAT
    assert asyncio.run(ask()) == CAT.as_cached()


async def test_without_redis_there_is_nothing_to_check_or_to_close() -> None:
    cache, eyes = in_memory(), Eyes(CAT)
    await cache.check()
    await cache.aclose()
    assert await answer(cache, eyes) == CAT


# Several workers behind one Redis


async def test_what_one_worker_knows_all_know(workers: Workers) -> None:
    eyes = Eyes(CAT)
    outcomes = [await answer(worker, eyes) for worker in workers.start(4)]
    assert outcomes == [CAT] + [CAT.as_cached()] * 3
    assert eyes.asked == ["cat"]


async def test_a_worker_that_has_not_read_since_a_flush_replaces_what_all_know(workers: Workers) -> None:
    first, second, third = workers.start(3)
    await first.flush()
    await answer(first, Eyes(CAT))
    dog = Analysed("a dog", cost=PRICE, call_id="call-2")
    assert await second.ask_alone(request_for(), Eyes(dog), no_store=False) == dog
    assert await answer(third, Eyes(BROKEN)) == dog.as_cached()


async def test_1_000_who_ask_four_workers_at_once_make_one_call_and_one_pays(workers: Workers) -> None:
    eyes = Eyes(CAT, may_end=False)
    running, joined = workers.start(4), list[int]()
    for worker in running:
        worker._on_join = lambda: joined.append(1)
    tasks = [task for worker in running for task in asking(250, worker, eyes)]
    await until(lambda: len(eyes.asked) >= 1)
    eyes.may_end.set()
    outcomes = await asyncio.gather(*tasks)
    assert eyes.asked == ["cat"]
    assert [outcome.text for outcome in outcomes if isinstance(outcome, Analysed)] == ["a cat"] * 1000
    assert total_cost(outcomes) == PRICE
    assert len(joined) == 999
    assert sum(isinstance(outcome, Analysed) and outcome.cached for outcome in outcomes) == 999


async def test_a_call_longer_than_a_lease_is_still_one_call(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(lease, "_RENEWAL_SECONDS", 0.2)
    eyes = Eyes(CAT, may_end=False)
    with workers.redis.client as client:
        client.config_resetstat()
        tasks = [task for worker in workers.start(2) for task in asking(1, worker, eyes)]
        await until(lambda: client.info("commandstats").get("cmdstat_pexpire", {}).get("calls", 0) >= 6)
    eyes.may_end.set()
    assert total_cost(await asyncio.gather(*tasks)) == PRICE
    assert eyes.asked == ["cat"]


async def test_a_call_leaves_its_record_and_no_lease(workers: Workers) -> None:
    [worker] = workers.start(1)
    await answer(worker, Eyes(CAT))
    assert workers.stored() == ["litellm-image-analysis:{team:research}:cat"]


async def test_whoever_started_a_call_may_go_and_other_workers_have_it(workers: Workers) -> None:
    one, other = workers.start(2)
    eyes = Eyes(CAT, may_end=False)
    [leader] = asking(1, one, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    [waiter] = asking(1, other, eyes)
    leader.cancel()
    await asyncio.wait([leader])
    eyes.may_end.set()
    assert await waiter == CAT.as_cached()
    assert (eyes.asked, eyes.cancelled) == (["cat"], 0)


async def test_the_call_of_a_worker_that_died_is_taken_over(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, *living = workers.start(3)
    assert dead.store is not None
    with monkeypatch.context() as short:
        short.setattr(lease, "LEASE_SECONDS", 0.3)
        assert await dead.store.lease(SCOPE, "cat").take()  # after that, no worker renews the lease
    eyes = Eyes(CAT)
    outcomes = await asyncio.gather(*[task for worker in living for task in asking(10, worker, eyes)])
    assert eyes.asked == ["cat"]
    assert total_cost(outcomes) == PRICE


async def test_a_call_ends_at_its_deadline_and_gives_its_lease_back(workers: Workers) -> None:
    [worker] = workers.start(1, call_seconds=0.5)
    eyes = Eyes(CAT, may_end=False)
    assert await answer(worker, eyes) == TIMEOUT
    assert eyes.cancelled == 1
    assert not [name for name in workers.stored() if name.endswith(":lease")]


async def test_whoever_waits_for_another_worker_in_vain_answers_at_its_deadline(workers: Workers) -> None:
    [busy] = workers.start(1)
    [impatient] = workers.start(1, call_seconds=0.3)
    eyes = Eyes(CAT, may_end=False)
    [task] = asking(1, busy, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    assert await answer(impatient, eyes) == TIMEOUT
    eyes.may_end.set()
    await task
    assert eyes.asked == ["cat"]


async def test_whoever_waited_in_vain_has_the_answer_once_it_is_there(workers: Workers) -> None:
    [busy] = workers.start(1)
    [impatient] = workers.start(1, call_seconds=0.3)
    eyes = Eyes(CAT, may_end=False)
    [task] = asking(1, busy, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    await answer(impatient, eyes)
    eyes.may_end.set()
    await task
    assert await answer(impatient, eyes) == CAT.as_cached()


async def test_a_failure_is_not_asked_for_again_by_other_workers_either(workers: Workers, clock: Clock) -> None:
    eyes = Eyes(BROKEN, may_end=False)
    *started, idle = workers.start(5)
    tasks = [task for worker in started for task in asking(5, worker, eyes)]
    await until(lambda: len(eyes.asked) >= 1)
    eyes.may_end.set()
    assert await asyncio.gather(*tasks) == [BROKEN] * 20
    assert await answer(idle, eyes) == BROKEN
    assert eyes.asked == ["cat"]
    clock.now += FAILURE_SECONDS
    eyes.outcome = CAT
    assert await answer(started[0], eyes) == CAT
    assert await answer(started[1], eyes) == CAT.as_cached()
    assert eyes.asked == ["cat", "cat"]


async def test_a_failure_of_a_host_whose_clock_is_ahead_is_forgotten_in_time(workers: Workers, clock: Clock) -> None:
    first, second = workers.start(2)
    clock.now += 3600
    await answer(first, Eyes(BROKEN))
    clock.now -= 3600
    assert await answer(second, Eyes(CAT)) == BROKEN.as_cached()
    clock.now += FAILURE_SECONDS
    assert second._remembered([request_for()]) == {}


@pytest.mark.parametrize("reason", [reason for reason in FailureReason if reason.not_cacheable])
async def test_what_a_worker_did_not_ask_in_its_moment_is_asked_by_others_and_later(
    workers: Workers, reason: FailureReason
) -> None:
    one, other = workers.start(2)
    eyes = Eyes(Failed(reason))
    outcomes = [await answer(worker, eyes) for worker in (one, other, one)]
    assert outcomes == [Failed(reason)] * 3
    assert len(eyes.asked) == 3


async def test_a_call_that_timed_out_is_not_asked_for_again_by_other_workers_either(workers: Workers) -> None:
    one, other = workers.start(2, call_seconds=0.5)
    eyes = Eyes(CAT, may_end=False)
    assert await answer(one, eyes) == TIMEOUT
    assert await answer(other, eyes) == TIMEOUT
    assert eyes.asked == ["cat"]


async def test_an_analysis_lives_its_time_in_all_workers(workers: Workers, clock: Clock) -> None:
    one, other, third = workers.start(3, ttl_seconds=100)
    eyes = Eyes(CAT)
    await answer(one, eyes)
    clock.now += 60
    await answer(other, eyes)  # it expires at the same time on both workers
    clock.now += 40
    await answer(other, eyes)
    assert await answer(third, eyes) == CAT.as_cached()
    assert eyes.asked == ["cat", "cat"]


async def test_a_worker_remembers_what_another_made_for_no_longer_than_it_is_set_to(
    workers: Workers, clock: Clock
) -> None:
    [one], [other] = workers.start(1, ttl_seconds=100), workers.start(1, ttl_seconds=10)
    eyes = Eyes(CAT)
    await answer(one, eyes)
    await answer(other, eyes)
    with workers.redis.client as client:
        client.flushall()
    clock.now += 10
    await answer(other, eyes)
    assert eyes.asked == ["cat", "cat"]


async def test_what_is_behind_a_url_lives_its_time_in_all_workers(workers: Workers, clock: Clock) -> None:
    one, other = workers.start(2, remote_url_ttl_seconds=10)
    eyes, there = Eyes(CAT), request_for(may_change=True)
    await answer(one, eyes, there)
    clock.now += 9
    await answer(other, eyes, there)
    assert eyes.asked == ["cat"]
    clock.now += 1
    await answer(other, eyes, there)
    assert eyes.asked == ["cat", "cat"]
    with workers.redis.client as client:
        assert 0 < client.pttl("litellm-image-analysis:{team:research}:cat") <= 10_000


async def test_what_is_behind_a_url_is_not_stored_where_that_is_set_to_0(workers: Workers) -> None:
    one, other = workers.start(2, remote_url_ttl_seconds=0)
    eyes, there = Eyes(CAT), request_for(may_change=True)
    assert [await answer(worker, eyes, there) for worker in (one, one, other)] == [CAT] * 3
    assert eyes.asked == ["cat"] * 3
    assert workers.stored() == []


async def test_nobody_waits_for_another_worker_s_call_that_will_not_be_stored(workers: Workers) -> None:
    one, other = workers.start(2, remote_url_ttl_seconds=0)
    eyes, there = Eyes(CAT, may_end=False), request_for(may_change=True)
    tasks = [task for worker in (one, other) for task in asking(1, worker, eyes, there)]
    with anyio.move_on_after(2):
        await until(lambda: len(eyes.asked) >= 2)
    at_once = len(eyes.asked)
    eyes.may_end.set()
    await asyncio.gather(*tasks)
    assert at_once == 2


async def test_20_known_images_take_one_round_trip(workers: Workers) -> None:
    one, other = workers.start(2)
    eyes = Eyes(CAT)
    requests = [request_for(f"image {number}") for number in range(20)]
    for request in requests:
        await answer(one, eyes, request)
    await other.check()  # the worker is connected now
    with workers.redis.commands() as commands:
        known = await other.recall(requests)
    assert len(known) == 20
    assert [command.split()[0] for command in commands] == ["MGET"]


async def test_who_ask_for_the_same_images_at_once_share_the_round_trip(workers: Workers) -> None:
    one, other = workers.start(2)
    await answer(one, Eyes(CAT))
    await other.check()
    with workers.redis.commands() as commands:
        await asyncio.gather(*[other.recall([request_for()]) for _ in range(100)])
    assert [command.split()[0] for command in commands] == ["MGET"]


async def test_what_memory_knows_takes_no_round_trip_while_the_last_news_is_fresh(
    workers: Workers, clock: Clock
) -> None:
    [worker] = workers.start(1)
    eyes = Eyes(CAT)
    requests = [request_for(f"image {number}") for number in range(20)]
    for request in requests:
        await answer(worker, eyes, request)
    await worker.recall(requests)
    with workers.redis.commands() as commands:
        for _ in range(10):
            assert len(await worker.recall(requests)) == 20
        assert await worker.recall([]) == {}
    assert commands == []
    clock.now += redis_store.CURRENT_SECONDS
    with workers.redis.commands() as commands:
        for _ in range(10):
            assert len(await worker.recall(requests)) == 20
    assert [command.split()[0] for command in commands] == ["MGET"]


async def test_what_is_in_flight_here_is_not_looked_up(workers: Workers) -> None:
    [worker] = workers.start(1)
    eyes = Eyes(CAT, may_end=False)
    [task] = asking(1, worker, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    with workers.redis.commands() as commands:
        assert await worker.recall([request_for()]) == {}
    eyes.may_end.set()
    await task
    assert not [command for command in commands if command.startswith("MGET")]


async def test_two_scopes_never_join_whatever_their_keys(workers: Workers) -> None:
    one, other = workers.start(2)
    eyes = Eyes(CAT, may_end=False)
    tasks = asking(1, one, eyes, request_for(scope="team:a")) + asking(1, other, eyes, request_for(scope="team:b"))
    await until(lambda: len(eyes.asked) >= 2)
    eyes.may_end.set()
    assert await asyncio.gather(*tasks) == [CAT, CAT]


async def test_flushing_all_reaches_the_other_workers_within_seconds(workers: Workers, clock: Clock) -> None:
    one, other = workers.start(2)
    eyes = Eyes(CAT)
    for scope in ("team:a", "team:b"):
        await answer(one, eyes, request_for(scope, scope=scope))
        await answer(other, eyes, request_for(scope, scope=scope))
    await one.flush()
    clock.now += redis_store.CURRENT_SECONDS
    eyes.asked.clear()
    for scope in ("team:a", "team:b"):
        assert await answer(other, eyes, request_for(scope, scope=scope)) == CAT
        assert await answer(one, eyes, request_for(scope, scope=scope)) == CAT.as_cached()
    assert eyes.asked == ["team:a", "team:b"]


async def test_flushing_a_scope_reaches_the_other_workers_and_no_other_scope(workers: Workers, clock: Clock) -> None:
    one, other = workers.start(2)
    eyes = Eyes(CAT)
    for scope in ("team:a", "team:b"):
        await answer(one, eyes, request_for(scope, scope=scope))
        await answer(other, eyes, request_for(scope, scope=scope))
    await one.flush("team:a")
    clock.now += redis_store.CURRENT_SECONDS
    eyes.asked.clear()
    for worker in (other, one):
        for scope in ("team:a", "team:b"):
            await answer(worker, eyes, request_for(scope, scope=scope))
    assert eyes.asked == ["team:a"]


async def test_whoever_flushes_has_forgotten_at_once(workers: Workers) -> None:
    one, _ = workers.start(2)
    eyes = Eyes(CAT)
    await answer(one, eyes)
    await one.flush()
    await answer(one, eyes)
    await answer(one, eyes)
    assert eyes.asked == ["cat", "cat"]


async def test_a_call_made_before_a_flush_is_not_remembered_by_any_worker_after_it(
    workers: Workers, clock: Clock
) -> None:
    one, other = workers.start(2)
    eyes = Eyes(CAT, may_end=False)
    [before] = asking(1, one, eyes)
    await until(lambda: len(eyes.asked) >= 1)
    await other.flush()
    eyes.may_end.set()
    assert await before == CAT
    clock.now += redis_store.CURRENT_SECONDS
    assert await answer(other, eyes) == CAT
    assert await answer(one, eyes) == CAT.as_cached()
    assert eyes.asked == ["cat", "cat"]


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe",
        b"",
        "not JSON",
        '{"text": "pwned"}',
        stored_outcome.dump("dog", Analysed("a dog"), redis_store.NEVER_FLUSHED, 1e9),
        stored_outcome.dump("cat", Analysed("flushed"), "an older generation", 1e9),
        stored_outcome.dump("cat", Analysed("old"), redis_store.NEVER_FLUSHED, -1e9),
    ],
    ids=["bytes", "nothing", "words", "another program's", "another key's", "flushed", "out of date"],
)
async def test_a_foreign_value_is_a_miss_and_gives_way(workers: Workers, value: str | bytes) -> None:
    one, other = workers.start(2)
    with workers.redis.client as client:
        client.set("litellm-image-analysis:{team:research}:cat", value)
    eyes = Eyes(CAT)
    assert await answer(one, eyes) == CAT
    assert await answer(other, eyes) == CAT.as_cached()


async def test_a_value_of_another_type_is_a_miss_and_gives_way(workers: Workers) -> None:
    one, other = workers.start(2)
    with workers.redis.client as client:
        client.hset("litellm-image-analysis:{team:research}:cat", "text", "pwned")
    eyes = Eyes(CAT)
    assert await answer(one, eyes) == CAT
    assert await answer(other, eyes) == CAT.as_cached()


# Redis is gone


async def test_when_redis_dies_in_the_middle_each_worker_asks_at_most_once_and_none_fails(
    mortal_redis: RedisServer, clock: Clock
) -> None:
    async with workers_of(mortal_redis, clock) as workers:
        eyes = Eyes(CAT, may_end=False)
        tasks = [task for worker in workers.start(4) for task in asking(250, worker, eyes)]
        await until(lambda: len(eyes.asked) >= 1)
        mortal_redis.stop()
        await until(lambda: len(eyes.asked) >= 4)
        eyes.may_end.set()
        outcomes = await asyncio.gather(*tasks)
        assert len(eyes.asked) == 4
        assert [outcome.text for outcome in outcomes if isinstance(outcome, Analysed)] == ["a cat"] * 1000
        assert total_cost(outcomes) == 4 * PRICE
        assert len(workers.warnings) == 4  # one for each worker


async def test_without_redis_a_worker_s_memory_goes_on(mortal_redis: RedisServer, clock: Clock) -> None:
    async with workers_of(mortal_redis, clock) as workers:
        [worker] = workers.start(1)
        eyes = Eyes(CAT)
        await answer(worker, eyes, request_for("before"))
        mortal_redis.stop()
        for _ in range(3):
            await answer(worker, eyes, request_for("before"))
            await answer(worker, eyes, request_for("after"))
        assert eyes.asked == ["before", "after"]


async def test_what_was_flushed_stays_so_when_redis_comes_back_empty(mortal_redis: RedisServer, clock: Clock) -> None:
    async with workers_of(mortal_redis, clock) as workers:
        one, other = workers.start(2)
        eyes = Eyes(CAT)
        await answer(one, eyes)
        await answer(other, eyes)
        await one.flush()
        clock.now += redis_store.CURRENT_SECONDS
        await other.recall([request_for("another image")])  # the other worker knows of the flush
        mortal_redis.stop()
        mortal_redis.start()
        clock.now += redis_store.CURRENT_SECONDS
        assert other.store is not None
        store = other.store
        await other.recall([request_for("another image")])
        await until(lambda: store.available)
        assert await answer(other, eyes) == CAT


async def test_a_flush_that_does_not_reach_redis_says_so_and_has_forgotten_here(
    mortal_redis: RedisServer, clock: Clock
) -> None:
    async with workers_of(mortal_redis, clock) as workers:
        [worker] = workers.start(1)
        eyes = Eyes(CAT)
        await answer(worker, eyes)
        mortal_redis.stop()
        with pytest.raises(RedisError):
            await worker.flush()
        await answer(worker, eyes)
        assert eyes.asked == ["cat", "cat"]


async def test_a_host_with_other_keys_is_noticed_when_it_starts(workers: Workers) -> None:
    first, second = workers.start(2)
    assert not await first.has_other_keys("a")
    assert not await second.has_other_keys("a")
    await first.flush()
    assert await second.has_other_keys("b")
    assert not await second.has_other_keys("b")
    assert await first.has_other_keys("a")


async def test_without_redis_there_is_no_other_host(clock: Clock) -> None:
    assert not await in_memory().has_other_keys("a")
    without = Cache(CacheConfig(backend="redis"), 60, RedisStore(lambda: None, pytest.fail, clock))
    assert not await without.has_other_keys("a")


async def test_a_redis_that_is_gone_says_nothing_of_other_hosts(mortal_redis: RedisServer, clock: Clock) -> None:
    async with workers_of(mortal_redis, clock) as workers:
        [worker] = workers.start(1)
        mortal_redis.stop()
        assert not await worker.has_other_keys("a")


async def test_a_gateway_without_redis_settings_goes_on_with_memory(clock: Clock) -> None:
    cache = Cache(CacheConfig(backend="redis"), 60, RedisStore(lambda: None, pytest.fail, clock))
    eyes = Eyes(CAT)
    await cache.check()
    outcomes = await asyncio.gather(*asking(10, cache, eyes))
    assert total_cost(outcomes) == PRICE
    with pytest.raises(ConnectionError):
        await cache.flush()
    assert await answer(cache, eyes) == CAT
    assert eyes.asked == ["cat", "cat"]
    await cache.aclose()


async def test_a_client_that_cannot_be_made_costs_no_request(clock: Clock) -> None:
    def connect() -> NamespacedClient:
        raise ValueError("REDIS_CLUSTER_NODES is not JSON")

    warnings: list[str] = []
    cache, eyes = Cache(CacheConfig(backend="redis"), 60, RedisStore(connect, warnings.append, clock)), Eyes(CAT)
    assert await answer(cache, eyes) == CAT
    assert await answer(cache, eyes) == CAT.as_cached()
    assert len(warnings) == 1


async def test_the_operator_hears_at_the_start_of_a_redis_that_is_not_there(
    mortal_redis: RedisServer, clock: Clock
) -> None:
    mortal_redis.stop()
    async with workers_of(mortal_redis, clock) as workers:
        [worker] = workers.start(1)
        await worker.check()
        assert len(workers.warnings) == 1
        with suppress(RedisError):
            await worker.flush()
