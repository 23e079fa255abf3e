"""A config that lists the callback twice."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from support.billing import ROUTES
from support.configs import proxy_config
from support.upstream import Upstream, images_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream) -> dict[str, Any]:
    config = proxy_config(shared_upstream)
    config["litellm_settings"]["callbacks"] *= 2
    return config


@pytest.mark.parametrize(
    "asked", [{"model": "deepseek-chat-ocr"}, {"ocr_model": "gpt-4o-mini"}], ids=["suffix", "body"]
)
@pytest.mark.parametrize("route", ROUTES)
async def test_images_are_analysed_once(
    app: httpx.AsyncClient, upstream: Upstream, route: str, asked: dict[str, Any]
) -> None:
    path, body = ROUTES[route](asked.get("model", "deepseek-chat"), "What is it?", ["a"], stream=False)
    response = await app.post(path, json={**body, **({} if "model" in asked else asked)})
    assert response.status_code == 200
    assert [(body["model"], len(images_in(body))) for body in upstream.requests] == [
        ("seeing-mini", 1),
        ("blind-chat", 0),
    ]
