"""The hooks, called by LiteLLM's proxy app."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from litellm.integrations.custom_logger import CustomLogger
from support.billing import ROUTES
from support.images import data_uri, image, message, text
from support.proxy import eventually
from support.upstream import Rule, Upstream, images_in

import litellm_image_analysis
from litellm_image_analysis import ImageAnalysis

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = {"model": "deepseek-chat-ocr", "messages": [message(text("?"), image("a"))]}


def analysis_headers(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if "image-analysis" in name}


async def test_images_are_replaced_before_the_request_goes_out(app: httpx.AsyncClient, upstream: Upstream) -> None:
    response = await app.post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 200
    assert analysis_headers(response)["x-litellm-image-analysis-images"] == "1"
    assert [(body["model"], bool(images_in(body))) for body in upstream.requests] == [
        ("seeing-mini", True),
        ("blind-chat", False),
    ]


async def test_the_proxy_has_loaded_the_instance_the_package_exports(app: httpx.AsyncClient) -> None:
    import litellm

    plugins = [callback for callback in litellm.callbacks if isinstance(callback, ImageAnalysis)]
    assert plugins == [litellm_image_analysis.image_analysis]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_failed_main_call_still_tells_what_was_spent_on_vision(
    app: httpx.AsyncClient, upstream: Upstream, route: str, stream: bool
) -> None:
    upstream.rules.append(Rule(lambda body: body["model"].startswith("blind"), status=500))
    path, body = ROUTES[route]("deepseek-chat-ocr", "What is it?", ["a"], stream=stream)
    response = await app.post(path, json=body)
    assert response.status_code == 500
    assert analysis_headers(response)["x-litellm-image-analysis-cost"] == "0.00021"
    assert "x-litellm-response-cost-total" not in response.headers


async def test_two_instances_are_an_error_where_analysis_is_asked_for(
    app: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    import litellm

    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, ImageAnalysis()])
    response = await app.post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 500
    assert "litellm.callbacks holds 2 instances of ImageAnalysis: register one." in response.text
    assert upstream.requests == []
    plain = {"model": "deepseek-chat", "messages": [message(text("?"))]}
    assert (await app.post("/v1/chat/completions", json=plain)).status_code == 200


@pytest.mark.parametrize("key", ["image_analysis", "_image_analysis_state"])
async def test_a_caller_cannot_forge_a_report(app: httpx.AsyncClient, key: str) -> None:
    body = {"model": "deepseek-chat", "messages": [message(text("?"))], "metadata": {key: {"images": 7, "cost": 0}}}
    response = await app.post("/v1/chat/completions", json=body)
    assert response.status_code == 200
    assert analysis_headers(response) == {}


class Bills(CustomLogger):
    """Records the key that each model's calls are billed to."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, object] = {}

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        payload = kwargs["standard_logging_object"]
        self.keys[kwargs["model"].rpartition("/")[2]] = payload["metadata"]["user_api_key_hash"]


@pytest.mark.parametrize("forged", [{"x": 1}, {"user_api_key": "f" * 64, "user_api_key_hash": "f" * 64}])
@pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_vision_call_is_billed_to_the_key_that_made_the_request(
    app: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, route: str, bucket: str, forged: dict[str, object]
) -> None:
    """A caller's own metadata is beside LiteLLM's, and before 1.100 in a mapping that LiteLLM also reads."""
    import litellm

    bills = Bills()
    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, bills])
    monkeypatch.setattr(litellm, "_async_success_callback", [*litellm._async_success_callback, bills])
    path, body = ROUTES[route]("deepseek-chat-ocr", "What is it?", ["a"], stream=False)
    response = await app.post(path, json={**body, bucket: forged})
    assert response.status_code == 200
    assert await asyncio.to_thread(eventually, lambda: "seeing-mini" in bills.keys)
    assert bills.keys["seeing-mini"] == "litellm_proxy_master_key"  # LiteLLM's name for it


async def test_routes_it_does_not_serve_pass_untouched(app: httpx.AsyncClient, upstream: Upstream) -> None:
    response = await app.post("/v1/embeddings", json={"model": "deepseek-chat", "input": "x"})
    assert analysis_headers(response) == {}


class Rewriter(CustomLogger):
    """Another callback that rewrites messages."""

    async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any) -> Any:
        return {**data, "messages": [{"role": "system", "content": "Be brief."}, *data["messages"]]}


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
async def test_another_callback_that_rewrites_messages(
    app: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    import litellm

    others = list(litellm.callbacks)
    monkeypatch.setattr(litellm, "callbacks", [Rewriter(), *others] if first else [*others, Rewriter()])
    response = await app.post("/v1/chat/completions", json=QUESTION)
    assert analysis_headers(response)["x-litellm-image-analysis-images"] == "1"
    system, user = upstream.requests[-1]["messages"]
    assert system["content"] == "Be brief."
    assert "Image 1 of 1" in user["content"]
    assert images_in(upstream.requests[0]) == [data_uri("a")]
