"""LiteLLM's functions from this package: positional arguments, blocking calls, and the total cost of a stream."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable
from typing import Any

import litellm
import pytest
from support.billing import messages
from support.images import data_uri, image, message, text
from support.sdk_features import needs_stream_prices
from support.upstream import ANSWER, MAIN_COST, VISION_COST, Upstream, images_in

import litellm_image_analysis as analysed
from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig, RequestError

MODEL, VISION = "openai/blind-chat", "openai/seeing-mini"
QUESTION: Any = [message(text("What is it?"), image("a"))]
OF_ANTHROPIC: Any = messages("", "What is it?", ["a"], stream=False)[1]["messages"]
ITEM: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": data_uri("a")}]}]
TOTAL = pytest.approx(MAIN_COST + VISION_COST, abs=1e-12)

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # LiteLLM's own


@pytest.fixture(autouse=True)
def registered(provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin, registered as in a program."""
    del provider
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(ImageAnalysisConfig(vision_model=VISION))])


def expect_analysed(provider: Upstream) -> None:
    assert [body["model"] for body in provider.requests] == ["seeing-mini", "blind-chat"]
    assert not images_in(provider.requests[1])


async def test_positional_arguments_are_seen(provider: Upstream) -> None:
    before = copy.deepcopy(QUESTION)
    response: Any = await analysed.acompletion(f"{MODEL}-ocr", QUESTION)
    assert response.choices[0].message.content == ANSWER
    assert before == QUESTION
    expect_analysed(provider)


async def test_the_parameter_works_as_everywhere(provider: Upstream) -> None:
    await analysed.acompletion(MODEL, QUESTION, ocr_model=VISION)
    expect_analysed(provider)


async def test_openai_s_and_anthropic_s_routes(provider: Upstream) -> None:
    await analysed.aresponses(ITEM, f"{MODEL}-ocr")
    expect_analysed(provider)
    provider.requests.clear()
    await analysed.anthropic_messages(max_tokens=9, messages=OF_ANTHROPIC, model=f"{MODEL}-ocr")
    assert [body["model"] for body in provider.requests] == ["seeing-mini", "blind-chat"]


def test_blocking_calls(provider: Upstream) -> None:
    response: Any = analysed.completion(f"{MODEL}-ocr", QUESTION)
    assert response.choices[0].message.content == ANSWER
    assert response._hidden_params["response_cost"] == TOTAL
    expect_analysed(provider)
    provider.requests.clear()
    answer: Any = analysed.responses(ITEM, f"{MODEL}-ocr")
    assert answer.output_text == ANSWER
    assert answer._hidden_params["response_cost"] == TOTAL


async def test_a_blocking_call_inside_a_running_loop(provider: Upstream) -> None:
    response: Any = analysed.completion(f"{MODEL}-ocr", QUESTION)
    assert response.choices[0].message.content == ANSWER
    expect_analysed(provider)


async def test_blocking_calls_in_many_threads(provider: Upstream) -> None:
    def ask() -> Any:
        return analysed.completion(f"{MODEL}-ocr", QUESTION)

    answers = await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(8)))
    assert [answer.choices[0].message.content for answer in answers] == [ANSWER] * 8
    assert [body["model"] for body in provider.requests].count("seeing-mini") == 1


@needs_stream_prices
async def test_a_stream_shows_the_total_after_its_last_chunk(provider: Upstream) -> None:
    stream: Any = await analysed.acompletion(f"{MODEL}-ocr", QUESTION, stream=True)
    words = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(words).strip() == ANSWER
    assert stream._hidden_params["response_cost"] == TOTAL
    assert stream._hidden_params["image_analysis"]["cost"] == pytest.approx(VISION_COST, abs=1e-12)
    expect_analysed(provider)


@needs_stream_prices
async def test_so_does_one_of_openai_s_and_of_anthropic_s_route() -> None:
    for stream in (
        await analysed.aresponses(ITEM, f"{MODEL}-ocr", stream=True),
        await analysed.anthropic_messages(max_tokens=9, messages=OF_ANTHROPIC, model=f"{MODEL}-ocr", stream=True),
    ):
        answer: Any = stream
        assert [chunk async for chunk in answer]
        assert answer._hidden_params["image_analysis"]["base_cost"] == pytest.approx(MAIN_COST, abs=1e-12)


@needs_stream_prices
def test_so_does_a_blocking_one(provider: Upstream) -> None:
    stream: Any = analysed.completion(f"{MODEL}-ocr", QUESTION, stream=True)
    words = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(words).strip() == ANSWER
    assert stream._hidden_params["response_cost"] == TOTAL
    expect_analysed(provider)


async def test_calls_that_do_not_ask_are_litellm_s_own(provider: Upstream) -> None:
    stream: Any = await analysed.acompletion("openai/seeing-chat", QUESTION, stream=True)
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert [chunk async for chunk in stream]
    assert images_in(provider.requests[0])


def test_errors_are_those_of_the_callback() -> None:
    with pytest.raises(RequestError, match="ocr_model: it must be"):
        analysed.completion(MODEL, QUESTION, ocr_model=5)


async def test_without_a_callback_the_default_one_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "callbacks", [])
    await analysed.acompletion(MODEL, [message(text("Hello"))])
    await analysed.acompletion(MODEL, [message(text("Hello"))])
    assert litellm.callbacks == [analysed.image_analysis]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (analysed.acompletion, litellm.acompletion),
        (analysed.aresponses, litellm.aresponses),
        (analysed.anthropic_messages, litellm.anthropic_messages),
        (analysed.completion, litellm.completion),
        (analysed.responses, litellm.responses),
    ],
)
def test_signatures_are_litellm_s(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    assert inspect.signature(ours) == inspect.signature(theirs)


async def test_messages_alone_can_be_rewritten(provider: Upstream) -> None:
    (plugin,) = litellm.callbacks
    assert isinstance(plugin, ImageAnalysis)
    before = copy.deepcopy(QUESTION)
    (rewritten,) = await plugin.rewrite(QUESTION)
    assert before == QUESTION
    assert not images_in(rewritten)
    assert "described by openai/seeing-mini" in str(rewritten)
    await plugin.rewrite(QUESTION, vision_model="openai/seeing-other")
    assert [body["model"] for body in provider.requests] == ["seeing-mini", "seeing-other"]
