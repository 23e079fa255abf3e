"""Very many requests of all kinds through a real proxy, and the growth of its process.

::

    python tests/soak/mixed.py --requests 100000

Clients on all routes send requests without images, and with new, cached, several and refused images, and images for
which the vision model fails in one of many ways. Some disconnect. After each round, all wait until the proxy is idle.
Then its memory, tasks and files are measured. Growth after the caches are full is a failure, and so is a wrong answer.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import httpx  # noqa: E402 - needs the path above
from soak.vitals import Examined, Vitals, probed, slope  # noqa: E402
from support.billing import ROUTES, Request  # noqa: E402
from support.configs import VISION_PRICE, deployment, proxy_config  # noqa: E402
from support.misbehaving import BEHAVIOURS, Misbehaving, running_misbehaving  # noqa: E402
from support.proxy import Proxy, running_proxy  # noqa: E402
from support.upstream import Upstream, running_upstream  # noqa: E402

CLIENTS = 16
ROUNDS = 25
WARM_ROUNDS = 5
"""The caches are full after this number of requests."""
MOST_BYTES_A_REQUEST = 1024
NOISE_BYTES = 1024 * 1024
"""Growth of a run that is no growth for each request: the allocator takes and keeps memory in large pieces."""
MOST_MORE_FILES = CLIENTS
"""The number of connections that are kept for later requests."""
OUR_ERROR = "image analysis: internal error"
"""A log line of a bug in the plugin. LiteLLM logs its own errors when clients disconnect."""
REMEMBERED = 40
MIX = {"text": 30, "new": 20, "remembered": 25, "several": 8, "fails": 8, "hangs": 1, "refused": 3, "leaves": 5}
"""The share of each kind, of a hundred requests."""
HANGS = ["drip", "hang", "hang-in-body"]
FAULTS = sorted({*BEHAVIOURS} - {*HANGS, "timeout", "flood"})
SETTINGS = {"timeout_seconds": 1, "circuit_pause_seconds": 1, "max_image_parts": 4, "cache": {"max_bytes": 1024 * 1024}}


@dataclass(frozen=True)
class Ask:
    """One request, its expected status, and when its client disconnects."""

    kind: str
    request: Request
    status: int = 200
    leaves_after_seconds: float | None = None


class Mix:
    """Random requests. The same seed gives the same requests.

    Args:
        seed: the seed of the random choices.
    """

    def __init__(self, seed: int) -> None:
        self._random, self._made = random.Random(seed), 0

    def next(self) -> Ask:
        """Return the next request."""
        self._made += 1
        (kind,) = self._random.choices([*MIX], [*MIX.values()])
        route, stream = self._random.choice([*ROUTES]), self._random.random() < 0.5
        request = ROUTES[route]("deepseek-chat-ocr", f"question {self._made % 3}", self._marks(kind), stream=stream)
        leaves_after = self._random.uniform(0, 0.1) if kind == "leaves" else None
        return Ask(kind, request, 400 if kind == "refused" else 200, leaves_after)

    def _marks(self, kind: str) -> list[str]:
        new, known = f"new {self._made}", f"known {self._random.randrange(REMEMBERED)}"
        fault, hang = self._random.choice(FAULTS), self._random.choice(HANGS)
        return {
            "text": [],
            "new": [new],
            "remembered": [known],
            "several": [new, known, f"{fault} {self._made}"],
            "fails": [f"{fault} {self._made}"],
            "hangs": [f"{hang} {self._made}"],
            "refused": [f"too many {number}" for number in range(5)],
            "leaves": [self._random.choice([new, known, f"{fault} {self._made}", f"{hang} {self._made}"])],
        }[kind]


@dataclass(frozen=True)
class Told:
    """The answers to clients."""

    answered: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, ask: Ask, answer: httpx.Response | None) -> None:
        """Count an answer, or a disconnect."""
        self.answered["left" if answer is None else ask.kind] += 1
        if answer is None:
            return
        if answer.status_code != ask.status or not answer.content:
            self.wrong.append(f"{ask.kind}: {answer.status_code} {answer.text[:300]}")
        for what in ("images", "cached", "failed"):
            self.images[what] += int(answer.headers.get(f"x-litellm-image-analysis-{what}", 0))


class Clients:
    """Clients that send requests concurrently.

    Args:
        proxy: the proxy.
        mix: their requests.
    """

    def __init__(self, proxy: Proxy, mix: Mix) -> None:
        self._proxy, self._mix = proxy, mix
        self.told = Told()

    async def send(self, count: int) -> None:
        """Send a number of requests. Each client sends one at a time."""
        todo = iter(range(count))
        headers = {"Authorization": f"Bearer {self._proxy.master_key}"}
        async with httpx.AsyncClient(base_url=self._proxy.url, headers=headers, timeout=60) as http:
            await asyncio.gather(*(self._work(http, todo) for _ in range(CLIENTS)))

    async def _work(self, http: httpx.AsyncClient, todo: Iterator[int]) -> None:
        for _ in todo:
            ask = self._mix.next()
            path, body = ask.request
            try:
                answer = await asyncio.wait_for(http.post(path, json=body), ask.leaves_after_seconds)
            except asyncio.TimeoutError:
                answer = None
            self.told.note(ask, answer)


@dataclass(frozen=True)
class Soaked:
    """The result of a run."""

    vitals: list[Vitals]
    told: Told
    bugs: list[str]
    seconds: float

    @property
    def bytes_a_request(self) -> float:
        """Growth of memory for each request after the caches are full."""
        return slope([(vitals.requests, vitals.memory_bytes) for vitals in self.vitals[WARM_ROUNDS:]])

    @property
    def problems(self) -> list[str]:
        """The problems that the run has found."""
        warm, last = self.vitals[WARM_ROUNDS], self.vitals[-1]
        most_bytes = MOST_BYTES_A_REQUEST + NOISE_BYTES / (last.requests - warm.requests)
        return [
            *(f"wrong answer to {wrong}" for wrong in self.told.wrong[:20]),
            *(f"{count} times unretrieved: {what}" for what, count in last.unretrieved.items()),
            *(f"{count} tasks more: {name}" for name, count in (last.tasks - warm.tasks).items()),
            *([f"{last.files - warm.files} files more"] if last.files > warm.files + MOST_MORE_FILES else []),
            *([f"{self.bytes_a_request:.0f} bytes more a request"] if self.bytes_a_request > most_bytes else []),
            *self.bugs,
        ]

    def __str__(self) -> str:
        warm, last = self.vitals[WARM_ROUNDS], self.vitals[-1]
        answered = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.told.answered.items()))
        images = ", ".join(f"{count:,} {what}" for what, count in self.told.images.items())
        return (
            f"{last.requests:,} requests in {self.seconds:.0f} s ({answered}); {images}; "
            f"memory {warm.memory_bytes / 2**20:.0f} MiB -> {last.memory_bytes / 2**20:.0f} MiB after the first "
            f"{warm.requests:,}: {self.bytes_a_request:.0f} bytes a request; "
            f"files {warm.files} -> {last.files}; tasks {warm.tasks.total()} -> {last.tasks.total()}; "
            f"{last.unretrieved.total()} unretrieved exceptions"
        )


def soak(requests: int, folder: Path, seed: int = 0) -> Soaked:
    """Send a number of requests through a new proxy."""
    with running_upstream() as upstream, running_misbehaving() as eyes:
        config = proxy_config(upstream, **SETTINGS)
        config["model_list"][:] = [m for m in config["model_list"] if m["model_name"] != "gpt-4o-mini"]
        config["model_list"].append(deployment("gpt-4o-mini", "eyes", eyes.base_url, **VISION_PRICE))
        config["general_settings"]["cancel_on_disconnect"] = True
        env = probed(config, folder)
        with running_proxy(config, folder, env, fresh=True) as proxy:
            return _soak(requests, proxy, Examined(proxy, folder), (upstream, eyes), seed)


def _soak(
    requests: int, proxy: Proxy, examined: Examined, providers: tuple[Upstream, Misbehaving], seed: int
) -> Soaked:
    started, clients = time.monotonic(), Clients(proxy, Mix(seed))
    vitals: list[Vitals] = []
    upstream, eyes = providers
    for done in range(1, ROUNDS + 1):
        asyncio.run(clients.send(requests // ROUNDS))
        upstream.reset()  # its memory is not measured
        eyes.shown.clear()
        than = vitals[WARM_ROUNDS] if done == ROUNDS else None
        vitals.append(examined.look(done * (requests // ROUNDS), than))
    bugs = [line for line in proxy.log.splitlines() if OUR_ERROR in line]
    return Soaked(vitals, clients.told, bugs, time.monotonic() - started)


def command_line(soak: Callable[[int, Path, int], Any], about: str | None, requests: int) -> None:
    """Run a soak with the options of the command line, and exit with an error if there are problems.

    Args:
        soak: runs a number of requests in a folder, with a seed. Its result has ``problems``.
        about: the module's docstring.
        requests: the default number of requests.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0] if about else None)
    parser.add_argument("--requests", type=int, default=requests)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    sys.stdout.write(f"seed {asked.seed}\n")
    with tempfile.TemporaryDirectory() as folder:
        soaked = soak(asked.requests, Path(folder), asked.seed)
    sys.stdout.write(f"{soaked}\n")
    if soaked.problems:
        sys.exit("\n".join(soaked.problems))


if __name__ == "__main__":
    command_line(soak, __doc__, 100_000)
