"""Proxy: whether the client of the request at hand is still there, which LiteLLM tells no pre-call hook.

What LiteLLM does about clients that hang up is for its own setting to say, ``general_settings: cancel_on_disconnect``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

import anyio

from litellm_image_analysis.compat import proxy_global
from litellm_image_analysis.engine import containment
from litellm_image_analysis.errors import RequestError

T = TypeVar("T")
_Message: TypeAlias = "MutableMapping[str, Any]"
_Receive: TypeAlias = "Callable[[], Awaitable[_Message]]"

_line: ContextVar[_ClientConnection | None] = ContextVar("litellm_image_analysis_line", default=None)
"""To the client of the request at hand."""


class _ClientConnection:
    """What comes from one request's client, seen by who passes it on."""

    def __init__(self, receive: _Receive) -> None:
        self._receive = receive
        self._is_read = self._is_gone = False

    async def receive(self) -> _Message:
        """The next message; once the client is gone, that it is, as often as anybody asks."""
        if self._is_gone:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._is_gone = message["type"] == "http.disconnect"
        self._is_read = not message.get("more_body")
        return message

    async def wait_until_gone(self) -> None:
        """Wait for the client to hang up; for ever if its request has not been read, for that is others' to do."""
        while not self._is_gone:
            if not self._is_read:
                await anyio.sleep_forever()
            await self.receive()


class DisconnectMiddleware:
    """An ASGI application whose requests know their line.

    Args:
        app: serves them.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            line = _ClientConnection(receive)
            _line.set(line)
            receive = line.receive
        await self._app(scope, receive, send)


def watch() -> None:
    """Let requests of the proxy in this process know their line, from the next one on.

    LiteLLM loads callbacks when its application is starting, which takes no middleware from then on.
    """
    app: Any = proxy_global("app")
    if app is None or isinstance(app.middleware_stack, DisconnectMiddleware):
        return
    if app.middleware_stack is not None:
        app.middleware_stack = DisconnectMiddleware(app.middleware_stack)
    elif all(middleware.cls is not DisconnectMiddleware for middleware in app.user_middleware):
        app.add_middleware(DisconnectMiddleware)


async def cancel_on_disconnect(work: Awaitable[T]) -> T:
    """Do what is done for the client of the request at hand; if it hangs up and LiteLLM is to care, do no more of it.

    Raises:
        RequestError: the client is gone.
    """
    line, settings = _line.get(), proxy_global("general_settings")
    if line is None or not (isinstance(settings, Mapping) and settings.get("cancel_on_disconnect")):
        return await work
    with anyio.CancelScope() as scope:
        watching = asyncio.ensure_future(_cancel_once_gone(line, scope))
        try:
            return await work
        finally:
            watching.cancel()
    raise RequestError("The client closed the request.", status_code=499, code="client_closed_request")


async def _cancel_once_gone(line: _ClientConnection, scope: anyio.CancelScope) -> None:
    with containment.log_and_continue("watching for a disconnect"):
        await line.wait_until_gone()
        scope.cancel()
