"""After 500 random requests, faults and disconnects, each sum of LiteLLM equals the provider's charges."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from support.billing import ROUTES, SUMS, UNTOLD, Caller, Request, first_word, of_main, of_vision
from support.configs import BASE_PRICE, VISION_PRICE, deployment, proxy_config
from support.images import data_uri
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import VISION_COST, Body, Rule, Upstream, images_in

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")

RUNS, STEPS_OF_A_RUN = int(os.environ.get("ACCOUNT_RUNS", "6")), 50
"""The number of runs. Hypothesis's first run is its simplest, with recoveries only."""

CALLERS, IMAGES = 3, 6
"""The images of one run. They are few, so many requests repeat an image."""

SECONDS = 60
"""LiteLLM takes some seconds to write its sums."""

AT_LENGTH = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS_OF_A_RUN,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a gateway is too slow to search for a smaller example
    suppress_health_check=list(HealthCheck),
)


def streams_of(model: str) -> Callable[[Body], bool]:
    return lambda body: body["model"] == model and bool(body.get("stream"))


FAULTS = {
    "vision fails": Rule(of_vision, status=500),
    "vision says nothing": Rule(of_vision, text=""),
    "main fails": Rule(of_main, status=500),
    "fragile fails": Rule(lambda body: str(body["model"]).endswith("-fragile"), status=500),
}
"""Faults of the provider. Fragile models have fallbacks."""

ENDLESS = [Rule(streams_of("blind-stalling"), hangs="before"), Rule(streams_of("blind-stopping"), hangs="after")]
"""Streams for clients that disconnect: they stop before or after the first word."""


@dataclass(frozen=True)
class Ask:
    """A request of the caller with this number. ``suffix``, ``ocr_model`` or both ask for image analysis."""

    caller: int
    route: str
    stream: bool
    images: list[int]
    model: str
    suffix: str
    ocr_model: str

    @property
    def is_for_us(self) -> bool:
        return bool(self.suffix or self.ocr_model)

    @property
    def is_priced(self) -> bool:
        """Whether LiteLLM knows the price. Its bridge from generateContent to chat needs this plugin to know it."""
        return self.is_for_us or self.route != "generateContent"

    @property
    def tells_when_it_is_left(self) -> bool:
        return (self.route, self.stream) not in UNTOLD and (self.is_for_us or not self.images)

    def status(self, faults: set[str]) -> int:
        """The expected status of the answer."""
        if "main fails" in faults:
            return 500
        if self.images and not self.is_for_us:  # an image for a text-only model
            return 500 if self.model == "fragile-chat" and "fragile fails" in faults else 400
        return 200


def asks(*models: str) -> st.SearchStrategy[Ask]:
    return st.builds(
        Ask,
        caller=st.integers(0, CALLERS - 1),
        route=st.sampled_from(sorted(ROUTES)),
        stream=st.booleans(),
        images=st.lists(st.integers(1, IMAGES), max_size=3),
        model=st.sampled_from(models),
        suffix=st.sampled_from(["-ocr", ""]),
        ocr_model=st.sampled_from(["", "gpt-4o-mini", "fragile-eyes"]),
    ).filter(lambda ask: ask.is_priced)


@dataclass
class Account:
    """A caller and its requests, which all contain its tag."""

    caller: Caller
    asked: list[Ask] = field(default_factory=list)

    def request(self, ask: Ask) -> Request:
        self.asked.append(ask)
        marks = [self._mark(number) for number in ask.images]
        path, body = ROUTES[ask.route](ask.model + ask.suffix, self.caller.tag, marks, stream=ask.stream)
        return path, {**body, **({"ocr_model": ask.ocr_model} if ask.ocr_model else {})}

    def urls(self, ask: Ask) -> set[str]:
        """The URLs of its images, which no other caller has."""
        return {data_uri(self._mark(number)) for number in ask.images}

    def _mark(self, number: int) -> str:
        return f"{self.caller.tag}-{number}"


@dataclass
class Books:
    accounts: list[Account] = field(default_factory=list)
    steps: int = 0

    def wrong(self, upstream: Upstream) -> list[tuple[float, dict[str, float], list[Ask]]]:
        """Differences between charged and billed amounts, with their requests."""
        found = [(upstream.charged_for(each.caller.tag), each.caller.sums(), each.asked) for each in self.accounts]
        return [each for each in found if each[1] != dict.fromkeys(SUMS, pytest.approx(each[0], abs=1e-9))]


