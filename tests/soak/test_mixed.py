"""The soak finds problems. ``make soak`` runs it with more requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from soak.mixed import MIX, MOST_MORE_FILES, ROUNDS, WARM_ROUNDS, Ask, Mix, Soaked, Told
from soak.vitals import Vitals, slope

STEADY = Vitals(0, 700 * 2**20, 30, Counter({"serve": 2}), Counter())
EACH = 400
"""The number of requests of a round."""


def soaked(changed: Callable[[int], Vitals] = lambda number: STEADY, *bugs: str, told: Told | None = None) -> Soaked:
    """The result of a soak with these rounds."""
    vitals = [replace(changed(number), requests=number * EACH) for number in range(1, ROUNDS + 1)]
    return Soaked(vitals, told or Told(), [*bugs], 1.0)


def test_nothing_is_wrong_if_nothing_grows_once_the_caches_are_full() -> None:
    assert soaked(lambda number: replace(STEADY, memory_bytes=min(number, WARM_ROUNDS) * 2**20)).problems == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (lambda number: replace(STEADY, memory_bytes=number * EACH * 1200), "1200 bytes more a request"),
        (lambda number: replace(STEADY, files=number * MOST_MORE_FILES), f"{19 * MOST_MORE_FILES} files more"),
        (lambda number: replace(STEADY, tasks=Counter(look=number)), "19 tasks more: look"),
        (lambda number: replace(STEADY, unretrieved=Counter(oh=number // ROUNDS)), "1 times unretrieved: oh"),
    ],
    ids=["memory", "files", "tasks", "unretrieved"],
)
def test_what_grows_is_a_problem(changed: Callable[[int], Vitals], problem: str) -> None:
    assert soaked(changed).problems == [problem]


def test_a_short_run_has_the_noise_of_the_allocator() -> None:
    short = [replace(STEADY, requests=number * 60, memory_bytes=number * 60 * 1200) for number in range(1, ROUNDS + 1)]
    assert Soaked(short, Told(), [], 1.0).problems == []


def test_so_is_a_bug_of_the_plugin_s_own() -> None:
    assert soaked(lambda _: STEADY, "a line").problems == ["a line"]


@pytest.mark.parametrize("answer", [httpx.Response(500, text="oh"), httpx.Response(200)], ids=["error", "empty"])
def test_so_is_a_wrong_answer(answer: httpx.Response) -> None:
    told = Told()
    told.note(Ask("new", ("/", {})), answer)
    assert soaked(told=told).problems == [f"wrong answer to new: {answer.status_code} {answer.text}"]


def test_a_client_that_leaves_is_answered_nothing() -> None:
    told = Told()
    told.note(Ask("leaves", ("/", {}), leaves_after_seconds=0.1), None)
    assert (told.answered, told.wrong) == ({"left": 1}, [])


def test_the_same_seed_makes_the_same_requests_of_all_kinds() -> None:
    first, second = Mix(7), Mix(7)
    asked = [first.next() for _ in range(2000)]
    assert asked == [second.next() for _ in asked]
    assert {ask.kind for ask in asked} == {*MIX}


def test_a_slope_is_that_of_the_line_through_points() -> None:
    assert slope([(0, 5.0), (10, 25.0), (20, 45.0)]) == pytest.approx(2)
