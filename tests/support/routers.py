"""Real routers without a network, and a double of the proxy's module with the attributes that the plugin reads."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router

from litellm_image_analysis.compat import view_of

TEAM, OTHER_TEAM = "team-1", "team-2"
ANYONE = UserAPIKeyAuth()


def deployment(name: str, model: str | None = None, **model_info: Any) -> dict[str, Any]:
    """A deployment of a model that LiteLLM does not know, unless ``model`` names a known one."""
    params = {"model": model or f"openai/unheard-of-{name}", "api_key": "none"}
    return {"model_name": name, "litellm_params": params, "model_info": model_info}


def team_deployment(name: str, **model_info: Any) -> dict[str, Any]:
    return deployment(f"{name}_{TEAM}_internal", team_id=TEAM, team_public_model_name=name, **model_info)


def router_of(*deployments: dict[str, Any], **kwargs: Any) -> Router:
    return Router(model_list=list(deployments), **kwargs)


def router_with_eyes(count: int) -> Router:
    return router_of(*(deployment(f"eyes-{number:02}", supports_vision=True) for number in range(count)))


@pytest.fixture(scope="module")
def router() -> Router:
    return router_of(
        deployment("deepseek-chat", id="deployment-1"),
        deployment("scan-ocr"),
        deployment("eyes", supports_vision=True),
        deployment("gpt-4o-mini", "openai/gpt-4o-mini"),
        deployment("blindfolded", "openai/gpt-4.1-nano", supports_vision=False),
        deployment("openai/*", "openai/*", supports_vision=True),
        team_deployment("team-eyes", supports_vision=True),
        team_deployment("team-scan-ocr"),
        model_group_alias={"chat": "deepseek-chat", "hidden": {"model": "deepseek-chat", "hidden": True}},
        routing_groups=[{"group_name": "chats", "models": ["deepseek-chat"], "routing_strategy": "simple-shuffle"}],
    )


@pytest.fixture
def proxy_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A double of the proxy's module, because importing the real one has side effects."""
    module = ModuleType("litellm.proxy.proxy_server")
    vars(module).update(
        llm_router=None, store_model_in_db=False, prisma_client=None, proxy_logging_obj=None, user_api_key_cache=None
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def copied_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let routers behave like those of LiteLLM 1.109: they copy the aliases that they get, and return copies."""
    if hasattr(Router, "registry"):  # ``view_of`` avoids the copies there
        view = type(view_of(router_of()))
        put = view.replace_aliases
        monkeypatch.setattr(view, "replace_aliases", lambda self, aliases: put(self, dict(dict.items(aliases))))
        return

    def get(router: Router) -> dict[str, Any]:
        return dict(vars(router)["aliases"])

    def put_copy(router: Router, aliases: dict[str, Any] | None) -> None:
        vars(router)["aliases"] = dict(dict.items(aliases or {}))

    monkeypatch.setattr(Router, "model_group_alias", property(get, put_copy), raising=False)
