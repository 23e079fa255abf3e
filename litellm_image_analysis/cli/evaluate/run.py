"""Asking vision models about the pictures: through a Router, like a request does, within a budget."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import anyio

from litellm_image_analysis.analysis.outcomes import Analysed
from litellm_image_analysis.analysis.prompt import vision_request
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.cli.evaluate.picture import Picture
from litellm_image_analysis.cli.evaluate.results import Result, Results, Subject
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.vision.call import CompletionApi, make_ask

_TENANT = Tenant("evaluation", b"")  # nothing is cached


class End(Enum):
    """The reason why an evaluation ended."""

    DONE = "all pictures were looked at"
    BUDGET = "the next call might exceed the budget"
    NO_PRICE = "LiteLLM knows no price of the vision model, so the budget cannot be kept"


@dataclass
class Budget:
    """USD that vision calls may cost together. ``None`` for no limit.

    A call is made only if it fits beside the calls in flight, each at the price of the dearest one so far.
    """

    limit: float | None
    spent: float = 0.0
    _dearest: float = field(default=0.0, init=False)
    _in_flight: int = field(default=0, init=False)

    def begin(self) -> bool:
        """Return whether another call fits, and count it as in flight."""
        if self.limit is not None and self.spent + (self._in_flight + 1) * self._dearest >= self.limit:
            return False
        self._in_flight += 1
        return True

    def end(self, usd: float | None) -> bool:
        """Add the cost of a call. Returns whether the limit can be kept, which needs a price."""
        self._in_flight -= 1
        self.spent += usd or 0.0
        self._dearest = max(self._dearest, usd or 0.0)
        return usd is not None or self.limit is None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation of several vision models.

    Attributes:
        router: makes the vision calls.
        results: earlier results, which are not asked for again, and the new ones.
        budget: what the calls may cost.
        max_output_tokens: limit of each answer.
        timeout_seconds: limit of each call.
        unpriced: vision models without a price, for which LiteLLM reports 0 USD.
        show: is told of each new result.
    """

    router: CompletionApi
    results: Results
    budget: Budget
    max_output_tokens: int
    timeout_seconds: float
    unpriced: frozenset[str]
    show: Callable[[Subject, Picture, Result], None]

    async def run(self, subjects: Sequence[Subject], pictures: Sequence[Picture], concurrency: int) -> End:
        """Ask each vision model about each picture that has no report yet.

        Args:
            subjects: the vision models.
            pictures: the pictures.
            concurrency: calls at the same time.

        Returns:
            Why it ended. The results are complete only with ``End.DONE``.
        """
        left = iter(
            [(each, picture) for each in subjects for picture in pictures if not self.results.of(each, picture)]
        )
        ends: list[End] = []
        if self.budget.limit is not None:
            await self._next(left, ends)  # alone, because it shows the price
        async with anyio.create_task_group() as group:
            for _ in range(concurrency):
                group.start_soon(self._work, left, ends)
        return ends[0] if ends else End.DONE

    async def _work(self, left: Iterator[tuple[Subject, Picture]], ends: list[End]) -> None:
        while not ends and await self._next(left, ends):
            pass

    async def _next(self, left: Iterator[tuple[Subject, Picture]], ends: list[End]) -> bool:
        """Ask about the next picture. Returns whether there was one."""
        found = next(left, None)
        if found is None:
            return False
        if not self.budget.begin():
            ends.append(End.BUDGET)
            return False
        result = await self._ask(*found)
        is_priced = self.budget.end(0.0 if result.report is None and result.usd is None else result.usd)
        self.results.add(result)
        self.show(*found, result)
        if not is_priced:
            ends.append(End.NO_PRICE)
        return True

    async def _ask(self, subject: Subject, picture: Picture) -> Result:
        source = ImageSource.encoded("image/png", base64.b64encode(picture.png).decode())
        request = vision_request(
            _TENANT, subject.model, [(1, source)], picture.question, subject.instructions, self.max_output_tokens
        )
        began, outcome = time.monotonic(), None
        with anyio.move_on_after(self.timeout_seconds):
            outcome = await make_ask(self.router, {})(request)
        analysed = outcome if isinstance(outcome, Analysed) else None
        failure = "timeout" if outcome is None else None if isinstance(outcome, Analysed) else outcome.reason.code
        cost = None if outcome is None or subject.model in self.unpriced else outcome.cost
        return Result(
            subject=subject.key,
            model=subject.model,
            picture=picture.name,
            digest=picture.digest,
            report=None if analysed is None else analysed.text,
            failure=failure,
            seconds=time.monotonic() - began,
            usd=None if cost is None else float(cost),
        )
