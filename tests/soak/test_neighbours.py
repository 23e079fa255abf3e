"""A tenant that misbehaves does not affect one that behaves. ``make neighbours`` checks times, too."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from soak.misdeeds import LARGE, SEEING_MODEL, SMALL, Misdeeds
from soak.neighbours import MIX, MOST_SLOWER, Phase, Question, Soaked, calls_due, questions, run_phase
from support.billing import ROUTES
from support.images import data_uri
from support.upstream import description_of

REQUESTS = 40
SIZE = 0.1
"""The size of large misdeeds. At full size, LiteLLM itself would be busy for ten seconds."""
BILL = Counter({("blind", 0.0012): 2, ("eyes", 0.00021): 1})
CALM = Phase(seconds=[0.1, 0.2, 0.3], bill=BILL)


def test_answers_and_bill_of_a_tenant_are_the_same_beside_one_that_misbehaves(tmp_path: Path) -> None:
    asked, misdeeds = questions(REQUESTS, seed=1), Misdeeds(1, SIZE).deal()
    soaked = Soaked(
        calls_due(asked),
        run_phase(tmp_path / "alone", asked, []),
        run_phase(tmp_path / "beside", asked, misdeeds),
    )
    assert soaked.problems == []
    assert soaked.beside.neighbour.total() == len(misdeeds)


def soaked(beside: Phase = CALM, alone: Phase = CALM) -> Soaked:
    """The result of a soak with these phases."""
    return Soaked(3, alone, beside, ordinary=CALM)


def test_nothing_is_wrong_if_nothing_changes() -> None:
    assert soaked().problems == []


@pytest.mark.parametrize(
    ("beside", "problem"),
    [
        (replace(CALM, wrong=["to this: 500"]), "beside misdeeds: wrong answer to this: 500"),
        (replace(CALM, bugs=["a line"]), "beside misdeeds: a line"),
        (replace(CALM, bill=Counter({("blind", 0.0012): 2, ("eyes", 0.00022): 1})), "beside misdeeds: charged"),
        (replace(CALM, bill=BILL + Counter({("eyes", 0.00021): 1})), "beside misdeeds: charged"),
        (replace(CALM, seconds=[0.1, 0.41, 0.42]), "median: 2.05 times as long, at most 2.0"),
        (replace(CALM, seconds=[0.1, 0.2, 0.61]), "longest: 2.03 times as long, at most 2.0"),
    ],
    ids=["answer", "bug", "price", "calls", "median", "longest"],
)
def test_what_changes_is_a_problem(beside: Phase, problem: str) -> None:
    assert any(found.startswith(problem) for found in soaked(beside).problems)


def test_a_bill_that_is_the_same_but_wrong_is_a_problem() -> None:
    wrong = replace(CALM, bill=BILL + BILL)
    assert len(soaked(wrong, wrong).problems) == 3


def test_times_are_not_judged_without_a_measure_for_them() -> None:
    assert Soaked(3, CALM, replace(CALM, seconds=[9.0] * 3)).slower == {}
    assert soaked().slower.keys() == MOST_SLOWER.keys()


@pytest.mark.parametrize(
    ("words", "status", "is_right"),
    [
        (f"read:{description_of(data_uri('a'))[-10:]}", 200, True),
        (f"read:{description_of(data_uri('a'))[-10:]}", 500, False),
        (f"read:{description_of(data_uri('b'))[-10:]}", 200, False),
        ("read:", 200, False),
        ("an error", 200, False),
    ],
)
def test_an_answer_is_right_if_the_right_analysis_was_read(words: str, status: int, *, is_right: bool) -> None:
    question = Question("/", {}, ("a",))
    assert question.is_answered_by(httpx.Response(status, text=words)) == is_right


def test_the_same_seed_makes_the_same_requests_on_all_routes() -> None:
    asked = questions(1000, seed=7)
    assert asked == questions(1000, seed=7)
    assert {len(question.marks) for question in asked} == {0, 1, 3}
    assert len({question.path for question in asked}) == len(ROUTES) + 1  # generateContent has one path for streams
    assert len(MIX) == 4


def test_the_same_seed_makes_the_same_misdeeds_of_all_kinds() -> None:
    misdeeds = Misdeeds(7, SIZE).deal()
    assert misdeeds == Misdeeds(7, SIZE).deal()
    assert {misdeed.kind for misdeed in misdeeds} == {*SMALL, *LARGE}
    assert len(Misdeeds(7, SIZE).deal(2)) == 2 * len(misdeeds) - len(LARGE)


def test_without_analysis_they_name_no_vision_model() -> None:
    for misdeed in Misdeeds(7, SIZE).deal():
        ordinary = misdeed.without_analysis
        assert (ordinary.body["model"], ordinary.body.get("ocr_model")) == (SEEING_MODEL, None)
        assert "-ocr" not in ordinary.path
