"""An attached Router's methods, calls for code without an event loop, and streams that show their total."""

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
"""How long the end of a stream may wait for LiteLLM to say what it cost, which it does at once."""


_IN_LOOP = (
    *("acompletion", "aresponses", "anthropic_messages", "aanthropic_messages"),
    *("agenerate_content", "agenerate_content_stream"),
)
"""A Router's methods that make calls of the wire formats that are served, in an event loop."""

_BLOCKING = {
    "completion": "acompletion",
    "responses": "aresponses",
    "generate_content": "agenerate_content",
    "generate_content_stream": "agenerate_content_stream",
}
"""A Router's methods that block, and those that do the same in an event loop."""

_PREPARE = "_image_analysis_prepares_calls"
"""Attribute of a Router: prepares its calls, for the instance that was attached last."""


def blocking(function: Callable[P, R], in_loop: Callable[..., Awaitable[Any]]) -> Callable[P, R]:
    """A blocking function made of the one LiteLLM has for event loops, also for code that blocks one.

    Args:
        function: whose signature and name it has.
        in_loop: what does the work, called by name.
    """
    signature = parameters(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        portal = _Loop.portal()
        response: Any = portal.call(called, in_loop, by_name(signature, args, kwargs))
        if hasattr(response, "__aiter__"):
            return BlockingStream(response, portal)  # type: ignore[return-value] # in the stream's place
        return response  # type: ignore[no-any-return]

    return call


def serve_calls(router: Router, prepared: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Prepare a Router's calls, and let its blocking methods call the asynchronous ones, which callbacks are shown.

    Args:
        router: its methods are replaced on the instance, once.
        prepared: gets a call's arguments by name, and returns those to call with; it takes the place of an earlier one.
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
    """A function's signature; for a Router's method that has none to speak of, the one that LiteLLM holds calls to."""
    signature, kinds = inspect.signature(function), inspect.Parameter
    if not any(parameter.kind is kinds.VAR_POSITIONAL for parameter in signature.parameters.values()):
        return signature
    names = POSITIONAL.get(function.__name__, ())
    known = [kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=None) for name in names]
    return inspect.Signature([*known, kinds("kwargs", kinds.VAR_KEYWORD)])


def by_name(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    """Arguments as callbacks get to see them.

    Raises:
        TypeError: they do not fit the signature.
    """
    named: dict[str, Any] = dict(signature.bind(*args, **kwargs).arguments)
    named |= named.pop("kwargs", {})
    return named


async def called(function: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
    """LiteLLM's answer; a stream whose call was analysed will show its total."""
    total.LATEST_COST.set(None)
    response = await function(**arguments)
    made = total.LATEST_COST.get()
    return response if made is None or not hasattr(response, "__aiter__") else Stream(response, made)


class Stream:
    """One of LiteLLM's streams, whose hidden parameters show after its last chunk what it cost altogether."""

    def __init__(self, stream: Any, made: RequestCost) -> None:
        self._stream = stream
        self._made = made
        self._hidden_params: dict[str, Any] = dict(hidden_params(stream))

    def __getattr__(self, name: str) -> Any:
        """What LiteLLM's stream has."""
        return getattr(self._stream, name)

    def __aiter__(self) -> Stream:
        """Itself."""
        return self

    async def __anext__(self) -> Any:
        """The next chunk."""
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            with anyio.move_on_after(_LOG_SECONDS):
                await self._made.is_settled.wait()
            with containment.log_and_continue("reporting the cost of a stream"):
                total.show_total(self, self._made)
            raise


class BlockingStream:
    """A stream for code without an event loop."""

    def __init__(self, stream: Any, portal: BlockingPortal) -> None:
        self._stream = stream
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        """What the stream has."""
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:
        """Itself."""
        return self

    def __next__(self) -> Any:
        """The next chunk."""
        try:
            return self._portal.call(self._stream.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None


class _Loop:
    """An event loop in a thread of its own, for the life of the process: clients and LiteLLM's logging live in it."""

    _lock = threading.Lock()
    _running: tuple[int, BlockingPortal] | None = None
    """Of which process: a fork has no threads."""

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
