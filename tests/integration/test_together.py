"""Image analysis together with LiteLLM's response cache, prompt management, web search, and other callbacks."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from litellm.caching.caching import Cache
from litellm.integrations.custom_logger import CustomLogger
from litellm.integrations.custom_prompt_management import CustomPromptManagement
from litellm.integrations.websearch_interception.handler import WebSearchInterceptionLogger
from litellm.types.caching import LiteLLMCacheType
from support.images import data_uri, image, message, text
from support.upstream import Rule, Upstream, images_in

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

BLIND, EYES = "openai/blind-chat", "openai/seeing-mini"


@pytest.fixture
def plugin(provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> ImageAnalysis:
    del provider
    plugin = ImageAnalysis(ImageAnalysisConfig(vision_model=EYES))
    monkeypatch.setattr(litellm, "callbacks", [plugin])
    return plugin


async def ask(*marks: str, route: str = "chat", model: str = f"{BLIND}-ocr", **extra: Any) -> Any:
    if route == "chat":
        said = [message(text("What is it?"), *map(image, marks))]
        return await litellm.acompletion(model=model, messages=said, **extra)
    images: list[Any] = [{"type": "input_image", "image_url": data_uri(mark)} for mark in marks]
    item: Any = {"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, *images]}
    return await litellm.aresponses(model=model, input=[item], **extra)


def called(provider: Upstream) -> list[str]:
    return [body["model"] for body in provider.requests]


class TestResponseCache:
    @pytest.fixture(autouse=True)
    def cache(self, plugin: ImageAnalysis, monkeypatch: pytest.MonkeyPatch) -> None:
        del plugin
        monkeypatch.setattr(litellm, "cache", Cache(type=LiteLLMCacheType.LOCAL))

    @pytest.mark.parametrize("route", ["chat", "responses"])
    async def test_it_answers_for_the_same_image_and_for_no_other(self, provider: Upstream, route: str) -> None:
        await ask("a", route=route)
        await ask("b", route=route)
        assert called(provider) == ["seeing-mini", "blind-chat"] * 2
        again = await ask("a", route=route)
        assert called(provider) == ["seeing-mini", "blind-chat"] * 2
        assert again._hidden_params.get("cache_hit") is True

    async def test_it_does_so_though_the_vision_model_says_the_same_of_both(self, provider: Upstream) -> None:
        provider.rules.append(Rule(lambda body: body["model"] == "seeing-mini", text="A cat."))
        await ask("a")
        await ask("b")
        assert called(provider) == ["seeing-mini", "blind-chat"] * 2

    @pytest.mark.parametrize("route", ["chat", "responses"])
    async def test_an_answer_to_what_could_not_be_seen_is_not_kept(
        self, provider: Upstream, plugin: ImageAnalysis, route: str
    ) -> None:
        provider.rules.append(Rule(lambda body: body["model"] == "seeing-mini", status=400))
        for _ in range(2):
            await ask("a", route=route)
            await plugin.flush_cache()  # failures are remembered for some seconds
        assert called(provider) == ["seeing-mini", "blind-chat"] * 2
        assert "cache" not in provider.requests[-1]


class House(CustomPromptManagement):
    """Prompt management that puts a message before the others."""

    async def async_get_chat_completion_prompt(
        self, model: str, messages: Any, non_default_params: dict[str, Any], *args: Any, **kwargs: Any
    ) -> tuple[str, Any, dict[str, Any]]:
        del args, kwargs
        return model, [{"role": "system", "content": "Be brief."}, *messages], non_default_params


async def test_prompt_management_puts_its_words_in_front(
    provider: Upstream, plugin: ImageAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "callbacks", [plugin, House()])
    await ask("a", prompt_id="house")
    vision, main = provider.requests
    assert [said["role"] for said in main["messages"]] == ["system", "user"]
    assert not images_in(main)
    assert "a picture with mark" in str(main)
    assert [len(images_in(body)) for body in (vision, main)] == [1, 0]


class Signature(CustomLogger):
    """A callback that also rewrites messages."""

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any]:
        del call_type
        return {**kwargs, "messages": [*kwargs["messages"], {"role": "user", "content": "Thank you."}]}


@pytest.mark.parametrize("order", ["before", "after"])
async def test_another_callback_rewrites_before_or_after(
    provider: Upstream, plugin: ImageAnalysis, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    callbacks = [Signature(), plugin] if order == "before" else [plugin, Signature()]
    monkeypatch.setattr(litellm, "callbacks", callbacks)
    await ask("a")
    main = provider.requests[-1]
    assert not images_in(main)
    assert main["messages"][-1]["content"] == "Thank you."


@pytest.mark.parametrize("order", ["before", "after"])
async def test_web_search_is_intercepted_as_ever(
    provider: Upstream, plugin: ImageAnalysis, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    search = WebSearchInterceptionLogger(enabled_providers=["openai"])
    monkeypatch.setattr(litellm, "callbacks", [search, plugin] if order == "before" else [plugin, search])
    await ask("a", tools=[{"type": "web_search_20250305", "name": "web_search"}])
    vision, main = provider.requests
    assert "tools" not in vision
    assert [tool["function"]["name"] for tool in main["tools"]] == ["litellm_web_search"]
    assert not images_in(main)
