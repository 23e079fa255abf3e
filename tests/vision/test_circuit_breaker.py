"""A vision model's circuit: when it opens, which calls it admits, and when it closes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from litellm_image_analysis.vision.circuit_breaker import FAILURES, Change, CircuitBreaker

PAUSE_SECONDS = 10.0
CALL_SECONDS = 60.0
NOW = 1000.0


def begun(breaker: CircuitBreaker, now: float = NOW) -> int:
    call = breaker.begin(now)
    assert call is not None
    return call


def ended(breaker: CircuitBreaker, *, answered: bool | None, now: float = NOW) -> Change | None:
    """The change by a call that begins and ends at once."""
    return breaker.end(begun(breaker, now), now, answered=answered)


def opened() -> CircuitBreaker:
    breaker = CircuitBreaker(PAUSE_SECONDS, CALL_SECONDS)
    changes = [ended(breaker, answered=False) for _ in range(FAILURES)]
    assert changes == [None] * (FAILURES - 1) + [Change.OPENED]
    return breaker


def test_it_opens_after_five_failures_in_a_row() -> None:
    assert FAILURES == 5
    breaker = opened()
    assert breaker.is_open
    assert not breaker.may_begin(NOW)
    assert breaker.begin(NOW) is None


def test_without_a_pause_it_never_opens() -> None:
    breaker = CircuitBreaker(0.0, CALL_SECONDS)
    assert [ended(breaker, answered=False) for _ in range(2 * FAILURES)] == [None] * 2 * FAILURES
    assert not breaker.is_open
    assert breaker.failures == 2 * FAILURES


def test_an_answer_between_two_failures_begins_the_count_anew() -> None:
    breaker = CircuitBreaker(PAUSE_SECONDS, CALL_SECONDS)
    for answered in (False, False, False, False, True, False, False, False, False):
        assert ended(breaker, answered=answered) is None
    assert breaker.failures == FAILURES - 1
    assert ended(breaker, answered=False) is Change.OPENED


def test_what_tells_nothing_neither_counts_nor_begins_the_count_anew() -> None:
    breaker = CircuitBreaker(PAUSE_SECONDS, CALL_SECONDS)
    for answered in (False, False, None, False, False, None):
        assert ended(breaker, answered=answered) is None
    assert ended(breaker, answered=False) is Change.OPENED


@pytest.mark.parametrize(
    ("now", "seconds"),
    [(NOW, 10), (NOW + 0.1, 10), (NOW + 8.5, 2), (NOW + 9.999, 1), (NOW + 10, 1), (NOW + 99, 1)],
)
def test_it_says_in_how_many_whole_seconds_to_ask_again(now: float, seconds: int) -> None:
    assert opened().retry_after_seconds(now) == seconds


def test_after_the_pause_one_call_is_let_through_at_a_time() -> None:
    breaker, later = opened(), NOW + PAUSE_SECONDS
    assert not breaker.may_begin(later - 0.001)
    assert breaker.may_begin(later)
    assert breaker.begin(later) is not None
    assert breaker.begin(later + CALL_SECONDS - 0.001) is None
    assert breaker.retry_after_seconds(later) == PAUSE_SECONDS  # the probe may take longer


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker, later = opened(), NOW + PAUSE_SECONDS
    assert ended(breaker, answered=True, now=later) is Change.CLOSED
    assert not breaker.is_open
    assert breaker.failures == 0
    assert breaker.begin(later) is not None
    assert breaker.begin(later) is not None


def test_a_probe_that_fails_begins_another_pause() -> None:
    breaker, later = opened(), NOW + PAUSE_SECONDS
    assert ended(breaker, answered=False, now=later) is None
    assert breaker.failures == FAILURES + 1
    assert not breaker.may_begin(later + PAUSE_SECONDS - 0.001)
    assert breaker.may_begin(later + PAUSE_SECONDS)


def test_a_probe_that_tells_nothing_gives_way_to_the_next() -> None:
    breaker, later = opened(), NOW + PAUSE_SECONDS
    assert ended(breaker, answered=None, now=later) is None
    assert breaker.is_open
    assert ended(breaker, answered=True, now=later) is Change.CLOSED


@pytest.mark.parametrize("answered", [True, False, None])
def test_a_probe_that_never_ended_in_its_time_gives_way_to_another_and_has_no_say(*, answered: bool | None) -> None:
    breaker, later = opened(), NOW + PAUSE_SECONDS
    lost = begun(breaker, later)
    probe = begun(breaker, later + CALL_SECONDS)
    assert breaker.end(lost, later + CALL_SECONDS, answered=answered) is None
    assert breaker.is_open
    assert breaker.begin(later + CALL_SECONDS) is None
    assert breaker.end(probe, later + CALL_SECONDS, answered=True) is Change.CLOSED


@pytest.mark.parametrize("answered", [True, False, None])
def test_calls_that_began_before_it_opened_have_no_say(*, answered: bool | None) -> None:
    breaker = CircuitBreaker(PAUSE_SECONDS, CALL_SECONDS)
    calls = [begun(breaker) for _ in range(FAILURES + 1)]
    for call in calls[:FAILURES]:
        breaker.end(call, NOW, answered=False)
    assert breaker.end(calls[-1], NOW + PAUSE_SECONDS / 2, answered=answered) is None
    assert breaker.is_open
    assert breaker.failures == FAILURES
    assert not breaker.may_begin(NOW + PAUSE_SECONDS - 0.001)


@dataclass(eq=False)
class Call:
    number: int
    began: float
    is_probe: bool


class AnySchedule(RuleBasedStateMachine):
    """Calls that begin, end and overlap at random, and the invariants of a circuit."""

    @initialize()
    def closed(self) -> None:
        self.breaker = CircuitBreaker(PAUSE_SECONDS, CALL_SECONDS)
        self.now = NOW
        self.calls: list[Call] = []
        self.quiet_until = -1.0

    @rule(seconds=st.sampled_from([0.0, 0.5, PAUSE_SECONDS / 2, PAUSE_SECONDS, CALL_SECONDS]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def one_begins(self) -> None:
        was_open = self.breaker.is_open
        probes = [call for call in self.calls if call.is_probe and self.now < call.began + CALL_SECONDS]
        number = self.breaker.begin(self.now)
        if not was_open:
            assert number is not None
        elif probes or self.now < self.quiet_until:
            assert number is None
        if number is not None:
            self.calls.append(Call(number, self.now, was_open))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0), answered=st.sampled_from([True, False, False, None]))
    def one_ends(self, which: int, *, answered: bool | None) -> None:
        call = self.calls.pop(which % len(self.calls))
        was_open, failures = self.breaker.is_open, self.breaker.failures
        change = self.breaker.end(call.number, self.now, answered=answered)
        is_open = self.breaker.is_open
        assert change is {(False, True): Change.OPENED, (True, False): Change.CLOSED}.get((was_open, is_open))
        if change is Change.OPENED:
            assert (failures, answered) == (FAILURES - 1, False)
        if change is Change.CLOSED:
            assert call.is_probe
            assert answered
            self.calls = [call for call in self.calls if not call.is_probe]  # abandoned calls do not change the circuit
        if self.breaker.failures > failures and is_open:
            self.quiet_until = self.now + PAUSE_SECONDS

    @invariant()
    def it_never_stays_open_for_ever(self) -> None:
        assert self.breaker.may_begin(self.now + CALL_SECONDS + PAUSE_SECONDS)

    @invariant()
    def it_is_open_if_and_only_if_enough_failed(self) -> None:
        assert self.breaker.is_open == (self.breaker.failures >= FAILURES)


AnySchedule.TestCase.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
TestAnySchedule = AnySchedule.TestCase
