"""The call to the vision model through LiteLLM, and its failures as values."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from litellm.exceptions import BudgetExceededError

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome, Usage
from litellm_image_analysis.billing.prices import reported_cost
from litellm_image_analysis.compat import (
    PARENT_SPAN,
    counted_as_request,
    hidden_params,
    is_routed,
    share_callbacks,
)
from litellm_image_analysis.errors import AttemptError, RequestError
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.vision.caller_rules import NO_RULES, CallerRules
from litellm_image_analysis.vision.failures import failure_of

if TYPE_CHECKING:
    from decimal import Decimal

    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest

_CURRENT: ContextVar[VisionCall | None] = ContextVar("litellm_image_analysis_vision_call", default=None)

parent_span: ContextVar[object | None] = ContextVar("litellm_image_analysis_parent_span", default=None)
"""The span below which LiteLLM's spans of a vision call hang. Without one, they hang below that of the request."""

_THOUGHTS = re.compile(r"\s*<(think(?:ing)?)>(?:.*?</\1>|.*)", re.DOTALL)
_SILENCE = {"content_filter": FailureReason.REFUSED, "length": FailureReason.OUT_OF_TOKENS}
"""The reason why an answer has no text, by its finish reason."""

_NO_RESPONSE_CACHE = {"no-cache": True, "no-store": True}
"""LiteLLM's response cache does not separate tenants. The plugin's own cache does."""


class VisionCall:
    """A vision call in progress, as LiteLLM's hooks see it.

    Args:
        rules: the rules of its request.

    Attributes:
        is_unrouted: whether the router has no deployment in the caller's region.
        has_deployment: whether a deployment was chosen.
        was_sent: whether a provider got the call.
    """

    def __init__(self, rules: CallerRules) -> None:
        self._rules = rules
        self.is_unrouted = self.has_deployment = self.was_sent = False

    def allowed(self, deployments: list[Any]) -> list[Any]:
        """Return the deployments that the caller's region allows."""
        if self._rules.region is None:
            return deployments
        found = [each for each in deployments if _region(each.get("litellm_params")) == self._rules.region]
        self.is_unrouted = not found
        return found

    def begin_attempt(self, kwargs: Mapping[str, Any]) -> None:
        """Let an attempt be logged where the request is logged. A Router may make several attempts.

        Args:
            kwargs: the keyword arguments of the call to a deployment.

        Raises:
            AttemptError: the deployment is not in the caller's region, and the Router did not ask for ``allowed``.
        """
        if self._rules.region is not None and is_routed(kwargs) and _region(kwargs) != self._rules.region:
            self.is_unrouted = True
            raise AttemptError(RequestError("This deployment is not in the caller's region."))
        share_callbacks(self._rules.logging, kwargs.get("litellm_logging_obj"))
        self.has_deployment = True


def _region(params: Any) -> object:
    return params.get("region_name") if isinstance(params, Mapping) else getattr(params, "region_name", None)


def current_vision_call() -> VisionCall | None:
    """Return the vision call that the running code is part of. Its images must not be analysed again."""
    return _CURRENT.get()


class CompletionApi(Protocol):
    """The object that makes vision calls: a Router, or LiteLLM itself."""

    acompletion: Callable[..., Awaitable[Any]]
    aresponses: Callable[..., Awaitable[Any]]


def make_ask(caller: CompletionApi, identity: Mapping[str, Any], rules: CallerRules = NO_RULES) -> AskVision:
    """Make the function that asks a vision model.

    Args:
        caller: a Router, or LiteLLM itself.
        identity: keyword arguments that bill the call to its caller.
        rules: the rules of the request, which also apply to the call.
    """
    identity = {**rules.arguments, **identity}

    async def ask(request: VisionRequest) -> Outcome:
        arguments = _fresh(identity, request)
        call = VisionCall(rules)
        token = _CURRENT.set(call)
        try:
            with counted_as_request():  # its own request may have ended, because the client has disconnected
                response = await _ask(caller, request, arguments)
        except Exception as error:  # noqa: BLE001 - the only place where LiteLLM's errors become values
            failure = Failed(FailureReason.NOT_ROUTED) if call.is_unrouted else failure_of(error, request.model)
            outcome: Outcome = replace(
                failure,
                blames_model=_blames_model(error, call),
                is_callers_own=rules.choose_deployments or not call.has_deployment,
            )
            # The message is left out, because providers repeat keys, URLs and images in it.
            LOGGER.debug("vision call failed: %s: %s", type(error).__name__, _described(outcome))
            return outcome
        finally:
            _CURRENT.reset(token)
        outcome = _outcome_of(response, request.max_characters)
        LOGGER.debug("vision call answered: %s", _described(outcome))
        return outcome

    return ask


