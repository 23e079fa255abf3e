"""A user's program, as strict type checkers see it; it is never run."""

from __future__ import annotations

from typing import Any

import litellm
from litellm.router import Router

from litellm_image_analysis import (
    ConfigError,
    ImageAnalysis,
    ImageAnalysisConfig,
    ImageAnalysisError,
    RequestError,
    acompletion,
    anthropic_messages,
    aresponses,
    completion,
    image_analysis,
    responses,
)

config: ImageAnalysisConfig = ImageAnalysisConfig(vision_model="openai/gpt-4o-mini", timeout_seconds=30)
plugin: ImageAnalysis = ImageAnalysis(config)
litellm.callbacks = [plugin]
attached: ImageAnalysis = ImageAnalysis().attach(Router(model_list=[]))
wrong: tuple[type[ImageAnalysisError], ...] = (ConfigError, RequestError)
messages: list[Any] = [{"role": "user", "content": "What is it?"}]
status: int = RequestError("no").status_code


async def ask() -> None:
    rewritten: list[Any] = await image_analysis.rewrite(messages, vision_model="openai/gpt-4o")
    await acompletion("deepseek/deepseek-chat-ocr", rewritten)
    await aresponses("What is it?", "openai/gpt-3.5-turbo-ocr")
    await anthropic_messages(9, messages, "openai/gpt-3.5-turbo-ocr")
    await plugin.flush_cache("global")
    await plugin.aclose()


def ask_and_wait() -> None:
    completion("deepseek/deepseek-chat-ocr", messages)
    responses("What is it?", "openai/gpt-3.5-turbo-ocr")
