"""Classify LiteLLM's exceptions as failures.

The text of an exception is compared with known phrases, because LiteLLM and providers use one status for many problems.
The text itself is never shown, because providers repeat keys, URLs and images in it.
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
    {
        *(FailureReason.REJECTED, FailureReason.BAD_IMAGE, FailureReason.UNAVAILABLE, FailureReason.MISCONFIGURED),
        *(FailureReason.RATE_LIMITED, FailureReason.TOO_LARGE),
    }
)
"""Failures that may be a mistake of the operator."""

_UNKNOWN_MODEL = (
    "its provider does not know the model, or the address is wrong. Correct model or api_base of the deployment"
)
_CURES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile("|".join(phrases), re.IGNORECASE), cure)
    for phrases, cure in (
        (
            (r"is not installed: pip install",),
            "its extra is not installed: pip install 'litellm-image-analysis[local-ocr]'",
        ),
        (
            (r"LLM Provider NOT provided", r"no healthy deployments for this model"),
            (
                "LiteLLM does not know its model. Write model in litellm_params as provider/model, or add a deployment"
                " of this name to model_list"
            ),
        ),
        (
            (
                r"missing credentials",
                r"missing .{0,40}api[ _]key",
                r"no api[ _]key",
                r"unable to locate credentials",
                r"default credentials were not found",
                r"api_base is required",
            ),
            (
                "it has no API key or no address. Set api_key or api_base in the deployment's litellm_params, or the"
                " provider's environment variable"
            ),
        ),
        (
            (r"no module named", r"pip install", r"missing boto3"),
            "LiteLLM needs another Python package for its provider. LiteLLM's own error in the log names it",
        ),
        (
            (r"credit balance is too low", r"insufficient[_ ]quota"),  # "current quota" may be a limit for each minute
            "the account at its provider has no credit left. Add credit, or raise its limit",
        ),
        (
            (
                r"image_url is only supported",
                r"unknown variant .{0,3}image_url",
                r"content must be a string",
                *(r"not a multimodal model", r"takes no images", r"support image input", r"required for image input"),
                r"(?:not|n't) support (?:the )?(?:images?(?: field)?(?![ /]\w)|vision|multimodal)",
                r"image inputs? (?:is|are) not (?:supported|enabled)",
                r"at most 0 image",
            ),
            "it takes no images. Name a model with vision in vision_model",
        ),
        (
            (
                *(r"model[ _]not[ _](?:exist|found)", r"not a valid model", r"(?:unknown|invalid) model(?! input)"),
                r"model .{0,80}does not exist",
            ),
            _UNKNOWN_MODEL,
        ),
    )
)
"""Phrases of LiteLLM and of providers for mistakes of the operator, and how to correct each."""

_STATUS_CURES: Mapping[int, str] = {
    401: "its provider refuses the API key. Correct api_key in the deployment's litellm_params",
    403: "its provider forbids the call. Check what the API key may do, and the model's name",
    404: _UNKNOWN_MODEL,
}
_ABOUT_THE_IMAGE = re.compile(r"image|picture|pixel|media[ _]type|base64", re.IGNORECASE)
_ABOUT_THE_SIZE = re.compile(r"too (?:large|big)|exceed|maximum|dimension|pixels", re.IGNORECASE)
_MAYBE_NOT_FETCHED = frozenset({FailureReason.REJECTED, FailureReason.UNAVAILABLE, FailureReason.MISCONFIGURED})
_NOT_FETCHED = re.compile(
    r"(?:error while|unable to|failed to|could not|cannot|can't) (?:download|fetch)|error (?:downloading|fetching)"
    r"|does not fetch URLs",
    re.IGNORECASE,
)
_LITELLM_S = re.compile(r"\n?\s*(?:LiteLLM: model group |Received Model Group=)", re.IGNORECASE)
"""The text that LiteLLM appends to a provider's. It contains names of model groups, which may be any words."""
_SEARCHED_CHARACTERS = 10_000


def failure_of(error: Exception, model: str = "") -> Failed:
    """Return the class of failure of one of LiteLLM's exceptions, without the provider's text.

    Args:
        error: the exception.
        model: the name of the vision model. The search for phrases ignores it.
    """
    text = _LITELLM_S.split(str(error)[:_SEARCHED_CHARACTERS], 1)[0]
    for name in filter(None, (model, str(getattr(error, "model", None) or ""))):
        text = text.replace(name, "")
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
    if hasattr(error, "cooldown_time"):  # all deployments of the router are in cooldown
        return FailureReason.RATE_LIMITED
    reason = _STATUS_REASONS.get(status, FailureReason.UNAVAILABLE)
    if reason in _MAYBE_NOT_FETCHED and _NOT_FETCHED.search(text):
        return FailureReason.NOT_FETCHED
    if reason is FailureReason.REJECTED and _ABOUT_THE_IMAGE.search(text):
        return FailureReason.TOO_LARGE if _ABOUT_THE_SIZE.search(text) else FailureReason.BAD_IMAGE
    return reason


def _status(error: Exception) -> int:
    """Return the HTTP status of an error, which may be a number or a text. 0 if there is none."""
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
