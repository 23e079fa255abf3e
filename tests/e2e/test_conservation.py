"""What is billed is what the provider charged: every sum that LiteLLM keeps, on a real PostgreSQL."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from support.configs import proxy_config
from support.images import data_uri, image, message, text
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import Body, Rule, Upstream

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")

SUMS = {
    "rows": 'SELECT sum(spend) FROM "LiteLLM_SpendLogs" WHERE api_key = %(key)s',
    "key": 'SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = %(key)s',
    "team": 'SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = %(team)s',
    "user": 'SELECT spend FROM "LiteLLM_UserTable" WHERE user_id = %(user)s',
    "end user": 'SELECT spend FROM "LiteLLM_EndUserTable" WHERE user_id = %(end_user)s',
    "key by day": 'SELECT sum(spend) FROM "LiteLLM_DailyUserSpend" WHERE api_key = %(key)s',
    "team by day": 'SELECT sum(spend) FROM "LiteLLM_DailyTeamSpend" WHERE team_id = %(team)s',
    "end user by day": 'SELECT sum(spend) FROM "LiteLLM_DailyEndUserSpend" WHERE end_user_id = %(end_user)s',
    "tag by day": 'SELECT sum(spend) FROM "LiteLLM_DailyTagSpend" WHERE tag = %(tag)s',
}
"""Each place where LiteLLM keeps what the caller spent."""


@pytest.fixture(scope="module")
def billed(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config = proxy_config(shared_upstream, cache={})
    config["general_settings"]["proxy_batch_write_at"] = 1
    env = {"DATABASE_URL": os.environ["DATABASE_URL"]}
    with running_proxy(config, tmp_path_factory.mktemp("billed"), env) as proxy:
        yield proxy


class Caller:
    """A new key of a new user in a new team, who asks for a new end user under a new tag."""

    def __init__(self, admin: httpx.Client) -> None:
        self._admin = admin
        self.team = admin.post("/team/new", json={}).json()["team_id"]
        self.user = admin.post("/user/new", json={"auto_create_key": False}).json()["user_id"]
        made = admin.post("/key/generate", json={"team_id": self.team, "user_id": self.user}).json()
        self._secret, self.key = made["key"], made["token"]
        self.end_user, self.tag = f"end-user-{secrets.token_hex(4)}", f"tag-{secrets.token_hex(4)}"

    def post(self, path: str, body: dict[str, Any]) -> int:
        headers = {"Authorization": f"Bearer {self._secret}", "x-litellm-tags": self.tag}
        return self._admin.post(path, json={"model": "deepseek-chat-ocr", **body}, headers=headers).status_code

    def sums(self) -> dict[str, float]:
        identity = {name: getattr(self, name) for name in ("key", "team", "user", "end_user", "tag")}
        with psycopg.connect(os.environ["DATABASE_URL"]) as database:
            rows = {name: database.execute(query, identity).fetchone() for name, query in SUMS.items()}
        return {name: float(row[0] or 0) if row else 0.0 for name, row in rows.items()}


def chat(mark: str, end_user: str) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {"messages": [message(text("?"), image(mark))], "user": end_user}


def messages(mark: str, end_user: str) -> tuple[str, dict[str, Any]]:
    source = {"type": "base64", "media_type": "image/png", "data": data_uri(mark).split(",")[1]}
    said = [message(text("?"), {"type": "image", "source": source})]
    return "/v1/messages", {"messages": said, "max_tokens": 9, "metadata": {"user_id": end_user}}


def responses(mark: str, end_user: str) -> tuple[str, dict[str, Any]]:
    item = {"role": "user", "content": [{"type": "input_image", "image_url": data_uri(mark)}]}
    return "/v1/responses", {"input": [item], "user": end_user}


def of_vision(body: Body) -> bool:
    return str(body["model"]).startswith("seeing")


def of_main(body: Body) -> bool:
    return not of_vision(body)


SITUATIONS: dict[str, tuple[list[Rule], int, int]] = {
    "all is well": ([], 1, 200),
    "asked again": ([], 3, 200),
    "the vision call fails": ([Rule(of_vision, status=500)], 1, 200),
    "the vision call says nothing": ([Rule(of_vision, text="")], 1, 200),
    "the main call fails": ([Rule(of_main, status=500)], 1, 500),
    "both fail": ([Rule(lambda _: True, status=500)], 1, 500),
}
"""Rules of the provider, how often the caller asks the same, and what it is answered."""


@pytest.mark.parametrize(("rules", "times", "status"), SITUATIONS.values(), ids=SITUATIONS)
def test_every_sum_is_what_the_provider_charged(
    billed: Proxy, upstream: Upstream, rules: list[Rule], times: int, status: int
) -> None:
    """All routes at once: LiteLLM takes some seconds to write what it has counted."""
    upstream.rules.extend(rules)
    charged: dict[tuple[str, bool], float] = {}
    callers: dict[tuple[str, bool], Caller] = {}
    with billed.client() as admin:
        for route in (chat, messages, responses):
            for stream in (False, True):
                case, before = (route.__name__, stream), upstream.charged
                callers[case] = Caller(admin)
                path, body = route(secrets.token_hex(4), callers[case].end_user)
                statuses = [callers[case].post(path, {**body, "stream": stream}) for _ in range(times)]
                assert statuses == [status] * times, case
                charged[case] = upstream.charged - before
    expected = {case: dict.fromkeys(SUMS, pytest.approx(charged[case], abs=1e-9)) for case in callers}

    def billed_sums() -> dict[tuple[str, bool], dict[str, float]]:
        return {case: caller.sums() for case, caller in callers.items()}

    assert eventually(lambda: billed_sums() == expected, 30), (charged, billed_sums())
