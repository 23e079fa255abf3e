"""What the cache costs and saves, through the plugin's hook with a real router, in one run.

- A Redis that hangs: the first request after it stopped, and the later ones, against a healthy one.
- Memory of 10,000 analyses of 2 KB.

Absolute times mean little on another machine. Scenarios P7 and P8 measure identical requests and remembered images.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import tracemalloc
from typing import Any

from litellm.caching.dual_cache import DualCache
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from support.configs import VISION_PRICE, deployment
from support.images import image, message, text
from support.redis_server import RedisServer, running_redis
from support.upstream import Upstream, running_upstream

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig
from litellm_image_analysis.analysis.outcomes import Analysed
from litellm_image_analysis.cache.memory import Memory

ROUNDS = 200
KEY = UserAPIKeyAuth(api_key="sk-bench")
CACHE = DualCache()


async def seconds(plugin: ImageAnalysis, *parts: dict[str, Any]) -> float:
    """Time of the hook for one request with these parts."""
    data = {"model": "deepseek-chat-ocr", "messages": [message(text("What is it?"), *parts)], "metadata": {}}
    start = time.perf_counter()
    await plugin.async_pre_call_hook(KEY, CACHE, data, "acompletion")
    return time.perf_counter() - start


async def hung(server: RedisServer) -> str:
    """A request with a remembered image in Redis: healthy, first and later after Redis has hung."""
    cache: Any = {"backend": "redis", "redis_url": server.url, "secret": "bench"}
    plugin = ImageAnalysis(ImageAnalysisConfig(cache=cache))
    await seconds(plugin, image("hung"))
    healthy = statistics.median([await seconds(plugin, image("hung")) for _ in range(ROUNDS)])
    new = [image(f"new {number}") for number in range(ROUNDS)]
    fine = statistics.median([await seconds(plugin, part) for part in new])
    newer = [image(f"newer {number}") for number in range(ROUNDS)]
    server.freeze()
    first = await seconds(plugin, newer[0])
    later = statistics.median([await seconds(plugin, part) for part in newer[1:]])
    server.thaw()
    start = time.perf_counter()
    while not await is_used(plugin, server):  # noqa: ASYNC110 - Redis tells nobody when it is back
        await asyncio.sleep(0.05)
    back = time.perf_counter() - start
    await plugin.aclose()
    return (
        f"Redis: remembered {healthy * 1e3:.2f} ms; a new image {fine * 1e3:.2f} ms; hung: first {first * 1e3:.0f} ms,"
        f" later {later * 1e3:.2f} ms; used again after {back:.1f} s"
    )


async def is_used(plugin: ImageAnalysis, server: RedisServer) -> bool:
    """Whether what the plugin analyses now is stored in Redis."""
    before = server.client.dbsize()
    await seconds(plugin, image(f"back {time.perf_counter()}"))
    return bool(server.client.dbsize() != before)


def memory() -> str:
    """What 10,000 analyses of 2 KB take, and what the cache believes they take."""
    tracemalloc.start()
    held = Memory(64 * 2**20)
    before = tracemalloc.get_traced_memory()[0]
    for number in range(10_000):
        key, words = f"{number:064x}", f"{number:02048}"
        held.put(key, Analysed(words), scope=f"team:{number % 10}", ttl_seconds=3600)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return f"10,000 analyses of 2 KB: {taken / 2**20:.1f} MiB taken, {held.used_bytes / 2**20:.1f} MiB accounted for"


async def measure(upstream: Upstream, server: RedisServer) -> None:
    """Print one line a question."""
    models = [
        deployment("deepseek-chat", "blind-chat", upstream.base_url),
        deployment("gpt-4o-mini", "seeing-mini", upstream.base_url, **VISION_PRICE),
    ]
    proxy_server.llm_router = Router(model_list=models)
    print(await hung(server))
    print(memory())


if __name__ == "__main__":
    with running_upstream() as upstream_, running_redis() as server_:
        asyncio.run(measure(upstream_, server_))
