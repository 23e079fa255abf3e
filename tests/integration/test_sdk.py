"""LiteLLM as a library: ``litellm.callbacks = [ImageAnalysis()]`` and ``litellm.acompletion``."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import litellm
import pytest
from litellm.router import Router
from support.configs import deployment
from support.images import image, message, text
from support.upstream import ANSWER, Upstream, images_in

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig, RequestError

Ask = Callable[..., Awaitable[Any]]
VISION = "openai/seeing-mini"


@pytest.fixture
def ask(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """``litellm.acompletion`` with the plugin, to the provider on loopback."""
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(ImageAnalysisConfig(vision_model=VISION))])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.base_url)
    return partial(litellm.acompletion, messages=[message(text("?"), image("a"))])


@pytest.mark.parametrize(
    "asked",
    [{"model": "openai/blind-chat-ocr"}, {"model": "openai/blind-chat", "ocr_model": VISION}],
    ids=["suffix", "parameter"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_text_only_model_answers(ask: Ask, upstream: Upstream, asked: dict[str, Any], stream: bool) -> None:
    response = await ask(stream=stream, **asked)
    if stream:
        response = litellm.stream_chunk_builder([chunk async for chunk in response])
    assert response.choices[0].message.content.strip() == ANSWER
    assert [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-chat"]
    assert not images_in(upstream.requests[1])


async def test_the_caller_s_own_objects_stay_as_they_are(ask: Ask) -> None:
    messages = [message(text("?"), image("a"))]
    metadata = {"mine": 1}
    before = copy.deepcopy((messages, metadata))
    await ask(model="openai/blind-chat-ocr", messages=messages, metadata=metadata)
    assert (messages, metadata) == before


async def test_a_call_that_does_not_ask_keeps_its_images(ask: Ask, upstream: Upstream) -> None:
    await ask(model="openai/seeing-chat")
    assert [len(images_in(body)) for body in upstream.requests] == [1]


async def test_positional_arguments_go_their_way(ask: Ask, upstream: Upstream) -> None:
    """LiteLLM does not show them to hooks."""
    await litellm.acompletion("openai/seeing-chat", [message(image("a"))])
    (body,) = upstream.requests
    assert images_in(body)


async def test_false_switches_it_off(ask: Ask, upstream: Upstream) -> None:
    await ask(model="openai/seeing-chat-ocr", ocr_model=False)
    (body,) = upstream.requests
    assert body["model"] == "seeing-chat"
    assert "ocr_model" not in body


async def test_a_wrong_ocr_model_is_an_error_of_ours(ask: Ask, upstream: Upstream) -> None:
    with pytest.raises(RequestError, match="ocr_model: it must be the name of a vision model") as raised:
        await ask(model="openai/blind-chat", ocr_model=5)
    assert raised.value.status_code == 400
    assert upstream.requests == []


async def test_a_limit_exceeded_is_an_error_of_ours(ask: Ask, upstream: Upstream) -> None:
    with pytest.raises(RequestError, match=r"21 different images, the limit is 20 \(setting max_images\)"):
        await ask(model="openai/blind-chat-ocr", messages=[message(*(image(str(mark)) for mark in range(21)))])
    assert upstream.requests == []


async def test_a_router_s_deployments_keep_their_names(ask: Ask, upstream: Upstream) -> None:
    """``scan-ocr`` is what the deployment's model is really called: the router's business, not a suffix."""
    router = Router(model_list=[deployment("scanner", "seeing-scan-ocr", upstream.base_url)])
    messages: Any = [message(image("a"))]
    await router.acompletion(model="scanner", messages=messages)
    (body,) = upstream.requests
    assert body["model"] == "seeing-scan-ocr"
    assert images_in(body)


async def test_a_vision_model_whose_name_ends_in_the_suffix_is_not_analysed_in_its_turn(
    ask: Ask, upstream: Upstream
) -> None:
    litellm.callbacks = [ImageAnalysis(ImageAnalysisConfig(vision_model="openai/seeing-scan-ocr"))]
    await ask(model="openai/blind-chat-ocr")
    assert [body["model"] for body in upstream.requests] == ["seeing-scan-ocr", "blind-chat"]
