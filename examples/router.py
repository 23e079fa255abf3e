"""A LiteLLM Router in a program. Its text-only model accepts images if its name has the suffix.

Set OPENAI_API_KEY, and OPENAI_BASE_URL for another provider. MODEL and VISION_MODEL are names of LiteLLM models.
"""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

from litellm.router import Router

from litellm_image_analysis import ImageAnalysis, report

MODEL = os.environ.get("MODEL", "openai/gpt-3.5-turbo")
VISION_MODEL = os.environ.get("VISION_MODEL", "openai/gpt-4o-mini")


async def main() -> None:
    """Ask about the receipt."""
    router = Router(
        model_list=[
            {"model_name": "text-only", "litellm_params": {"model": MODEL}},
            {"model_name": "gpt-4o-mini", "litellm_params": {"model": VISION_MODEL}},
        ]
    )
    ImageAnalysis().attach(router)
    picture = base64.b64encode((Path(__file__).parent / "receipt.png").read_bytes()).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is the total?"}, image]}]
    response: Any = await router.acompletion(model="text-only-ocr", messages=messages)
    print(response.choices[0].message.content)
    found = report(response)
    print("images:", 0 if found is None else found.images)


asyncio.run(main())
