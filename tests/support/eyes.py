"""A vision model for tests of the code before it, such as the cache and the gate."""

from __future__ import annotations

import asyncio

from anyio.lowlevel import checkpoint

from litellm_image_analysis.analysis.outcomes import Analysed, Outcome
from litellm_image_analysis.analysis.prompt import VisionRequest


class Eyes:
    """Records its calls. A call lasts until ``may_end`` is set, and returns the outcome that was set when it began.

    Attributes:
        asked: the key of each request.
        in_flight: the calls that have not ended.
        most_in_flight: the maximum number of calls at the same time.
        cancelled: the number of calls that were cancelled.
    """

    def __init__(self, outcome: Outcome | None = None, *, may_end: bool = True) -> None:
        self.outcome = outcome or Analysed("a cat")
        self.asked: list[str] = []
        self.in_flight = self.most_in_flight = self.cancelled = 0
        self.may_end = asyncio.Event()
        if may_end:
            self.may_end.set()

    async def __call__(self, request: VisionRequest) -> Outcome:
        self.asked.append(request.key)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        outcome = self.outcome
        try:
            await checkpoint()
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        return outcome
