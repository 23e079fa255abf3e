"""A tenant that behaves beside one that misbehaves, and the effect on the first one.

::

    python tests/soak/neighbours.py --requests 1500

The first tenant sends the same requests to three proxies: alone, beside a tenant with the requests of
``soak.misdeeds``, and beside one with the same requests to a model that accepts images, which the plugin does not
analyse. Its answers and its bill must not change. Its times must not change much between the last two, whose difference
is the cost of the plugin.

LiteLLM's cooldowns are off, because they apply to all tenants and are not part of the plugin.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import httpx  # noqa: E402 - needs the path above
from soak.misdeeds import HUNG_EYES, LOCAL_EYES, NAMESAKE, OWN_EYES, SPENT_EYES, Misdeed, Misdeeds  # noqa: E402
from soak.mixed import OUR_ERROR, command_line  # noqa: E402
from support.billing import ROUTES  # noqa: E402
from support.configs import BASE_PRICE, VISION_PRICE, deployment, proxy_config  # noqa: E402
from support.images import data_uri  # noqa: E402
from support.misbehaving import Misbehaving, running_misbehaving  # noqa: E402
from support.proxy import Proxy, eventually, running_proxy  # noqa: E402
from support.upstream import ANSWER, Body, Rule, Upstream, description_of, running_upstream  # noqa: E402

GOOD_KEY, BAD_KEYS = "sk-good-1", ("sk-bad-1", "sk-bad-2")
READER, LOCKED = "blind-reader", "seeing-locked"
"""A text model that answers with the analyses in its request, and a vision model without a key."""
EYES = ("gpt-4o-mini", NAMESAKE)
"""Vision models that both tenants may call."""
REQUEST_SECONDS = 0.15
"""Seconds between requests."""
REQUESTS_A_DEAL = 300
"""Requests of the tenant that behaves during one deal of the other one."""
KNOWN = 10
MIX = {"text": 20, "new": 40, "known": 25, "several": 15}
"""The share of each kind, of a hundred requests."""
MOST_SLOWER = {"median": 2.0, "95th percentile": 2.0, "longest": 2.0}
"""The allowed ratio of times beside misdeeds to times beside the same requests without analysis."""
SETTINGS: dict[str, Any] = {
    "cache": {"backend": "memory"},
    "circuit_pause_seconds": 10,
    "max_key_concurrency": 8,
    "max_process_concurrency": 20,
}
"""The keys of the bad tenant leave a few slots for vision calls, because slots are shared among keys, not tenants."""
_DESCRIPTION = re.compile(re.escape(description_of("")[:-10]) + "([0-9a-f]{10})")
_ANSWER = re.compile("read:[0-9a-f,]*")


def what_was_read(body: Body) -> str:
    """The answer of ``READER``: the marks of all analyses in a request, in one word that no stream splits."""
    return "read:" + ",".join(_DESCRIPTION.findall(json.dumps(body)))


@dataclass(frozen=True)
class Question:
    """A request of the tenant that behaves, for the images with these marks."""

    path: str
    body: Body
    marks: tuple[str, ...]

    def is_answered_by(self, response: httpx.Response) -> bool:
        """Whether the text model read exactly the right analyses."""
        said = _ANSWER.search(response.text)
        right = what_was_read({"analyses": [description_of(data_uri(mark)) for mark in self.marks]})
        return response.status_code == 200 and said is not None and said[0] == right


def questions(count: int, seed: int) -> list[Question]:
    """Requests on all routes, with and without streaming: without images, and with new, cached and several images."""
    return list(_questions(count, random.Random(seed)))


def _questions(count: int, chosen: random.Random) -> Iterator[Question]:
    for number in range(count):
        route, stream = [*ROUTES][number % len(ROUTES)], chosen.random() < 0.5
        new, known = f"new {number}", f"known {chosen.randrange(KNOWN)}"
        kinds = {"text": (), "new": (new,), "known": (known,), "several": (new, known, f"another {number}")}
        marks: tuple[str, ...] = kinds[chosen.choices([*MIX], [*MIX.values()])[0]]
        path, body = ROUTES[route]("reader", "What is it?", [*marks], stream=stream)
        yield Question(path, {"model": "reader", **body, "ocr_model": chosen.choice(EYES)}, marks)


def calls_due(asked: Sequence[Question]) -> int:
    """The expected calls: one for each request, and one for each image and vision model."""
    return len(asked) + len({(mark, question.body["ocr_model"]) for question in asked for mark in question.marks})


@dataclass(frozen=True)
class Phase:
    """The results of the tenant that behaves beside a neighbour.

    Attributes:
        wrong: its wrong answers.
        seconds: the time of each answer.
        bill: the calls that LiteLLM charged it for, by model and USD.
        bugs: lines of the plugin's log at ERROR.
        neighbour: number of the neighbour's requests by kind and status, 0 if the client did not wait for it.
    """

    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bill: Counter[tuple[str, float]] = field(default_factory=Counter)
    bugs: list[str] = field(default_factory=list)
    neighbour: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def times(self) -> dict[str, float]:
        """Statistics of the times of answers, in seconds."""
        slow = statistics.quantiles(self.seconds, n=20)[-1]
        return {"median": statistics.median(self.seconds), "95th percentile": slow, "longest": max(self.seconds)}

    def __str__(self) -> str:
        times = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in self.times.items())
        usd = sum(cost * count for (_, cost), count in self.bill.items())
        beside = f"{self.neighbour.total():,} requests of the neighbour"
        return f"{len(self.seconds):,} answers ({times}), {self.bill.total():,} calls for {usd:.5f} USD; {beside}"


@dataclass(frozen=True)
class Soaked:
    """The result of a run.

    Attributes:
        calls_due: the calls for which the tenant must be charged.
        alone: without a neighbour.
        beside: beside the neighbour that misbehaves.
        ordinary: beside the neighbour without analysis. ``None`` if times are not checked.
    """

    calls_due: int
    alone: Phase
    beside: Phase
    ordinary: Phase | None = None

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases, by neighbour."""
        phases = {"alone": self.alone, "beside misdeeds": self.beside}
        return phases if self.ordinary is None else {**phases, "beside the same without analysis": self.ordinary}

    @property
    def slower(self) -> dict[str, float]:
        """The ratio of times beside misdeeds to times beside the same requests without analysis."""
        if self.ordinary is None:
            return {}
        return {name: self.beside.times[name] / seconds for name, seconds in self.ordinary.times.items()}

    @property
    def problems(self) -> list[str]:
        """The problems that the run has found."""
        return [
            *(f"{name}: wrong answer {wrong}" for name, phase in self.phases.items() for wrong in phase.wrong[:20]),
            *(f"{name}: {line}" for name, phase in self.phases.items() for line in phase.bugs),
            *(
                f"{name}: charged for {phase.bill}, which are not {self.calls_due} calls as alone"
                for name, phase in self.phases.items()
                if phase.bill != self.alone.bill or phase.bill.total() != self.calls_due
            ),
            *(
                f"{name}: {ratio:.2f} times as long, at most {MOST_SLOWER[name]}"
                for name, ratio in self.slower.items()
                if ratio > MOST_SLOWER[name]
            ),
        ]

    def __str__(self) -> str:
        slower = "".join(f"\n{name}: {ratio:.2f} times as long" for name, ratio in self.slower.items())
        return "\n".join(f"{name}: {phase}" for name, phase in self.phases.items()) + slower


