"""P15: a stream of 2,000 chunks, asked for with the suffix, against the same stream without the plugin."""

from __future__ import annotations

from functools import partial
from typing import Any

from support.images import image, message, text

from benchmarks.gateway import (
    MULTIMODAL,
    TEXT,
    Gateway,
    encoded,
    models_of,
    running_gateways,
    running_provider,
    with_plugin,
    without_plugin,
)
from benchmarks.measure import Result, Row, Run, Scenario, Variant

_CHUNKS = 2_000
_EVENT = b"data: {"


def _request(model: str) -> bytes:
    conversation = [message(text("What is it?"), image("one"))]
    return encoded({"model": model, "messages": conversation, "stream": True, "max_tokens": _CHUNKS})


def _chunks(gateway: Gateway, content: bytes) -> int:
    """Return the number of chunks of the response that have content."""
    lines = gateway.post(content).content.splitlines()
    return sum(line.startswith(_EVENT) and b'"content":"word' in line for line in lines)


async def measure(run: Run) -> Result:
    """Measure both."""
    with running_provider() as provider:
        models = models_of(provider)
        configs = {"without": without_plugin(models), "with": with_plugin(models)}
        requests = {"without": _request(MULTIMODAL), "with": _request(f"{TEXT}-ocr")}
        with running_gateways(run, configs) as gateways:
            variants: dict[str, Variant[Any]] = {
                name: gateway.measured(partial(_chunks, gateway), partial(requests.__getitem__, name))
                for name, gateway in gateways.items()
            }
            times = await run.compare(variants, rounds=9, calls=4)
            received = _chunks(gateways["with"], requests["with"])
    with_, without = times["with"], times["without"]
    return Result(
        [
            Row("2,000 chunks: CPU of the proxy, with over without", with_.cpu / without.cpu, "ratio", at_most=1.03),
            Row("2,000 chunks: wall time, with over without", with_.wall / without.wall, "ratio"),
            Row("chunks that the client gets", received, "chunks", _CHUNKS, _CHUNKS, is_exact=True),
        ]
    )


SCENARIO = Scenario(
    "A stream of 2,000 chunks",
    measure,
    "A streamed answer to a request with a small image. With the plugin, the image is remembered and the text model"
    " answers. Without it, the request is forwarded to a model that takes images.",
)
