"""A client that disconnects during a vision call: what continues, and what later requests get from it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import litellm
import pytest
import pytest_asyncio
from litellm.proxy import proxy_server
from support.app import MASTER_KEY, running_app
from support.billing import ROUTES
from support.configs import proxy_config
from support.images import image, message, text
from support.proxy import eventually
from support.upstream import Rule, Upstream, images_in

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

PATH = "/v1/chat/completions"
MESSAGES = [message(text("What is it?"), image("a"))]
QUESTION = {"model": "deepseek-chat-ocr", "messages": MESSAGES}


def of_vision(body: dict[str, Any]) -> bool:
    return bool(images_in(body.get("messages")))


@asynccontextmanager
async def looking(upstream: Upstream) -> AsyncIterator[threading.Event]:
    """Vision calls last until the event is set. The block begins when there is one."""
    gate = threading.Event()
    upstream.rules.append(Rule(of_vision, gate=gate))
    try:
        yield gate
    finally:
        gate.set()


async def asked(upstream: Upstream, prefix: str) -> None:
    assert await asyncio.to_thread(eventually, lambda: bool(upstream.calls(prefix)))


class Client:
    """One ASGI request to the app, with a client that disconnects."""

    def __init__(self, body: dict[str, Any], path: str = PATH) -> None:
        self._path = path
        self._request = {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        self._is_read = False
        self._is_gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self.served = asyncio.ensure_future(proxy_server.app(self._scope(), self._receive, self._send))

    def hang_up(self) -> None:
        self._is_gone.set()

    def _scope(self) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json", "host": "proxy"}
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("proxy", 80),
        }

    async def _receive(self) -> dict[str, Any]:
        if not self._is_read:
            self._is_read = True
            return self._request
        await self._is_gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, sent: Any) -> None:
        self.sent.append(sent)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    config = proxy_config(shared_upstream, cache={"backend": "memory"})
    async with running_app(config, tmp_path_factory.mktemp("gateway")) as client:
        yield client


@pytest.mark.asyncio(loop_scope="module")
async def test_on_a_proxy_the_request_goes_on_as_litellm_has_it(gateway: httpx.AsyncClient, upstream: Upstream) -> None:
    async with looking(upstream) as gate:
        client = Client({**QUESTION, "stream": True})
        await asked(upstream, "seeing")
        client.hang_up()
        gate.set()
        await client.served
    assert len(upstream.calls("blind")) == 1
    response = await gateway.post(PATH, json=QUESTION)
    assert response.headers["x-litellm-image-analysis-cached"] == "1"
    assert len(upstream.calls("seeing")) == 1


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.asyncio(loop_scope="module")
async def test_where_litellm_is_to_care_the_wait_ends_and_the_look_goes_on(
    gateway: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, route: str, stream: bool
) -> None:
    monkeypatch.setitem(proxy_server.general_settings, "cancel_on_disconnect", True)
    path, body = ROUTES[route]("deepseek-chat-ocr", "What is it?", [f"{route} {stream}"], stream=stream)
    async with looking(upstream) as gate:
        client = Client(body, path)
        await asked(upstream, "seeing")
        client.hang_up()
        await client.served
        assert upstream.in_flight == 1
        gate.set()
    assert client.sent[0]["status"] == 499
    assert upstream.calls("blind") == []
    response = await gateway.post(path, json=body)
    assert response.headers["x-litellm-image-analysis-cached"] == "1"
    assert len(upstream.calls("seeing")) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_others_who_wait_for_the_same_are_answered(
    gateway: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(proxy_server.general_settings, "cancel_on_disconnect", True)
    body = {"model": "deepseek-chat-ocr", "messages": [message(text("?"), image("b"))]}
    async with looking(upstream) as gate:
        first, second = Client(body), Client(body)
        await asked(upstream, "seeing")
        first.hang_up()
        await first.served
        assert upstream.in_flight == 1
        gate.set()
        await second.served
    assert [client.sent[0]["status"] for client in (first, second)] == [499, 200]
    assert len(upstream.calls("seeing")) == len(upstream.calls("blind")) == 1


async def test_in_a_library_a_call_that_is_cancelled_ends_at_once_and_the_look_goes_on(
    provider: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ImageAnalysisConfig(vision_model="openai/seeing-mini")
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(config)])
    async with looking(provider) as gate:
        call = asyncio.ensure_future(litellm.acompletion(model="openai/blind-chat-ocr", messages=MESSAGES))
        await asked(provider, "seeing")
        call.cancel()
        await asyncio.wait([call])
        gate.set()
        response: Any = await litellm.acompletion(model="openai/blind-chat-ocr", messages=MESSAGES)
    assert call.cancelled()
    assert response._hidden_params["image_analysis"]["images"] == 1
    assert [body["model"] for body in provider.requests] == ["seeing-mini", "blind-chat"]
