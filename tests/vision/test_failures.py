"""The classification of LiteLLM's exceptions, and the messages to the operator."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from litellm.exceptions import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BadGatewayError,
    BadRequestError,
    BudgetExceededError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    LiteLLMUnknownProvider,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    Timeout,
    UnprocessableEntityError,
    UnsupportedParamsError,
)
from litellm.types.router import RouterRateLimitError

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.vision.failures import failure_of

SECRET = "the provider's own words"
MODEL: dict[str, Any] = {"model": "eyes", "llm_provider": "openai"}


def http_response(status: int, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = httpx.Request("POST", "https://provider.example")
    return httpx.Response(status, headers=httpx.Headers(named, encoding="latin-1"), request=request)


def with_headers(error: Exception, headers: dict[str, str]) -> Exception:
    """An error of LiteLLM's own limits, with headers of its own instead of a response."""
    vars(error)["headers"] = headers
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BadRequestError(SECRET, **MODEL), FailureReason.REJECTED),
        (UnprocessableEntityError(SECRET, response=http_response(422), **MODEL), FailureReason.REJECTED),
        (APIError(413, SECRET, **MODEL), FailureReason.TOO_LARGE),
        (APIError(415, SECRET, **MODEL), FailureReason.BAD_IMAGE),
        (ContextWindowExceededError(SECRET, **MODEL), FailureReason.TOO_LONG),
        (ContentPolicyViolationError(SECRET, **MODEL), FailureReason.REFUSED),
        (AuthenticationError(SECRET, **MODEL), FailureReason.MISCONFIGURED),
        (PermissionDeniedError(SECRET, response=http_response(403), **MODEL), FailureReason.MISCONFIGURED),
        (NotFoundError(SECRET, **MODEL), FailureReason.MISCONFIGURED),
        (UnsupportedParamsError(SECRET), FailureReason.MISCONFIGURED),
        (LiteLLMUnknownProvider("eyes"), FailureReason.MISCONFIGURED),
        (RateLimitError(SECRET, **MODEL), FailureReason.RATE_LIMITED),
        (RouterRateLimitError("eyes", 4.6, False, []), FailureReason.RATE_LIMITED),
        (Timeout(SECRET, **MODEL), FailureReason.TIMEOUT),
        (APIError(504, SECRET, **MODEL), FailureReason.TIMEOUT),
        (APIConnectionError(SECRET, **MODEL), FailureReason.UNAVAILABLE),
        (InternalServerError(SECRET, **MODEL), FailureReason.UNAVAILABLE),
        (BadGatewayError(SECRET, **MODEL), FailureReason.UNAVAILABLE),
        (ServiceUnavailableError(SECRET, **MODEL), FailureReason.UNAVAILABLE),
        (ValueError(SECRET), FailureReason.UNAVAILABLE),
        (KeyError("choices"), FailureReason.UNAVAILABLE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.code,
)
def test_litellms_exceptions_are_sorted(error: Exception, reason: FailureReason) -> None:
    assert failure_of(error).reason is reason


def test_a_spent_budget_is_not_blamed_on_the_image() -> None:
    """LiteLLM gives its own BudgetExceededError the status 422."""
    assert failure_of(BudgetExceededError(current_cost=2, max_budget=1)).reason is not FailureReason.BAD_IMAGE


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitError(SECRET, response=http_response(429, retry_after="7"), **MODEL), 7),
        (with_headers(RateLimitError(SECRET, **MODEL), {"retry-after": "7"}), 7),
        (RateLimitError(SECRET, **MODEL), None),
        (ServiceUnavailableError(SECRET, response=http_response(503, retry_after="7"), **MODEL), 7),
        (RouterRateLimitError("eyes", 7, False, []), 7),
        (RouterRateLimitError("eyes", 0.2, False, []), 1),
        (NotFoundError(SECRET, response=http_response(404, retry_after="7"), **MODEL), None),
    ],
)
def test_when_to_try_again_is_kept_where_trying_again_helps(error: Exception, seconds: int | None) -> None:
    assert failure_of(error).retry_after_seconds == seconds


def test_a_cooldown_is_not_shortened_by_rounding() -> None:
    assert failure_of(RouterRateLimitError("eyes", 2.5, False, [])).retry_after_seconds == 3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1.2", 2),
        (" 7 ", 7),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0),
        *((value, None) for value in ("", "soon", "-1", "inf", "nan", "²", "9" * 5000, "1" * 300 + ".5")),
        ("Wed, 21 Oct 9999 07:28:00 GMT", None),
        ("Wed, 99 Oct 2015 99:99:99 GMT", None),
    ],
)
def test_when_to_try_again_is_a_number_a_fraction_or_a_date(
    monkeypatch: pytest.MonkeyPatch, value: str, seconds: int | None
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1445412480.0)  # Wed, 21 Oct 2015 07:28:00 GMT
    for name in ("retry-after", "Retry-After"):
        error = with_headers(RateLimitError(SECRET, **MODEL), {name: value})
        assert failure_of(error).retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("429", FailureReason.RATE_LIMITED),
        *((odd, FailureReason.UNAVAILABLE) for odd in (None, 200, 204, 302, 0, "", "many", (), 418, 599)),
    ],
)
def test_a_status_that_says_nothing_blames_nobody(status: object, reason: FailureReason) -> None:
    error = ValueError(SECRET)
    vars(error)["status_code"] = status
    assert failure_of(error).reason is reason


