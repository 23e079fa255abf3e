"""A proxy with stricter settings, and callers whose keys may call only some models."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from support.configs import proxy_config
from support.features import denied_status
from support.guardrails import GUARD
from support.images import data_uri, image, message, text
from support.proxy import Proxy, running_proxy
from support.upstream import Rule, Upstream, images_in

URL = "/v1/chat/completions"
LIMITED_KEY = "sk-limited"
AUTH = f"""
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

async def user_api_key_auth(request, api_key):
    if api_key == "{LIMITED_KEY}":
        return UserAPIKeyAuth(api_key=api_key, models=["deepseek-chat", "other-vision", "multimodal-ocr"])
    return UserAPIKeyAuth(api_key=api_key, user_role=LitellmUserRoles.PROXY_ADMIN)
"""


@pytest.fixture(scope="module")
def strict(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("strict")
    (folder / "auth.py").write_text(AUTH)
    (folder / "guard.py").write_text(GUARD)
    config = proxy_config(
        shared_upstream,
        on_failure="reject",
        timeout_seconds=5,  # a first request pays for LiteLLM's lazy imports
        remote_urls="reject",
        prompt="Say what you see.",
        max_images=2,
        max_image_parts=3,
    )
    config["general_settings"]["custom_auth"] = "auth.user_api_key_auth"
    guard = {"guardrail": "guard.Guard", "mode": "pre_call", "default_on": False}
    config["guardrails"] = [{"guardrail_name": "guard", "litellm_params": guard}]
    config["model_list"][0]["litellm_params"]["guardrails"] = ["guard"]
    with running_proxy(config, folder) as proxy:
        yield proxy


def ask(strict: Proxy, *parts: dict[str, Any], key: str | None = None, **body: Any) -> httpx.Response:
    request = {"model": "deepseek-chat", "ocr_model": "other-vision", "messages": [message(text("?"), *parts)], **body}
    with strict.client() as client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client.post(URL, json=request, headers=headers)


def shows(mark: str, body: dict[str, Any]) -> bool:
    return images_in(body) == [data_uri(mark)]


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


@pytest.mark.parametrize(
    ("status", "expected", "words"),
    [
        (
            400,
            400,
            (
                "the vision model's provider rejected the call. Trying again does not help: ask the gateway's operator,"
                " or name another vision model"
            ),
        ),
        (
            401,
            502,
            (
                "the gateway's vision model is not set up correctly. Trying again does not help: the gateway's operator"
                " finds the cause in its log"
            ),
        ),
        (429, 429, "the vision model is over its rate limit. Try again later"),
        (500, 502, "the vision model is not available. Try again later"),
    ],
)
def test_reject_answers_with_a_status_a_client_can_act_on(
    strict: Proxy, upstream: Upstream, status: int, expected: int, words: str
) -> None:
    upstream.rules.append(Rule(partial(shows, "b"), status=status, error="SECRET", headers={"retry-after": "7"}))
    response = ask(strict, image("a"), image("b"))
    assert response.status_code == expected
    assert error_of(response)["message"] == f"messages[0].content[2] (image 2 of 2): {words}."
    assert error_of(response)["param"] == "messages[0].content[2]"
    assert response.headers.get("retry-after") == ("7" if status in {429, 500} else None)
    assert "SECRET" not in response.text
    assert upstream.calls("blind") == []


def test_a_vision_model_that_hangs_is_a_504(strict: Proxy, upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.rules.append(Rule(partial(shows, "a"), gate=gate))
    try:
        response = ask(strict, image("a"))
    finally:
        gate.set()
    assert response.status_code == 504
    assert "did not answer in time" in error_of(response)["message"]


def test_a_url_is_a_400_where_the_operator_rejects_urls(strict: Proxy, upstream: Upstream) -> None:
    response = ask(strict, {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}})
    assert response.status_code == 400
    assert "does not accept the image's URL" in error_of(response)["message"]
    assert upstream.requests == []


@pytest.mark.parametrize("part", [{"type": "image_url"}, {"type": "image_url", "image_url": {"url": "file:///etc"}}])
def test_a_part_that_names_no_usable_image_is_a_400(strict: Proxy, upstream: Upstream, part: dict[str, Any]) -> None:
    response = ask(strict, part)
    assert response.status_code == 400
    assert error_of(response)["param"] == "messages[0].content[1]"
    assert upstream.requests == []


def test_more_images_than_allowed_is_a_400_that_names_limit_setting_and_value(strict: Proxy) -> None:
    response = ask(strict, *map(image, "abcd"))
    assert response.status_code == 400
    assert error_of(response)["message"] == (
        "The request has 4 image parts, the limit is 3 (setting max_image_parts). Send fewer, or begin a new"
        " conversation."
    )


def test_more_images_than_are_looked_at_are_no_error(strict: Proxy, upstream: Upstream) -> None:
    assert ask(strict, *map(image, ("older", "b", "c"))).status_code == 200
    assert not any(shows("older", body) for body in upstream.requests)
    assert "older image, not looked at: max_images is 2" in str(upstream.calls("blind"))


def test_a_prompt_of_the_operator_s_replaces_the_built_in_one(strict: Proxy, upstream: Upstream) -> None:
    ask(strict, image("a"))
    (seen,) = upstream.calls("seeing")
    assert seen["messages"][0] == {"role": "system", "content": "Say what you see."}


def test_a_key_may_name_only_a_vision_model_it_may_call(strict: Proxy, upstream: Upstream) -> None:
    assert ask(strict, image("a"), key=LIMITED_KEY, ocr_model="other-vision").status_code == 200
    denied = ask(strict, image("a"), key=LIMITED_KEY, ocr_model="gpt-4o-mini")
    assert denied.status_code == denied_status()
    assert error_of(denied)["type"] == "key_model_access_denied"
    assert len(upstream.calls("seeing")) == 1


def test_the_choices_offered_are_those_the_key_may_call(strict: Proxy) -> None:
    message = error_of(ask(strict, image("a"), key=LIMITED_KEY, ocr_model="nope"))["message"]
    assert message == "ocr_model: this gateway serves no model 'nope'. Vision models you may call: other-vision."


def test_a_suffix_opens_no_model(strict: Proxy, upstream: Upstream) -> None:
    """The key's list has the name with the suffix, but not the model without it."""
    assert ask(strict, image("a"), key=LIMITED_KEY, model="multimodal-ocr").status_code == denied_status()
    assert upstream.requests == []


@pytest.mark.parametrize("model", ["deepseek-chat", "deepseek-chat-ocr"])
def test_a_suffix_evades_no_guardrail_of_the_model(strict: Proxy, upstream: Upstream, model: str) -> None:
    response = ask(strict, text("FORBIDDEN"), model=model)
    assert response.status_code == 400
    assert "the guardrail says no" in response.text
    assert upstream.requests == []
