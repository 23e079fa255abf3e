"""LiteLLM's own FastAPI app in this process, started from a config file as its command line does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from support.app import running_app
from support.configs import BASE_PRICE, VISION_PRICE, proxy_config
from support.upstream import Upstream, running_upstream

if TYPE_CHECKING:
    from litellm.router import Router


@pytest.fixture(scope="package")
def shared_upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """The provider, without earlier requests and rules."""
    shared_upstream.reset()
    return shared_upstream


@pytest.fixture
def attached(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Router]:
    """Make a Router of a program with the plugin attached, even if a proxy runs in this process."""
    del upstream
    import litellm
    from litellm.proxy import proxy_server
    from litellm.router import Router

    from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

    monkeypatch.setattr(proxy_server, "llm_router", None)
    monkeypatch.setattr(litellm, "callbacks", [])

    def attach(config: ImageAnalysisConfig, **settings: Any) -> Router:
        router = Router(**settings)
        ImageAnalysis(config).attach(router)
        return router

    return attach


VISION = "openai/seeing-mini"
_PRICES = {
    name: {**price, "litellm_provider": "openai", "mode": "chat"}
    for name, price in (("openai/blind-chat", BASE_PRICE), (VISION, VISION_PRICE))
}


@pytest.fixture
def provider(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """The provider on loopback for LiteLLM as a library, with prices."""
    import litellm

    monkeypatch.setenv("OPENAI_API_KEY", "sk-a")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.base_url)
    monkeypatch.setattr(litellm, "model_cost", {**litellm.model_cost, **_PRICES})
    return upstream


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream) -> dict[str, Any]:
    """The app's config. A module may override it."""
    return proxy_config(shared_upstream)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started_app(
    config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    async with running_app(config, tmp_path_factory.mktemp("app")) as client:
        yield client


@pytest.fixture
def app(started_app: httpx.AsyncClient, upstream: Upstream) -> httpx.AsyncClient:
    """A client of the app."""
    del upstream
    return started_app


@pytest.fixture
def settings(app: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of the app's plugin for one test."""
    del app  # the app creates the plugin

    def change(**settings: Any) -> None:
        import litellm_image_analysis

        instance = litellm_image_analysis.image_analysis
        monkeypatch.setattr(instance, "config", instance.config.model_copy(update=settings))

    return change


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All log lines of the plugin, and LiteLLM's lines at its default level."""
    from litellm_image_analysis.log import LOGGER

    caplog.set_level(logging.DEBUG, LOGGER.name)
    return caplog
