"""The gateway's process opens no socket for an image, for any URL and on every route."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.images import data_uri
from support.upstream import Upstream, images_in

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")
PUBLIC = "https://pictures.example/cat.png"


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """A listener on loopback, in whose queue connections wait."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def is_untouched(canary: socket.socket) -> bool:
    try:
        canary.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def spellings(port: int) -> list[str]:
    """Spellings of a port on this machine."""
    hosts = [
        *(
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "localhost",
            "x.localhost",
            "0",
            "127.0.0.1.",
        ),
        *("user@127.0.0.1", "localtest.me", "127.0.0.1.nip.io", "127。0。0。1", "[::ffff:127.0.0.1]"),
    ]
    return [f"http://{host}:{port}/cat.png" for host in hosts]


def chat(urls: list[str]) -> tuple[str, dict[str, Any]]:
    content = [{"type": "image_url", "image_url": {"url": url, "detail": "high"}} for url in urls]
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}


def messages(urls: list[str]) -> tuple[str, dict[str, Any]]:
    content = [{"type": "image", "source": {"type": "url", "url": url}} for url in urls]
    return "/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": content}]}


def responses(urls: list[str]) -> tuple[str, dict[str, Any]]:
    content = [{"type": "input_image", "image_url": url, "detail": "high"} for url in urls]
    return "/v1/responses", {"input": [{"role": "user", "content": content}]}


def generate_content(urls: list[str]) -> tuple[str, dict[str, Any]]:
    parts = [{"fileData": {"mimeType": "image/png", "fileUri": url}} for url in urls]
    return "/v1beta/models/deepseek-chat-ocr:generateContent", {"contents": [{"role": "user", "parts": parts}]}


every_route = pytest.mark.parametrize("asked", [chat, messages, responses, generate_content])


async def test_the_canary_sings(canary: socket.socket) -> None:
    assert is_untouched(canary)
    socket.create_connection(canary.getsockname()).close()
    assert not is_untouched(canary)


@every_route
async def test_an_image_behind_a_url_of_this_machine_is_not_fetched(
    app: httpx.AsyncClient, upstream: Upstream, canary: socket.socket, asked: Any
) -> None:
    urls = spellings(canary.getsockname()[1])
    path, body = asked(urls)
    response = await app.post(path, json={"model": "deepseek-chat-ocr", **body})
    assert response.status_code == 200
    assert response.headers["x-litellm-image-analysis-failed"] == str(len(urls))
    assert [(body["model"], images_in(body)) for body in upstream.requests] == [("blind-chat", [])]
    assert is_untouched(canary)


@pytest.mark.parametrize("vision_model", ["ollama/llava", "gemini/gemini-2.0-flash"])
async def test_not_even_where_litellm_fetches_images_for_a_provider(
    provider: Upstream, canary: socket.socket, monkeypatch: pytest.MonkeyPatch, vision_model: str
) -> None:
    import litellm

    monkeypatch.setattr(litellm, "user_url_validation", False, raising=False)  # LiteLLM's own guard, which is newer
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(ImageAnalysisConfig(vision_model=vision_model))])
    for name, value in {
        "OLLAMA_API_BASE": provider.base_url,
        "GEMINI_API_BASE": provider.base_url,
        "GEMINI_API_KEY": "sk-a",
    }.items():
        monkeypatch.setenv(name, value)
    _, body = chat(spellings(canary.getsockname()[1]))
    await litellm.acompletion(model="openai/blind-chat-ocr", **body)
    assert [body["model"] for body in provider.requests] == ["blind-chat"]
    assert is_untouched(canary)


@every_route
async def test_a_public_url_is_passed_on_and_looked_up_by_nobody_here(
    app: httpx.AsyncClient, upstream: Upstream, asked: Any
) -> None:
    """A look-up would fail the test, see ``support.no_sockets``."""
    path, body = asked([PUBLIC, data_uri("a")])
    response = await app.post(path, json={"model": "deepseek-chat-ocr", **body})
    assert response.status_code == 200
    assert PUBLIC in str(upstream.calls("seeing"))
    assert response.headers["x-litellm-image-analysis-images"] == "2"
