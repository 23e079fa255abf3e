"""P11: how long the event loop stalls while the keys of large images are computed."""

from __future__ import annotations

import asyncio
import statistics

from support.upstream import running_upstream

from benchmarks.hooks import analyse, check_described, data_uri, longest_stall, question, use_router
from benchmarks.measure import Result, Row, Run, Scenario
from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig
from litellm_image_analysis.testing import fake_vision

_IMAGES = 20
_IMAGE_BYTES = 5_000_000
_ROUNDS = 7
_CONFIG = ImageAnalysisConfig(max_request_image_bytes="1GiB", timeout_seconds=600)


async def measure(run: Run) -> Result:
    """Measure with remembered images, then with images that are new to the instance."""
    uris = [data_uri(seed, run.many(_IMAGE_BYTES, 20_000)) for seed in range(_IMAGES)]
    rounds = run.many(_ROUNDS)
    with running_upstream() as upstream:
        use_router(upstream)
        plugin = ImageAnalysis(_CONFIG)
        check_described(await analyse(plugin, question(uris)), uris)
        data = question(uris)
        remembered = [await longest_stall(analyse(plugin, data := question(uris))) for _ in range(rounds)]
        check_described(data, uris)
        if len(upstream.requests) != _IMAGES:
            raise AssertionError("the benchmark's images were not remembered")
    with fake_vision() as vision:
        fresh = [await longest_stall(analyse(ImageAnalysis(_CONFIG), question(uris))) for _ in range(rounds)]
        if len(vision.calls) != rounds * _IMAGES:
            raise AssertionError("the benchmark's images were remembered")
    idle = [await longest_stall(asyncio.sleep(0.2)) for _ in range(rounds)]
    return Result(
        [
            Row("20 x 5 MB remembered, longest stall", statistics.median(remembered) * 1e3, "ms", at_most=10),
            Row("20 x 5 MB for the first time, longest stall", statistics.median(fresh) * 1e3, "ms", at_most=10),
            Row("nothing for 0.2 s, longest stall", statistics.median(idle) * 1e3, "ms"),
        ]
    )


SCENARIO = Scenario(
    "Longest stall of the event loop",
    measure,
    "A request with 20 images of 5 MB through the pre-call hook, while a task that wakes every millisecond measures how"
    " late it is. For the first time, a fresh instance has to check the images, and its vision calls are answered in"
    " this process: LiteLLM's own work on such calls is not part of it.",
)