def soak(requests: int, folder: Path, seed: int = 0) -> Soaked:
    """Send a number of requests to each of three proxies."""
    asked = questions(requests, seed)
    misdeeds = Misdeeds(seed).deal(max(1, requests // REQUESTS_A_DEAL))
    ordinary = [misdeed.without_analysis for misdeed in misdeeds]
    return Soaked(
        calls_due(asked),
        run_phase(folder / "alone", asked, [], fresh=True),
        run_phase(folder / "beside", asked, misdeeds, fresh=True),
        run_phase(folder / "ordinary", asked, ordinary, fresh=True),
    )


def run_phase(folder: Path, asked: Sequence[Question], misdeeds: Sequence[Misdeed], *, fresh: bool = False) -> Phase:
    """Send the requests of both tenants to a new proxy.

    Args:
        folder: a new folder for config and log.
        asked: the requests of the tenant that behaves.
        misdeeds: the requests of its neighbour, which are sent in the same time.
        fresh: whether the proxy is started in a new process instead of forked.
    """
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("tenants.py"), folder)
    ledger = folder / "ledger.jsonl"
    ledger.touch()
    with running_upstream() as upstream, running_misbehaving() as eyes:
        upstream.rules += [
            Rule(lambda body: body["model"] == READER, text=what_was_read),
            Rule(lambda body: body["model"] == LOCKED, status=401),
            Rule(lambda body: body["model"] == "seeing-chat", text=ANSWER),
        ]
        with running_proxy(config_of(upstream, eyes), folder, {"LEDGER_FILE": str(ledger)}, fresh=fresh) as proxy:
            tenants = Tenants(asked, misdeeds)
            asyncio.run(tenants.send(proxy))
            eventually(lambda: charged(ledger, "good").total() >= calls_due(asked))
            bugs = [line for line in proxy.log.splitlines() if OUR_ERROR in line]
            return Phase(tenants.wrong, tenants.seconds, charged(ledger, "good"), bugs, tenants.noticed)


def config_of(upstream: Upstream, eyes: Misbehaving) -> dict[str, Any]:
    """A proxy with two tenants. Its vision models are at one provider, and two of them are the bad tenant's own."""
    config, seeing = proxy_config(upstream, **SETTINGS), {**VISION_PRICE, "supports_vision": True}
    spent = deployment(SPENT_EYES, "eyes", eyes.base_url, **seeing)
    spent["litellm_params"] |= {"max_budget": 1e-9, "budget_duration": "1d"}
    own = {
        name: deployment(
            f"{name}-of-bad", LOCKED, upstream.base_url, team_id="bad", team_public_model_name=name, **seeing
        )
        for name in (OWN_EYES, NAMESAKE)
    }
    config["model_list"] = [
        *(each for each in config["model_list"] if each["model_name"] not in EYES),
        *(deployment(name, "eyes", eyes.base_url, **seeing) for name in (*EYES, HUNG_EYES)),
        *own.values(),
        spent,
        deployment("reader", READER, upstream.base_url, **BASE_PRICE),
        {"model_name": LOCAL_EYES, "litellm_params": {"model": "local-ocr/rapidocr"}},
    ]
    config["litellm_settings"]["callbacks"].append("tenants.ledger")
    config["general_settings"] |= {"custom_auth": "tenants.user_api_key_auth", "cancel_on_disconnect": True}
    config["router_settings"]["enable_tag_filtering"] = True
    return config


def charged(ledger: Path, team: str) -> Counter[tuple[str, float]]:
    """The calls that a team was charged for so far, by model and USD."""
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    return Counter((model, cost) for payer, model, cost in lines if payer == team)


class Tenants:
    """Clients of both tenants, which send at a fixed rate, independent of the times of answers.

    Args:
        asked: the requests of the tenant that behaves.
        misdeeds: the requests of the other one.
    """

    def __init__(self, asked: Sequence[Question], misdeeds: Sequence[Misdeed]) -> None:
        self._asked, self._misdeeds = asked, misdeeds
        self._contents = [misdeed.content for misdeed in misdeeds]  # made before time is measured
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self.noticed: Counter[tuple[str, int]] = Counter()

    async def send(self, proxy: Proxy) -> None:
        """Send all requests, and stop when the tenant that behaves has its answers."""
        pace = (len(self._asked) - 1) * REQUEST_SECONDS / max(1, len(self._misdeeds))
        async with _client(proxy, GOOD_KEY) as good, _client(proxy, BAD_KEYS[0]) as bad:
            trouble = [
                asyncio.ensure_future(self._misbehave(bad, number, number * pace))
                for number in range(len(self._misdeeds))
            ]
            await asyncio.gather(
                *(self._ask(good, question, number * REQUEST_SECONDS) for number, question in enumerate(self._asked))
            )
            for each in trouble:
                each.cancel()
            await asyncio.gather(*trouble, return_exceptions=True)

    async def _ask(self, http: httpx.AsyncClient, question: Question, when: float) -> None:
        await asyncio.sleep(when)
        start = time.perf_counter()
        try:
            answer = await http.post(question.path, json=question.body)
        except httpx.TransportError as error:
            self.wrong.append(f"to {question.marks} at {question.path}: {error!r}")
            return
        self.seconds.append(time.perf_counter() - start)
        if not question.is_answered_by(answer):
            self.wrong.append(f"to {question.marks} at {question.path}: {answer.status_code} {answer.text[:300]}")

    async def _misbehave(self, http: httpx.AsyncClient, number: int, when: float) -> None:
        await asyncio.sleep(when)
        misdeed, status = self._misdeeds[number], 0
        headers = {**misdeed.headers, "Authorization": f"Bearer {BAD_KEYS[number % len(BAD_KEYS)]}"}
        request = http.post(misdeed.path, content=self._contents[number], headers=headers)
        try:
            with suppress(asyncio.TimeoutError, httpx.TransportError):
                status = (await asyncio.wait_for(request, misdeed.leaves_after_seconds)).status_code
        finally:
            self.noticed[misdeed.kind, status] += 1


def _client(proxy: Proxy, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    limits = httpx.Limits(
        max_keepalive_connections=0
    )  # otherwise a busy proxy may close a connection just when it is used again
    return httpx.AsyncClient(base_url=proxy.url, headers=headers, timeout=None, limits=limits, verify=False)


if __name__ == "__main__":
    command_line(soak, __doc__, 1500)
