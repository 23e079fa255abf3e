"""LiteLLM's exceptions as classes of failure.

The text of an exception is compared with known phrases, because LiteLLM and providers use one status for many problems.
It is never shown: providers repeat keys, URLs and images in it.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz

from litellm.exceptions import (
    BudgetExceededError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    LiteLLMUnknownProvider,
    Timeout,
    UnsupportedParamsError,
)
from litellm.types.router import RouterErrors

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason

_TYPE_REASONS: tuple[tuple[type[Exception], FailureReason], ...] = (
    (Timeout, FailureReason.TIMEOUT),
    (ContentPolicyViolationError, FailureReason.REFUSED),
    (LiteLLMUnknownProvider, FailureReason.MISCONFIGURED),
    (UnsupportedParamsError, FailureReason.MISCONFIGURED),
    (ContextWindowExceededError, FailureReason.TOO_LONG),
    (BudgetExceededError, FailureReason.UNAVAILABLE),
)
_STATUS_REASONS: Mapping[int, FailureReason] = {
    400: FailureReason.REJECTED,
    401: FailureReason.MISCONFIGURED,
    403: FailureReason.MISCONFIGURED,
    404: FailureReason.MISCONFIGURED,
    408: FailureReason.TIMEOUT,
    413: FailureReason.TOO_LARGE,
    415: FailureReason.BAD_IMAGE,
    422: FailureReason.REJECTED,
    429: FailureReason.RATE_LIMITED,
    504: FailureReason.TIMEOUT,
}
_NO_DEPLOYMENT = RouterErrors.no_deployments_with_tag_routing.value
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_LONGEST_SECONDS = 999_999
_WORTH_ANOTHER_TRY = frozenset({FailureReason.RATE_LIMITED, FailureReason.UNAVAILABLE})

_OPERATOR_S = frozenset(
    {FailureReason.REJECTED, FailureReason.BAD_IMAGE, FailureReason.UNAVAILABLE, FailureReason.MISCONFIGURED}
)
"""Failures that may be a mistake of the operator."""

_CURES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(phrases, re.IGNORECASE), cure)
    for phrases, cure in (
        (
            r"LLM Provider NOT provided|no healthy deployments for this model",
            "LiteLLM does not know it. Write it as provider/model, or add a deployment of this name to model_list",
        ),
        (
            r"missing credentials|missing .{0,40}api[ _]key|no api[ _]key|unable to locate credentials",
            "it has no API key. Set api_key in the deployment's litellm_params, or the provider's environment variable",
        ),
        (
            r"is not installed: pip install",
            "its extra is not installed: pip install 'litellm-image-analysis[local-ocr]'",
        ),
        (
            "|".join(
                (
                    r"image_url is only supported|unknown variant .{0,3}image_url|content must be a string",
                    r"not a multimodal model|takes no images|support image input|required for image input",
                    r"(?:not|n't) support (?:images?(?![ /]\w)|vision|multimodal)",
                    r"image inputs? (?:is|are) not (?:supported|enabled)",
                )
            ),
            "it takes no images. Name a model with vision in vision_model",
        ),
    )
)
"""Phrases of LiteLLM and of providers for mistakes of the operator, and what the operator has to do."""

_STATUS_CURES: Mapping[int, str] = {
    401: "its provider refuses the API key. Correct api_key in the deployment's litellm_params",
    403: "its provider forbids the call. Check what the API key may do, and the model's name",
    404: "its provider does not know the model, or the address is wrong. Correct model or api_base of the deployment",
}
_ABOUT_THE_IMAGE = re.compile(r"image|picture|pixel|media[ _]type|base64", re.IGNORECASE)
_ABOUT_THE_SIZE = re.compile(r"too (?:large|big)|exceed|maximum|dimension|pixels", re.IGNORECASE)
_SEARCHED_CHARACTERS = 10_000


def failure_of(error: Exception) -> Failed:
    """Return the class of failure of one of LiteLLM's exceptions, without the provider's text."""
    text = str(error)[:_SEARCHED_CHARACTERS]
    status = _status(error)
    reason, cure = _reason(error, status, text), None
    if reason in _OPERATOR_S and not isinstance(error, BudgetExceededError):
        cure = next((cure for phrases, cure in _CURES if phrases.search(text)), None)
    if cure is not None:
        reason = FailureReason.MISCONFIGURED
    elif reason is FailureReason.MISCONFIGURED:
        cure = _STATUS_CURES.get(status, "LiteLLM cannot call it as it is configured")
    return Failed(reason, retry_after_seconds=_retry_after(error) if reason in _WORTH_ANOTHER_TRY else None, cure=cure)


def _reason(error: Exception, status: int, text: str) -> FailureReason:
    by_type = next((reason for kind, reason in _TYPE_REASONS if isinstance(error, kind)), None)
    if by_type is not None:
        return by_type
    if isinstance(error, ValueError) and _NO_DEPLOYMENT in text:
        return FailureReason.NOT_ROUTED
    if hasattr(error, "cooldown_time"):  # all deployments of the router are cooling down
        return FailureReason.RATE_LIMITED
    reason = _STATUS_REASONS.get(status, FailureReason.UNAVAILABLE)
    if reason is FailureReason.REJECTED and _ABOUT_THE_IMAGE.search(text):
        return FailureReason.TOO_LARGE if _ABOUT_THE_SIZE.search(text) else FailureReason.BAD_IMAGE
    return reason


def _status(error: Exception) -> int:
    """Return the HTTP status of an error, which has it as a number or a text. 0 if there is none."""
    with suppress(TypeError, ValueError):
        return int(getattr(error, "status_code", 0))
    return 0


def _retry_after(error: Exception) -> int | None:
    cooldown = getattr(error, "cooldown_time", None)
    if isinstance(cooldown, (int, float)):
        return max(1, math.ceil(cooldown))
    for holder in (getattr(error, "response", None), error):
        for headers in (getattr(holder, "headers", None), getattr(holder, "litellm_response_headers", None)):
            for name, value in headers.items() if isinstance(headers, Mapping) else ():
                if str(name).lower() == "retry-after" and (seconds := _seconds(str(value).strip())) is not None:
                    return seconds
    return None


def _seconds(value: str) -> int | None:
    """Return the seconds of a Retry-After (RFC 9110), given as a number or a date, or ``None`` if it is neither."""
    if _SECONDS.fullmatch(value):
        return math.ceil(float(value))
    with suppress(ValueError, OverflowError):
        date = parsedate_tz(value)
        seconds = math.inf if date is None else mktime_tz(date) - time.time()
        return max(0, math.ceil(seconds)) if seconds <= _LONGEST_SECONDS else None
    return None
