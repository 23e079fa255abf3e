"""A request above a limit that asks for analysis is refused on every route before any model is called."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from support.images import png_header
from support.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOMB = base64.b64encode(png_header(65_535, 65_535)).decode()
PATHS = {
    "messages": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "input": "/v1/responses",
    "contents": "/v1beta/models/deepseek-chat-ocr:generateContent",
}
IMAGES: dict[str, dict[str, Any]] = {
    "messages": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BOMB}"}},
    "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BOMB}},
    "input": {"type": "input_image", "image_url": f"data:image/png;base64,{BOMB}"},
    "contents": {"inlineData": {"mimeType": "image/png", "data": BOMB}},
}
every_route = pytest.mark.parametrize("route", PATHS)


def request_with(route: str, part: Any, model: str = "deepseek-chat-ocr") -> dict[str, Any]:
    """A request whose only message has this one part."""
    key, parts = ("messages" if route == "anthropic" else route), ("parts" if route == "contents" else "content")
    return {"model": model, "max_tokens": 9, key: [{"role": "user", parts: [part]}]}


def nested(depth: int) -> Any:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@every_route
async def test_what_is_nested_too_deeply_is_a_400(app: httpx.AsyncClient, upstream: Upstream, route: str) -> None:
    response = await app.post(PATHS[route], json=request_with(route, {"type": "x", "x": nested(100)}))
    assert response.status_code == 400
    assert "at least 104 levels deep, the limit is 100 (setting max_nesting_depth)" in response.text
    assert upstream.requests == []


@every_route
async def test_a_small_file_of_many_pixels_is_a_413(app: httpx.AsyncClient, upstream: Upstream, route: str) -> None:
    response = await app.post(PATHS[route], json=request_with(route, IMAGES[route]))
    assert response.status_code == 413
    assert "4,294,836,225 pixels, the limit is 100,000,000 (setting max_image_pixels)" in response.text
    assert upstream.requests == []


async def test_a_request_that_does_not_ask_for_analysis_is_not_measured(
    app: httpx.AsyncClient, upstream: Upstream
) -> None:
    body = request_with("messages", {"type": "text", "text": "?", "x": nested(100)}, model="deepseek-chat")
    assert (await app.post(PATHS["messages"], json=body)).status_code == 200
    assert len(upstream.requests) == 1
