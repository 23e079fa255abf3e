"""Blocking calls, the methods of an attached Router, and streams that show their total cost."""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from litellm_image_analysis.billing import total
from litellm_image_analysis.compat import POSITIONAL, hidden_params
from litellm_image_analysis.engine import containment

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.billing.total import RequestCost

P = ParamSpec("P")
R = TypeVar("R")

_LOG_SECONDS = 1.0
"""Maximum number of seconds to wait for the cost at the end of a stream. LiteLLM usually reports it at once."""


_IN_LOOP = (
    *("acompletion", "aresponses", "anthropic_messages", "aanthropic_messages"),
    *("agenerate_content", "agenerate_content_stream"),
)
"""A Router's asynchronous methods for the wire formats with image analysis."""

_BLOCKING = {
    "completion": "acompletion",
    "responses": "aresponses",
    "generate_content": "agenerate_content",
    "generate_content_stream": "agenerate_content_stream",
}
"""A Router's blocking methods, each with the asynchronous method that does the same."""

_PREPARE = "_image_analysis_prepares_calls"
"""Attribute of a Router with the function that prepares its calls. It belongs to the instance that was attached
last."""


def blocking(function: Callable[P, R], in_loop: Callable[..., Awaitable[Any]]) -> Callable[P, R]:
    """Return a blocking function that calls LiteLLM's asynchronous one, in an event loop in a thread.

    It also works within a running event loop, but blocks it.

    Args:
        function: the blocking function that gives the name and the signature.
        in_loop: the asynchronous function. It is called with keyword arguments.
    """
    signature = parameters(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        portal = _Loop.portal()
        response: Any = portal.call(called, in_loop, by_name(signature, args, kwargs))
        if hasattr(response, "__aiter__"):
            return BlockingStream(response, portal)  # type: ignore[return-value] # replaces LiteLLM's blocking stream
        return response  # type: ignore[no-any-return]

    return call


def serve_calls(router: Router, prepared: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Prepare a Router's calls. Its blocking methods call the asynchronous ones, because callbacks see only those.

    Args:
        router: the Router. Its methods are replaced on the instance, once.
        prepared: gets a call's arguments by name and returns the arguments to call with. It replaces an earlier one.
    """
    is_served = _PREPARE in vars(router)
    vars(router)[_PREPARE] = prepared
    if is_served:
        return
    for name in _IN_LOOP:
        vars(router)[name] = _prepared(getattr(router, name), router)
    for name, in_loop in _BLOCKING.items():
        vars(router)[name] = blocking(getattr(router, name), getattr(router, in_loop))


def _prepared(function: Callable[P, Awaitable[R]], router: Router) -> Callable[P, Awaitable[R]]:
    signature = parameters(function)

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        arguments = vars(router)[_PREPARE](by_name(signature, args, kwargs))
        response: Any = await function(**arguments)  # type: ignore[call-arg]
        return response  # type: ignore[no-any-return]

    return call


def parameters(function: Callable[..., Any]) -> inspect.Signature:
    """Return a function's signature.

    A Router method may take ``*args`` and ``**kwargs`` only. The result then names the parameters that LiteLLM accepts
    by position.
    """
    signature, kinds = inspect.signature(function), inspect.Parameter
    if not any(parameter.kind is kinds.VAR_POSITIONAL for parameter in signature.parameters.values()):
        return signature
    names = POSITIONAL.get(function.__name__, ())
    known = [kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=None) for name in names]
    return inspect.Signature([*known, kinds("kwargs", kinds.VAR_KEYWORD)])


def by_name(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments by name, because LiteLLM shows only these to callbacks.

    Args:
        signature: the function's signature.
        args: the positional arguments.
        kwargs: the keyword arguments.

    Raises:
        TypeError: the arguments do not fit the signature.
    """
    named: dict[str, Any] = dict(signature.bind(*args, **kwargs).arguments)
    named |= named.pop("kwargs", {})
    return named


async def called(function: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
    """Call a LiteLLM function and return its response. The stream of an analysed call shows the total cost at its end.

    Args:
        function: an asynchronous function.
        arguments: its keyword arguments.
    """
    total.LATEST_COST.set(None)
    response = await function(**arguments)
    made = total.LATEST_COST.get()
    return response if made is None or not hasattr(response, "__aiter__") else Stream(response, made)


class Stream:
    """A LiteLLM stream whose hidden parameters show the total cost after the last chunk.

    Args:
        stream: LiteLLM's stream.
        made: the cost record of its call.
    """

    def __init__(self, stream: Any, made: RequestCost) -> None:
        self._stream = stream
        self._made = made
        self._hidden_params: dict[str, Any] = dict(hidden_params(stream))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of LiteLLM's stream."""
        return getattr(self._stream, name)

    def __aiter__(self) -> Stream:
        """Return the stream itself."""
        return self

    async def __anext__(self) -> Any:
        """Return the next chunk."""
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            with anyio.move_on_after(_LOG_SECONDS):
                await self._made.is_settled.wait()
            with containment.log_and_continue("reporting the cost of a stream"):
                total.show_total(self, self._made)
            raise


class BlockingStream:
    """An asynchronous stream as a blocking one.

    Args:
        stream: the asynchronous stream.
        portal: the event loop of the stream.
    """

    def __init__(self, stream: Any, portal: BlockingPortal) -> None:
        self._stream = stream
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the asynchronous stream."""
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        """Return the stream itself."""
        return self

    def __next__(self) -> Any:
        """Return the next chunk."""
        try:
            return self._portal.call(self._stream.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None


class _Loop:
    """An event loop in its own thread, until the process ends. HTTP clients and LiteLLM's logging run in it."""

    _lock = threading.Lock()
    _running: tuple[int, BlockingPortal] | None = None
    """The process id and the loop's portal. A forked process does not have the thread and starts its own loop."""

    @classmethod
    def portal(cls) -> BlockingPortal:
        with cls._lock:
            if cls._running is None or cls._running[0] != os.getpid():
                cls._running = os.getpid(), cls._start()
            return cls._running[1]

    @staticmethod
    def _start() -> BlockingPortal:
        started: list[BlockingPortal] = []
        is_up = threading.Event()

        async def serve() -> None:
            async with BlockingPortal() as portal:
                started.append(portal)
                is_up.set()
                await portal.sleep_until_stopped()

        threading.Thread(target=anyio.run, args=(serve,), name="litellm-image-analysis", daemon=True).start()
        is_up.wait()
        return started[0]
