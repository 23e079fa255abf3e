"""The gate before every vision call: calls that are admitted, wait or are refused, and its messages."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from support.eyes import Eyes

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.prompt import Asked, VisionRequest
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.config import CacheConfig, ImageAnalysisConfig
from litellm_image_analysis.vision import gate
from litellm_image_analysis.vision.circuit_breaker import FAILURES, Change
from litellm_image_analysis.vision.gate import BUSY_SECONDS, COUNTED, MOST_MODELS, Gate, ModelGroup, ModelStatus

NOTHING = Asked("", "", ())

CAT = Analysed("a cat")
BROKEN = Failed(FailureReason.UNAVAILABLE)
BUSY = Failed(FailureReason.BUSY, retry_after_seconds=BUSY_SECONDS)
OPEN = FailureReason.CIRCUIT_OPEN
PAUSE_SECONDS = ImageAnalysisConfig().circuit_pause_seconds

NOT_COUNTED = [reason for reason in FailureReason if reason not in {*COUNTED, FailureReason.NOT_ROUTED}]

pytestmark = pytest.mark.usefixtures("no_blocking_calls")


def request_for(model: str = "eyes", key: str = "cat") -> VisionRequest:
    return VisionRequest(key, "team:research", model, NOTHING, 100)


class Door:
    """A gate, its clock, and its messages."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.told: list[tuple[str, Change, FailureReason | None]] = []
        self.shown: dict[str, ModelStatus] = {}
        self.refused: Counter[str] = Counter()
        self.ended: list[tuple[str | None, Outcome | None, float]] = []
        self.gate = Gate(
            ImageAnalysisConfig(**settings),
            self.show,
            lambda *what: self.told.append(what),
            lambda: self.now,
            lambda *what: self.ended.append(what),
        )

    def show(self, model: str, load: ModelStatus, refused: FailureReason | None) -> None:
        self.shown[model] = load
        if refused is not None:
            self.refused[refused.code] += 1

    async def ask(self, eyes: Eyes, key: str = "key", model: str = "eyes") -> Outcome:
        outcome = await self.gate.guarded(eyes, key)(request_for(model))
        assert self.shown == self.gate.loads()
        return outcome

    async def asking(
        self, times: int, eyes: Eyes, key: str = "key", model: str = "eyes"
    ) -> list[asyncio.Task[Outcome]]:
        """Start this number of calls at once, and run each until it waits."""
        tasks = [asyncio.ensure_future(self.ask(eyes, key, model)) for _ in range(times)]
        await turns_of_the_loop()
        return tasks

    async def opened(self) -> None:
        for _ in range(FAILURES):
            assert await self.ask(Eyes(BROKEN)) == BROKEN
        assert self.load.is_open

    @property
    def load(self) -> ModelStatus:
        return self.gate.loads()["eyes"]


async def turns_of_the_loop(count: int = 5) -> None:
    for _ in range(count):
        await checkpoint()


async def ends(tasks: Sequence[asyncio.Task[Outcome]]) -> list[Outcome]:
    return await asyncio.gather(*tasks)


