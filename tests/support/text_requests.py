"""Text-only requests as the hooks of a proxy get them.

``python -m support.text_requests N`` serves some, then N, then 2 N, for a tool that counts instructions. A call of
``getpriority`` in C stands before and after the N, and before and after the 2 N.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from litellm.types.utils import CallTypes

from litellm_image_analysis import ImageAnalysis

CALLER = UserAPIKeyAuth(api_key="hashed")
METADATA = {f"user_api_key_{number}": "a value" for number in range(52)}
"""With the caller's auth, as much as a proxy writes."""
_WARM_UP = 50


def text_request(model: str = "deepseek-chat", count: int = 2) -> dict[str, Any]:
    """A request with so many messages of three texts each."""
    parts = [{"type": "text", "text": "How are you today?"}] * 3
    messages = [{"role": "user", "content": [*parts]} for _ in range(count)]
    return {"model": model, "messages": messages, "metadata": {**METADATA, "user_api_key_auth": CALLER}}


async def serve(plugin: ImageAnalysis, requests: Iterable[dict[str, Any]]) -> None:
    """Do what LiteLLM asks of the plugin for each request."""
    for data in requests:
        await plugin.async_pre_call_hook(CALLER, None, data, "acompletion")
        await plugin.async_pre_call_deployment_hook(data, CallTypes.acompletion)
        await plugin.async_post_call_response_headers_hook(data, CALLER, None)


async def main(count: int) -> None:
    """Serve them in parts."""
    proxy_server = ModuleType("litellm.proxy.proxy_server")  # importing the real one would start half of a proxy
    models = [{"model_name": "deepseek-chat", "litellm_params": {"model": "openai/blind", "api_key": "none"}}]
    vars(proxy_server)["llm_router"] = Router(model_list=models)
    sys.modules[proxy_server.__name__] = proxy_server
    plugin = ImageAnalysis()
    await serve(plugin, [text_request() for _ in range(_WARM_UP)])
    gc.disable()
    for part in (count, 2 * count):
        requests = [text_request() for _ in range(part)]
        os.getpriority(os.PRIO_PROCESS, 0)
        await serve(plugin, requests)
        os.getpriority(os.PRIO_PROCESS, 0)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
