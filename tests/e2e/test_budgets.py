"""A used-up budget allows no vision call, and a budget counts what was charged, on a real PostgreSQL.

LiteLLM's API creates organisations for enterprise users only. Their budgets are checked with the others.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from support.configs import deployment, proxy_config
from support.images import data_uri, image, message, text
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import MAIN_COST, VISION_COST, Body, Rule, Upstream

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")

CHAT = "/v1/chat/completions"
SCOPES = ("key", "team", "team member", "user", "end user", "tag")


@pytest.fixture(scope="module")
def billed(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config = proxy_config(shared_upstream, cache={})
    config["general_settings"]["proxy_batch_write_at"] = 1
    free = deployment("free", "blind-free", shared_upstream.base_url)
    free["litellm_params"].update(input_cost_per_token=0.0, output_cost_per_token=0.0)
    config["model_list"].append(free)
    env = {"DATABASE_URL": os.environ["DATABASE_URL"]}
    with running_proxy(config, tmp_path_factory.mktemp("billed"), env) as proxy:
        yield proxy


@pytest.fixture
def admin(billed: Proxy, upstream: Upstream) -> Iterator[httpx.Client]:
    with billed.client() as client:
        yield client


@dataclass
class Caller:
    """A new key, and the extra parameters of its requests."""

    admin: httpx.Client
    key: str
    carries: dict[str, Any] = field(default_factory=dict)

    def ask(self, *parts: dict[str, Any], model: str = "deepseek-chat-ocr", **body: Any) -> httpx.Response:
        return self.post(CHAT, {"model": model, "messages": [message(text("?"), *parts)], **self.carries, **body})

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self.admin.post(path, json=body, headers={"Authorization": f"Bearer {self.key}"})

    def spend(self) -> float:
        """The spend of the key in the database, in USD."""
        return float(made(self.admin, "GET", "/key/info", params={"key": self.key})["info"]["spend"])


def made(admin: httpx.Client, method: str, path: str, **options: Any) -> dict[str, Any]:
    response = admin.request(method, path, **options)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def caller_with_budget(admin: httpx.Client, scope: str, usd: float) -> Caller:
    """A new caller with a budget on its key, team, user or another owner."""

    def new(path: str, **body: Any) -> dict[str, Any]:
        return made(admin, "POST", path, json=body)

    name, budget = f"{scope.replace(' ', '-')}-{secrets.token_hex(4)}", {"max_budget": usd}
    key: dict[str, Any] = {}
    carries: dict[str, Any] = {}
    if scope == "key":
        key = budget
    elif scope == "team":
        key = {"team_id": new("/team/new", **budget)["team_id"]}
    elif scope == "user":
        key = {"user_id": new("/user/new", auto_create_key=False, **budget)["user_id"]}
    elif scope == "team member":
        key = {
            "team_id": new("/team/new")["team_id"],
            "user_id": new("/user/new", auto_create_key=False)["user_id"],
        }
        member = {"user_id": key["user_id"], "role": "user"}
        new("/team/member_add", team_id=key["team_id"], member=member, max_budget_in_team=usd)
    elif scope == "end user":
        new("/customer/new", user_id=name, **budget)
        carries = {"user": name}
    else:
        new("/tag/new", name=name, **budget)
        carries = {"metadata": {"tags": [name]}}
    return Caller(admin, new("/key/generate", **key)["key"], carries)


@pytest.mark.parametrize("scope", SCOPES)
def test_who_has_spent_a_budget_makes_no_vision_call(admin: httpx.Client, upstream: Upstream, scope: str) -> None:
    """Not even for a model that costs nothing, for which LiteLLM itself checks no budget."""
    caller = caller_with_budget(admin, scope, MAIN_COST / 2)
    assert caller.ask(image("a")).status_code == 200
    assert eventually(lambda: caller.ask().status_code == 422)
    upstream.reset()
    new_image = image(secrets.token_hex(4))
    refused = [
        caller.ask(new_image),
        caller.ask(new_image, stream=True),
        caller.ask(new_image, model="free-ocr"),
        caller.ask(new_image, model="free", ocr_model="gpt-4o-mini"),
    ]
    assert [response.status_code for response in refused] == [422] * 4
    assert {response.json()["error"]["type"] for response in refused} == {"budget_exceeded"}
    assert upstream.requests == []
    assert caller.ask(model="free-ocr").status_code == 200


@pytest.mark.parametrize("scope", SCOPES)
def test_vision_calls_alone_spend_a_budget(admin: httpx.Client, upstream: Upstream, scope: str) -> None:
    caller = caller_with_budget(admin, scope, VISION_COST / 2)

    def is_refused() -> bool:
        return caller.ask(image(secrets.token_hex(4)), model="free-ocr").status_code == 422

    assert not is_refused()
    assert eventually(is_refused)
    assert upstream.calls("blind-chat") == []


@pytest.mark.parametrize("model", ["deepseek-chat-ocr", "free-ocr"])
def test_a_request_of_many_images_ends_with_its_budget(admin: httpx.Client, upstream: Upstream, model: str) -> None:
    caller = caller_with_budget(admin, "key", 2.5 * VISION_COST)
    upstream.rules.append(Rule(lambda body: not of_main(body), delay_seconds=0.5))
    answer = caller.ask(*(image(secrets.token_hex(4)) for _ in range(20)), model=model)
    assert answer.status_code == 200
    assert len(upstream.calls("seeing")) <= 16  # eight at a time, and the second eight may begin before the first count


def of_main(body: Body) -> bool:
    return not str(body["model"]).startswith("seeing")


def chat(mark: str) -> tuple[str, dict[str, Any]]:
    return CHAT, {"messages": [message(text("?"), image(mark))]}


def messages(mark: str) -> tuple[str, dict[str, Any]]:
    source = {"type": "base64", "media_type": "image/png", "data": data_uri(mark).split(",")[1]}
    return "/v1/messages", {"messages": [message(text("?"), {"type": "image", "source": source})], "max_tokens": 9999}


def responses(mark: str) -> tuple[str, dict[str, Any]]:
    item = {"role": "user", "content": [{"type": "input_image", "image_url": data_uri(mark)}]}
    return "/v1/responses", {"input": [item]}


BOTH = MAIN_COST + VISION_COST
SITUATIONS: dict[str, tuple[list[Rule], bool, int, list[float]]] = {
    "all is well": ([], True, 200, [BOTH, BOTH, BOTH]),
    "asked again": ([], False, 200, [BOTH, MAIN_COST, MAIN_COST]),
    "the main call fails": ([Rule(of_main, status=500)], True, 500, [VISION_COST, VISION_COST, VISION_COST]),
}
"""Rules of the provider, whether each request has a new image, the answer's status, and the USD of each request."""


