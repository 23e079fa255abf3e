"""A request that LiteLLM cannot translate for a provider is not sent, and does not count as a failure of the vision
model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import litellm
import pytest
import pytest_asyncio
from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients
from litellm.router import Router
from support.images import data_uri
from support.proxy import free_port

from litellm_image_analysis import ImageAnalysis
from litellm_image_analysis.analysis.outcomes import Failed, Outcome
from litellm_image_analysis.analysis.prompt import Asked, VisionRequest
from litellm_image_analysis.vision.call import CompletionApi, make_ask

PROVIDERS: dict[str, dict[str, Any]] = {
    "gemini": {"model": "gemini/gemini-2.0-flash", "api_key": "none"},
    "bedrock": {
        "model": "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
        "aws_access_key_id": "none",
        "aws_secret_access_key": "none",
        "aws_region_name": "us-east-1",
    },
}

Ask = Callable[[str, str], Awaitable[Outcome]]


@pytest_asyncio.fixture
async def ask(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ask]:
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis()])

    async def ask(provider: str, url: str) -> Outcome:
        closed = f"http://127.0.0.1:{free_port()}"
        params = {**PROVIDERS[provider], "api_base": closed, "aws_bedrock_runtime_endpoint": closed}
        router = Router([{"model_name": "eyes", "litellm_params": params}], num_retries=0)
        asked = Asked("You are the eyes.", "What is it?", [])
        part = {"type": "image_url", "image_url": {"url": url}}  # an ImageSource would correct its type
        vars(asked)["messages"] = [{"role": "user", "content": [part]}]
        request = VisionRequest("key", "team:research", "eyes", asked, max_output_tokens=7)
        return await make_ask(cast("CompletionApi", router), {})(request)

    yield ask
    # Otherwise a later test would find open clients of these providers.
    await close_litellm_async_clients()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("provider", "media_type"),
    [
        ("gemini", "image/png;BASE64"),
        ("bedrock", "image/png;BASE64"),
        ("bedrock", "image/jpg;base64"),
        ("bedrock", "image/bmp;base64"),
        ("bedrock", "image/tiff;base64"),
        ("bedrock", "image/heic;base64"),
    ],
)
async def test_a_type_that_it_does_not_know(ask: Ask, provider: str, media_type: str) -> None:
    outcome = await ask(provider, f"data:{media_type},{data_uri('a').partition(',')[2]}")
    assert isinstance(outcome, Failed)
    assert not outcome.blames_model


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_url_that_it_does_not_fetch(ask: Ask, provider: str) -> None:
    outcome = await ask(provider, f"http://127.0.0.1:{free_port()}/a.png")
    assert isinstance(outcome, Failed)
    assert not outcome.blames_model


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_provider_that_does_not_answer_is_counted(ask: Ask, provider: str) -> None:
    outcome = await ask(provider, data_uri("a"))
    assert isinstance(outcome, Failed)
    assert outcome.blames_model
