"""Whose spend a vision call is, on a real PostgreSQL with virtual keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.configs import proxy_config
from support.images import data_uri, image, message, text
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import Rule, Upstream, images_in

MAIN, VISION = 0.0012, 0.00021

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")


@pytest.fixture(scope="module")
def billed(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config = proxy_config(shared_upstream)
    config["general_settings"]["proxy_batch_write_at"] = 1
    env = {"DATABASE_URL": os.environ["DATABASE_URL"]}
    with running_proxy(config, tmp_path_factory.mktemp("billed"), env) as proxy:
        yield proxy


@pytest.fixture
def admin(billed: Proxy, upstream: Upstream) -> Iterator[httpx.Client]:
    with billed.client() as client:
        yield client


class Caller:
    """A fresh virtual key in a fresh team."""

    def __init__(self, admin: httpx.Client) -> None:
        self.admin = admin
        self.team = admin.post("/team/new", json={}).json()["team_id"]
        key = admin.post("/key/generate", json={"team_id": self.team, "models": ["deepseek-chat", "deepseek-chat-ocr"]})
        self.key, self.hash = key.json()["key"], key.json()["token"]

    def ask(self, *parts: dict[str, Any], **body: Any) -> httpx.Response:
        messages = [message(text("?"), *parts)]
        return self.post("/v1/chat/completions", {"messages": messages, "user": "end-user-1", **body})

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.admin.post(path, json={"model": "deepseek-chat-ocr", **body}, headers=headers)

    def rows(self, count: int) -> dict[str, dict[str, Any]]:
        """The key's spend-log rows by model group, once there are as many."""
        rows: list[dict[str, Any]] = []

        def are_there() -> bool:
            rows[:] = self.admin.get("/spend/logs", params={"api_key": self.hash}).json()
            return len(rows) >= count

        assert eventually(are_there)
        assert len(rows) == count
        return {row["model_group"] or row["model"]: row for row in rows}

    def spends(self) -> list[Any]:
        """Spend of the key and of its team, USD."""
        key = self.admin.get("/key/info", params={"key": self.key}).json()["info"]["spend"]
        team = self.admin.get("/team/info", params={"team_id": self.team}).json()["team_info"]["spend"]
        return [key, team]


@pytest.fixture
def caller(admin: httpx.Client) -> Caller:
    return Caller(admin)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_key_and_team_pay_for_both_models_in_two_rows_of_one_session(caller: Caller, stream: bool) -> None:
    assert caller.ask(image("a"), stream=stream).status_code == 200
    rows = caller.rows(2)
    parent, child = rows["deepseek-chat"], rows["gpt-4o-mini"]
    assert parent["spend"] == pytest.approx(MAIN, abs=1e-12)
    assert child["spend"] == pytest.approx(VISION, abs=1e-12)
    for column in ("api_key", "team_id", "end_user", "session_id"):
        assert child[column] == parent[column] != ""
    summary = parent["metadata"]["spend_logs_metadata"]["image_analysis"]
    assert summary.pop("duration_ms") >= 0
    assert summary == {
        "model": "gpt-4o-mini",
        "images": 1,
        "cached": 0,
        "failed": 0,
        "cost": pytest.approx(VISION, abs=1e-12),
        "call_ids": [child["request_id"]],
    }
    total = pytest.approx(MAIN + VISION, abs=1e-12)
    assert eventually(lambda: caller.spends() == [total, total]), caller.spends()


_SOURCE = {"type": "base64", "media_type": "image/png", "data": data_uri("a").split(",")[1]}
_ITEM = {"role": "user", "content": [{"type": "input_image", "image_url": data_uri("a")}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"messages": [message({"type": "image", "source": _SOURCE})], "max_tokens": 9}),
        ("/v1/responses", {"input": [_ITEM]}),
    ],
)
def test_anthropic_s_and_openai_s_agents_pay_alike(caller: Caller, path: str, body: dict[str, Any]) -> None:
    assert caller.post(path, body).status_code == 200
    child, parent = sorted(caller.rows(2).values(), key=lambda row: row["spend"])
    assert (child["spend"], parent["spend"]) == (pytest.approx(VISION, abs=1e-12), pytest.approx(MAIN, abs=1e-12))
    assert child["session_id"] == parent["session_id"] != ""
    assert parent["metadata"]["spend_logs_metadata"]["image_analysis"]["call_ids"] == [child["request_id"]]


def test_a_vision_call_is_paid_for_when_the_main_call_fails(caller: Caller, upstream: Upstream) -> None:
    upstream.rules.append(Rule(lambda body: body["model"].startswith("blind"), status=500))
    assert caller.ask(image("a")).status_code == 500
    assert eventually(lambda: caller.spends()[0] == pytest.approx(VISION, abs=1e-12)), caller.spends()


def test_a_failed_image_costs_nothing(caller: Caller, upstream: Upstream) -> None:
    upstream.rules.append(Rule(lambda body: images_in(body) == [data_uri("b")], status=400))
    assert caller.ask(image("a"), image("b")).status_code == 200
    total = pytest.approx(MAIN + VISION, abs=1e-12)
    assert eventually(lambda: caller.spends() == [total, total]), caller.spends()
