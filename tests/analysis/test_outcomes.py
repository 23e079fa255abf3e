"""The texts of failure reasons for callers and the text model."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason

each_reason = pytest.mark.parametrize("reason", FailureReason, ids=lambda reason: reason.code)


@pytest.mark.parametrize(
    ("reason", "code", "status_code"),
    [
        (FailureReason.TIMEOUT, "timeout", 504),
        (FailureReason.RATE_LIMITED, "rate_limited", 429),
        (FailureReason.UNAVAILABLE, "unavailable", 502),
        (FailureReason.MISCONFIGURED, "misconfigured", 502),
        (FailureReason.EMPTY, "empty", 502),
        (FailureReason.OUT_OF_TOKENS, "max_output_tokens", 502),
        (FailureReason.REFUSED, "refused", 400),
        (FailureReason.BAD_IMAGE, "bad_image", 400),
        (FailureReason.REJECTED, "rejected", 400),
        (FailureReason.TOO_LARGE, "too_large", 413),
        (FailureReason.TOO_LONG, "too_long", 400),
        (FailureReason.MALFORMED, "malformed", 400),
        (FailureReason.UNSUPPORTED_SOURCE, "unsupported_source", 400),
        (FailureReason.NOT_HELD, "not_held", 400),
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
def test_the_advice_is_a_sentence(reason: FailureReason) -> None:
    assert reason.advice[0].isupper()
    assert reason.advice.endswith(".")


@pytest.mark.parametrize("status_code", [429, 502, 503, 504])
def test_a_failure_that_may_be_of_the_moment_says_whether_to_try_again(status_code: int) -> None:
    reasons = [reason for reason in FailureReason if reason.status_code == status_code]
    assert reasons
    assert [reason for reason in reasons if not re.match("Try again|Trying again does not help", reason.advice)] == []


@each_reason
def test_a_clause_cannot_be_taken_for_a_tag_or_a_note(reason: FailureReason) -> None:
    assert not set(reason.clause + reason.advice) & set("<>[]\n")


@pytest.mark.parametrize(
    "reason",
    [
        FailureReason.BAD_IMAGE,
        FailureReason.TOO_LARGE,
        FailureReason.MALFORMED,
        FailureReason.UNSUPPORTED_SOURCE,
        FailureReason.NOT_HELD,
        FailureReason.URL_NOT_ALLOWED,
    ],
)
def test_what_the_caller_can_mend_says_how(reason: FailureReason) -> None:
    assert reason.is_the_images
    assert reason.advice.startswith("Send ")


def test_only_what_was_not_asked_is_of_the_moment() -> None:
    of_the_moment = [reason for reason in FailureReason if reason.not_cacheable]
    assert of_the_moment == [
        FailureReason.NOT_ROUTED,
        FailureReason.CIRCUIT_OPEN,
        FailureReason.BUSY,
        FailureReason.BUDGET_EXCEEDED,
    ]
    assert [reason.status_code for reason in of_the_moment] == [403, 503, 503, 429]


def test_an_analysis_of_unknown_price_says_so_and_a_failure_costs_nothing() -> None:
    assert Analysed("a cat").cost is None
    assert Failed(FailureReason.TIMEOUT).cost == Decimal(0)


@pytest.mark.parametrize("cost", [Decimal("0.00021"), Decimal(0), None])
def test_who_did_not_make_the_call_has_its_text_for_nothing(cost: Decimal | None) -> None:
    paid = Analysed("a ca", truncated=True, cost=cost, call_id="chatcmpl-1")
    assert paid.as_cached() == Analysed("a ca", truncated=True, cost=Decimal(0), call_id=None, cached=True)


@pytest.mark.parametrize("cost", [Decimal("0.00021"), Decimal(0), None])
def test_who_did_not_make_the_call_shares_its_failure_for_nothing(cost: Decimal | None) -> None:
    paid = Failed(FailureReason.RATE_LIMITED, cost=cost, call_id="chatcmpl-1", retry_after_seconds=7)
    assert paid.as_cached() == Failed(FailureReason.RATE_LIMITED, retry_after_seconds=7)


def test_what_was_paid_stays_paid() -> None:
    paid = Analysed("a cat", cost=Decimal("0.00021"), call_id="chatcmpl-1")
    paid.as_cached()
    assert (paid.cost, paid.call_id, paid.cached) == (Decimal("0.00021"), "chatcmpl-1", False)


def test_what_was_had_for_nothing_is_no_cheaper_the_second_time() -> None:
    once = Analysed("a cat", cost=Decimal("0.00021")).as_cached()
    assert once.as_cached() == once
