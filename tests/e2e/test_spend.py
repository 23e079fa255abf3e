"""Vision calls in LiteLLM's spend logs, on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from psycopg.rows import dict_row
from support.billing import ROUTES, Caller, database
from support.configs import proxy_config
from support.images import data_uri
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import ANSWER, MAIN_COST, VISION_COST, Rule, Upstream, description_of

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")

Row = dict[str, Any]
ROWS = 'SELECT * FROM "LiteLLM_SpendLogs" WHERE api_key = %s'
STORED = {"messages": "messages", "responses": "input", "generateContent": "contents", "chat": "messages"}
"""The key of the conversation in each route's request."""


def gateway(upstream: Upstream, **general: Any) -> dict[str, Any]:
    config = proxy_config(upstream)
    config["general_settings"] |= {"proxy_batch_write_at": 1, **general}
    return config


@pytest.fixture(scope="module")
def billed(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A gateway that stores requests and answers in the spend logs."""
    config = gateway(shared_upstream, store_prompts_in_spend_logs=True)
    env = {"DATABASE_URL": os.environ["DATABASE_URL"]}
    with running_proxy(config, tmp_path_factory.mktemp("billed"), env) as proxy:
        yield proxy


@pytest.fixture
def admin(billed: Proxy, upstream: Upstream) -> Iterator[httpx.Client]:
    del upstream
    with billed.client() as client:
        yield client


def rows_of(caller: Caller, count: int) -> dict[str, Row]:
    """Wait for this number of rows of the key. Returns them by model group."""
    rows: list[Row] = []

    def are_there() -> bool:
        rows[:] = database().cursor(row_factory=dict_row).execute(ROWS, (caller.key,)).fetchall()
        return len(rows) >= count

    assert eventually(are_there)
    assert len(rows) == count
    return {row["model_group"]: row for row in rows}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("route", ROUTES)
def test_one_session_has_a_row_for_each_model_and_they_name_each_other(
    admin: httpx.Client, route: str, stream: bool
) -> None:
    caller, mark = Caller(admin), secrets.token_hex(6)
    response = caller.send(ROUTES[route]("deepseek-chat-ocr", "What is it?", [mark], stream=stream))
    assert response.status_code == 200
    rows = rows_of(caller, 2)
    parent, child = rows["deepseek-chat"], rows["gpt-4o-mini"]

    for column in ("api_key", "user", "team_id", "organization_id", "end_user", "session_id"):
        assert child[column] == parent[column] != "", column
    assert sorted(child["request_tags"]) == sorted([*parent["request_tags"], "image-analysis"])
    assert (child["call_type"], child["total_tokens"], child["status"]) == ("acompletion", 1100, "success")
    assert child["model"] == "openai/seeing-mini"
    assert child["endTime"] >= child["startTime"]
    assert child["spend"] == pytest.approx(VISION_COST, abs=1e-12)
    assert parent["spend"] == pytest.approx(MAIN_COST, abs=1e-12)

    summary = parent["metadata"]["spend_logs_metadata"]["image_analysis"]
    assert summary.pop("duration_ms") >= 0
    assert summary == {
        "model": "gpt-4o-mini",
        "images": 1,
        "cached": 0,
        "failed": 0,
        "cost": pytest.approx(VISION_COST, abs=1e-12),
        "call_ids": [child["request_id"]],
    }
    named = child["metadata"]["spend_logs_metadata"]["image_analysis"]
    assert named == {"parent_call_id": response.headers["x-litellm-call-id"]}
    if route != "generateContent":  # LiteLLM's bridge makes a separate call for it
        assert parent["metadata"]["litellm_call_id"] == named["parent_call_id"]


@pytest.mark.parametrize("route", ROUTES)
def test_stored_prompts_show_question_and_analysis_and_no_image(admin: httpx.Client, route: str) -> None:
    caller, mark = Caller(admin), secrets.token_hex(6)
    assert caller.post(ROUTES[route]("deepseek-chat-ocr", "What is it?", [mark], stream=False)) == 200
    rows = rows_of(caller, 2)
    parent, child = rows["deepseek-chat"], rows["gpt-4o-mini"]
    analysis = description_of(data_uri(mark))
    question = json.dumps(child["proxy_server_request"])
    assert "You are the eyes of a text-only model." in question
    assert "What is it?" in question
    assert analysis in json.dumps(child["response"])
    assert analysis in json.dumps(parent["proxy_server_request"][STORED[route]])
    assert ANSWER in json.dumps(parent["response"])
    payload = data_uri(mark).partition(",")[2]
    assert payload not in json.dumps(list(rows.values()), default=str)


def test_a_vision_call_that_was_paid_for_has_its_row_when_the_main_call_fails(
    admin: httpx.Client, upstream: Upstream
) -> None:
    upstream.rules.append(Rule(lambda body: body["model"] == "blind-chat", status=500))
    caller = Caller(admin)
    assert caller.post(ROUTES["chat"]("deepseek-chat-ocr", "?", [secrets.token_hex(6)], stream=False)) == 500
    rows = rows_of(caller, 2)
    assert rows["gpt-4o-mini"]["spend"] == pytest.approx(VISION_COST, abs=1e-12)
    failed = next(row for name, row in rows.items() if name != "gpt-4o-mini")
    assert (failed["status"], failed["spend"]) == ("failure", 0)
    assert failed["session_id"] == rows["gpt-4o-mini"]["session_id"]


def test_without_stored_prompts_no_row_tells_what_was_seen(
    shared_upstream: Upstream, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    del upstream
    folder, env = tmp_path_factory.mktemp("silent"), {"DATABASE_URL": os.environ["DATABASE_URL"]}
    with running_proxy(gateway(shared_upstream), folder, env) as proxy, proxy.client() as admin:
        caller, mark = Caller(admin), secrets.token_hex(6)
        assert caller.post(ROUTES["chat"]("deepseek-chat-ocr", "What is it?", [mark], stream=False)) == 200
        told = json.dumps(list(rows_of(caller, 2).values()), default=str)
    assert description_of(data_uri(mark)) not in told
    assert "What is it?" not in told