@pytest.mark.parametrize(("rules", "others", "status", "costs"), SITUATIONS.values(), ids=SITUATIONS)
def test_a_budget_lasts_for_what_was_charged_and_nothing_stays_reserved(
    admin: httpx.Client, upstream: Upstream, rules: list[Rule], others: bool, status: int, costs: list[float]
) -> None:
    """All routes at once. LiteLLM reserves the maximum cost of a request: here, the rest of the budget."""
    upstream.rules.extend(rules)

    def spend(case: tuple[Any, bool]) -> Caller:
        caller, (route, stream) = caller_with_budget(admin, "key", sum(costs) - 1e-6), case
        first, spent = secrets.token_hex(4), 0.0
        for cost in costs:
            path, body = route(secrets.token_hex(4) if others else first)
            spent += cost
            answer = caller.post(path, {"model": "deepseek-chat-ocr", "stream": stream, **body})
            assert answer.status_code == status, answer.text
            assert eventually(lambda: caller.spend() == pytest.approx(spent, abs=1e-9)), (caller.spend(), spent)  # noqa: B023
        return caller

    cases = [(route, stream) for route in (chat, messages, responses) for stream in (False, True)]
    with ThreadPoolExecutor(len(cases)) as pool:
        callers = list(pool.map(spend, cases))
    upstream.rules[:] = [
        Rule(lambda _: True, status=500)
    ]  # requests that pass while LiteLLM is still counting cost nothing
    for caller in callers:
        refusals: list[httpx.Response] = []
        assert eventually(lambda: refused(caller, refusals), 10)  # noqa: B023
        assert counted(refusals[0]) == pytest.approx(sum(costs), abs=1e-9)


def refused(caller: Caller, refusals: list[httpx.Response]) -> bool:
    answer = caller.ask()
    if answer.status_code == 422:
        refusals.append(answer)
    return bool(refusals)


def counted(refusal: httpx.Response) -> float:
    """The value of LiteLLM's counter when it refused a request, in USD."""
    found = re.search(r"Current cost: ([0-9.e-]+)", refusal.json()["error"]["message"])
    assert found is not None, refusal.text
    return float(found[1])


async def test_what_a_request_reserved_stays_reserved_when_its_vision_call_is_paid(
    admin: httpx.Client, upstream: Upstream
) -> None:
    """If the vision call settled the reservation, others could spend it while the main call runs."""
    caller = caller_with_budget(admin, "key", BOTH - 1e-6)
    gate = threading.Event()
    upstream.rules.append(Rule(of_main, gate=gate))
    first = asyncio.create_task(asyncio.to_thread(caller.ask, image(secrets.token_hex(4))))
    try:
        assert await asyncio.to_thread(eventually, lambda: caller.spend() == pytest.approx(VISION_COST, abs=1e-9))
        second = await asyncio.to_thread(caller.ask, image(secrets.token_hex(4)))
    finally:
        gate.set()
    assert (await first).status_code == 200
    assert second.status_code == 422
    assert [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-chat"]
