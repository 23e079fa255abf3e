"""Failure reasons: what a caller and the text model may be told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from litellm_image_analysis.outcomes import Analysed, Failed, FailureReason

each_reason = pytest.mark.parametrize("reason", FailureReason, ids=lambda reason: reason.code)


@pytest.mark.parametrize(
    ("reason", "code", "status_code"),
    [
        (FailureReason.TIMEOUT, "timeout", 504),
        (FailureReason.RATE_LIMITED, "rate_limited", 429),
        (FailureReason.UNAVAILABLE, "unavailable", 502),
        (FailureReason.MISCONFIGURED, "misconfigured", 502),
        (FailureReason.EMPTY, "empty", 502),
        (FailureReason.REFUSED, "refused", 400),
        (FailureReason.BAD_IMAGE, "bad_image", 400),
        (FailureReason.MALFORMED, "malformed", 400),
        (FailureReason.UNSUPPORTED_SOURCE, "unsupported_source", 400),
        (FailureReason.URL_NOT_ALLOWED, "url_not_allowed", 400),
    ],
)
def test_code_and_status(reason: FailureReason, code: str, status_code: int) -> None:
    assert (reason.code, reason.status_code) == (code, status_code)


@each_reason
def test_a_clause_fits_into_a_sentence(reason: FailureReason) -> None:
    assert reason.clause[0].islower()
    assert not reason.clause.endswith(".")


@each_reason
def test_a_clause_cannot_be_taken_for_a_tag_or_a_note(reason: FailureReason) -> None:
    assert not set(reason.clause) & set("<>[]\n")


@pytest.mark.parametrize(
    "reason",
    [
        FailureReason.BAD_IMAGE,
        FailureReason.MALFORMED,
        FailureReason.UNSUPPORTED_SOURCE,
        FailureReason.URL_NOT_ALLOWED,
    ],
)
def test_what_the_caller_can_mend_says_how(reason: FailureReason) -> None:
    assert "; send " in reason.clause


def test_an_analysis_of_unknown_price_says_so_and_a_failure_costs_nothing() -> None:
    assert Analysed("a cat").cost is None
    assert Failed(FailureReason.TIMEOUT).cost == Decimal(0)
