"""Image understanding for a text-only model, in code that uses LiteLLM as a library.

Usage: sdk.py [MODEL [VISION_MODEL]]
"""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path

import litellm

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig


async def main(model: str = "deepseek/deepseek-chat", vision_model: str = "gpt-4o-mini") -> None:
    """Ask a text-only model about a picture, by suffix and by parameter."""
    litellm.callbacks = [ImageAnalysis(ImageAnalysisConfig(vision_model=vision_model))]
    picture = base64.b64encode((Path(__file__).parent / "receipt.png").read_bytes()).decode()
    content = [
        {"type": "text", "text": "What is the total?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
    ]
    messages = [{"role": "user", "content": content}]

    response = await litellm.acompletion(model=f"{model}-ocr", messages=messages)
    print(response.choices[0].message.content)

    response = await litellm.acompletion(model=model, ocr_model=vision_model, messages=messages)
    print(response.choices[0].message.content)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
