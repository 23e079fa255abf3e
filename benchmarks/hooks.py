"""The plugin's pre-call hook with a real Router in this process, for scenarios that need no whole proxy."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import random
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from litellm.caching.dual_cache import DualCache
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from support.configs import VISION_PRICE, deployment
from support.images import message, png_header, text
from support.upstream import Upstream, description_of

from litellm_image_analysis import ImageAnalysis

Json = dict[str, Any]

_CALLER = UserAPIKeyAuth(api_key="sk-bench")
_CACHE = DualCache()
_TICK_SECONDS = 0.001


def use_router(upstream: Upstream) -> None:
    """Give this process the router of a proxy, with a text-only model and the default vision model."""
    models = [
        deployment("deepseek-chat", "blind-chat", upstream.base_url),
        deployment("gpt-4o-mini", "seeing-mini", upstream.base_url, **VISION_PRICE, supports_vision=True),
    ]
    proxy_server.llm_router = Router(model_list=models, num_retries=0, disable_cooldowns=True)
    gc.collect()
    gc.freeze()  # a full collection of LiteLLM's own objects takes longer than most of what is measured


def data_uri(seed: int, size: int) -> str:
    """Return an image of that many random bytes behind the header of a PNG of a million pixels."""
    noise = random.Random(seed).randbytes(size)
    return f"data:image/png;base64,{base64.b64encode(png_header(1000, 1000) + noise).decode()}"


def image(uri: str) -> Json:
    """Return a chat content part with an image."""
    return {"type": "image_url", "image_url": {"url": uri}}


def request(messages: Sequence[Json]) -> Json:
    """Return a chat request that asks for image analysis."""
    return {"model": "deepseek-chat-ocr", "messages": list(messages), "metadata": {}}


def question(uris: Iterable[str]) -> Json:
    """Return a chat request with one message that has these images."""
    return request([message(text("What is it?"), *map(image, uris))])


async def analyse(plugin: ImageAnalysis, data: Json) -> Json:
    """Let the plugin replace the images of a request, and return it."""
    await plugin.async_pre_call_hook(_CALLER, _CACHE, data, "acompletion")
    return data


def check_described(data: Json, uris: Iterable[str]) -> None:
    """Check that a request has what the provider on loopback says of these images, in place of all its images."""
    sent = json.dumps(data["messages"])
    if "image_url" in sent or not all(description_of(uri) in sent for uri in uris):
        raise AssertionError("the benchmark's images were not analysed")


async def longest_stall(work: Awaitable[object]) -> float:
    """Return by how many seconds a task that wakes every millisecond was late at most, while other work ran."""
    late: list[float] = []
    ticker = asyncio.ensure_future(_tick(late))
    await asyncio.sleep(2 * _TICK_SECONDS)
    late.clear()
    await work
    await asyncio.sleep(2 * _TICK_SECONDS)  # the ticker notes the last stall
    ticker.cancel()
    return max(late)


async def _tick(late: list[float]) -> None:
    while True:
        start = time.perf_counter()
        await asyncio.sleep(_TICK_SECONDS)
        late.append(time.perf_counter() - start - _TICK_SECONDS)
