"""The files of the package that a chat request's data passes on its way through the pre-call hook, in order.

    python benchmarks/data_path.py

A stop is a call with the request, or a request made from it, among its arguments, in another file than the call before.
Coroutines and generators that continue after a wait are not called again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from litellm.proxy._types import UserAPIKeyAuth
from support.images import image, message, text
from support.upstream import running_upstream

import litellm_image_analysis
from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

PACKAGE = f"{Path(litellm_image_analysis.__file__).parent}{os.sep}"


def holds_request(value: object) -> bool:
    """Whether a value is a request."""
    return isinstance(value, dict) and "messages" in value and "model" in value


async def stops(plugin: ImageAnalysis, data: dict[str, Any]) -> list[str]:
    """The files, in order, that a request passes in the pre-call hook."""
    found: list[str] = []
    begun: list[FrameType] = []

    def see(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(PACKAGE) or any(frame is other for other in begun):
            return
        begun.append(frame)
        if any(map(holds_request, frame.f_locals.values())):
            name = file.removeprefix(PACKAGE)
            if found[-1:] != [name]:
                found.append(name)

    sys.setprofile(see)
    try:
        await plugin.async_pre_call_hook(UserAPIKeyAuth(api_key="hashed"), None, data, "acompletion")
    finally:
        sys.setprofile(None)
    return found


def main() -> None:
    """Print the files and their number."""
    with running_upstream() as upstream:
        os.environ |= {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "none"}
        plugin = ImageAnalysis(ImageAnalysisConfig(vision_model="openai/seeing-mini"))
        data = {"model": "openai/blind-chat-ocr", "messages": [message(text("?"), image("a"))], "metadata": {}}
        found = asyncio.run(stops(plugin, data))
    print("\n".join(found))
    print(f"{len(found)} stops in {len(set(found))} files")


if __name__ == "__main__":
    main()
