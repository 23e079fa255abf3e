"""What an open circuit and a busy key cost others, through the plugin's hook with a real router, in one run.

- An open circuit's answer against a remembered image's, and against a call to a vision model that answers at once.
- A light key's wait beside a heavy key's queue, against its wait alone, and against one queue for all.

The vision model, on loopback, answers at once, fails, or takes a tenth of a second. Absolute times mean little on
another machine.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from litellm.caching.dual_cache import DualCache
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from support.configs import VISION_PRICE, deployment
from support.images import image, message, text
from support.upstream import Rule, Upstream, running_upstream

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig
from litellm_image_analysis.analysis.outcomes import Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.prompt import Asked, VisionRequest
from litellm_image_analysis.vision.circuit_breaker import FAILURES
from litellm_image_analysis.vision.gate import Gate

ROUNDS = 200
LIGHT_ROUNDS = 7
HEAVY = 100
PLACES = 4
SECONDS_A_CALL = 0.1
CACHE = DualCache()


async def seconds(plugin: ImageAnalysis, mark: str, key: str = "sk-bench") -> float:
    """Time of the hook for one request with one image."""
    data = {"model": "deepseek-chat-ocr", "messages": [message(text("What is it?"), image(mark))], "metadata": {}}
    start = time.perf_counter()
    await plugin.async_pre_call_hook(UserAPIKeyAuth(api_key=key), CACHE, data, "acompletion")
    return time.perf_counter() - start


async def median(ask: Callable[[int], Awaitable[float]], rounds: int = ROUNDS) -> float:
    """Milliseconds, one after the other."""
    return statistics.median([await ask(turn) for turn in range(rounds)]) * 1e3


async def open_circuit(upstream: Upstream) -> str:
    """What a request waits for a vision model that is not asked."""
    plugin = ImageAnalysis(ImageAnalysisConfig(circuit_pause_seconds=3600))
    called = await median(lambda turn: seconds(plugin, f"called {turn}"))
    remembered = await median(lambda turn: seconds(plugin, "called 0"))
    upstream.rules.append(Rule(lambda _: True, status=500))
    for number in range(FAILURES):
        await seconds(plugin, f"failed {number}")
    upstream.requests.clear()
    refused = await median(lambda turn: seconds(plugin, f"refused {turn}"))
    gate = await median(await at_an_open_gate())
    upstream.rules.clear()
    return (
        f"open circuit {refused:.2f} ms, of which the gate {gate:.4f} ms; remembered image {remembered:.2f} ms;"
        f" call {called:.1f} ms; {len(upstream.requests)} calls while open; ratio to a remembered image"
        f" {refused / remembered:.2f}"
    )


async def at_an_open_gate() -> Callable[[int], Awaitable[float]]:
    """The gate alone, its circuit open."""

    async def fail(request: VisionRequest) -> Outcome:
        return Failed(FailureReason.UNAVAILABLE)

    gate = Gate(ImageAnalysisConfig(circuit_pause_seconds=3600), lambda *_: None, lambda *_: None)
    ask, request = gate.guarded(fail, "key"), VisionRequest("key", "scope", "eyes", Asked("", "", ()), 1)
    for _ in range(FAILURES):
        await ask(request)

    async def refused(turn: int) -> float:
        start = time.perf_counter()
        await ask(request)
        return time.perf_counter() - start

    return refused


async def light_key(upstream: Upstream) -> str:
    """What a key with one image waits beside another with a hundred, with turns and in one queue for all."""
    upstream.rules.append(Rule(lambda _: True, delay_seconds=SECONDS_A_CALL))
    alone, beside, behind = [
        statistics.median([await waited(turn, busy, light) for turn in range(LIGHT_ROUNDS)])
        for busy, light in ((0, "sk-light"), (HEAVY, "sk-light"), (HEAVY, "sk-heavy"))
    ]
    upstream.rules.clear()
    return (
        f"light key: alone {alone:.2f} s; beside {HEAVY} calls of another {beside:.2f} s, ratio {beside / alone:.1f};"
        f" in one queue with them {behind:.2f} s, ratio {behind / alone:.1f}"
    )


def under_way(plugin: ImageAnalysis) -> int:
    """Vision calls that are made or wait for their turn."""
    return sum(load.in_flight + load.queued for load in plugin.stats().values())


async def waited(turn: int, busy: int, key: str) -> float:
    """Seconds a request of this key takes that comes after so many of the heavy key."""
    settings = ImageAnalysisConfig(max_process_concurrency=PLACES, max_key_concurrency=PLACES)
    plugin = ImageAnalysis(settings)
    crowd = [asyncio.ensure_future(seconds(plugin, f"{turn} {number}", "sk-heavy")) for number in range(busy)]
    while under_way(plugin) < busy:  # noqa: ASYNC110 - nobody tells when all of them wait
        await asyncio.sleep(0)
    own = await seconds(plugin, f"{turn} light", key)
    await asyncio.gather(*crowd)
    return own


async def measure(upstream: Upstream) -> None:
    """Print one line a question."""
    models = [
        deployment("deepseek-chat", "blind-chat", upstream.base_url),
        deployment("gpt-4o-mini", "seeing-mini", upstream.base_url, **VISION_PRICE),
    ]
    proxy_server.llm_router = Router(model_list=models, num_retries=0, disable_cooldowns=True)
    print(await open_circuit(upstream))
    print(await light_key(upstream))


if __name__ == "__main__":
    with running_upstream() as upstream_:
        asyncio.run(measure(upstream_))
