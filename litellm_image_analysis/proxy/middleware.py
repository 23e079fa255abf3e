"""Proxy: the plugin's ASGI middleware around LiteLLM's HTTP application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litellm_image_analysis.compat import proxy_global
from litellm_image_analysis.proxy.connections import ConnectionMiddleware
from litellm_image_analysis.proxy.model_lists import ModelListMiddleware, is_model_list

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from litellm_image_analysis.config import ImageAnalysisConfig


class Middleware:
    """Gives access to client connections, and edits lists of models.

    Args:
        app: the ASGI application that serves the requests.
        config: the settings.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], config: ImageAnalysisConfig) -> None:
        self.lists = ModelListMiddleware(app, config)
        self._of_lists = ConnectionMiddleware(self.lists)
        self._of_others = ConnectionMiddleware(app)

    def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        """Serve one connection."""
        return (self._of_lists if is_model_list(scope) else self._of_others)(scope, receive, send)


def install(config: ImageAnalysisConfig) -> None:
    """Install the middleware in the proxy of this process. It applies from the next request on.

    LiteLLM loads callbacks while its application is starting. If the application accepts no new middleware then, this
    middleware is put around the existing ones.

    Args:
        config: the settings. If the middleware is already installed, it uses these from now on.
    """
    app: Any = proxy_global("app")
    if app is None:
        return
    if isinstance(app.middleware_stack, Middleware):
        app.middleware_stack.lists.config = config
    elif app.middleware_stack is not None:
        app.middleware_stack = Middleware(app.middleware_stack, config)
    else:
        app.user_middleware[:] = [each for each in app.user_middleware if each.cls is not Middleware]
        app.add_middleware(Middleware, config=config)
