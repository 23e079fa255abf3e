"""P6: a request with 1 to 20 new images of 500 ms each, against the bare Router held to as many calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from litellm.caching.dual_cache import DualCache
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from support.images import image, message, text

from benchmarks.gateway import TEXT, VISION, models_of, running_provider
from benchmarks.measure import Curve, Result, Row, Run, Scenario, Times, Variant
from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

_IMAGES = (1, 5, 10, 20)
_CONCURRENCY = (16, 32, 64)
_UNLIMITED = 1000
_CALLER = UserAPIKeyAuth(api_key="hashed")
_NUMBERS = count()
"""Numbers of images, so that each is new."""

Parts = list[dict[str, Any]]


def _hook(concurrency: int) -> Callable[[Parts], Awaitable[None]]:
    """Return the plugin's pre-call hook, with that many calls at once."""
    settings = ImageAnalysisConfig(vision_model=VISION, max_concurrency=concurrency, cache={"backend": "off"})
    plugin = ImageAnalysis(settings)

    async def call(parts: Parts) -> None:
        data = {"model": f"{TEXT}-ocr", "messages": [message(text("What is it?"), *parts)], "metadata": {}}
        await plugin.async_pre_call_hook(_CALLER, DualCache(), data, "acompletion")
        assert "image_url" not in str(data["messages"])

    return call


def _bare(router: Router, concurrency: int) -> Callable[[Parts], Awaitable[None]]:
    """Return a function that asks the Router about each image, that many at once."""

    async def call(parts: Parts) -> None:
        slots = asyncio.Semaphore(concurrency)

        async def ask(part: dict[str, Any]) -> None:
            async with slots:
                messages: list[Any] = [message(text("What is it?"), part)]
                await router.acompletion(VISION, messages)

        await asyncio.gather(*map(ask, parts))

    return call


def _images(number: int) -> Parts:
    return [image(str(next(_NUMBERS))) for _ in range(number)]


async def _compared(run: Run, router: Router, images: int, *, is_default_only: bool) -> dict[str, Times]:
    """Measure the plugin and the Router. Other limits than the default are measured only if asked for."""
    default = ImageAnalysisConfig().max_concurrency
    calls = {
        "plugin": _hook(default),
        "held Router": _bare(router, default),
        "unlimited Router": _bare(router, _UNLIMITED),
    }
    if not is_default_only:
        calls |= {f"plugin, {limit} at once": _hook(limit) for limit in _CONCURRENCY}
    variants: dict[str, Variant[Any]] = {name: Variant(call, lambda: _images(images)) for name, call in calls.items()}
    return await run.compare(variants, rounds=7)


def _rows(images: int, times: dict[str, Times]) -> list[Row]:
    def over(name: str, baseline: str, at_most: float | None = None) -> Row:
        ratio = times[name].wall / times[baseline].wall
        return Row(f"{images} images, {name}: wall time over the {baseline}", ratio, "ratio", at_most=at_most)

    others = [name for name in times if name.startswith("plugin")]
    return [over("plugin", "held Router", at_most=1.05), *(over(name, "unlimited Router") for name in others)]


async def measure(run: Run) -> Result:
    """Measure it for each number of images."""
    numbers = _IMAGES[1:2] if run.is_quick else _IMAGES
    with running_provider() as provider:
        router = Router(model_list=models_of(provider, vision="seeing-slow"), num_retries=0)
        proxy_server.llm_router = router
        by_number = {
            images: await _compared(run, router, images, is_default_only=images != max(numbers)) for images in numbers
        }
        before = provider.vision_calls()
        await _hook(ImageAnalysisConfig().max_concurrency)(_images(5) * 2)
        calls = provider.vision_calls() - before
    rows = [row for images, times in by_number.items() for row in _rows(images, times)]
    rows.append(Row("vision calls for 5 images that each occur twice", calls, "calls", at_most=5, is_exact=True))
    names = ("plugin", "held Router", "unlimited Router")
    lines: dict[str, list[tuple[float, float]]] = {
        name: [(images, times[name].wall) for images, times in by_number.items()] for name in names
    }
    return Result(rows, [Curve("New images of 500 ms each", "images", "wall time, s", lines)])


SCENARIO = Scenario(
    "Many new images in one request",
    measure,
    "The pre-call hook with 1 to 20 new images, whose analysis takes 500 ms each, against the bare Router that is held"
    " to `max_concurrency` calls at once, and against a Router without a limit. Other values of `max_concurrency` show"
    " what the default costs.",
)
