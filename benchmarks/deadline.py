"""How long past ``timeout_seconds`` the hook returns when the vision model's provider hangs, in one run.

A real router, a provider on loopback that hangs in every way there is, and a call that goes on when it is cancelled.
Printed are the worst of several rounds, the longest turn of the event loop, and how much of the time the process was
busy while all it had to do was wait. Then, what an answer of 100 MB takes, which LiteLLM reads as a whole.
"""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

import litellm
from litellm.caching.dual_cache import DualCache
from litellm.llms.custom_llm import CustomLLM
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from support.images import image, message, text
from support.misbehaving import KEY, Misbehaving, running_misbehaving

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

SECONDS = 1.0
ROUNDS = 5
CALLER = UserAPIKeyAuth(api_key="sk-bench")
CACHE = DualCache()
KINDS = {
    "hangs before its headers": ("hang", "eyes", 1),
    "hangs in the body": ("hang-in-body", "eyes", 1),
    "drips bytes": ("drip", "eyes", 1),
    "20 images, each hangs": ("hang", "eyes", 20),
    "20 images, each drips": ("drip", "eyes", 20),
    "a call that no cancelling ends": ("stubborn", "stubborn", 1),
    "20 such calls": ("stubborn", "stubborn", 20),
}


class Stubborn(CustomLLM):
    """Goes on for three times the deadline, whoever cancels it."""

    async def acompletion(self, *_: Any, **__: Any) -> Any:
        """Answer much too late."""
        end = time.monotonic() + 3 * SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return litellm.ModelResponse()


async def longest_turn(turns: list[float]) -> None:
    """Note how much later than asked for the event loop comes back."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.005)
        turns.append(time.perf_counter() - start - 0.005)


async def hook(plugin: ImageAnalysis, word: str, images: int, round_: int) -> float:
    """Seconds the hook takes beyond the deadline."""
    parts = [image(f"{word} {round_} {number}") for number in range(images)]
    data = {"model": "deepseek-chat-ocr", "messages": [message(text("What is it?"), *parts)], "metadata": {}}
    start = time.perf_counter()
    await plugin.async_pre_call_hook(CALLER, CACHE, data, "acompletion")
    return time.perf_counter() - start - SECONDS


async def measure(provider: Misbehaving) -> None:
    """Print one row a kind of hang."""
    litellm.custom_provider_map = [{"provider": "stubborn", "custom_handler": Stubborn()}]
    model = {"model": "openai/eyes", "api_base": provider.base_url, "api_key": KEY}
    proxy_server.llm_router = Router(
        model_list=[
            {"model_name": "eyes", "litellm_params": model},
            {"model_name": "stubborn", "litellm_params": {"model": "stubborn/stubborn"}},
            {"model_name": "deepseek-chat", "litellm_params": model},
        ],
        num_retries=0,
    )
    print(f"{f'deadline {SECONDS} s, worst of {ROUNDS}':<34}{'overshoot ms':>14}{'longest turn ms':>17}{'busy':>7}")
    await hook(ImageAnalysis(ImageAnalysisConfig(vision_model="eyes")), "fine", 1, 0)  # pays for imports
    for name, (word, vision_model, images) in KINDS.items():
        plugin = ImageAnalysis(ImageAnalysisConfig(vision_model=vision_model, timeout_seconds=SECONDS))
        turns: list[float] = []
        watch = asyncio.ensure_future(longest_turn(turns))
        started, cpu = time.perf_counter(), time.process_time()
        late = [await hook(plugin, word, images, turn) for turn in range(ROUNDS)]
        busy = (time.process_time() - cpu) / (time.perf_counter() - started)
        watch.cancel()
        provider.hang_up()
        print(f"{name:<34}{max(late) * 1e3:>14.1f}{max(turns) * 1e3:>17.1f}{busy:>7.0%}")
    print(await flooded())


async def flooded() -> str:
    """What an answer of 100 MB takes while it is read."""
    plugin, turns, before = ImageAnalysis(ImageAnalysisConfig(vision_model="eyes")), list[float](), peak_mib()
    watch = asyncio.ensure_future(longest_turn(turns))
    await hook(plugin, "flood", 1, 0)
    await asyncio.sleep(0.01)  # the watch has its turn
    watch.cancel()
    return f"100 MB: {peak_mib() - before:.0f} MiB at most, longest turn {max(turns):.2f} s"


def peak_mib() -> float:
    """Most memory the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    with running_misbehaving() as provider_:
        asyncio.run(measure(provider_))
