"""The call to the vision model: its arguments, its answer, and failures as values."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from litellm import ModelResponse
from litellm.exceptions import (
    InternalServerError,
    ServiceUnavailableError,
)
from litellm.router import Router
from litellm.types.llms.openai import ResponseAPIUsage, ResponsesAPIResponse
from litellm.types.utils import Choices, Message
from litellm.types.utils import Usage as LiteLLMUsage

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome, Usage
from litellm_image_analysis.analysis.prompt import Asked, VisionRequest, vision_request
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.compat import PARENT_SPAN
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.vision.call import current_vision_call, make_ask, parent_span

ASKED = Asked("You are the eyes.", "What is it?", [("", ImageSource("https://images.example.com/cat.png"))])
REQUEST = VisionRequest("key", "team:research", "eyes", ASKED, max_output_tokens=7)
TENANT = Tenant("team:research", b"secret")
SECRET = "the provider's own words"
MODEL: dict[str, Any] = {"model": "eyes", "llm_provider": "openai"}


def answer(text: Any = "A cat.", finish_reason: str = "stop", **hidden: Any) -> ModelResponse:
    """LiteLLM's response to a vision call."""
    choice = Choices(message=Message(content=text), finish_reason=finish_reason)
    response = ModelResponse(id="chatcmpl-1", choices=[choice])
    response._hidden_params = hidden
    return response


class Completion:
    """A double for LiteLLM: returns or raises its answer, and records its arguments."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.calls: list[dict[str, Any]] = []
        self.was_looking = False
        self.acompletion: Callable[..., Any] = self._call
        self.aresponses: Callable[..., Any] = self._call

    async def _call(self, **kwargs: Any) -> Any:
        self.calls.append(kwargs)
        self.was_looking = current_vision_call() is not None
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


async def outcome_of(result: Any) -> Outcome:
    return await make_ask(Completion(result), {"metadata": {}})(REQUEST)


class TestCall:
    async def test_it_is_the_question_and_the_callers_identity_and_nothing_else(self) -> None:
        completion = Completion(answer())
        await make_ask(completion, {"metadata": {"user_api_key": "hashed"}, "litellm_trace_id": "trace-1"})(REQUEST)
        assert completion.calls == [
            {
                "model": "eyes",
                "messages": REQUEST.messages,
                "max_tokens": 7,
                "cache": {"no-cache": True, "no-store": True},
                "metadata": {"user_api_key": "hashed"},
                "litellm_trace_id": "trace-1",
            }
        ]

    async def test_a_log_that_keeps_requests_is_told_of_it_without_the_image(self) -> None:
        request = vision_request(TENANT, "eyes", [(1, ImageSource("data:image/png;base64,AAAA"))], "What?", "Look.", 7)
        completion = Completion(answer())
        identity = {"metadata": {}, "proxy_server_request": {"url": "http://gateway/v1"}}
        await make_ask(completion, identity)(request)
        assert completion.calls[0]["proxy_server_request"] == {"url": "http://gateway/v1", "body": request.loggable}
        assert identity["proxy_server_request"] == {"url": "http://gateway/v1"}

    async def test_what_litellm_writes_into_one_calls_metadata_is_not_seen_by_the_next(self) -> None:
        identity = {"metadata": {"user_api_key": "hashed"}}
        completion = Completion(answer())
        look = make_ask(completion, identity)
        await look(REQUEST)
        completion.calls[0]["metadata"]["model_group"] = "eyes"
        await look(REQUEST)
        assert completion.calls[1]["metadata"] == {"user_api_key": "hashed"}
        assert identity == {"metadata": {"user_api_key": "hashed"}}

    @pytest.mark.parametrize("result", [answer(), ValueError(SECRET)])
    async def test_it_is_marked_as_ours_while_it_lasts(self, result: object) -> None:
        completion = Completion(result)
        await make_ask(completion, {})(REQUEST)
        assert completion.was_looking
        assert current_vision_call() is None

    async def test_litellm_s_spans_of_it_hang_below_the_span_of_its_image(self) -> None:
        async def ask_within(span: object) -> None:
            parent_span.set(span)
            await make_ask(completion, {"metadata": {PARENT_SPAN: "the request's"}})(REQUEST)

        completion, span = Completion(answer()), object()
        await asyncio.ensure_future(ask_within(span))
        await make_ask(completion, {"metadata": {PARENT_SPAN: "the request's"}})(REQUEST)
        assert [call["metadata"][PARENT_SPAN] for call in completion.calls] == [span, "the request's"]

    async def test_it_is_made_once_even_if_it_fails(self) -> None:
        completion = Completion(InternalServerError(SECRET, **MODEL))
        await make_ask(completion, {})(REQUEST)
        assert len(completion.calls) == 1

    async def test_cancelling_it_is_no_failure(self) -> None:
        async def cancelled_meanwhile(**_: Any) -> ModelResponse:
            scope.cancel()
            await checkpoint()
            return answer()

        caller = Completion(None)
        caller.acompletion = cancelled_meanwhile
        outcomes: list[Outcome] = []
        with anyio.CancelScope() as scope:
            outcomes.append(await make_ask(caller, {})(REQUEST))
        assert scope.cancelled_caught
        assert outcomes == []
        assert current_vision_call() is None


def response_of(text: str, reason: str | None = None, kind: str = "output_text") -> ResponsesAPIResponse:
    """LiteLLM's response to a call of the Responses API."""
    content = {"type": kind, "refusal" if kind == "refusal" else "text": text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]}
    details = {"reason": reason} if reason else None
    told = {"id": "resp_1", "created_at": 1, "output": [message], "incomplete_details": details}
    response = ResponsesAPIResponse.model_validate(told)
    response._hidden_params = {"response_cost": 0}
    return response


