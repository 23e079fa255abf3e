"""A request that LiteLLM's limits refuse makes no vision call. Guardrails read the texts that replace images."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.configs import proxy_config
from support.features import needs_guardrails_only, needs_uncounted_tokens
from support.guardrails import GUARD
from support.images import image, message, text
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import Rule, Upstream, images_in

URL = "/v1/chat/completions"
AUTH = """
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

LIMITS = {
    "rpm": {"rpm_limit": 1},
    "tpm": {"tpm_limit": 10},
    "minute": {"tpm_limit": 1000},
    "parallel": {"max_parallel_requests": 1},
    "model": {"metadata": {"model_rpm_limit": {"deepseek-chat": 1}}},
}

async def user_api_key_auth(request, api_key):
    limits = LIMITS.get(api_key.split("-")[1], {})
    return UserAPIKeyAuth(api_key=api_key, user_role=LitellmUserRoles.PROXY_ADMIN, **limits)
"""


@pytest.fixture(scope="module")
def limited(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("limited")
    (folder / "auth.py").write_text(AUTH)
    (folder / "guard.py").write_text(GUARD)
    config = proxy_config(shared_upstream)
    config["general_settings"]["custom_auth"] = "auth.user_api_key_auth"
    config["guardrails"] = [
        {"guardrail_name": name, "litellm_params": {"guardrail": name, "mode": "pre_call", "default_on": True}}
        for name in ("guard.Guard", "guard.Masker")
    ]
    with running_proxy(config, folder) as proxy:
        yield proxy


def asked(**body: Any) -> dict[str, Any]:
    return {"model": "deepseek-chat-ocr", "messages": [message(text("?"), image(secrets.token_hex(4)))], **body}


def post(proxy: Proxy, body: dict[str, Any], key: str = "none-1") -> httpx.Response:
    with proxy.client() as client:
        return client.post(URL, json=body, headers={"Authorization": f"Bearer sk-{key}"})


@needs_guardrails_only
@pytest.mark.parametrize("limits", ["rpm", "model"])
def test_a_request_too_many_makes_no_vision_call(limited: Proxy, upstream: Upstream, limits: str) -> None:
    headers = {"Authorization": f"Bearer sk-{limits}-{secrets.token_hex(4)}"}
    with limited.client() as client:
        statuses = [client.post(URL, json=asked(), headers=headers).status_code for _ in range(3)]
    assert statuses == [200, 429, 429]
    assert [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-chat"]


@needs_guardrails_only
def test_a_request_of_too_many_tokens_makes_no_vision_call(limited: Proxy, upstream: Upstream) -> None:
    body = asked()
    body["messages"][0]["content"].append(text("word " * 1000))
    assert post(limited, body, "tpm-1").status_code == 429
    assert upstream.requests == []


@pytest.fixture(scope="module")
def lenient(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The same limits, with ``count_vision_tokens: false``."""
    folder = tmp_path_factory.mktemp("lenient")
    (folder / "auth.py").write_text(AUTH)
    config = proxy_config(shared_upstream, count_vision_tokens=False)
    config["general_settings"]["custom_auth"] = "auth.user_api_key_auth"
    with running_proxy(config, folder) as proxy:
        yield proxy


@needs_guardrails_only
def test_vision_calls_alone_can_use_up_a_key_s_tokens(limited: Proxy, upstream: Upstream) -> None:
    """Each takes 1,100 tokens, and the key has 1,000 a minute. The main call fails and takes none."""
    upstream.rules.append(Rule(lambda body: body["model"] == "blind-chat", status=500))
    key = f"minute-{secrets.token_hex(4)}"
    assert post(limited, asked(max_tokens=9), key).status_code == 500
    assert eventually(lambda: post(limited, asked(max_tokens=9), key).status_code == 429)


@needs_uncounted_tokens
def test_they_take_none_if_they_are_not_to_count(lenient: Proxy, upstream: Upstream) -> None:
    upstream.rules.append(Rule(lambda body: body["model"] == "blind-chat", status=500, times=3))
    key = f"minute-{secrets.token_hex(4)}"
    assert [post(lenient, asked(max_tokens=9), key).status_code for _ in range(3)] == [500] * 3
    assert len(upstream.calls("seeing")) == 3
    assert post(lenient, asked(max_tokens=9), key).status_code == 200
    assert eventually(lambda: post(lenient, asked(max_tokens=9), key).status_code == 429)


@needs_guardrails_only
async def test_one_too_many_at_a_time_makes_no_vision_call(limited: Proxy, upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", gate=gate))
    headers = {"Authorization": f"Bearer sk-parallel-{secrets.token_hex(4)}"}
    async with httpx.AsyncClient(base_url=limited.url, headers=headers, timeout=60) as client:
        first = asyncio.ensure_future(client.post(URL, json=asked()))
        assert await asyncio.to_thread(eventually, lambda: upstream.in_flight == 1)
        assert (await client.post(URL, json=asked())).status_code == 429
        gate.set()
        assert (await first).status_code == 200
        assert [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-chat"]

        async def is_free() -> bool:
            return (await client.post(URL, json=asked())).status_code == 200

        for _ in range(50):  # the slot of the first request is released shortly after its answer
            if await is_free():
                break
        else:
            pytest.fail("the slot was not given back")


def test_a_guardrail_reads_what_stands_in_an_image_s_place(limited: Proxy, upstream: Upstream) -> None:
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", text="It says FORBIDDEN."))
    response = post(limited, asked())
    assert response.status_code == 400
    assert "the guardrail says no" in response.text
    assert upstream.calls("blind") == []


def test_a_guardrail_changes_what_stands_in_an_image_s_place(limited: Proxy, upstream: Upstream) -> None:
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", text="It says SECRET."))
    assert post(limited, asked()).status_code == 200
    (read,) = upstream.calls("blind")
    assert "It says [masked]." in read["messages"][0]["content"]
    assert images_in(read) == []


@needs_guardrails_only
def test_a_guardrail_s_refusal_of_the_words_makes_no_vision_call(limited: Proxy, upstream: Upstream) -> None:
    body = asked()
    body["messages"][0]["content"].append(text("FORBIDDEN"))
    assert post(limited, body).status_code == 400
    assert upstream.requests == []