async def _ask(caller: CompletionApi, request: VisionRequest, identity: dict[str, Any]) -> Any:
    if request.input is None:
        return await caller.acompletion(
            model=request.model,
            messages=request.messages,
            max_tokens=request.max_output_tokens,
            cache=dict(_NO_RESPONSE_CACHE),
            **identity,
        )
    return await caller.aresponses(
        model=request.model,
        instructions=request.messages[0]["content"],
        input=request.input,
        max_output_tokens=request.max_output_tokens,
        store=False,
        cache=dict(_NO_RESPONSE_CACHE),
        **{"litellm_metadata" if key == "metadata" else key: value for key, value in identity.items()},
    )


def _blames_model(error: Exception, call: VisionCall) -> bool:
    """Return whether a provider or the network failed. ``False`` if LiteLLM failed before it sent the call."""
    if call.has_deployment:
        return call.was_sent
    return not isinstance(error, (ValueError, BudgetExceededError))  # the Router failed before it chose a deployment


def _fresh(identity: Mapping[str, Any], request: VisionRequest) -> dict[str, Any]:
    """Return a copy for one call, because LiteLLM changes the metadata and logs the request in it."""
    fresh = {key: dict(value) if isinstance(value, dict) else value for key, value in identity.items()}
    if "proxy_server_request" in fresh:
        fresh["proxy_server_request"]["body"] = request.loggable
    span = parent_span.get()
    if span is not None and "metadata" in fresh:
        fresh["metadata"][PARENT_SPAN] = span
    return fresh


def _outcome_of(response: Any, max_characters: int) -> Outcome:
    cost, call_id = reported_cost(response), _text(getattr(response, "id", None))
    text, finish_reason = _answer(response)
    outcome = outcome_of_text(text, max_characters, finish_reason, cost=cost, call_id=call_id)
    if isinstance(outcome, Analysed) and hidden_params(response).get("cache_hit") is True:
        return replace(outcome, cached=True)
    return replace(outcome, usage=_usage(response))


def _usage(response: Any) -> Usage:
    usage, provider = getattr(response, "usage", None), hidden_params(response).get("custom_llm_provider")
    return Usage(
        input_tokens=_tokens(usage, "prompt_tokens", "input_tokens"),  # of chat completions, and of the Responses API
        output_tokens=_tokens(usage, "completion_tokens", "output_tokens"),
        provider=_text(provider),
    )


def _tokens(usage: Any, *names: str) -> int | None:
    found = (getattr(usage, name, None) for name in names)
    return next((value for value in found if isinstance(value, int) and value >= 0), None)


def outcome_of_text(
    text: object,
    max_characters: int,
    finish_reason: str | None = "stop",
    *,
    cost: Decimal | None = None,
    call_id: str | None = None,
) -> Outcome:
    """Return the outcome of a vision call by the text of the answer.

    Args:
        text: the text. Some deployments leave the model's thoughts in it. ``None`` if there is no text.
        max_characters: a longer text is cut.
        finish_reason: why it ended, in the terms of chat completions.
        cost: USD of the call.
        call_id: id of the call.
    """
    words = _text(_without_thoughts(text))
    if words is None:
        return Failed(_SILENCE.get(finish_reason or "", FailureReason.EMPTY), cost=cost, call_id=call_id)
    is_cut = finish_reason == "length" or len(words) > max_characters
    return Analysed(words[:max_characters], truncated=is_cut, cost=cost, call_id=call_id)


def _answer(response: Any) -> tuple[object, str | None]:
    """Return the text and the finish reason, in the terms of chat completions."""
    if hasattr(response, "output_text"):  # a response of the Responses API
        return response.output_text, _end(response)
    choices = getattr(response, "choices", None) or [None]
    message = getattr(choices[0], "message", None)
    end = "content_filter" if _refuses(message) else getattr(choices[0], "finish_reason", None)
    return getattr(message, "content", None), end


def _without_thoughts(text: object) -> object:
    """Return a text without the model's thoughts before it. If the thoughts have no end, nothing is left."""
    if isinstance(text, str) and (thoughts := _THOUGHTS.match(text)):
        return text[thoughts.end() :]
    return text


def _refuses(message: Any) -> bool:
    """Return whether a chat message is OpenAI's refusal. Before LiteLLM 1.108, a refusal has no field of its own."""
    fields = getattr(message, "provider_specific_fields", None)
    return bool(getattr(message, "refusal", None) or (isinstance(fields, Mapping) and fields.get("refusal")))


def _end(response: Any) -> str:
    """Return the finish reason of a response of the Responses API, in the terms of chat completions."""
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