class TestFileOfOpenAI:
    """Chat completions do not accept images by file id, but the Responses API does."""

    FILE = ImageSource("file-1", "high", holder="openai")
    REQUEST = vision_request(TENANT, "eyes", [(1, FILE)], "What is it?", "Look.", 7)

    async def test_it_is_asked_about_through_the_responses_api(self) -> None:
        caller = Completion(response_of("A cat."))
        outcome = await make_ask(caller, {"metadata": {"user_api_key": "hashed"}})(self.REQUEST)
        assert outcome == Analysed("A cat.", cost=Decimal(0), call_id="resp_1")
        (call,) = caller.calls
        text, image = call["input"][0]["content"]
        assert text["text"].endswith("What is it?")
        assert image == {"type": "input_image", "file_id": "file-1", "detail": "high"}
        assert (call["instructions"], call["max_output_tokens"], call["store"]) == ("Look.", 7, False)
        assert call["litellm_metadata"] == {"user_api_key": "hashed"}
        assert call["cache"] == {"no-cache": True, "no-store": True}

    async def test_inline_images_beside_it_go_the_same_way_in_their_order(self) -> None:
        cat = ImageSource("data:image/png;base64,AAAA")
        request = vision_request(TENANT, "eyes", [(1, cat), (3, self.FILE)], "Which is it?", "Look.", 7)
        caller = Completion(response_of("The second."))
        await make_ask(caller, {})(request)
        (call,) = caller.calls
        assert "messages" not in call
        _, *images = call["input"][0]["content"]
        assert images == [
            {"type": "input_text", "text": "Image 1:"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            {"type": "input_text", "text": "Image 3:"},
            {"type": "input_image", "file_id": "file-1", "detail": "high"},
        ]

    async def test_it_is_marked_as_ours_too(self) -> None:
        caller = Completion(response_of("A cat."))
        await make_ask(caller, {})(self.REQUEST)
        assert caller.was_looking
        assert current_vision_call() is None

    async def test_its_usage_is_known(self) -> None:
        response = response_of("A cat.")
        response.usage = ResponseAPIUsage(input_tokens=5, output_tokens=3, total_tokens=8)
        response._hidden_params = {"custom_llm_provider": "openai"}
        outcome = await make_ask(Completion(response), {})(self.REQUEST)
        assert outcome.usage == Usage(5, 3, "openai")

    async def test_an_answer_cut_at_the_token_limit_is_truncated(self) -> None:
        outcome = await make_ask(Completion(response_of("A c", "max_output_tokens")), {})(self.REQUEST)
        assert isinstance(outcome, Analysed)
        assert outcome.truncated

    @pytest.mark.parametrize(
        ("response", "reason"),
        [
            (response_of(SECRET, kind="refusal"), FailureReason.REFUSED),
            (response_of("", "content_filter"), FailureReason.REFUSED),
            (response_of(""), FailureReason.EMPTY),
            (response_of("", "max_output_tokens"), FailureReason.OUT_OF_TOKENS),
            (response_of("<think>A cat?"), FailureReason.EMPTY),
        ],
    )
    async def test_no_text_is_a_failure_that_was_paid_for(
        self, response: ResponsesAPIResponse, reason: FailureReason
    ) -> None:
        outcome = await make_ask(Completion(response), {})(self.REQUEST)
        assert outcome == Failed(reason, cost=Decimal(0), call_id="resp_1")


class TestAnswer:
    async def test_the_text_is_the_analysis_with_its_price_and_its_spend_log_row(self) -> None:
        assert await outcome_of(answer(" A cat.\n", response_cost=0.00021)) == Analysed(
            " A cat.\n", truncated=False, cost=Decimal("0.00021"), call_id="chatcmpl-1", cached=False
        )

    async def test_its_usage_is_known_but_not_of_a_cached_one(self) -> None:
        response = answer(custom_llm_provider="openai")
        response.usage = LiteLLMUsage(prompt_tokens=1000, completion_tokens=100)
        outcome = await outcome_of(response)
        assert (outcome.usage, outcome.as_cached().usage) == (Usage(1000, 100, "openai"), None)
        response._hidden_params = {"cache_hit": True}
        assert (await outcome_of(response)).usage is None

    @pytest.mark.parametrize("usage", [None, {"prompt_tokens": 5}, "5"])
    async def test_an_unknown_usage_is_none(self, usage: object) -> None:
        response = answer("")
        response.usage = usage
        assert (await outcome_of(response)).usage == Usage()

    async def test_a_text_cut_at_the_token_limit_is_truncated(self) -> None:
        outcome = await outcome_of(answer("A ca", finish_reason="length"))
        assert isinstance(outcome, Analysed)
        assert outcome.truncated

    async def test_a_hit_in_litellms_cache_costs_nothing_although_it_shows_a_price(self) -> None:
        outcome = await outcome_of(answer(response_cost=0.00021, cache_hit=True))
        assert isinstance(outcome, Analysed)
        assert (outcome.cost, outcome.cached) == (Decimal(0), True)

    @pytest.mark.parametrize("hidden", [{}, {"response_cost": None}, {"cache_hit": None}])
    async def test_a_price_litellm_does_not_know_is_unknown(self, hidden: dict[str, Any]) -> None:
        outcome = await outcome_of(answer(**hidden))
        assert isinstance(outcome, Analysed)
        assert (outcome.cost, outcome.cached) == (None, False)

    @pytest.mark.parametrize(
        "text", [None, "", " \n", "<think>A cat? Or", "\n<thinking>A cat?</thinking>\n", "<think>"]
    )
    @pytest.mark.parametrize(
        ("finish_reason", "reason"),
        [
            ("stop", FailureReason.EMPTY),
            ("length", FailureReason.OUT_OF_TOKENS),
            ("content_filter", FailureReason.REFUSED),
        ],
    )
    async def test_no_text_is_a_failure_that_was_paid_for(
        self, text: str | None, finish_reason: str, reason: FailureReason
    ) -> None:
        assert await outcome_of(answer(text, finish_reason, response_cost=0.00021)) == Failed(
            reason, cost=Decimal("0.00021"), call_id="chatcmpl-1"
        )

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("<think>A cat?</think>\nA cat.", "\nA cat."),
            ("\n<thinking>A <b>cat</b>?</thinking>A cat. </thinking>", "A cat. </thinking>"),
            ("It reads <think>A cat?", "It reads <think>A cat?"),
            ("<thinker>A cat.", "<thinker>A cat."),
        ],
    )
    async def test_thoughts_before_the_text_are_no_part_of_it(self, text: str, left: str) -> None:
        outcome = await outcome_of(answer(text))
        assert isinstance(outcome, Analysed)
        assert outcome.text == left

    async def test_a_refusal_in_words_is_a_refusal(self) -> None:
        """OpenAI's models refuse in a separate field, which LiteLLM keeps among the provider's fields."""
        refusal = Message(content=None, provider_specific_fields={"refusal": SECRET})
        response = ModelResponse(id="chatcmpl-1", choices=[Choices(message=refusal, finish_reason="stop")])
        assert await outcome_of(response) == Failed(FailureReason.REFUSED, cost=None, call_id="chatcmpl-1")

    async def test_a_text_longer_than_its_tokens_can_be_is_cut(self) -> None:
        """``REQUEST`` asks for seven tokens."""
        fits, *others = [await outcome_of(answer("A" * length)) for length in (112, 113, 100_000)]
        assert (fits, *others) == (
            Analysed("A" * 112, cost=None, call_id="chatcmpl-1"),
            *[Analysed("A" * 112, truncated=True, cost=None, call_id="chatcmpl-1")] * 2,
        )

    @pytest.mark.parametrize("response", [ModelResponse(id="chatcmpl-1", choices=[]), None, "text"])
    async def test_an_answer_of_no_known_shape_is_empty(self, response: object) -> None:
        outcome = await outcome_of(response)
        assert isinstance(outcome, Failed)
        assert outcome.reason is FailureReason.EMPTY


