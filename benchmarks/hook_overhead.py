"""What the plugin costs a request that has nothing for it: its hook against a no-op CustomLogger's, in one run.

The two hooks take turns, so that both see the machine's same moods; medians and their ratio are printed. Absolute
times mean little on another machine.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from litellm.caching.dual_cache import DualCache
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router

from litellm_image_analysis import ImageAnalysis

ROUNDS = 3000
KEY = UserAPIKeyAuth(api_key="sk-bench")
CACHE = DualCache()


class NoOp(CustomLogger):
    """The least a callback can do."""

    async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any) -> None:
        """Do nothing."""


def request(model: str, messages: int) -> dict[str, Any]:
    """A text-only request as the hook gets it."""
    turn = {"role": "user", "content": [{"type": "text", "text": "How are you today?"}]}
    return {"model": model, "messages": [turn] * messages, "metadata": {}}


async def median_microseconds(model: str, messages: int) -> tuple[float, float]:
    """Medians of the plugin's hook and of the no-op's."""
    hooks: tuple[CustomLogger, CustomLogger] = (ImageAnalysis(), NoOp())
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for hook, taken in zip(hooks, times, strict=True):
            data = request(model, messages)
            start = time.perf_counter()
            await hook.async_pre_call_hook(KEY, CACHE, data, "acompletion")
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0]) * 1e6, statistics.median(times[1]) * 1e6


async def main() -> None:
    """Print one row a case."""
    names = ("deepseek-chat", "gpt-4o-mini")
    proxy_server.llm_router = Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_key": "sk-bench"}} for name in names
        ]
    )
    print(f"{'request':<44}{'plugin µs':>10}{'no-op µs':>10}{'ratio':>8}")
    for model, asked in (("deepseek-chat", "does not ask"), ("deepseek-chat-ocr", "asks, has no image")):
        for messages in (2, 200):
            plugin, no_op = await median_microseconds(model, messages)
            label = f"{messages} text messages, {asked}"
            print(f"{label:<44}{plugin:>10.1f}{no_op:>10.1f}{plugin / no_op:>8.1f}")


if __name__ == "__main__":
    asyncio.run(main())
