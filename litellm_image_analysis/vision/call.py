"""The call to the vision model through LiteLLM, and its failures as values."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any, Protocol

from litellm.exceptions import (
    BudgetExceededError,
    ContentPolicyViolationError,
    LiteLLMUnknownProvider,
    Timeout,
    UnsupportedParamsError,
)
from litellm.types.router import RouterErrors

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.billing.prices import reported_cost
from litellm_image_analysis.compat import hidden_params
from litellm_image_analysis.log import LOGGER

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest

_LOOKING: ContextVar[bool] = ContextVar("litellm_image_analysis_looking", default=False)

_STATUS_REASONS: Mapping[int, FailureReason] = {
    400: FailureReason.BAD_IMAGE,
    401: FailureReason.MISCONFIGURED,
    403: FailureReason.MISCONFIGURED,
    404: FailureReason.MISCONFIGURED,
    408: FailureReason.TIMEOUT,
    413: FailureReason.BAD_IMAGE,
    415: FailureReason.BAD_IMAGE,
    422: FailureReason.BAD_IMAGE,
    429: FailureReason.RATE_LIMITED,
    504: FailureReason.TIMEOUT,
}
_NO_DEPLOYMENT = RouterErrors.no_deployments_with_tag_routing.value
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_LONGEST_SECONDS = 999_999
_WORTH_ANOTHER_TRY = frozenset({FailureReason.RATE_LIMITED, FailureReason.UNAVAILABLE})
_CHARACTERS_A_TOKEN = 16
"""More than any text has on average: who writes more disregards ``max_output_tokens``, or the answer is no text."""


def is_vision_call() -> bool:
    """Whether the running code serves a vision call of ours, which must not be analysed in its turn."""
    return _LOOKING.get()


class CompletionApi(Protocol):
    """What makes vision calls: a Router, or LiteLLM itself."""

    acompletion: Callable[..., Awaitable[Any]]
    aresponses: Callable[..., Awaitable[Any]]


def make_ask(caller: CompletionApi, identity: Mapping[str, Any]) -> AskVision:
    """Make the function that asks a vision model.

    Args:
        caller: a Router, or LiteLLM itself.
        identity: keyword arguments that bill the call to its caller.
    """

    async def ask(request: VisionRequest) -> Outcome:
        arguments = _fresh(identity, request)
        token = _LOOKING.set(True)
        try:
            response = await _ask(caller, request, arguments)
        except Exception as error:  # noqa: BLE001 - the one point where LiteLLM's errors become values
            outcome: Outcome = failure_of(error)
            # Without its words: providers repeat keys, URLs and images in them.
            LOGGER.debug("vision call failed: %s: %s", type(error).__name__, _described(outcome))
            return outcome
        finally:
            _LOOKING.reset(token)
        outcome = _outcome_of(response, request.max_output_tokens * _CHARACTERS_A_TOKEN)
        LOGGER.debug("vision call answered: %s", _described(outcome))
        return outcome

    return ask


async def _ask(caller: CompletionApi, request: VisionRequest, identity: dict[str, Any]) -> Any:
    if request.input is None:
        return await caller.acompletion(
            model=request.model, messages=request.messages, max_tokens=request.max_output_tokens, **identity
        )
    return await caller.aresponses(
        model=request.model,
        instructions=request.messages[0]["content"],
        input=request.input,
        max_output_tokens=request.max_output_tokens,
        store=False,
        **{"litellm_metadata" if key == "metadata" else key: value for key, value in identity.items()},
    )


def failure_of(error: Exception) -> Failed:
    """Sort one of LiteLLM's exceptions into our classes of failure, forgetting the provider's words."""
    reason = _reason(error)
    return Failed(reason, retry_after_seconds=_retry_after(error) if reason in _WORTH_ANOTHER_TRY else None)


def _reason(error: Exception) -> FailureReason:
    if isinstance(error, Timeout):
        return FailureReason.TIMEOUT
    if isinstance(error, ContentPolicyViolationError):
        return FailureReason.REFUSED
    if isinstance(error, (LiteLLMUnknownProvider, UnsupportedParamsError)):
        return FailureReason.MISCONFIGURED
    if isinstance(error, BudgetExceededError):
        return FailureReason.UNAVAILABLE
    if isinstance(error, ValueError) and _NO_DEPLOYMENT in str(error):
        return FailureReason.NOT_ROUTED
    if hasattr(error, "cooldown_time"):  # the router has no deployment left: all are cooling down
        return FailureReason.RATE_LIMITED
    return _STATUS_REASONS.get(_status(error), FailureReason.UNAVAILABLE)


def _status(error: Exception) -> int:
    """The HTTP status an error names, as a number or as text; 0 for none."""
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
    """A Retry-After's seconds (RFC 9110): a number, which some send with a fraction, or a date; ``None``: neither."""
    if _SECONDS.fullmatch(value):
        return math.ceil(float(value))
    with suppress(ValueError, OverflowError):
        date = parsedate_tz(value)
        seconds = math.inf if date is None else mktime_tz(date) - time.time()
        return max(0, math.ceil(seconds)) if seconds <= _LONGEST_SECONDS else None
    return None


def _fresh(identity: Mapping[str, Any], request: VisionRequest) -> dict[str, Any]:
    """A copy for one call: LiteLLM writes into the metadata it is given, and logs the request it is told of."""
    fresh = {key: dict(value) if isinstance(value, dict) else value for key, value in identity.items()}
    if "proxy_server_request" in fresh:
        fresh["proxy_server_request"]["body"] = request.loggable
    return fresh


def _outcome_of(response: Any, max_characters: int) -> Outcome:
    cost, call_id = reported_cost(response), _text(getattr(response, "id", None))
    text, finish_reason = _answer(response)
    if text is None:
        reason = FailureReason.REFUSED if finish_reason == "content_filter" else FailureReason.EMPTY
        return Failed(reason, cost=cost, call_id=call_id)
    return Analysed(
        text[:max_characters],
        truncated=finish_reason == "length" or len(text) > max_characters,
        cost=cost,
        call_id=call_id,
        cached=hidden_params(response).get("cache_hit") is True,
    )


def _answer(response: Any) -> tuple[str | None, str | None]:
    """The text and why it ended there, in chat's words."""
    if hasattr(response, "output_text"):  # a response of the Responses API
        return _text(response.output_text), _end(response)
    choices = getattr(response, "choices", None) or [None]
    message = getattr(choices[0], "message", None)
    end = "content_filter" if _refuses(message) else getattr(choices[0], "finish_reason", None)
    return _text(getattr(message, "content", None)), end


def _refuses(message: Any) -> bool:
    """Whether a message of chat is OpenAI's refusal, which LiteLLM gave no place of its own before 1.108."""
    fields = getattr(message, "provider_specific_fields", None)
    return bool(getattr(message, "refusal", None) or (isinstance(fields, Mapping) and fields.get("refusal")))


def _end(response: Any) -> str:
    """Why an answer of the Responses API ended, in chat's words."""
    why = getattr(getattr(response, "incomplete_details", None), "reason", None)
    contents = [content for item in response.output for content in getattr(item, "content", None) or ()]
    if why == "content_filter" or any(getattr(content, "type", None) == "refusal" for content in contents):
        return "content_filter"
    return "length" if why == "max_output_tokens" else "stop"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _described(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return outcome.reason.code
    return f"{len(outcome.text)} characters, truncated={outcome.truncated}, cached={outcome.cached}"
