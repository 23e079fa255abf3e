"""One call for equal requests at once, even if some of them are cancelled."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import anyio
from anyio.lowlevel import checkpoint

from litellm_image_analysis.cache.single_flight import SingleFlight

KEY = "what is in the image?"
SCHEDULES = 10_000


class Call:
    """A call that ends when the test says so, and counts how often it was made."""

    def __init__(self, answer: str | Exception = "a cat") -> None:
        self.answer = answer
        self.times = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> str:
        self.times += 1
        await self.may_end.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def landed(flights: SingleFlight[str], key: str = KEY) -> None:
    """Wait, for a bounded number of turns of the loop, until nothing is in flight under the key."""
    for _ in range(20):
        if key not in flights:
            return
        await checkpoint()
    raise AssertionError("it is still in flight")


async def waiting(
    count: int, flights: SingleFlight[str], call: Callable[[], Awaitable[str]]
) -> list[asyncio.Task[str]]:
    """This number of tasks that wait for the same call. The first one has started it."""

    async def ask() -> str:
        answer, _ = await flights.join(KEY, call)
        return answer

    tasks = [asyncio.ensure_future(ask()) for _ in range(count)]
    await checkpoint()
    await checkpoint()
    return tasks


async def test_many_who_ask_at_once_make_one_call() -> None:
    flights: SingleFlight[str] = SingleFlight()
    call = Call()
    tasks = await waiting(1000, flights, call)
    call.may_end.set()
    assert await asyncio.gather(*tasks) == ["a cat"] * 1000
    assert call.times == 1


async def test_only_the_first_is_told_that_it_started_the_call() -> None:
    flights: SingleFlight[str] = SingleFlight()
    call = Call()
    tasks = [asyncio.ensure_future(flights.join(KEY, call)) for _ in range(3)]
    await checkpoint()
    call.may_end.set()
    assert [starts for _, starts in await asyncio.gather(*tasks)] == [True, False, False]


async def test_different_questions_do_not_wait_for_each_other() -> None:
    flights: SingleFlight[str] = SingleFlight()
    slow, fast = Call("slow"), Call("fast")
    tasks = await waiting(1, flights, slow)
    fast.may_end.set()
    assert await flights.join("another question", fast) == ("fast", True)
    assert KEY in flights
    slow.may_end.set()
    assert await asyncio.gather(*tasks) == ["slow"]


async def test_a_question_asked_again_afterwards_is_a_new_call() -> None:
    flights: SingleFlight[str] = SingleFlight()
    call = Call()
    call.may_end.set()
    assert await flights.join(KEY, call) == ("a cat", True)
    await landed(flights)
    assert await flights.join(KEY, call) == ("a cat", True)
    assert call.times == 2


async def test_a_call_is_in_flight_from_its_start_to_its_end() -> None:
    flights: SingleFlight[str] = SingleFlight()
    call = Call()
    assert KEY not in flights
    await waiting(1, flights, call)
    assert KEY in flights
    call.may_end.set()
    await landed(flights)


async def test_when_all_who_wait_are_gone_the_call_comes_to_its_end() -> None:
    flights: SingleFlight[str] = SingleFlight()
    kept: list[str] = []
    call = Call()

    async def call_and_keep() -> str:
        kept.append(await call())
        return kept[0]

    tasks = await waiting(3, flights, call_and_keep)
    for task in tasks:
        task.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))
    assert KEY in flights
    call.may_end.set()
    await landed(flights)
    assert kept == ["a cat"]


async def test_a_call_that_nobody_waits_for_any_more_can_be_joined_again() -> None:
    flights: SingleFlight[str] = SingleFlight()
    call = Call()
    [leader] = await waiting(1, flights, call)
    leader.cancel()
    with suppress(asyncio.CancelledError):
        await leader
    [late] = await waiting(1, flights, call)
    call.may_end.set()
    assert await late == "a cat"
    assert call.times == 1


async def test_an_exception_reaches_all_who_wait_and_leaves_nothing_behind() -> None:
    flights: SingleFlight[str] = SingleFlight()
    failure = ValueError("no such model")
    call = Call(failure)
    tasks = await waiting(5, flights, call)
    call.may_end.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [failure] * 5
    assert call.times == 1  # the waiting tasks do not repeat the call
    await landed(flights)
    call.answer = "a cat"
    assert await flights.join(KEY, call) == ("a cat", True)


async def test_a_call_that_fails_before_it_first_waits_is_made_once_all_the_same() -> None:
    flights: SingleFlight[str] = SingleFlight()
    times = 0

    async def call() -> str:
        nonlocal times
        times += 1
        raise ValueError("at once")

    ends = await asyncio.gather(*[flights.join(KEY, call) for _ in range(5)], return_exceptions=True)
    assert [str(end) for end in ends] == ["at once"] * 5
    assert times == 1
    await landed(flights)


async def test_a_call_that_fails_when_nobody_waits_for_it_harms_nobody() -> None:
    flights: SingleFlight[str] = SingleFlight()
    call = Call(ValueError("too late"))
    [leader] = await waiting(1, flights, call)
    leader.cancel()
    with suppress(asyncio.CancelledError):
        await leader
    call.may_end.set()
    await landed(flights)
    call.answer = "a cat"
    assert await flights.join(KEY, call) == ("a cat", True)


async def test_a_call_that_is_cancelled_itself_leaves_nothing_behind() -> None:
    flights: SingleFlight[str] = SingleFlight()

    async def call() -> str:
        await checkpoint()
        raise asyncio.CancelledError

    tasks = await waiting(3, flights, call)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    await landed(flights)


async def test_the_deadline_of_whoever_started_the_call_is_not_the_call_s() -> None:
    flights: SingleFlight[str] = SingleFlight()
    call = Call()
    with anyio.move_on_after(0) as impatient:
        await flights.join(KEY, call)
    assert impatient.cancelled_caught
    [patient] = await waiting(1, flights, call)
    call.may_end.set()
    assert await patient == "a cat"
    assert call.times == 1


class Asker:
    """A task that asks at one turn of the loop, and may be cancelled at another."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.starts = 0 if number == 0 else chance.randrange(4)
        self.leaves = chance.randrange(8) if number == 0 or chance.random() < 0.4 else None
        self.way_out = chance.choice([self._cancel_task, self._cancel_scope, self._reach_deadline])
        self.scope = anyio.CancelScope()
        self.task: asyncio.Task[object] | None = None

    async def ask(self, flights: SingleFlight[str], call: Call) -> object:
        with self.scope:
            try:
                answer, _ = await flights.join(KEY, call)
            except ValueError as error:
                return error
            return answer
        return None

    def leave(self) -> None:
        self.way_out()

    def _cancel_task(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def _cancel_scope(self) -> None:
        self.scope.cancel()

    def _reach_deadline(self) -> None:
        self.scope.deadline = anyio.current_time()


async def test_no_schedule_of_cancelled_leaders_and_waiters_harms_the_others() -> None:
    for seed in range(SCHEDULES):
        await one_schedule(random.Random(seed))


async def one_schedule(chance: random.Random) -> None:
    """The first task is always cancelled, and others may be: before they ask, while they wait, or after the end."""
    flights: SingleFlight[str] = SingleFlight()
    call = Call("a cat" if chance.random() < 0.7 else ValueError("no such model"))
    askers = [Asker(number, chance) for number in range(chance.randint(2, 6))]
    ends = chance.randint(4, 7)
    for turn in range(9):
        for asker in askers:
            if asker.starts == turn:
                asker.task = asyncio.ensure_future(asker.ask(flights, call))
        for asker in askers:
            if asker.leaves == turn:
                asker.leave()
        if turn == ends:
            call.may_end.set()
        await asyncio.sleep(0)
    await landed(flights)
    got = await asyncio.gather(*[asker.task for asker in askers if asker.task], return_exceptions=True)
    stayed = [answer for asker, answer in zip(askers, got, strict=True) if asker.leaves is None]
    assert stayed == [call.answer] * len(stayed)
    assert all(answer in (call.answer, None) or isinstance(answer, asyncio.CancelledError) for answer in got)
    assert call.times == 1 or (call.times == 0 and not stayed)


def test_loops_one_after_the_other_make_their_own_calls() -> None:
    flights: SingleFlight[str] = SingleFlight()

    async def ask() -> tuple[str, bool]:
        call = Call()
        call.may_end.set()
        return await flights.join(KEY, call)

    assert [asyncio.run(ask()) for _ in range(3)] == [("a cat", True)] * 3


def test_a_loop_that_ended_in_the_middle_of_a_call_is_no_hindrance_to_the_next() -> None:
    flights: SingleFlight[str] = SingleFlight()

    async def leave_in_the_middle() -> None:
        await waiting(2, flights, Call())
        assert KEY in flights

    async def ask() -> tuple[str, bool]:
        assert KEY not in flights
        call = Call()
        call.may_end.set()
        return await flights.join(KEY, call)

    asyncio.run(leave_in_the_middle())
    assert asyncio.run(ask()) == ("a cat", True)


def test_loops_in_threads_never_wait_for_each_other_s_calls() -> None:
    flights: SingleFlight[str] = SingleFlight()
    all_in_flight = threading.Barrier(4, timeout=30)

    async def ask_beside_the_others(name: str) -> list[str]:
        call = Call(name)
        tasks = await waiting(2, flights, call)
        all_in_flight.wait()
        tasks += await waiting(2, flights, call)
        all_in_flight.wait()
        call.may_end.set()
        return await asyncio.gather(*tasks)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda name: asyncio.run(ask_beside_the_others(name)), "abcd"))
    assert answers == [["a"] * 4, ["b"] * 4, ["c"] * 4, ["d"] * 4]


async def test_whoever_comes_in_the_turn_in_which_a_call_ends_starts_one_of_its_own() -> None:
    """Joining an ended call does not suspend, so a request that joins until it gets its own answer would spin."""
    flights: SingleFlight[str] = SingleFlight()
    first = Call("of another's")
    [waits] = await waiting(1, flights, first)
    first.may_end.set()  # the call goes on in the next turn, and the next task of that turn is this one

    async def own() -> str:
        return "its own"

    async def come() -> tuple[str, bool, bool]:
        was_in_flight = KEY in flights
        return *await flights.join(KEY, own), was_in_flight

    assert await asyncio.ensure_future(come()) == ("its own", True, False)
    assert await waits == "of another's"
    await landed(flights)


async def test_a_call_that_is_cancelled_before_it_begins_is_not_in_flight() -> None:
    flights: SingleFlight[str] = SingleFlight()
    asking = asyncio.ensure_future(flights.join(KEY, Call()))
    await checkpoint()
    [call] = asyncio.all_tasks() - {asyncio.current_task(), asking}
    call.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    await landed(flights)
