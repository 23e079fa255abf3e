"""Many equal requests at once in one process: the hook, a real router, and a provider on loopback."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from litellm.caching.dual_cache import DualCache
from litellm.proxy._types import UserAPIKeyAuth
from support.images import image, message, text
from support.proxy import eventually
from support.upstream import Rule, Upstream

from litellm_image_analysis import ImageAnalysis

AT_ONCE = 1000


@pytest.mark.usefixtures("app")
async def test_a_thousand_at_once_are_one_call(upstream: Upstream) -> None:
    gate, plugin = threading.Event(), ImageAnalysis()
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", gate=gate))

    async def ask() -> dict[str, Any]:
        content = [message(text("What is it?"), image("the same for all"))]
        data = {"model": "deepseek-chat-ocr", "messages": content, "metadata": {}}
        await plugin.async_pre_call_hook(UserAPIKeyAuth(api_key="sk-a"), DualCache(), data, "acompletion")
        return data

    crowd = [asyncio.ensure_future(ask()) for _ in range(AT_ONCE)]
    assert await asyncio.to_thread(eventually, lambda: upstream.in_flight > 0, 120)
    gate.set()
    rewritten = await asyncio.gather(*crowd)
    assert len(upstream.calls("seeing")) == 1
    assert len({data["messages"][0]["content"] for data in rewritten}) == 1
    paid = [data["metadata"]["image_analysis"]["cost"] for data in rewritten]
    assert sorted(paid, reverse=True)[:2] == [pytest.approx(0.00021), 0.0]