async def gone(tasks: Sequence[asyncio.Task[Outcome]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class TestCircuit:
    async def test_a_model_that_answers_is_asked(self) -> None:
        door, eyes = Door(), Eyes()
        assert [await door.ask(eyes) for _ in range(20)] == [CAT] * 20
        assert (len(eyes.asked), door.load, door.told) == (20, ModelStatus(), [])

    async def test_each_call_is_told_of_with_its_outcome_and_its_seconds(self) -> None:
        door, eyes = Door(), Eyes(may_end=False)
        listed = asyncio.ensure_future(door.ask(eyes))
        invented = ModelGroup("wild/1", is_listed=False)
        unlisted = asyncio.ensure_future(door.gate.guarded(eyes, "key", invented)(request_for()))
        await turns_of_the_loop()
        door.now += 2
        eyes.may_end.set()
        await ends([listed, unlisted])
        assert door.ended == [("eyes", CAT, 2.0), (None, CAT, 2.0)]

    async def test_a_cancelled_call_is_told_of_without_an_outcome_and_a_refused_one_is_not(self) -> None:
        door, eyes = Door(max_process_concurrency=1, max_queued=0), Eyes(may_end=False)
        tasks = await door.asking(1, eyes)
        assert await door.gate.guarded(eyes, "key")(request_for()) == BUSY
        await gone(tasks)
        assert door.ended == [("eyes", None, 0.0)]

    @pytest.mark.parametrize("reason", [reason for reason in FailureReason if reason in COUNTED])
    async def test_five_failures_of_the_model_in_a_row_open_it(self, reason: FailureReason) -> None:
        door, eyes = Door(), Eyes(Failed(reason))
        for failures in range(FAILURES):
            assert door.told == []
            assert await door.ask(eyes) == Failed(reason)
            assert door.load.failures_in_a_row == failures + 1
        assert await door.ask(eyes) == Failed(OPEN, retry_after_seconds=round(PAUSE_SECONDS))
        assert len(eyes.asked) == FAILURES
        assert door.told == [("eyes", Change.OPENED_FOR_KEY, reason)]
        assert door.load == ModelStatus(is_open=True, failures_in_a_row=5, refused_while_open=1)
        assert door.refused == {"circuit_open": 1}

    async def test_requests_that_lead_to_no_deployment_neither_open_nor_close_it(self) -> None:
        door, nowhere = Door(), Failed(FailureReason.NOT_ROUTED)
        for _ in range(FAILURES - 1):
            await door.ask(Eyes(BROKEN))
        for _ in range(FAILURES):
            assert await door.ask(Eyes(nowhere)) == nowhere
        assert door.load.failures_in_a_row == FAILURES - 1
        await door.ask(Eyes(BROKEN))
        door.now += PAUSE_SECONDS
        assert await door.ask(Eyes(nowhere)) == nowhere
        assert door.load.is_open
        assert await door.ask(Eyes(CAT)) == CAT
        assert not door.load.is_open

    @pytest.mark.parametrize("reason", NOT_COUNTED)
    async def test_no_image_and_no_refusal_opens_it(self, reason: FailureReason) -> None:
        door = Door()
        for _ in range(2):
            for _ in range(FAILURES - 1):
                await door.ask(Eyes(BROKEN))
            assert await door.ask(Eyes(Failed(reason))) == Failed(reason)
            assert door.load.failures_in_a_row == 0

    async def test_one_model_s_circuit_is_not_another_s(self) -> None:
        door, other = Door(), Eyes()
        await door.opened()
        assert await door.ask(other, model="other eyes") == CAT
        assert not door.gate.loads()["other eyes"].is_open

    async def test_an_open_circuit_answers_without_a_turn_of_the_event_loop(self) -> None:
        door = Door()
        await door.opened()
        with pytest.raises(StopIteration) as answer:
            door.gate.guarded(Eyes(), "key")(request_for()).__await__().__next__()
        assert answer.value.value == Failed(OPEN, retry_after_seconds=round(PAUSE_SECONDS))

    async def test_an_open_circuit_waits_for_no_turn(self) -> None:
        door, other = Door(max_process_concurrency=1), Eyes(may_end=False)
        await door.opened()
        hung = await door.asking(1, other, model="other eyes")
        [refused] = await door.asking(1, Eyes())
        assert await refused == Failed(OPEN, retry_after_seconds=round(PAUSE_SECONDS))
        await gone(hung)

    async def test_after_the_pause_one_probe_is_made_at_a_time_and_its_answer_closes_it(self) -> None:
        door, probe = Door(), Eyes(may_end=False)
        await door.opened()
        door.now += PAUSE_SECONDS
        tasks = await door.asking(50, probe)
        assert (len(probe.asked), door.load.in_flight) == (1, 1)
        probe.may_end.set()
        outcomes = await ends(tasks)
        assert (outcomes.count(CAT), len(outcomes)) == (1, 50)
        assert {outcome.reason for outcome in outcomes if isinstance(outcome, Failed)} == {OPEN}
        assert door.told == [("eyes", Change.OPENED_FOR_KEY, BROKEN.reason), ("eyes", Change.CLOSED_FOR_KEY, None)]
        assert await door.ask(probe) == CAT

    async def test_a_probe_that_fails_is_told_to_nobody_but_its_request(self) -> None:
        door, eyes = Door(), Eyes(BROKEN)
        await door.opened()
        for _ in range(10):
            door.now += PAUSE_SECONDS
            assert await door.ask(eyes) == BROKEN
            assert await door.ask(eyes) != BROKEN
        assert len(door.told) == 1

    async def test_a_probe_that_went_away_gives_way_to_the_next(self) -> None:
        door, hung = Door(), Eyes(may_end=False)
        await door.opened()
        door.now += PAUSE_SECONDS
        await gone(await door.asking(1, hung))
        assert await door.ask(Eyes()) == CAT

    async def test_calls_that_hang_until_their_deadline_open_it(self) -> None:
        door, hung = Door(timeout_seconds=60), Eyes(may_end=False)
        tasks = await door.asking(FAILURES, hung)
        door.now += 60
        await gone(tasks)
        assert door.told == [("eyes", Change.OPENED_FOR_KEY, FailureReason.TIMEOUT)]

    async def test_a_call_that_goes_on_when_it_is_told_to_end_counts_and_holds_no_place(self) -> None:
        async def stubborn(request: VisionRequest) -> Outcome:
            while not may_end.is_set():
                with suppress(asyncio.CancelledError):
                    await may_end.wait()
            raise RuntimeError("at last")

        may_end = asyncio.Event()
        door = Door(max_process_concurrency=1)
        for _ in range(FAILURES):
            task = asyncio.ensure_future(door.gate.guarded(stubborn, "key")(request_for()))
            await turns_of_the_loop()
            door.now += 60
            await gone([task])
        assert door.load == ModelStatus(is_open=True, failures_in_a_row=FAILURES)
        may_end.set()
        await turns_of_the_loop()

    async def test_calls_that_waited_most_of_their_time_for_their_turn_do_not(self) -> None:
        door, hung = Door(timeout_seconds=60), Eyes(may_end=False)
        for _ in range(FAILURES):
            tasks = await door.asking(1, hung)
            door.now += 29
            await gone(tasks)
        assert door.load == ModelStatus()

    async def test_an_error_in_the_code_says_nothing_of_the_model_and_leaves_nothing_behind(self) -> None:
        async def broken(request: VisionRequest) -> Outcome:
            raise RuntimeError("a bug")

        door = Door(max_process_concurrency=1)
        for _ in range(2 * FAILURES):
            with pytest.raises(RuntimeError, match="a bug"):
                await door.gate.guarded(broken, "key")(request_for())
        assert door.load == ModelStatus()

    async def test_when_it_opens_those_who_wait_for_their_turn_are_told_at_once(self) -> None:
        door, eyes = Door(max_process_concurrency=FAILURES), Eyes(BROKEN, may_end=False)
        tasks = await door.asking(100, eyes)
        assert (door.load.in_flight, door.load.queued) == (FAILURES, 100 - FAILURES)
        eyes.may_end.set()
        outcomes = await ends(tasks)
        assert outcomes[:FAILURES] == [BROKEN] * FAILURES
        assert {outcome.reason for outcome in outcomes[FAILURES:] if isinstance(outcome, Failed)} == {OPEN}
        assert len(eyes.asked) == FAILURES

    async def test_it_is_one_for_all_event_loops(self) -> None:
        door = Door()
        await door.opened()
        elsewhere = await asyncio.to_thread(lambda: asyncio.run(door.ask(Eyes())))
        assert elsewhere == Failed(OPEN, retry_after_seconds=round(PAUSE_SECONDS))

    async def test_loops_in_threads_count_right(self) -> None:
        door = Door()

        async def many() -> None:
            await asyncio.gather(*(door.gate.guarded(Eyes(), "key")(request_for()) for _ in range(500)))

        threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert door.load == ModelStatus()

    async def test_made_up_names_do_not_pile_up_and_push_no_model_out_that_is_used(self) -> None:
        door = Door()
        await door.opened()
        for number in range(3 * MOST_MODELS):
            await door.gate.guarded(Eyes(), "key")(request_for(f"made up {number}"))
            await door.gate.guarded(Eyes(), "key")(request_for())
        assert len(door.gate.loads()) == MOST_MODELS
        assert door.load.is_open


class TestPayers:
    async def test_one_payers_failures_do_not_take_a_model_from_the_others(self) -> None:
        door = Door()
        await door.opened()
        assert isinstance(await door.ask(Eyes()), Failed)
        assert [await door.ask(Eyes(), "another") for _ in range(20)] == [CAT] * 20
        assert door.told == [("eyes", Change.OPENED_FOR_KEY, FailureReason.UNAVAILABLE)]

    async def test_a_model_that_fails_two_payers_is_down_for_all(self) -> None:
        door = Door()
        for number in range(FAILURES):
            await door.ask(Eyes(BROKEN), f"key {number % 2}")
        assert door.told == [("eyes", Change.OPENED, FailureReason.UNAVAILABLE)]
        assert await door.ask(Eyes(), "another") == Failed(OPEN, retry_after_seconds=round(PAUSE_SECONDS))

    async def test_several_keys_of_one_team_do_not_take_a_model_from_others(self) -> None:
        door = Door()
        for number in range(2 * FAILURES):
            await door.gate.guarded(Eyes(BROKEN), f"key {number % 2}", owner="team:a")(request_for())
        assert door.told == [("eyes", Change.OPENED_FOR_OWNER, FailureReason.UNAVAILABLE)]
        for owner in ("team:b", None):
            assert await door.gate.guarded(Eyes(), "another", owner=owner)(request_for()) == CAT

    async def test_a_model_that_is_down_for_one_is_down_for_all_once_it_fails_another(self) -> None:
        door = Door()
        await door.opened()
        assert await door.ask(Eyes(BROKEN), "another") == BROKEN
        assert await door.ask(Eyes(), "a third") == Failed(OPEN, retry_after_seconds=round(PAUSE_SECONDS))

    async def test_failures_that_blame_no_model_neither_open_nor_close_it(self) -> None:
        door, local = Door(), Failed(FailureReason.UNAVAILABLE, blames_model=False)
        for number in range(10 * FAILURES):
            assert await door.ask(Eyes(local), f"key {number % 2}") == local
        assert (door.told, door.load.failures_in_a_row) == ([], 0)

    @pytest.mark.parametrize("reason", [FailureReason.MISCONFIGURED, FailureReason.TIMEOUT])
    async def test_a_provider_that_does_not_find_or_may_not_read_an_image_elsewhere_does_not_count(
        self, reason: FailureReason
    ) -> None:
        """OpenAI answers 404 to a file id that it does not know, Gemini 403."""
        door = Door()
        held = VisionRequest("file", "team:research", "eyes", NOTHING, 100, is_elsewhere=True)
        for number in range(2 * FAILURES):
            await door.gate.guarded(Eyes(Failed(reason)), f"key {number % 2}")(held)
        assert door.told == []

    @pytest.mark.parametrize("reason", [FailureReason.UNAVAILABLE, FailureReason.RATE_LIMITED])
    async def test_a_provider_that_fails_counts_wherever_the_image_is(self, reason: FailureReason) -> None:
        door = Door()
        held = VisionRequest("file", "team:research", "eyes", NOTHING, 100, is_elsewhere=True)
        for _ in range(FAILURES):
            await door.gate.guarded(Eyes(Failed(reason)), "key")(held)
        assert door.told == [("eyes", Change.OPENED_FOR_KEY, reason)]

    async def test_images_that_hang_behind_urls_do_not_count(self) -> None:
        door = Door(timeout_seconds=60)
        remote = VisionRequest("url", "team:research", "eyes", NOTHING, 100, is_elsewhere=True)
        for number in range(2 * FAILURES):
            call = asyncio.ensure_future(
                door.gate.guarded(Eyes(may_end=False), f"key {number % 2}")(remote),
            )
            await turns_of_the_loop()
            door.now += 60
            await gone([call])
        assert door.told == []

    async def test_an_image_that_hangs_behind_a_url_does_not_keep_an_open_circuit_open(self) -> None:
        door = Door()
        remote = VisionRequest("url", "team:research", "eyes", NOTHING, 100, is_elsewhere=True)
        for number in range(FAILURES):
            await door.ask(Eyes(BROKEN), f"key {number % 2}")
        door.now += PAUSE_SECONDS
        hanging = asyncio.ensure_future(door.gate.guarded(Eyes(may_end=False), "key 0")(remote))
        await turns_of_the_loop()
        assert await door.ask(Eyes(), "another") == CAT
        assert not door.load.is_open
        await gone([hanging])

    async def test_a_teams_own_model_of_the_same_name_has_a_circuit_of_its_own(self) -> None:
        door, own = Door(), ModelGroup("eyes_team-1")
        for number in range(FAILURES):
            await door.gate.guarded(Eyes(BROKEN), f"key {number % 2}", own)(request_for())
        assert door.gate.loads()["eyes_team-1"].is_open
        assert await door.ask(Eyes()) == CAT

    async def test_an_open_circuit_and_a_call_in_flight_are_never_forgotten(self) -> None:
        door = Door()
        await door.opened()
        tasks = await door.asking(1, Eyes(may_end=False), model="busy")
        for number in range(2 * MOST_MODELS):
            await door.gate.guarded(Eyes(), "another")(request_for(f"model {number}"))
        assert len(door.gate.loads()) <= MOST_MODELS + 1
        assert door.load.is_open
        assert door.gate.loads()["busy"].in_flight == 1
        await gone(tasks)

    async def test_invented_names_are_not_shown_and_do_not_grow_without_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gate, "MOST_MODELS", most := 5)
        door = Door()
        for number in range(11 * most):
            invented = ModelGroup(f"wild/{number}", is_listed=False)
            for _ in range(FAILURES):
                await door.gate.guarded(Eyes(BROKEN), "key", invented)(request_for())
        assert (door.gate.loads(), door.shown) == ({}, {})
        assert len(door.gate._models) <= 10 * most + 1


class TestTurns:
    async def test_a_key_has_its_share_and_the_process_its_own(self) -> None:
        door, eyes = Door(max_key_concurrency=2, max_process_concurrency=3), Eyes(may_end=False)
        first = await door.asking(4, eyes, "first")
        assert (door.load.in_flight, door.load.queued) == (2, 2)
        second = await door.asking(4, eyes, "second")
        assert (door.load.in_flight, door.load.queued) == (3, 5)
        eyes.may_end.set()
        assert await ends([*first, *second]) == [CAT] * 8
        assert eyes.most_in_flight == 3
        assert door.load == ModelStatus()

    async def test_vision_models_share_the_places(self) -> None:
        door, eyes = Door(max_process_concurrency=1), Eyes(may_end=False)
        tasks = [*await door.asking(1, eyes), *await door.asking(1, eyes, model="other eyes")]
        assert [load.queued for load in door.gate.loads().values()] == [0, 1]
        eyes.may_end.set()
        await ends(tasks)

    async def test_a_light_key_is_next_however_many_of_another_wait(self) -> None:
        door, busy, light = Door(max_process_concurrency=1), Eyes(may_end=False), Eyes()
        heavy = await door.asking(200, busy, "heavy")
        task = asyncio.ensure_future(door.ask(light, "light"))
        await turns_of_the_loop()
        assert len(light.asked) == 0
        busy.may_end.set()
        assert await task == CAT
        assert len(busy.asked) <= 3
        assert await ends(heavy) == [CAT] * 200

    async def test_a_full_queue_says_when_to_try_again(self) -> None:
        door, eyes = Door(max_process_concurrency=1, max_queued=2), Eyes(may_end=False)
        tasks = await door.asking(4, eyes)
        assert await tasks[3] == BUSY
        assert (door.load.queued, door.load.refused_while_full) == (2, 1)
        assert door.refused == {"busy": 1}
        eyes.may_end.set()
        assert await ends(tasks[:3]) == [CAT] * 3
        assert not door.load.is_open

    async def test_a_full_queue_has_room_for_another_key(self) -> None:
        door, eyes = Door(max_process_concurrency=1, max_queued=2), Eyes(may_end=False)
        heavy = await door.asking(3, eyes, "heavy")
        [light] = await door.asking(1, eyes, "light")
        assert await heavy[2] == BUSY
        eyes.may_end.set()
        assert await ends([*heavy[:2], light]) == [CAT] * 3

    async def test_whoever_goes_away_leaves_the_queue(self) -> None:
        door, eyes = Door(max_process_concurrency=1), Eyes(may_end=False)
        first, second, third = await door.asking(3, eyes)
        await gone([second])
        assert door.load.queued == 1
        eyes.may_end.set()
        assert await ends([first, third]) == [CAT] * 2
        assert len(eyes.asked) == 2

    async def test_whoever_goes_away_in_the_moment_its_turn_comes_passes_it_on(self) -> None:
        door, eyes = Door(max_process_concurrency=1), Eyes(may_end=False)
        first, second, third = await door.asking(3, eyes)
        eyes.may_end.set()
        while not first.done():
            await checkpoint()
            if eyes.in_flight == 0:
                second.cancel()  # it has a slot, but has not run yet
        with suppress(asyncio.CancelledError):
            await second
        assert await third == CAT
        assert len(eyes.asked) == 2
        assert door.load == ModelStatus()

    async def test_those_who_go_away_together_leave_the_place_to_the_next(self) -> None:
        door, eyes = Door(max_process_concurrency=1), Eyes(may_end=False)
        first, second, third = await door.asking(3, eyes)
        first.cancel()
        second.cancel()
        ends = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
        eyes.may_end.set()
        assert await third == CAT
        assert len(eyes.asked) == 2

    async def test_waiting_counts_against_the_deadline(self) -> None:
        door, eyes = Door(max_process_concurrency=1), Eyes(may_end=False)
        [first] = await door.asking(1, eyes)
        with anyio.move_on_after(0) as deadline:
            await door.ask(Eyes())
        assert deadline.cancelled_caught
        assert door.load.queued == 0
        eyes.may_end.set()
        assert await first == CAT

    async def test_loops_one_after_the_other_leave_no_place_taken(self) -> None:
        door = Door(max_process_concurrency=1)

        async def abandon() -> None:
            asyncio.ensure_future(door.gate.guarded(Eyes(may_end=False), "key")(request_for()))  # noqa: RUF006
            await turns_of_the_loop()

        for _ in range(3):
            await asyncio.to_thread(asyncio.run, abandon())
        assert await door.ask(Eyes()) == CAT

    async def test_what_is_remembered_or_under_way_takes_no_place(self) -> None:
        door, eyes = Door(max_process_concurrency=1, max_queued=0), Eyes(may_end=False)
        cache, limiter = Cache(CacheConfig(), 60), anyio.CapacityLimiter(100)
        look = door.gate.guarded(eyes, "key")
        tasks = [asyncio.ensure_future(cache.ask(request_for(), look, limiter)) for _ in range(20)]
        await turns_of_the_loop()
        assert door.load.in_flight == 1
        eyes.may_end.set()
        assert [outcome for outcome in await ends(tasks) if not isinstance(outcome, Analysed)] == []
        hung = await door.asking(1, Eyes(may_end=False), model="other eyes")
        assert await cache.ask(request_for(), look, limiter) == CAT.as_cached()
        await gone(hung)

    async def test_what_is_remembered_is_served_while_the_circuit_is_open_and_no_refusal_is_remembered(self) -> None:
        door, cache, limiter = Door(), Cache(CacheConfig(), 60), anyio.CapacityLimiter(100)
        look = door.gate.guarded(Eyes(), "key")
        await cache.ask(request_for(), look, limiter)
        await door.opened()
        assert await cache.recall([request_for()]) == {"cat": CAT.as_cached()}
        assert await cache.ask(request_for(key="dog"), look, limiter) != CAT
        door.now += PAUSE_SECONDS
        assert await cache.ask(request_for(key="dog"), look, limiter) == CAT


class Schedule:
    """Calls that begin, end and are cancelled in any order. They last until a step or the test ends them."""

    def __init__(self) -> None:
        self.door = Door(max_process_concurrency=3, max_key_concurrency=2, max_queued=4)
        self.calls: list[asyncio.Future[Outcome]] = []
        self.tasks: list[asyncio.Task[Outcome]] = []

    async def look(self, request: VisionRequest) -> Outcome:
        call: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.calls.append(call)
        assert len(self.calls) <= 3
        try:
            return await call
        finally:
            self.calls.remove(call)

    async def ask(self, key: str) -> None:
        self.tasks.append(asyncio.ensure_future(self.door.gate.guarded(self.look, key)(request_for())))

    async def end(self, outcome: Outcome) -> None:
        for call in [call for call in self.calls if not call.done()][:1]:
            call.set_result(outcome)

    async def cancel(self, which: int) -> None:
        for task in self.tasks[which : which + 1]:
            task.cancel()

    async def wait(self, seconds: float) -> None:
        self.door.now += seconds

    async def turns(self, count: int) -> None:
        await turns_of_the_loop(count)

    async def run(self, steps: list[tuple[str, Any]]) -> None:
        for name, argument in steps:
            await getattr(self, name)(argument)
        while not all(task.done() for task in self.tasks):
            await checkpoint()
            await self.end(CAT)
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert isinstance(outcome, (Analysed, Failed, asyncio.CancelledError))
        await self.wait(60 + PAUSE_SECONDS)
        assert await self.door.ask(Eyes()) == CAT
        assert (self.door.load.in_flight, self.door.load.queued) == (0, 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("end"), st.sampled_from([CAT, BROKEN, Failed(FailureReason.REFUSED)])),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, PAUSE_SECONDS, 60.0])),
        st.tuples(st.just("turns"), st.integers(1, 3)),
    ),
    max_size=80,
)


@given(STEPS)
def test_whatever_happens_no_place_is_lost_and_everybody_is_answered(steps: list[tuple[str, Any]]) -> None:
    asyncio.run(Schedule().run(steps))
