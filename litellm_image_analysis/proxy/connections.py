"""Proxy: the connection to the client of a request, for cancellation on disconnect and for response headers.

LiteLLM does not tell pre-call hooks about a disconnect. LiteLLM's setting ``general_settings: cancel_on_disconnect``
switches the cancellation on. On ``/v1/messages`` LiteLLM calls no hook for the headers of an error.
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
_Send: TypeAlias = "Callable[[_Message], Awaitable[None]]"

_current: ContextVar[_ClientConnection | None] = ContextVar("litellm_image_analysis_current", default=None)
"""The connection to the client of the current request."""


class _ClientConnection:
    """The ASGI messages between the client of one request and the application.

    Attributes:
        headers: headers to add to the response, unless it has a header with the same name.
    """

    __slots__ = ("_is_gone", "_is_read", "_receive", "_send", "headers")

    def __init__(self, receive: _Receive, send: _Send) -> None:
        self._receive, self._send = receive, send
        self._is_read = self._is_gone = False
        self.headers: dict[str, str] = {}

    async def receive(self) -> _Message:
        """Return the next message. After a disconnect, return ``http.disconnect`` to every call."""
        if self._is_gone:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._is_gone = message["type"] == "http.disconnect"
        self._is_read = not message.get("more_body")
        return message

    async def send(self, message: _Message) -> None:
        """Send a message to the client."""
        if self.headers and message["type"] == "http.response.start":
            from starlette.datastructures import MutableHeaders  # may be missing in programs without a proxy

            headers = MutableHeaders(scope=message)
            for name, value in self.headers.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def wait_until_gone(self) -> None:
        """Wait until the client disconnects.

        If the request's body has not been read, this waits until it is cancelled, because the application has to read
        the body.
        """
        while not self._is_gone:
            if not self._is_read:
                await anyio.sleep_forever()
            await self.receive()


class ConnectionMiddleware:
    """ASGI middleware that gives the code that serves an HTTP request access to the client's connection.

    Args:
        app: the ASGI application that serves the requests.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            connection = _ClientConnection(receive, send)
            _current.set(connection)
            receive, send = connection.receive, connection.send
        await self._app(scope, receive, send)


def add_headers(headers: Mapping[str, str]) -> None:
    """Add headers to the response to the current request, unless it is already being sent."""
    connection = _current.get()
    if connection is not None:
        connection.headers.update(headers)


async def cancel_on_disconnect(work: Awaitable[T]) -> T:
    """Await work for the current request, and cancel it if the client disconnects.

    Without ``general_settings: cancel_on_disconnect``, the work is not cancelled.

    Args:
        work: the work, such as a coroutine.

    Returns:
        The result of the work.

    Raises:
        RequestError: the client has disconnected (status 499).
    """
    connection, settings = _current.get(), proxy_global("general_settings")
    if connection is None or not (isinstance(settings, Mapping) and settings.get("cancel_on_disconnect")):
        return await work
    with anyio.CancelScope() as scope:
        watching = asyncio.ensure_future(_cancel_once_gone(connection, scope))
        try:
            return await work
        finally:
            watching.cancel()
    raise RequestError("The client closed the request.", status_code=499, code="client_closed_request")


async def _cancel_once_gone(connection: _ClientConnection, scope: anyio.CancelScope) -> None:
    with containment.log_and_continue("watching for a disconnect"):
        await connection.wait_until_gone()
        scope.cancel()
