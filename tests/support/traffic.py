"""Clients of a gateway that send requests of all kinds at the same time, and what they were answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, islice

import httpx
from support.billing import ROUTES, Caller, Request

MODEL = "deepseek-chat"
UNBILLED = ("generateContent", MODEL)
"""LiteLLM's bridge from this route to chat does not know a deployment's price, unless the request asks for analysis."""
ASKED = ["no suffix", "no image", "new image", "known image"]
PATIENCE_SECONDS = 200


@dataclass
class Told:
    """The answers to the clients, by request, and the longest time that one of them waited.

    Attributes:
        may_fail: whether the vision model may fail, so that an answer without an analysis is not wrong.
    """

    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    may_fail: bool = False

    @property
    def without_analysis(self) -> int:
        """The number of answers to requests with an image that has no analysis."""
        return sum(count for asked, count in self.answered.items() if asked.endswith(", failed"))

    def note(self, asked: str, answer: httpx.Response) -> None:
        failed = int(answer.headers.get("x-litellm-image-analysis-failed", 0))
        self.answered[f"{asked}, failed" if failed else asked] += 1
        self.longest_seconds = max(self.longest_seconds, answer.elapsed.total_seconds())
        if answer.status_code != 200 or not answer.content or (failed and not self.may_fail):
            self.wrong.append(f"{asked}: {answer.status_code} {answer.text[:300]}")


@contextmanager
def traffic(url: str, callers: Mapping[str, Caller], clients: int, *, may_fail: bool) -> Iterator[Told]:
    """Let clients send requests during the block. At its end, the requests in flight are waited for.

    Args:
        url: the gateway.
        callers: the callers by the mark that their requests contain. Clients are spread over them.
        clients: the number of clients. Each sends one request after the other.
        may_fail: whether the vision model may fail.
    """
    told, is_over = Told(may_fail=may_fail), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(asyncio.run, _ask_on(url, callers, clients, told, is_over))
        try:
            yield told
        finally:
            is_over.set()
            asking.result()


async def _ask_on(url: str, callers: Mapping[str, Caller], clients: int, told: Told, is_over: threading.Event) -> None:
    numbers = count()

    async def work(client: httpx.AsyncClient, mark: str) -> None:
        while not is_over.is_set():
            number = next(numbers)
            asked = ASKED[number % 4]
            marks = {"new image": [f"{mark}-{number}"], "known image": [f"{mark}-known"]}.get(asked, [])
            model = MODEL if asked == "no suffix" else f"{MODEL}-ocr"
            routes = [route for route in ROUTES if (route, model) != UNBILLED]
            route, stream = routes[number // 4 % len(routes)], number // 16 % 2 == 0
            path, body = ROUTES[route](model, mark, marks, stream=stream)
            began = time.monotonic()
            try:
                told.note(asked, await client.post(path, json=body, headers=callers[mark].headers))
            except httpx.TransportError as error:
                told.answered[asked] += 1
                told.wrong.append(f"{asked}: {error!r} from {path}, stream={stream}, for {model}")
                told.longest_seconds = max(told.longest_seconds, time.monotonic() - began)

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=limits, verify=False) as client:
        await asyncio.gather(*(work(client, mark) for mark in islice(cycle(callers), clients)))


def at_once(url: str, caller: Caller, request: Request, times: int, told: Told) -> None:
    """Send the same request many times at once, and note the answers."""

    async def ask() -> None:
        path, body = request
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=limits, verify=False) as client:
            posts = (client.post(path, json=body, headers=caller.headers) for _ in range(times))
            for answer in asyncio.as_completed(list(posts)):
                told.note("the same image", await answer)

    asyncio.run(ask())
