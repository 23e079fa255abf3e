"""Values that belong to an event loop: one for each loop, and none for a closed loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from litellm_image_analysis.event_loops import AT_ONCE, PerLoop, computed


class Thing:
    """A value that is made once for each loop."""


async def test_a_loop_keeps_its_value() -> None:
    things = PerLoop(Thing)
    assert things.get() is things.get()


async def test_all_tasks_of_a_loop_have_the_same_value() -> None:
    things = PerLoop(Thing)

    async def mine() -> Thing:
        return things.get()

    assert len(set(await asyncio.gather(*[mine() for _ in range(5)]))) == 1


def test_loops_one_after_the_other_have_a_value_each() -> None:
    things = PerLoop(Thing)

    async def mine() -> Thing:
        return things.get()

    assert asyncio.run(mine()) is not asyncio.run(mine())


def test_loops_in_threads_keep_their_values_beside_each_other() -> None:
    things = PerLoop(Thing)
    everybody = threading.Barrier(4)

    async def before_and_after_the_others() -> list[Thing]:
        first = things.get()
        everybody.wait()
        return [first, things.get()]

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(asyncio.run, before_and_after_the_others()) for _ in range(4)]
        pairs = [future.result() for future in running]
    assert all(first is second for first, second in pairs)
    assert len({first for first, _ in pairs}) == 4


def test_the_value_of_a_loop_that_is_over_goes_when_the_next_loop_asks() -> None:
    things = PerLoop(Thing)

    async def mine() -> weakref.ref[Thing]:
        return weakref.ref(things.get())

    first = asyncio.run(mine())
    second = asyncio.run(mine())
    gc.collect()
    assert first() is None
    assert second() is not None


async def test_a_value_taken_out_is_made_anew() -> None:
    things = PerLoop(Thing)
    first = things.get()
    assert things.pop() is first
    assert things.pop() is None
    assert things.get() is not first


async def test_taking_out_what_nobody_asked_for_makes_nothing() -> None:
    made: list[None] = []
    assert PerLoop(lambda: made.append(None)).pop() is None
    assert not made


async def test_a_value_that_could_not_be_made_is_tried_again() -> None:
    attempts = iter([False, True])

    def make() -> Thing:
        if not next(attempts):
            raise OSError("no more sockets")
        return Thing()

    things = PerLoop(make)
    with pytest.raises(OSError, match="no more sockets"):
        things.get()
    assert isinstance(things.get(), Thing)


def test_without_a_running_loop_there_is_no_value() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        PerLoop(Thing).get()


async def test_a_turn_of_the_loop_has_room_for_some_computations_and_the_others_follow_in_order() -> None:
    done: list[int] = []
    seen: list[int] = []

    async def compute(number: int) -> None:
        await computed(lambda: done.append(number), in_thread=False)

    async def watch() -> None:
        while len(done) < 50:
            seen.append(len(done))
            await asyncio.sleep(0)

    await asyncio.gather(watch(), *(compute(number) for number in range(50)))
    assert done == list(range(50))
    assert max(after - before for before, after in zip(seen, [*seen[1:], 50], strict=True)) <= AT_ONCE


async def test_one_computation_waits_for_nothing() -> None:
    coroutine = computed(lambda: 42, in_thread=False)
    with pytest.raises(StopIteration) as result:
        coroutine.send(None)
    assert result.value.value == 42


async def test_a_computation_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    done: list[int] = []

    async def compute(number: int) -> None:
        await computed(lambda: done.append(number), in_thread=False)

    waiting = [asyncio.create_task(compute(number)) for number in range(3 * AT_ONCE)]
    await asyncio.sleep(0)
    for task in waiting[AT_ONCE:-1]:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert done == [*range(AT_ONCE), 3 * AT_ONCE - 1]


async def test_what_takes_long_is_computed_in_a_thread() -> None:
    assert await computed(threading.current_thread, in_thread=True) is not threading.main_thread()
    assert await computed(threading.current_thread, in_thread=False) is threading.main_thread()
