"""The plugin's middleware around LiteLLM's application."""

from __future__ import annotations

from types import ModuleType

import pytest
from starlette.applications import Starlette

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.proxy.middleware import Middleware, install

CONFIG, OTHER = ImageAnalysisConfig(), ImageAnalysisConfig(mode="auto")


@pytest.fixture
def app(proxy_module: ModuleType) -> Starlette:
    found = vars(proxy_module)["app"] = Starlette()
    return found


@pytest.mark.usefixtures("proxy_module")
def test_without_an_application_there_is_nothing_to_install() -> None:
    install(CONFIG)


def test_an_application_that_has_started_is_wrapped_once_and_gets_the_latest_settings(app: Starlette) -> None:
    inner = app.middleware_stack = app.build_middleware_stack()
    install(CONFIG)
    wrapped = app.middleware_stack
    install(OTHER)
    assert app.middleware_stack is wrapped is not inner
    assert isinstance(wrapped, Middleware)
    assert wrapped.lists.config is OTHER


def test_one_that_has_not_gets_its_middleware_once(app: Starlette) -> None:
    install(CONFIG)
    install(OTHER)
    assert [str(middleware.cls) for middleware in app.user_middleware] == [str(Middleware)]
    assert app.user_middleware[0].kwargs == {"config": OTHER}
