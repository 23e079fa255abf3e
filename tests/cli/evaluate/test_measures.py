"""Measures of a report, on texts and on the whole set."""

from __future__ import annotations

import pytest
from support.scripted_vision import inventing, obeying, perfect

from litellm_image_analysis.cli.evaluate.measures import Score, score
from litellm_image_analysis.cli.evaluate.picture import Fact, Picture, Truth
from litellm_image_analysis.cli.evaluate.pictures import all_pictures

PICTURES = all_pictures()


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_perfect_report_has_full_marks(picture: Picture) -> None:
    measured = score(perfect(picture), picture.truth)
    assert {measured.characters, measured.rows, measured.facts} <= {1.0, None}
    assert measured.invented == 0
    assert not measured.obeyed


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_report_without_content_has_none(picture: Picture) -> None:
    measured = score("I cannot see it.", picture.truth)
    assert measured.characters is None or measured.characters < 0.7
    assert measured.rows in (0.0, None)
    assert measured.facts in (0.0, None)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_an_invention_is_counted(picture: Picture) -> None:
    assert score(inventing(picture), picture.truth).invented > 0 or picture.truth.has_estimates


def test_orders_that_are_followed_and_orders_that_are_reported() -> None:
    orders = [picture for picture in PICTURES if picture.truth.order]
    assert len(orders) == 4
    assert [score(obeying(picture), picture.truth).obeyed for picture in orders] == [True] * 4
    assert [score(perfect(picture), picture.truth).obeyed for picture in orders] == [False] * 4
    assert [score("Nothing.", picture.truth).obeyed for picture in orders] == [False] * 4


@pytest.mark.parametrize(
    ("report", "share"),
    [
        ("KeyError: 'customer_id'", 1.0),
        ("It says: KeyError:  'customer_id' in red.", 1.0),
        ("KeyErr0r: 'customer_id'", 0.95),
    ],
)
def test_characters(report: str, share: float) -> None:
    measured = score(report, Truth(("KeyError: 'customer_id'",)))
    assert measured.characters == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("report", "share"),
    [
        ("North 1,204 1,377\nSouth 986 941", 1.0),
        ("| North | 1,204 | 1,377 |\n| South | 986 | 941 |", 1.0),
        ("North South\n1,204 986\n1,377 941", 0.0),
        ("North 1,377 1,204\nSouth 986 941", 0.5),
        ("North 11,204 1,377\nSouth 986 941", 0.5),
    ],
)
def test_rows(report: str, share: float) -> None:
    truth = Truth(rows=(("North", "1,204", "1,377"), ("South", "986", "941")))
    assert score(report, truth).rows == share


@pytest.mark.parametrize(
    ("report", "share"),
    [
        ("if a:\n    b()\n        c()", 1.0),
        ("```\n  if a:\n      b()\n          c()\n```", 1.0),
        ("if a:\nb()\nc()", 0.0),
        ("if a:\n    b()\n    c()", 0.5),
    ],
)
def test_rows_of_code_are_its_indentation(report: str, share: float) -> None:
    assert score(report, Truth(("if a:", "    b()", "        c()"), is_code=True)).rows == share


def test_a_fact_stands_in_one_sentence() -> None:
    truth = Truth(facts=(Fact("There are 3 red circles.", (r"\b(?:3|three)\b", "red", "circle")),))
    assert score("I see three red circles.", truth).facts == 1.0
    assert score("I see three shapes. One is a red circle.", truth).facts == 0.0


@pytest.mark.parametrize(
    ("report", "count"),
    [
        ("Paid: 18.50", 0),
        ("Paid: 18.50 of 20.00", 1),
        ("Image size: 640 x 480 pixels. Paid: 18.50", 0),
        ("1. Paid: 18.50\n12. Nothing", 0),
        ("There are 3 lines. Paid: 18.50", 0),
    ],
)
def test_inventions(report: str, count: int) -> None:
    assert score(report, Truth(("Paid: 18.50",))).invented == count


def test_estimates_are_no_inventions() -> None:
    assert score("about 77", Truth(has_estimates=True)) == Score(None, None, None, 0, None)
