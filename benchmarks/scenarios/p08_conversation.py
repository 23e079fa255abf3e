"""P8: a conversation with a new image in each turn, of which a request has all earlier ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from support.images import message, text
from support.upstream import running_upstream

from benchmarks.hooks import Json, analyse, check_described, data_uri, image, request, use_router
from benchmarks.measure import Curve, Result, Row, Run, Scenario, Variant
from litellm_image_analysis import ImageAnalysis

_BOUNDS = {10: 1.45, 50: 1.3}
_TURNS = 1, 2, 5, 10, 20, 35, 50
_IMAGE_BYTES = 500_000


def _conversation(uris: Sequence[str]) -> Json:
    """Return the request of the turn that shows the last of these images."""
    messages: list[Json] = []
    for turn, uri in enumerate(uris, 1):
        if messages:
            messages.append({"role": "assistant", "content": f"I see it. That was picture {turn - 1}."})
        messages.append(message(text(f"And what is on picture {turn}?"), image(uri)))
    return request(messages)


def _hash(uris: Sequence[str]) -> None:
    for uri in uris:
        hashlib.sha256(uri.encode()).hexdigest()


async def measure(run: Run) -> Result:
    """Hold the conversation, then measure requests of it again, whose images are all remembered."""
    uris = [data_uri(turn, run.many(_IMAGE_BYTES, 2_000)) for turn in range(_TURNS[-1])]
    calls: dict[int, int] = {}
    with running_upstream() as upstream:
        use_router(upstream)
        plugin = ImageAnalysis()
        for turn in range(1, len(uris) + 1):
            check_described(await analyse(plugin, _conversation(uris[:turn])), uris[:turn])
            calls[turn] = len(upstream.requests)
        variants: dict[str, Variant[Any]] = {}
        for turns in _TURNS:
            variants[f"{turns} turns"] = Variant(partial(analyse, plugin), partial(_conversation, uris[:turns]))
            variants[f"{turns} hashed"] = Variant(_hash, partial(uris.__getitem__, slice(turns)))
        times = await run.compare(variants, rounds=9)
        if len(upstream.requests) != len(uris):
            raise AssertionError("the benchmark's images were not remembered")
    cpu = {name: each.cpu for name, each in times.items()}
    rows: list[Row] = []
    for turns, bound in _BOUNDS.items():
        rows += [
            Row(f"{turns} turns, vision calls", calls[turns], "calls", at_most=turns, at_least=turns, is_exact=True),
            Row(
                f"{turns} turns, CPU of the last request, remembered, over hashing its images",
                cpu[f"{turns} turns"] / cpu[f"{turns} hashed"],
                "ratio",
                at_most=bound,
            ),
        ]
    lines = {"plugin": "turns", "hashing the images": "hashed"}
    curve = Curve(
        "A conversation with an image of 500 kB in each turn",
        "turns",
        "CPU of the last request, ms",
        {line: [(turns, cpu[f"{turns} {name}"] * 1e3) for turns in _TURNS] for line, name in lines.items()},
    )
    return Result(rows, [curve])


SCENARIO = Scenario(
    "A conversation with images",
    measure,
    "A conversation of 50 turns with a new image of 500 kB in each: vision calls are counted at the provider. Then the"
    " pre-call hook gets requests of it again, whose images are all remembered. The baseline is"
    " `sha256(text.encode())` of the same images.",
)
