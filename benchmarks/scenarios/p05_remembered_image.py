"""P5: a request with a remembered image through a whole proxy, against forwarding it without the plugin."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from typing import Any

from support.images import message, png_header, text

from benchmarks.gateway import (
    MULTIMODAL,
    TEXT,
    Gateway,
    models_of,
    running_gateways,
    running_provider,
    with_plugin,
    without_plugin,
)
from benchmarks.measure import Curve, Result, Row, Run, Scenario, Times, Variant

_MEGABYTE = 1_000_000
_SIZES = (10_000, 100_000, 500_000, _MEGABYTE, 2 * _MEGABYTE, 5 * _MEGABYTE, 10 * _MEGABYTE)
_BOUNDS = {_MEGABYTE: {"suffix": 0.78, "auto": 0.85}, 5 * _MEGABYTE: {"suffix": 0.60, "auto": 0.70}}
_MODELS = {"forwarded": MULTIMODAL, "suffix": f"{TEXT}-ocr", "auto": TEXT}


def _request(model: str, size: int) -> dict[str, Any]:
    """Return a request with an image of that many bytes."""
    noise = png_header(1000, 1000) + random.Random(size).randbytes(size)
    url = f"data:image/png;base64,{base64.b64encode(noise).decode()}"
    return {
        "model": model,
        "messages": [message(text("What is it?"), {"type": "image_url", "image_url": {"url": url}})],
    }


async def _compared(run: Run, gateways: dict[str, Gateway], size: int) -> dict[str, Times]:
    variants: dict[str, Variant[Any]] = {
        name: gateways[name].variant(_request(model, size)) for name, model in _MODELS.items()
    }
    return await run.compare(variants, rounds=7, calls=max(20, min(200, 40 * _MEGABYTE // size)))


def _rows(size: int, times: dict[str, Times]) -> list[Row]:
    return [
        Row(
            f"{size // _MEGABYTE} MB, {name}: CPU of the proxy over forwarding",
            times[name].cpu / times["forwarded"].cpu,
            "ratio",
            at_most=bound,
        )
        for name, bound in _BOUNDS[size].items()
    ]


def _curve(by_size: dict[int, dict[str, Times]]) -> Curve:
    lines: dict[str, list[tuple[float, float]]] = {
        name: [(size / _MEGABYTE, times[name].cpu * 1e3) for size, times in by_size.items()] for name in _MODELS
    }
    return Curve("A remembered image", "MB of the image", "CPU of the proxy, ms", lines)


async def measure(run: Run) -> Result:
    """Measure it with the suffix, and with ``mode: auto``."""
    sizes: Sequence[int] = tuple(_BOUNDS) if run.is_quick else _SIZES
    with running_provider() as provider:
        models = models_of(provider)
        configs = {
            "forwarded": without_plugin(models),
            "suffix": with_plugin(models),
            "auto": with_plugin(models, mode="auto"),
        }
        with running_gateways(run, configs) as gateways:
            by_size = {size: await _compared(run, gateways, size) for size in sizes}
        calls = provider.vision_calls()
    rows = [row for size in _BOUNDS for row in _rows(size, by_size[size])]
    most = 2 * len(sizes)
    rows.append(
        Row("vision calls for each image and proxy", calls / most, "calls", at_most=1, at_least=1, is_exact=True)
    )
    return Result(rows, [_curve(by_size)])


SCENARIO = Scenario(
    "A remembered image against forwarding it",
    measure,
    "Three proxies: one without the plugin forwards the request to a model that takes images, one gets it with the"
    " suffix, one in `mode: auto`. The analysis is remembered, so the text model gets a text in place of the image. CPU"
    " time of each proxy's process, also after its responses.",
)
