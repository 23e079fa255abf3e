"""A program that uses the whole public interface, for strict type checkers. It is never run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import litellm
from litellm.router import Router

from litellm_image_analysis import (
    AttemptError,
    CacheConfig,
    CallReport,
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
    report,
    responses,
)
from litellm_image_analysis.testing import FakeVision, fake_vision

cache: CacheConfig = CacheConfig(backend="redis", max_bytes="64MiB", redis_url="redis://localhost/0")
config: ImageAnalysisConfig = ImageAnalysisConfig(max_image_bytes="20MiB", cache=cache, allowed_vision_models=["eyes"])
same: ImageAnalysisConfig = ImageAnalysisConfig(max_image_bytes=20 * 2**20, cache={"backend": "redis"}, suffix=None)
yaml: ImageAnalysisConfig = ImageAnalysisConfig.from_settings({"vision_model": "openai/gpt-4o-mini"})
size: int = config.max_image_bytes
litellm.callbacks = [ImageAnalysis(config)]
plugin: ImageAnalysis = ImageAnalysis(vision_model="openai/gpt-4o-mini", cache={"max_bytes": "1GiB"})
attached: ImageAnalysis = ImageAnalysis(mode="auto").attach(Router(model_list=[]))
wrong: tuple[type[ImageAnalysisError], ...] = (ConfigError, RequestError, AttemptError)
messages: list[Any] = [{"role": "user", "content": "What is it?"}]


async def ask() -> Decimal:
    rewritten: list[Any] = await image_analysis.rewrite(messages, vision_model="openai/gpt-4o")
    try:
        response = await acompletion("deepseek/deepseek-chat-ocr", rewritten)
    except AttemptError as error:
        status: int = error.reason.status_code
        raise SystemExit(f"{error.reason.code} {status} {error.retry_after_seconds}") from error
    await aresponses("What is it?", "openai/gpt-3.5-turbo-ocr")
    await anthropic_messages(9, messages, "openai/gpt-3.5-turbo-ocr")
    await plugin.flush_cache("global")
    await plugin.aclose()
    found: CallReport | None = report(response)
    return Decimal(0) if found is None or found.total_cost is None else Decimal(found.total_cost)


def ask_and_wait() -> int:
    with fake_vision("A cat.") as vision:
        completion("deepseek/deepseek-chat-ocr", messages)
        responses("What is it?", "openai/gpt-3.5-turbo-ocr")
    fake: FakeVision = vision
    return len(fake.calls) + sum(status.in_flight for status in plugin.stats().values())
