"""Requests exactly as coding agents send them, through a real proxy to a text-only model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.upstream import Upstream, images_in

FIXTURES = Path(__file__).parents[1] / "fixtures"
AGENTS = {
    **dict.fromkeys(
        ("ai_sdk.json", "cline.json", "langchain.json", "opencode.json", "pi.json"), "/v1/chat/completions"
    ),
    "claude_code.json": "/v1/messages",
    "codex_cli.json": "/v1/responses",
    "gemini_cli.json": "/v1beta/models/deepseek-chat-ocr:generateContent",
}


@pytest.mark.parametrize("fixture", AGENTS)
@pytest.mark.parametrize("model", ["deepseek-chat-ocr", "compatible-ocr"])
def test_an_agent_s_request_goes_through(client: httpx.Client, upstream: Upstream, fixture: str, model: str) -> None:
    request: dict[str, Any] = json.loads((FIXTURES / fixture).read_text())
    path = AGENTS[fixture].replace("deepseek-chat-ocr", model)
    response = client.post(path, json={**request, "model": model})
    assert response.status_code == 200, response.text
    assert int(response.headers["x-litellm-image-analysis-images"]) > 0
    assert response.headers["x-litellm-image-analysis-failed"] == "0"
    (read,) = upstream.calls("blind")
    assert images_in(read) == []
