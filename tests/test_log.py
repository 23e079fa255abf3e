"""The log line of a request, and the levels at which it is logged."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest
from cachetools import TTLCache

from litellm_image_analysis import log as log_module
from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing.summary import log_request
from litellm_image_analysis.log import LOGGER, show_requests
from litellm_image_analysis.vision.circuit_breaker import Change
from litellm_image_analysis.vision.monitoring import log_circuit

REPORT = Report("eyes", images=3, cached=1, failed=0, cost=Decimal("0.00021"), duration_ms=812)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LOGGER.name)
    return caplog


@pytest.fixture
def quiet_proxy(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM's loggers as in a proxy by default, with the level WARNING."""
    caplog.set_level(logging.WARNING, "LiteLLM")
    caplog.set_level(logging.NOTSET, LOGGER.name)
    monkeypatch.delenv("LITELLM_LOG", raising=False)


def line_of(log: pytest.LogCaptureFixture) -> str:
    [line] = log.messages
    return line


def test_a_request_is_one_line_at_info(log: pytest.LogCaptureFixture) -> None:
    log_request("call-1", REPORT)
    line = (
        "image analysis: request_id=call-1 vision_model=eyes images=3 cached=1 failed=0 duration_ms=812"
        " cost_usd=0.00021"
    )
    assert log.record_tuples == [("LiteLLM.image_analysis", logging.INFO, line)]


def test_json_loggers_get_the_same_as_fields(log: pytest.LogCaptureFixture) -> None:
    log_request("call-1", REPORT)
    [record] = log.records
    assert vars(record)["image_analysis"] == {
        "request_id": "call-1",
        "vision_model": "eyes",
        "images": 3,
        "cached": 1,
        "failed": 0,
        "duration_ms": 812,
        "cost_usd": "0.00021",
    }


def test_each_reason_of_failure_is_named_once(log: pytest.LogCaptureFixture) -> None:
    log_request("call-1", Report("eyes", images=3, failed=3, reasons=("timeout", "empty", "timeout")))
    assert line_of(log).endswith(" reasons=timeout,empty")


def test_a_failure_is_a_warning(log: pytest.LogCaptureFixture) -> None:
    log_request("call-1", Report("eyes", images=2, failed=1, reasons=("timeout",)))
    assert [record.levelno for record in log.records] == [logging.WARNING]


def test_what_the_operator_has_to_do_is_an_error_once_a_minute(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(log_module, "_told", TTLCache(10, ttl=60, timer=lambda: clock[0]))
    for clock[0] in (0.0, 59.0, 61.0):
        for model in ("eyes", "other eyes"):
            report = Report(model, images=1, failed=1, reasons=("misconfigured",), cures=("no key. Set one",))
            log_request("call-1", report)
    errors = [record.getMessage() for record in log.records if record.levelno == logging.ERROR]
    eyes, others = (f"image analysis: vision model {name}: no key. Set one" for name in ("eyes", '"other eyes"'))
    assert errors == [eyes, others, eyes, others]


def test_an_unknown_cost_is_said_to_be_unknown(log: pytest.LogCaptureFixture) -> None:
    log_request("call-1", Report("eyes", images=1, cost=None))
    assert line_of(log).endswith(" cost_usd=unknown")


def test_a_request_without_an_id_has_an_empty_one(log: pytest.LogCaptureFixture) -> None:
    log_request(None, REPORT)
    assert 'request_id="" vision_model=eyes' in line_of(log)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "azure/eu@2024-05", "ollama/qwen2.5vl:7b", "openai/*", "視覺"])
def test_an_ordinary_name_stands_as_it_is(log: pytest.LogCaptureFixture, model: str) -> None:
    log_request("call-1", Report(model, images=1))
    assert f" vision_model={model} images=1 " in line_of(log)


@pytest.mark.parametrize(
    ("model", "quoted"),
    [
        ("two words", '"two words"'),
        ("eyes images=99", '"eyes images=99"'),
        ("eyes\nINFO: forged", r'"eyes\nINFO: forged"'),
        ("eyes\u2028forged", r'"eyes\u2028forged"'),
        ('say "eyes"', r'"say \"eyes\""'),
        ("\x1b[31meyes", r'"\u001b[31meyes"'),
        ("", '""'),
    ],
)
def test_what_could_pass_for_another_field_or_line_is_quoted(
    log: pytest.LogCaptureFixture, model: str, quoted: str
) -> None:
    log_request("call-1", Report(model, images=1))
    assert f" vision_model={quoted} images=1 " in line_of(log)


def test_a_circuit_that_opens_is_a_warning_with_the_last_failure(log: pytest.LogCaptureFixture) -> None:
    log_circuit("eyes", Change.OPENED, FailureReason.TIMEOUT)
    line = (
        "image analysis: vision_model=eyes failed 5 times in a row, the last time with reason=timeout: its circuit is"
        " open. After a pause, one call at a time tries it until it answers."
    )
    assert log.record_tuples == [(LOGGER.name, logging.WARNING, line)]


@pytest.mark.parametrize(
    ("opened", "closed", "for_whom"),
    [
        (Change.OPENED_FOR_KEY, Change.CLOSED_FOR_KEY, "for one key"),
        (Change.OPENED_FOR_OWNER, Change.CLOSED_FOR_OWNER, "for one team or user"),
    ],
)
def test_it_says_for_whom(log: pytest.LogCaptureFixture, opened: Change, closed: Change, for_whom: str) -> None:
    log_circuit("eyes", opened, FailureReason.TIMEOUT)
    log_circuit("eyes", closed, None)
    opening, closing = log.messages
    assert f"in a row {for_whom}, the last time" in opening
    assert f"its circuit is open {for_whom}." in opening
    assert closing.endswith(f"its circuit is closed {for_whom}")


def test_a_circuit_that_closes_is_an_information(log: pytest.LogCaptureFixture) -> None:
    log_circuit("eyes\nforged", Change.CLOSED, None)
    line = r'image analysis: vision_model="eyes\nforged" answers again; its circuit is closed'
    assert log.record_tuples == [(LOGGER.name, logging.INFO, line)]


@pytest.mark.usefixtures("quiet_proxy")
def test_a_proxy_shows_the_line_although_its_loggers_are_quiet(caplog: pytest.LogCaptureFixture) -> None:
    show_requests()
    log_request("call-1", REPORT)
    assert "request_id=call-1" in line_of(caplog)


@pytest.mark.usefixtures("quiet_proxy")
def test_litellm_log_keeps_its_say(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOG", "ERROR")
    show_requests()
    log_request("call-1", REPORT)
    assert caplog.messages == []


@pytest.mark.usefixtures("quiet_proxy")
def test_detailed_debug_keeps_its_say(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "LiteLLM")
    show_requests()
    assert LOGGER.isEnabledFor(logging.DEBUG)
