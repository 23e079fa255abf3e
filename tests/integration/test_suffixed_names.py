"""A name with the suffix asks for analysis in fallbacks and aliases, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from litellm.router import Router
from support.billing import ROUTES
from support.configs import BASE_PRICE, VISION_PRICE, deployment, proxy_config
from support.images import image, message, text
from support.upstream import Rule, Upstream, images_in

from litellm_image_analysis import ImageAnalysisConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEEING = {**VISION_PRICE, "supports_vision": True}
CONTEXT_WINDOW = "This model's maximum context length is 10 tokens"
QUESTION: Any = [message(text("What is it?"), image("a"))]


def models(url: str) -> list[dict[str, Any]]:
    return [
        deployment("blind", "blind-chat", url, **BASE_PRICE),
        deployment("fragile", "seeing-fragile", url, **SEEING),
        deployment("short", "seeing-short", url, **SEEING),
        deployment("alone", "seeing-fragile", url, **SEEING),
        deployment("gpt-4o-mini", "seeing-mini", url, **SEEING),
    ]


ROUTER: dict[str, Any] = {
    "fallbacks": [{"fragile": ["blind-ocr"]}, {"fragile-alias": ["fast"]}],
    "context_window_fallbacks": [{"short": ["blind-ocr"]}],
    "model_group_alias": {"fast": "blind-ocr", "hidden": {"model": "blind-ocr", "hidden": True}},
    "num_retries": 0,
    "disable_cooldowns": True,
}


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream) -> dict[str, Any]:
    config = proxy_config(shared_upstream)
    config["model_list"] = models(shared_upstream.base_url)
    config["router_settings"] = ROUTER
    return config


@pytest.fixture(autouse=True)
def failing(upstream: Upstream) -> None:
    upstream.rules += [
        Rule(lambda body: body["model"] == "seeing-fragile", status=500),
        Rule(lambda body: body["model"] == "seeing-short", status=400, error=CONTEXT_WINDOW),
    ]


def calls(upstream: Upstream) -> list[tuple[str, int]]:
    """The called models, with the number of images of each call."""
    return [(body["model"], len(images_in(body))) for body in upstream.requests]


ANALYSED = [("seeing-mini", 1), ("blind-chat", 0)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_fallback_of_the_operators(
    app: httpx.AsyncClient, upstream: Upstream, route: str, *, stream: bool
) -> None:
    path, body = ROUTES[route]("fragile", "What is it?", ["a"], stream=stream)
    response = await app.post(path, json=body)
    await response.aread()
    assert response.status_code == 200
    assert calls(upstream)[1:] == ANALYSED


async def test_a_fallback_for_long_requests(app: httpx.AsyncClient, upstream: Upstream) -> None:
    response = await app.post("/v1/chat/completions", json={"model": "short", "messages": QUESTION})
    assert response.status_code == 200
    assert calls(upstream) == [("seeing-short", 1), *ANALYSED]


@pytest.mark.parametrize("fallback", ["blind-ocr", "fast", {"model": "blind-ocr"}])
async def test_a_fallback_of_the_callers(app: httpx.AsyncClient, upstream: Upstream, fallback: Any) -> None:
    body = {"model": "alone", "messages": QUESTION, "fallbacks": [fallback]}
    response = await app.post("/v1/chat/completions", json=body)
    assert response.status_code == 200
    assert calls(upstream) == [("seeing-fragile", 1), *ANALYSED]


async def test_the_cost_of_it_is_told(app: httpx.AsyncClient) -> None:
    response = await app.post("/v1/chat/completions", json={"model": "fragile", "messages": QUESTION})
    assert response.headers["x-litellm-image-analysis-images"] == "1"


async def test_false_switches_it_off(app: httpx.AsyncClient, upstream: Upstream) -> None:
    body = {"model": "fragile", "messages": QUESTION, "ocr_model": False}
    await app.post("/v1/chat/completions", json=body)
    assert "seeing-mini" not in dict(calls(upstream))


@pytest.mark.parametrize("alias", ["fast", "hidden", "fast-ocr"])
@pytest.mark.parametrize("route", ROUTES)
async def test_an_alias_of_the_operators(app: httpx.AsyncClient, upstream: Upstream, route: str, alias: str) -> None:
    path, body = ROUTES[route](alias, "What is it?", ["a"], stream=False)
    response = await app.post(path, json=body)
    assert response.status_code == 200, response.text
    assert calls(upstream) == ANALYSED


async def test_an_alias_may_have_another_vision_model(app: httpx.AsyncClient, upstream: Upstream) -> None:
    body = {"model": "fast", "messages": QUESTION, "ocr_model": "gpt-4o-mini"}
    assert (await app.post("/v1/chat/completions", json=body)).status_code == 200
    assert calls(upstream) == ANALYSED


class TestProgram:
    """The same with an attached Router."""

    @pytest.fixture
    def router(self, upstream: Upstream, attached: Callable[..., Router]) -> Router:
        return attached(ImageAnalysisConfig(), model_list=models(upstream.base_url), **ROUTER)

    @pytest.mark.parametrize("model", ["fragile", "short"])
    async def test_fallbacks(self, router: Router, upstream: Upstream, model: str) -> None:
        await router.acompletion(model, QUESTION)
        assert calls(upstream)[1:] == ANALYSED

    async def test_a_fallback_of_the_call(self, router: Router, upstream: Upstream) -> None:
        await router.acompletion("alone", QUESTION, fallbacks=["blind-ocr"])
        assert calls(upstream)[1:] == ANALYSED

    @pytest.mark.parametrize("alias", ["fast", "hidden"])
    async def test_aliases(self, router: Router, upstream: Upstream, alias: str) -> None:
        await router.acompletion(alias, QUESTION)
        assert calls(upstream) == ANALYSED
