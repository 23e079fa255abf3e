"""LiteLLM bills what the provider charged: every sum that LiteLLM keeps, on a real PostgreSQL."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from support.billing import ROUTES, SUMS, UNTOLD, Caller, first_word, of_main, of_vision
from support.configs import BASE_PRICE, VISION_PRICE, deployment, proxy_config
from support.docs import expect_table
from support.images import data_uri
from support.proxy import TWO_WORKERS, Proxy, eventually, running_proxy
from support.upstream import MAIN_COST, VISION_COST, Body, Rule, Upstream, images_in

from litellm_image_analysis.billing.prices import format_usd

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")

Policy = Literal["placeholder", "reject", "keep"]
Case = tuple[str, bool]
"""A route, and whether it streams."""

CASES: list[Case] = [(route, stream) for route in ROUTES for stream in (False, True)]
DOCS = Path(__file__).parents[2] / "docs" / "spend.md"
SECONDS = 60
"""LiteLLM takes some seconds to write its sums."""


TEXT_ONLY: dict[str, Any] = {"supports_vision": False, "image_analysis": "auto"}


def of_fragile(body: Body) -> bool:
    return str(body["model"]).endswith("-fragile")


def of_a_bad_image(body: Body) -> bool:
    return of_vision(body) and any(url.endswith(BAD[-8:]) for url in images_in(body))


BAD = data_uri("", size=80)
"""The end of every image that is marked as bad."""


@dataclass(frozen=True)
class Situation:
    """A situation of a request.

    Attributes:
        rules: the rules of the provider.
        statuses: the status of each answer. The caller repeats the request for each of them.
        images: the number of its images.
        body: further parameters.
        model: the model in the request.
        policy: the gateway's ``on_failure``. With ``keep``, LiteLLM's response cache is on and the plugin's cache is
            off.
        leaves: when the client disconnects.
    """

    rules: Callable[[], list[Rule]] = list
    statuses: tuple[int, ...] = (200,)
    images: int = 1
    body: tuple[tuple[str, Any], ...] = ()
    model: str = "deepseek-chat-ocr"
    policy: Policy = "placeholder"
    leaves: Literal["", "at once", "while it looks", "during the answer"] = ""


def fails(matches: Callable[[Body], bool]) -> Callable[[], list[Rule]]:
    return lambda: [Rule(matches, status=500)]


def fails_once() -> list[Rule]:
    """The first vision call for each image fails."""
    seen: set[str] = set()

    def is_first(body: Body) -> bool:
        urls = set(images_in(body)) if body["model"] == "seeing-retried" else set()
        new = urls - seen
        seen.update(new)
        return bool(new)

    return [Rule(is_first, status=500)]


def stalls() -> list[Rule]:
    return [Rule(lambda body: of_main(body) and bool(body.get("stream")), hangs="before")]


def stops() -> list[Rule]:
    return [Rule(of_main, hangs="after")]


SITUATIONS: dict[str, Situation] = {
    "no fault": Situation(),
    "three images": Situation(images=3),
    "the same request three times": Situation(statuses=(200, 200, 200)),
    "the same request twice, LiteLLM's response cache on": Situation(statuses=(200, 200), policy="keep"),
    "the vision call is retried": Situation(fails_once, body=(("ocr_model", "retried-eyes"),)),
    "the vision call falls back to another model": Situation(fails(of_fragile), body=(("ocr_model", "fragile-eyes"),)),
    "the main call falls back to another model": Situation(fails(of_fragile), model="fragile-chat-ocr"),
    "the vision call fails": Situation(fails(of_vision)),
    "the vision call fails, `on_failure: reject`": Situation(fails(of_vision), (502,), policy="reject"),
    "the vision call fails, `on_failure: keep`": Situation(fails(of_vision), model="multimodal-ocr", policy="keep"),
    "the vision model returns no text": Situation(lambda: [Rule(of_vision, text="")]),
    "the vision model returns no text, `on_failure: reject`": Situation(
        lambda: [Rule(of_vision, text="")], (502,), policy="reject"
    ),
    "no activation, `mode: auto`": Situation(model="text-only"),
    "no activation, a model with vision falls back to a text-only one": Situation(
        fails(of_fragile), images=2, model="fragile-multimodal"
    ),
    "the main call fails": Situation(fails(of_main), (500,)),
    "both fail": Situation(fails(lambda _: True), (500,)),
    "the client disconnects at once": Situation(stalls, leaves="at once"),
    "the client disconnects during the vision call": Situation(stalls, leaves="while it looks"),
    "the client disconnects during the answer": Situation(stops, model="bridged-ocr", leaves="during the answer"),
}
"""All situations, by their names in the table."""

measured: dict[str, dict[Case, tuple[float, float]]] = {}
"""Billed and charged USD."""


def gateway(upstream: Upstream, policy: Policy) -> dict[str, Any]:
    cache: dict[str, Any] = {"backend": "off"} if policy == "keep" else {}
    config = proxy_config(upstream, cache=cache, on_failure=policy)
    config["model_list"] += [
        deployment("fragile-eyes", "seeing-fragile", upstream.base_url, **VISION_PRICE, supports_vision=True),
        deployment("retried-eyes", "seeing-retried", upstream.base_url, **VISION_PRICE, supports_vision=True),
        deployment("fragile-chat", "blind-fragile", upstream.base_url, **BASE_PRICE),
        deployment("text-only", "blind-chat", upstream.base_url, **BASE_PRICE, **TEXT_ONLY),
        deployment("fragile-multimodal", "seeing-fragile", upstream.base_url, **BASE_PRICE, supports_vision=True),
        # For this provider LiteLLM translates every route to chat, because only a chat stream has the usage so far.
        deployment("bridged", "blind-bridged", upstream.base_url, provider="nebius", **BASE_PRICE),
        deployment("free", "free", upstream.base_url, provider="nebius", **dict.fromkeys(BASE_PRICE, 0)),
    ]
    fallbacks = {"fragile-eyes": "other-vision", "fragile-chat": "deepseek-chat", "fragile-multimodal": "text-only"}
    config["router_settings"]["fallbacks"] = [{name: [other]} for name, other in fallbacks.items()]
    config["router_settings"]["model_group_retry_policy"] = {"retried-eyes": {"InternalServerErrorRetries": 1}}
    config["general_settings"]["proxy_batch_write_at"] = 1
    if policy == "keep":
        config["litellm_settings"] |= {"cache": True, "cache_params": {"type": "local"}}
    return config


@pytest.fixture(scope="module")
def gateways(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Policy, Proxy]]:
    """One gateway for each policy. The one with ``reject`` has two workers."""
    env = {"DATABASE_URL": os.environ["DATABASE_URL"]}
    policies: dict[Policy, tuple[str, ...]] = {"placeholder": (), "reject": TWO_WORKERS, "keep": ()}
    with ExitStack() as stack:
        yield {
            policy: stack.enter_context(
                running_proxy(gateway(shared_upstream, policy), tmp_path_factory.mktemp(policy), env, *options)
            )
            for policy, options in policies.items()
        }


class Asked:
    """One case of a situation: its caller, and its request with a mark that identifies it at the provider."""

    def __init__(self, case: Case, situation: Situation, caller: Caller) -> None:
        route, stream = case
        model = "free-ocr" if situation.leaves == "during the answer" and case in UNTOLD else situation.model
        self.stream, self.situation, self.caller, self.mark = stream, situation, caller, secrets.token_hex(6)
        self._main = {"free-ocr": "free", "bridged-ocr": "blind-bridged"}.get(model, "blind-chat")
        marks = [f"{self.mark}-{number}" for number in range(situation.images)]
        path, body = ROUTES[route](model, self.mark, marks, stream=stream)
        self.request = path, {**body, **dict(situation.body)}

    def ask(self, upstream: Upstream, gate: threading.Event) -> None:
        leaves = self.situation.leaves
        if not leaves:
            answers = [self.caller.send(self.request) for _ in self.situation.statuses]
            assert tuple(answer.status_code for answer in answers) == self.situation.statuses
            if not self.stream and self.situation.statuses[0] == 200:
                told = sum(float(answer.headers["x-litellm-response-cost-total"]) for answer in answers)
                assert told == pytest.approx(upstream.charged_for(self.mark), abs=1e-12)
            return
        self.caller.post_and_leave(self.request, lambda connection: self._wait(connection, upstream))
        gate.set()
        answered = ["seeing-mini"] if self.stream and leaves != "during the answer" else ["seeing-mini", self._main]
        assert eventually(lambda: [body["model"] for body in upstream.answered_to(self.mark)] == answered)

    def _wait(self, connection: socket.socket, upstream: Upstream) -> None:
        leaves = self.situation.leaves
        if leaves == "while it looks" or (leaves == "during the answer" and not self.stream):
            matches = of_vision if leaves == "while it looks" else of_main
            assert eventually(lambda: any(matches(body) for body in upstream.of(self.mark)))
        elif leaves == "during the answer":
            first_word(connection)


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_sum_is_what_the_provider_charged(gateways: dict[Policy, Proxy], upstream: Upstream, name: str) -> None:
    situation, gate, asked = SITUATIONS[name], threading.Event(), dict[Case, Asked]()
    upstream.rules.extend(situation.rules())
    if situation.leaves == "while it looks":
        upstream.rules.append(Rule(of_vision, gate=gate))
    elif situation.leaves == "during the answer":
        upstream.rules.insert(0, Rule(lambda body: of_main(body) and not body.get("stream"), gate=gate))
    with gateways[situation.policy].client() as admin:
        for case in CASES:
            gate.clear()
            asked[case] = Asked(case, situation, Caller(admin))
            asked[case].ask(upstream, gate)
        expect_conserved(asked, upstream)
    measured[name] = {
        case: (each.caller.sums()["rows"], upstream.charged_for(each.mark)) for case, each in asked.items()
    }


def expect_conserved(asked: dict[Case, Asked], upstream: Upstream) -> None:
    charged = {case: upstream.charged_for(each.mark) for case, each in asked.items()}
    expected = {case: dict.fromkeys(SUMS, pytest.approx(amount, abs=1e-9)) for case, amount in charged.items()}

    def billed() -> dict[Case, dict[str, float]]:
        return {case: each.caller.sums() for case, each in asked.items()}

    if not eventually(lambda: billed() == expected, SECONDS, every=0.5):
        wrong = {case: (charged[case], sums) for case, sums in billed().items() if sums != expected[case]}
        pytest.fail(f"charged and billed: {wrong}")


def test_two_workers_keep_one_account(gateways: dict[Policy, Proxy], upstream: Upstream) -> None:
    """Forty different requests at once, five for each caller."""
    situation = Situation(images=2)
    with gateways["reject"].client() as admin, ThreadPoolExecutor(8) as pool:
        callers = {case: Caller(admin) for case in CASES}
        asked = [(case, Asked(case, situation, callers[case])) for case in CASES for _ in range(5)]
        list(pool.map(lambda one: one[1].ask(upstream, threading.Event()), asked))
    expected = dict.fromkeys(SUMS, pytest.approx(5 * (2 * VISION_COST + MAIN_COST), abs=1e-9))
    assert eventually(lambda: all(caller.sums() == expected for caller in callers.values()), SECONDS, every=0.5)
    assert gateways["reject"].log.count("Started server process") == 2
    assert upstream.charged == pytest.approx(len(asked) * (2 * VISION_COST + MAIN_COST))


def table() -> str:
    heads = [f"{route}{', stream' if stream else ''}" for route, stream in CASES]
    lines = [f"| situation | {' | '.join(heads)} |", "|---" * (len(CASES) + 1) + "|"]
    for name, cells in measured.items():
        amounts = [" / ".join(format_usd(Decimal(repr(round(amount, 12)))) for amount in cells[case]) for case in CASES]
        lines.append(f"| {name} | {' | '.join(amounts)} |")
    return "\n".join(lines)


def test_the_docs_show_the_table_of_this_run() -> None:
    if measured.keys() != SITUATIONS.keys():
        pytest.skip("not all situations were run")
    expect_table(DOCS, table())
