"""The hierarchy of errors, and their messages to the caller."""

from __future__ import annotations

import pytest

from litellm_image_analysis.errors import AttemptError, ConfigError, ImageAnalysisError, RequestError


@pytest.mark.parametrize("error", [ConfigError, RequestError])
def test_every_error_is_an_image_analysis_error(error: type[Exception]) -> None:
    assert issubclass(error, ImageAnalysisError)


def test_a_config_error_is_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


def test_a_request_error_reads_as_its_message() -> None:
    assert str(RequestError("what to change")) == "what to change"


def test_an_attempt_s_error_says_why_and_that_no_deployment_is_to_blame() -> None:
    reason = RequestError("later", status_code=429, param="messages[0]", code="why", retry_after_seconds=3)
    error = AttemptError(reason)
    assert (str(error), error.param, error.code, error.retry_after_seconds) == ("later", "messages[0]", "why", 3)
    assert (error.status_code, error.reason) == (424, reason)


def test_a_request_error_is_the_callers_mistake_unless_said_otherwise() -> None:
    error = RequestError("what to change")
    assert (error.status_code, error.type, error.code) == (400, "invalid_request_error", "invalid_request")
    assert (error.param, error.retry_after_seconds) == (None, None)


@pytest.mark.parametrize(
    ("status_code", "error_type"),
    [
        (400, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (499, "invalid_request_error"),
        (500, "api_error"),
        (504, "api_error"),
    ],
)
def test_the_type_follows_the_status(status_code: int, error_type: str) -> None:
    assert RequestError("what to change", status_code=status_code).type == error_type
