"""Attempts at one request: no vision call is repeated, and each attempt reports the cost of all."""

from __future__ import annotations

import copy
from decimal import Decimal

import anyio
import pytest
from anyio.lowlevel import checkpoint
from support.images import data_uri

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.prompt import VisionRequest, vision_request
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.cache.per_request import RequestCache, RequestOutcomes
from litellm_image_analysis.config import CacheConfig
from litellm_image_analysis.request.image import ImageSource


def request(mark: str) -> VisionRequest:
    return vision_request(Tenant("team:1", b"secret"), "eyes", [(1, ImageSource(data_uri(mark)))], "?", None, 9)


class Eyes:
    """Gives the same answer to all requests, and counts them."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.looks = 0

    async def look(self, request: VisionRequest) -> Outcome:
        del request
        self.looks += 1
        await checkpoint()
        return self.outcome


async def attempt(outcomes: RequestOutcomes, eyes: Eyes, *marks: str, backend: str = "off") -> list[Outcome]:
    memo = RequestCache(Cache(CacheConfig(backend=backend), 5), outcomes)  # type: ignore[arg-type]
    requests = [request(mark) for mark in marks]
    known = await memo.recall(requests)
    limiter = anyio.CapacityLimiter(8)
    return [known.get(one.key) or await memo.ask(one, eyes.look, limiter) for one in requests]


PAID = Analysed("a cat", cost=Decimal("0.1"), call_id="row")


@pytest.mark.parametrize("outcome", [PAID, Failed(FailureReason.REFUSED, cost=Decimal("0.1"), call_id="row")])
@pytest.mark.parametrize("backend", ["off", "memory"])
async def test_the_next_attempt_has_what_came_of_the_first_at_its_price(outcome: Outcome, backend: str) -> None:
    outcomes, eyes = RequestOutcomes(), Eyes(outcome)
    assert await attempt(outcomes, eyes, "a", backend=backend) == [outcome]
    assert await attempt(outcomes, eyes, "a", "b", backend=backend) == [outcome, outcome]
    assert eyes.looks == 2


async def test_what_others_had_asked_before_stays_free() -> None:
    cache, outcomes, eyes = Cache(CacheConfig(), 5), RequestOutcomes(), Eyes(PAID)
    await cache.ask(request("a"), eyes.look, anyio.CapacityLimiter(1))
    for _ in range(2):
        assert await RequestCache(cache, outcomes).recall([request("a")]) == {request("a").key: PAID.as_cached()}


async def test_whoever_did_not_answer_in_time_is_not_waited_for_again() -> None:
    outcomes = RequestOutcomes()

    class Slow(Eyes):
        async def look(self, request: VisionRequest) -> Outcome:
            await anyio.sleep_forever()
            return self.outcome

    with anyio.move_on_after(0):
        await attempt(outcomes, Slow(PAID), "a")
    assert await attempt(outcomes, Eyes(PAID), "a") == [Failed(FailureReason.TIMEOUT)]


def test_what_stands_in_litellm_s_metadata_is_neither_copied_nor_shown() -> None:
    outcomes = RequestOutcomes({"key": PAID})
    assert copy.deepcopy({"outcomes": outcomes})["outcomes"] is outcomes
    assert "cat" not in repr(outcomes)


@pytest.mark.parametrize(
    ("control", "calls"),
    [({}, 1), ({"no_cache": True}, 3), ({"no_store": True}, 3)],
    ids=["none", "no-cache", "no-store"],
)
async def test_a_request_may_look_afresh_or_not_be_remembered(control: dict[str, bool], calls: int) -> None:
    """Its own attempts always share outcomes."""
    cache, eyes, limiter = Cache(CacheConfig(), 5), Eyes(PAID), anyio.CapacityLimiter(1)
    for _ in range(3):
        outcomes = RequestOutcomes()
        for _attempt in range(2):
            memo = RequestCache(cache, outcomes, **control)
            if not await memo.recall([request("a")]):
                await memo.ask(request("a"), eyes.look, limiter)
    assert eyes.looks == calls
