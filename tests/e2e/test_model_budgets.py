"""Budgets of a key, a team or an end user for one model apply to its name with the suffix, and to vision calls.

LiteLLM's API sets such budgets for enterprise users only, so custom authentication sets them here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import litellm
import pytest
from support.configs import proxy_config
from support.features import needs_budget_fallbacks, needs_team_model_budgets
from support.images import image, message, text
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import Upstream

AUTH = """
from litellm.proxy._types import UserAPIKeyAuth

async def user_api_key_auth(request, api_key):
    _, scope, model, number = api_key.split("_")
    budget = {model: {"max_budget": 0.0001, "budget_duration": "1d"}}
    limits = {
        "key": {"model_max_budget": budget},
        "fallback": {"model_max_budget": budget, "budget_fallbacks": {"deepseek-chat": ["compatible"]}},
        "team": {"team_id": number, "team_model_max_budget": budget},
        "end-user": {"end_user_id": number, "end_user_model_max_budget": budget},
    }
    return UserAPIKeyAuth(api_key=api_key, **limits[scope])
"""
SPENT: int = getattr(litellm, "budget_exceeded_status_code", 400)
"""The HTTP status of LiteLLM for a used-up budget."""
BASE, VISION = "deepseek-chat", "gpt-4o-mini"
SCOPES = ("key", pytest.param("team", marks=needs_team_model_budgets), "end-user")
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [message(text("?"))]}),
    "completions": ("/v1/completions", {"prompt": "?"}),
    "messages": ("/v1/messages", {"messages": [message(text("?"))], "max_tokens": 9}),
    "responses": ("/v1/responses", {"input": "?"}),
}


@pytest.fixture(scope="module")
def budgeted(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("budgeted")
    (folder / "auth.py").write_text(AUTH)
    config = proxy_config(shared_upstream)
    config["general_settings"].update(custom_auth="auth.user_api_key_auth", custom_auth_run_common_checks=True)
    config["litellm_settings"]["enable_post_custom_auth_checks"] = True
    with running_proxy(config, folder) as proxy:
        yield proxy


@dataclass
class Caller:
    """A caller whose budget for one model is less than the cost of one call."""

    proxy: Proxy
    scope: str
    model: str

    def __post_init__(self) -> None:
        self.key = f"sk-_{self.scope}_{self.model}_{secrets.token_hex(4)}"

    def ask(self, model: str, *parts: dict[str, Any], **body: Any) -> httpx.Response:
        messages = [message(text("?"), *parts)]
        return self.post("/v1/chat/completions", {"model": model, "messages": messages, **body})

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        with self.proxy.client() as client:
            return client.post(path, json=body, headers={"Authorization": f"Bearer {self.key}"})

    def has_spent(self) -> bool:
        """Whether LiteLLM itself refuses the model for the caller."""
        return eventually(lambda: self.ask(self.model).status_code == SPENT, 10)


def refusal(response: httpx.Response) -> tuple[int, Any]:
    return response.status_code, response.json()["error"]


@pytest.mark.parametrize("scope", SCOPES)
def test_the_suffix_opens_no_way_around_a_model_s_budget(budgeted: Proxy, upstream: Upstream, scope: str) -> None:
    caller = Caller(budgeted, scope, BASE)
    assert caller.ask(f"{BASE}-ocr", image("a")).status_code == 200
    assert caller.has_spent()
    expected = refusal(caller.ask(BASE))
    upstream.reset()
    assert refusal(caller.ask(f"{BASE}-ocr", image("b"))) == expected
    assert refusal(caller.ask(f"{BASE}-ocr")) == expected
    assert upstream.requests == []


@pytest.mark.parametrize("route", ROUTES)
def test_nor_on_any_other_route(budgeted: Proxy, upstream: Upstream, route: str) -> None:
    path, body = ROUTES[route]
    caller = Caller(budgeted, "key", BASE)
    assert caller.ask(BASE).status_code == 200
    assert caller.has_spent()
    upstream.reset()
    assert caller.post(path, {**body, "model": f"{BASE}-ocr"}).status_code == SPENT
    assert upstream.requests == []


@pytest.mark.parametrize(("model", "chosen"), [(f"{BASE}-ocr", {}), (BASE, {"ocr_model": VISION})])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_vision_model_s_budget_is_spent_by_vision_calls_and_ends_them(
    budgeted: Proxy, upstream: Upstream, scope: str, model: str, chosen: dict[str, str]
) -> None:
    caller = Caller(budgeted, scope, VISION)
    assert caller.ask(f"{BASE}-ocr", image("a")).status_code == 200
    assert caller.has_spent()
    assert len(upstream.calls("seeing")) == 1
    expected = refusal(caller.ask(VISION))
    upstream.reset()
    assert refusal(caller.ask(model, image("b"), **chosen)) == expected
    assert upstream.requests == []
    assert caller.ask(model, **chosen).status_code == 200
    assert [body["model"] for body in upstream.requests] == ["blind-chat"]


@needs_budget_fallbacks
def test_a_key_s_fallback_for_a_model_it_cannot_pay_is_called(budgeted: Proxy, upstream: Upstream) -> None:
    caller = Caller(budgeted, "fallback", BASE)
    asked = f"{BASE}-ocr", image("a")

    def falls_back() -> bool:
        upstream.reset()
        assert caller.ask(*asked).status_code == 200
        return [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-compatible"]

    assert eventually(falls_back, 10)
