"""P7: identical requests at the same time share one vision call."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from functools import partial

from support.upstream import Rule, running_upstream

from benchmarks.hooks import Json, analyse, check_described, data_uri, longest_stall, question, use_router
from benchmarks.measure import Curve, Result, Row, Run, Scenario, Variant
from litellm_image_analysis import ImageAnalysis

_CONCURRENCY = 1, 4, 16, 64, 256, 1000
_IMAGE_BYTES = 2_000


async def measure(run: Run) -> Result:
    """Measure each number of requests, with a new image in each round."""
    seconds_a_call = run.many(500, 20) / 1000
    seeds = itertools.count()
    calls: dict[int, list[int]] = {count: [] for count in _CONCURRENCY}
    stalls: dict[int, list[float]] = {count: [] for count in _CONCURRENCY}
    with running_upstream() as upstream:
        use_router(upstream)
        upstream.rules.append(Rule(lambda _: True, delay_seconds=seconds_a_call))
        plugin = ImageAnalysis()

        def requests(count: int) -> tuple[str, list[Json]]:
            uri = data_uri(next(seeds), _IMAGE_BYTES)
            return uri, [question([uri]) for _ in range(count)]

        async def crowd(prepared: tuple[str, list[Json]]) -> None:
            uri, requests = prepared
            upstream.requests.clear()
            stall = await longest_stall(asyncio.gather(*(analyse(plugin, data) for data in requests)))
            check_described(requests[-1], [uri])
            calls[len(requests)].append(len(upstream.requests))
            stalls[len(requests)].append(stall)

        variants = {str(count): Variant(crowd, partial(requests, count)) for count in _CONCURRENCY}
        times = await run.compare(variants, rounds=5)
    one, most = times["1"].wall, _CONCURRENCY[-1]
    stall = {count: statistics.median(found[1:]) for count, found in stalls.items()}
    return Result(
        [
            Row(f"{most:,} identical, vision calls", max(calls[most]), "calls", at_most=1, at_least=1, is_exact=True),
            Row(f"{most:,} identical, wall time over one request", times[str(most)].wall / one, "ratio", at_most=1.6),
            Row(f"{most:,} identical, CPU of each request", times[str(most)].cpu / most * 1e6, "µs"),
            Row(f"{most:,} identical, longest stall of the event loop", stall[most], "s", at_most=0.1),
        ],
        [
            Curve(
                "Identical requests at the same time",
                "concurrent requests",
                "wall time over one request",
                {"plugin": [(count, times[str(count)].wall / one) for count in _CONCURRENCY]},
            ),
            Curve(
                "Longest stall of the event loop while identical requests run",
                "concurrent requests",
                "longest stall, ms",
                {"plugin": [(count, stall[count] * 1e3) for count in _CONCURRENCY]},
            ),
        ],
    )


SCENARIO = Scenario(
    "Identical requests at the same time",
    measure,
    "1 to 1,000 pre-call hooks at the same time, each with a request of its own that has the same new image of 2 kB."
    " The vision model's provider takes 0.5 s. A task that wakes every millisecond measures how long the event loop"
    " stalls. Both figures are medians. LiteLLM's own objects are kept out of garbage collection: a full collection of"
    " them stalls the event loop for half a second, with and without the plugin.",
)