class Trade(RuleBasedStateMachine):
    """One run. It does not wait for requests of disconnected clients, so they may be charged in a later step."""

    def __init__(self, admin: httpx.Client, upstream: Upstream, books: Books) -> None:
        super().__init__()
        self.admin, self.upstream, self.books = admin, upstream, books
        self.accounts = [Account(Caller(admin)) for _ in range(CALLERS)]
        self.books.accounts += self.accounts
        self.faults: set[str] = set()
        self.left: set[str] = set()
        self._provide()

    @rule(faults=st.sets(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=2))
    def the_provider_fails(self, faults: set[str]) -> None:
        self.books.steps += 1
        self.faults = faults
        self._provide()

    @rule()
    def the_provider_recovers(self) -> None:
        self.books.steps += 1
        self.faults = set()
        self._provide()

    @rule(ask=asks("deepseek-chat", "fragile-chat"))
    def one_asks(self, ask: Ask) -> None:
        self._serve([ask])

    @rule(several=st.lists(asks("deepseek-chat", "fragile-chat"), min_size=2, max_size=4))
    def several_ask_at_once(self, several: list[Ask]) -> None:
        self._serve(several)

    @rule(ask=asks("stalling-chat"))
    def one_leaves_at_once(self, ask: Ask) -> None:
        self.left |= self.accounts[ask.caller].urls(ask)
        self._leave(ask, lambda _: None)

    @rule(ask=asks("stalling-chat"))
    def one_leaves_while_the_vision_model_looks(self, ask: Ask) -> None:
        self.left |= self.accounts[ask.caller].urls(ask)
        with self._held(of_vision) as until:
            self._leave(ask, until)

    @rule(ask=asks("stopping-chat").filter(lambda ask: ask.tells_when_it_is_left))
    def one_leaves_during_the_answer(self, ask: Ask) -> None:
        # On a busy machine, the main call that it waits for may be that of an earlier client.
        self.left |= self.accounts[ask.caller].urls(ask)
        with self._held(of_main) as until:
            self._leave(ask, first_word if ask.stream else until)

    def teardown(self) -> None:
        """Streams of disconnected clients may still run, so they stay endless."""
        self.faults = set()
        self._provide()

    def _provide(self, *rules: Rule) -> None:
        self.upstream.rules[:] = [*ENDLESS, *rules, *(FAULTS[name] for name in sorted(self.faults))]

    @contextmanager
    def _held(self, matches: Callable[[Body], bool]) -> Iterator[Callable[[object], None]]:
        """Let the provider hold these requests, and wait for one, or for a main call if no vision call was needed."""
        gate, before = threading.Event(), len(self.upstream.requests)

        def reached(_: object) -> None:
            requests = self.upstream.requests
            assert eventually(lambda: any(matches(body) or of_main(body) for body in requests[before:]))

        self._provide(Rule(matches, gate=gate))
        try:
            yield reached
        finally:
            gate.set()
            self._provide()

    def _leave(self, ask: Ask, until: Callable[[socket.socket], object]) -> None:
        self.books.steps += 1
        account = self.accounts[ask.caller]
        account.caller.post_and_leave(account.request(ask), until)

    def _serve(self, several: list[Ask]) -> None:
        """Send all at once. Each answer has the cost of its own vision calls, and the sum is the cost of all."""
        self.books.steps += 1
        before = len(self.upstream.answered)
        with ThreadPoolExecutor(len(several)) as pool:
            told = list(pool.map(self._told, several))
        urls = {url for ask in several for url in self.accounts[ask.caller].urls(ask)}
        looked = [body for body in self.upstream.answered[before:] if of_vision(body) and urls & {*images_in(body)}]
        if None not in told and not urls & self.left:
            assert sum(filter(None, told)) == pytest.approx(len(looked) * VISION_COST, abs=1e-9)

    def _told(self, ask: Ask) -> float | None:
        """USD of the vision calls in the answer's headers. An error has none."""
        account = self.accounts[ask.caller]
        path, body = account.request(ask)
        response = self.admin.post(path, json=body, headers=account.caller.headers)
        assert response.status_code == ask.status(self.faults), response.text
        return float(response.headers.get("x-litellm-image-analysis-cost", 0)) if response.is_success else None


@pytest.fixture(scope="module")
def gateway(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config, url = proxy_config(shared_upstream, cache={"backend": "memory"}), shared_upstream.base_url
    config["model_list"] += [
        deployment("fragile-eyes", "seeing-fragile", url, **VISION_PRICE, supports_vision=True),
        deployment("fragile-chat", "blind-fragile", url, **BASE_PRICE),
        deployment("stalling-chat", "blind-stalling", url, **BASE_PRICE),
        # For this provider LiteLLM translates every route to chat, because only a chat stream has the usage so far.
        deployment("stopping-chat", "blind-stopping", url, provider="nebius", **BASE_PRICE),
    ]
    config["router_settings"]["fallbacks"] = [{"fragile-eyes": ["other-vision"]}, {"fragile-chat": ["deepseek-chat"]}]
    config["general_settings"]["proxy_batch_write_at"] = 1
    env = {"DATABASE_URL": os.environ["DATABASE_URL"]}
    with running_proxy(config, tmp_path_factory.mktemp("account"), env) as proxy:
        yield proxy


def test_whatever_happens_each_sum_is_what_the_provider_charged(gateway: Proxy, upstream: Upstream) -> None:
    books = Books()
    with gateway.client() as admin:
        # Hypothesis accepts any callable, although its type does not say so.
        run_state_machine_as_test(cast("type[Trade]", partial(Trade, admin, upstream, books)), settings=AT_LENGTH)
    assert books.steps >= RUNS * STEPS_OF_A_RUN
    if not eventually(lambda: not books.wrong(upstream), SECONDS, every=0.5):
        pytest.fail("\n".join(map(str, books.wrong(upstream))))  # show the full difference
    charged = sum(upstream.charged_for(account.caller.tag) for account in books.accounts)
    assert charged == pytest.approx(upstream.charged, abs=1e-9), "somebody else was charged"