@pytest.mark.parametrize(
    "said",
    [
        "You uploaded an unsupported image. Please make sure your image is valid.",
        "messages.0.content.1.image.source.base64.data: Could not process image",
        "Unable to process input image. Please retry or report in developers.generativelanguage",
        "The image was specified using the image/png media type, but appears to be a image/jpeg image",
        "This model does not support image/heic",
    ],
)
def test_only_words_about_the_image_blame_it(said: str) -> None:
    failure = failure_of(BadRequestError(said, **MODEL))
    assert (failure.reason, failure.cure) == (FailureReason.BAD_IMAGE, None)


@pytest.mark.parametrize(
    "said",
    [
        "Failed to download image from https://images.example.com/cat.png",
        "Error while downloading https://images.example.com/cat.png.",
        "Unable to download the file. Please verify the URL and try again.",
        "image 1 is a URL. local-ocr does not fetch URLs: send the image as a data: URI with base64.",
    ],
)
def test_a_url_that_cannot_be_fetched_is_neither_the_image_s_nor_the_operator_s(said: str) -> None:
    failure = failure_of(BadRequestError(said, **MODEL))
    assert (failure.reason, failure.cure) == (FailureReason.NOT_FETCHED, None)


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 5000\nLiteLLM: model group 'image-reader' failed",
        "Unsupported parameter. Received Model Group=image-reader\nAvailable Model Group Fallbacks=None",
        "the model image-reader has no parameter of this name",
    ],
)
def test_the_name_of_a_model_is_not_about_the_image(said: str) -> None:
    assert failure_of(BadRequestError(said, **MODEL), "image-reader").reason is FailureReason.REJECTED


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("This model doesn't support the image field. Remove image and try again.", "it takes no images"),
        ("At most 0 image(s) may be provided in one prompt.", "it takes no images"),
        ("Model Not Exist", "does not know the model"),
        ("gpt-4o-mni is not a valid model ID", "does not know the model"),
        ("Your credit balance is too low to access the API.", "no credit left"),
        ("Missing boto3 to call bedrock. Run 'pip install boto3'.", "needs another Python package"),
        ("No module named 'google'", "needs another Python package"),
        ("Your default credentials were not found.", "no API key"),
    ],
)
def test_other_words_of_the_operator_s_mistakes(said: str, cure: str) -> None:
    for error in (BadRequestError(said, **MODEL), APIConnectionError(said, **MODEL)):
        failure = failure_of(error)
        assert failure.reason is FailureReason.MISCONFIGURED
        assert failure.cure is not None
        assert cure in failure.cure


@pytest.mark.parametrize(
    "said",
    [
        "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
        "At least one of the image dimensions exceed max allowed size: 8000 pixels",
    ],
)
def test_an_image_may_be_too_large_for_the_provider(said: str) -> None:
    assert failure_of(BadRequestError(said, **MODEL)).reason is FailureReason.TOO_LARGE


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (BadRequestError("Invalid content type. image_url is only supported by certain models.", **MODEL), "no images"),
        (BadRequestError("Failed to deserialize: unknown variant `image_url`, expected `text`", **MODEL), "no images"),
        (BadRequestError("'messages.0' : for 'role:user' the content must be a string", **MODEL), "no images"),
        (BadRequestError("x/y is not a multimodal model", **MODEL), "no images"),
        (BadRequestError("This model does not support image input.", **MODEL), "no images"),
        (BadRequestError("this model doesn't support images", **MODEL), "no images"),
        (BadRequestError("Image input is not enabled for this model", **MODEL), "no images"),
        (NotFoundError("No endpoints found that support image input", **MODEL), "no images"),
        (InternalServerError("this model is missing data required for image input", **MODEL), "no images"),
        (BadRequestError("LLM Provider NOT provided. Pass in the LLM provider", **MODEL), "LiteLLM does not know it"),
        (BadRequestError("There are no healthy deployments for this model", **MODEL), "LiteLLM does not know it"),
        (LiteLLMUnknownProvider("eyes"), "LiteLLM"),
        (InternalServerError("OpenAIException - Missing credentials. Please pass", **MODEL), "no API key"),
        (AuthenticationError("Missing Anthropic API Key - A call is being made", **MODEL), "no API key"),
        (APIConnectionError("Missing Gemini API key. Set the GEMINI_API_KEY", **MODEL), "no API key"),
        (AuthenticationError("BedrockException - Unable to locate credentials", **MODEL), "no API key"),
        (AuthenticationError("Incorrect API key provided: sk-secret", **MODEL), "refuses the API key"),
        (PermissionDeniedError(SECRET, response=http_response(403), **MODEL), "forbids"),
        (NotFoundError("The model `eyes` does not exist", **MODEL), "does not know the model"),
        (
            InternalServerError("local-ocr is not installed: pip install 'x[local-ocr]'", **MODEL),
            "pip install 'litellm-image-analysis[local-ocr]'",
        ),
        (UnsupportedParamsError(SECRET), "LiteLLM cannot call it"),
    ],
)
def test_the_operator_is_told_what_to_do(error: Exception, cure: str) -> None:
    failure = failure_of(error)
    assert failure.reason is FailureReason.MISCONFIGURED
    assert failure.cure is not None
    assert cure in failure.cure
    for secret in (SECRET, "sk-secret", "eyes"):
        assert secret not in failure.cure


@pytest.mark.parametrize("error", [ServiceUnavailableError(SECRET, **MODEL), Timeout(SECRET, **MODEL)])
def test_what_passes_by_itself_has_no_cure(error: Exception) -> None:
    assert failure_of(error).cure is None
