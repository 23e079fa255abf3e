"""A vision model that is killed and restarted every few seconds, with fifty clients, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

import httpx
import pytest
from support.billing import ROUTES, SUMS, Caller, database
from support.configs import VISION_PRICE, deployment, proxy_config
from support.fragile import BEGUN, SENT, Fragile, running_fragile
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import VISION_COST, Upstream

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")

CLIENTS, CALLERS = 50, 5
MODEL = "deepseek-chat"
UNBILLED = ("generateContent", MODEL)
"""LiteLLM's bridge from this route to chat does not know a deployment's price, unless the request asks for analysis."""
ASKED = ["no suffix", "no image", "new image", "known image"]
SECONDS = float(os.environ.get("RESTARTS_SECONDS", "12"))
LIVES_SECONDS, IS_DEAD_SECONDS = 3.0, 0.5
PAID = 'SELECT request_id FROM "LiteLLM_SpendLogs" WHERE api_key = %(key)s AND spend > 0'


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[Fragile]:
    with running_fragile(tmp_path / "ledger") as eyes:
        yield eyes


@pytest.fixture
def gateway(upstream: Upstream, eyes: Fragile, tmp_path: Path) -> Iterator[Proxy]:
    config = proxy_config(upstream, timeout_seconds=10, circuit_pause_seconds=0.5, cache={"backend": "memory"})
    config["model_list"] = [
        deployment("gpt-4o-mini", "eyes", eyes.base_url, **VISION_PRICE),
        *(model for model in config["model_list"] if model["model_name"] != "gpt-4o-mini"),
    ]
    config["general_settings"]["proxy_batch_write_at"] = 1
    with running_proxy(config, tmp_path / "proxy", {"DATABASE_URL": os.environ["DATABASE_URL"]}) as proxy:
        yield proxy


@dataclass
class Told:
    """The answers to the clients, by request."""

    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, asked: str, answer: httpx.Response) -> None:
        failed = int(answer.headers.get("x-litellm-image-analysis-failed", 0))
        self.answered[f"{asked}, failed" if failed else asked] += 1
        if answer.status_code != 200 or not answer.content or (failed and "image" not in asked):
            self.wrong.append(f"{asked}: {answer.status_code} {answer.text[:300]}")


async def ask_on(gateway: Proxy, callers: dict[str, Caller], is_over: asyncio.Event) -> Told:
    """Let all clients send requests, each of them one after the other."""
    told, numbers = Told(), count()

    async def work(client: httpx.AsyncClient, mark: str) -> None:
        while not is_over.is_set():
            number = next(numbers)
            asked = ASKED[number % 4]
            marks = {"new image": [f"{mark}-{number}"], "known image": [f"{mark}-known"]}.get(asked, [])
            model = MODEL if asked == "no suffix" else f"{MODEL}-ocr"
            routes = [route for route in ROUTES if (route, model) != UNBILLED]
            route, stream = routes[number // 4 % len(routes)], number // 16 % 2 == 0
            path, body = ROUTES[route](model, mark, marks, stream=stream)
            try:
                told.note(asked, await client.post(path, json=body, headers=callers[mark].headers))
            except httpx.TimeoutException as error:
                told.wrong.append(f"{asked}: {error!r} from {path}, stream={stream}, for {model}")

    async with httpx.AsyncClient(
        base_url=gateway.url, timeout=200, limits=httpx.Limits(max_connections=None)
    ) as client:
        await asyncio.gather(*(work(client, mark) for mark, _ in zip(cycle(callers), range(CLIENTS), strict=False)))
    return told


async def kill_and_start(eyes: Fragile, seconds: float) -> int:
    """Kill and restart the provider every few seconds for this time. Return how often."""
    ends, kills = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        await asyncio.sleep(LIVES_SECONDS)
        eyes.kill()
        kills += 1
        await asyncio.sleep(IS_DEAD_SECONDS)
        await asyncio.to_thread(eyes.start)
    return kills


async def under_fire(gateway: Proxy, callers: dict[str, Caller], eyes: Fragile) -> tuple[Told, int]:
    """The answers to the clients, and the number of restarts meanwhile."""
    is_over = asyncio.Event()
    asking = asyncio.create_task(ask_on(gateway, callers, is_over))
    kills = await kill_and_start(eyes, SECONDS)
    is_over.set()
    return await asking, kills


def test_everybody_is_answered_and_every_cent_is_billed(gateway: Proxy, upstream: Upstream, eyes: Fragile) -> None:
    with gateway.client() as admin:
        callers = {secrets.token_hex(6): Caller(admin) for _ in range(CALLERS)}
        told, kills = asyncio.run(under_fire(gateway, callers, eyes))
        sys.stdout.write(f"{dict(told.answered)}, {kills} kills, {upstream.in_flight} main calls in flight\n")
        if told.wrong:
            sys.stdout.write(f"the end of the proxy's log:\n{gateway.log[-20_000:]}\n")
        assert told.wrong == []
        assert kills > SECONDS / 10
        assert min(told.answered[asked] for asked in (*ASKED, "new image, failed")) > 0

        assert eventually(lambda: looks_again(callers, gateway))
        expect_conserved(callers, upstream, eyes, most_lost=kills * CLIENTS)


def expect_conserved(callers: dict[str, Caller], upstream: Upstream, eyes: Fragile, most_lost: int) -> None:
    """Check that each sum is what the providers charged for the answers that arrived."""
    begun, sent = eyes.answers(BEGUN), eyes.answers(SENT)
    assert len(begun - sent) <= most_lost

    def wrong() -> list[object]:
        looks = {mark: billed(caller) & begun for mark, caller in callers.items()}
        charged = {mark: upstream.charged_for(mark) + VISION_COST * len(looks[mark]) for mark in callers}
        sums = {mark: caller.sums() for mark, caller in callers.items()}
        return [
            *(sent - set().union(*looks.values())),
            *(
                (mark, charged[mark], sums[mark])
                for mark in callers
                if sums[mark] != dict.fromkeys(SUMS, pytest.approx(charged[mark], abs=1e-9))
            ),
        ]

    eventually(lambda: not wrong(), 60, every=0.5)
    assert wrong() == []


def looks_again(callers: dict[str, Caller], gateway: Proxy) -> bool:
    """Whether a new image is analysed."""
    mark, caller = next(iter(callers.items()))
    answer = caller.send(ROUTES["chat"]("deepseek-chat-ocr", mark, [secrets.token_hex(6)], stream=False))
    return answer.headers["x-litellm-image-analysis-failed"] == "0"


def billed(caller: Caller) -> set[str]:
    """The ids of all answers in the caller's spend log."""
    return {str(row[0]) for row in database().execute(PAID, {"key": caller.key})}