class TestFailure:
    async def test_tags_that_lead_to_no_deployment_are_not_blamed_on_the_model(self) -> None:
        """Otherwise any caller could open its circuit for all."""
        parameters = {"model": "openai/unheard-of-eyes", "api_key": "none", "tags": ["paid"]}
        router: Any = Router([{"model_name": "eyes", "litellm_params": parameters}], enable_tag_filtering=True)
        look = make_ask(router, {"metadata": {"tags": ["unheard-of"]}})
        assert await look(REQUEST) == Failed(FailureReason.NOT_ROUTED)

    async def test_an_exception_becomes_a_value_that_costs_nothing(self) -> None:
        assert await outcome_of(ServiceUnavailableError(SECRET, **MODEL)) == Failed(FailureReason.UNAVAILABLE)


class TestLog:
    async def test_an_answer_is_told_at_debug_without_its_text(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, LOGGER.name)
        await outcome_of(answer("A cat."))
        assert caplog.record_tuples == [
            (LOGGER.name, logging.DEBUG, "vision call answered: 6 characters, truncated=False, cached=False")
        ]

    async def test_an_answer_without_text_is_told_at_debug(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, LOGGER.name)
        await outcome_of(answer(None))
        assert caplog.messages == ["vision call answered: empty"]

    async def test_a_failure_is_told_at_debug_only(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, LOGGER.name)
        await outcome_of(ValueError(SECRET))
        [record] = caplog.records
        assert record.levelno == logging.DEBUG
        assert record.getMessage() == "vision call failed: ValueError: unavailable"
