"""LiteLLM's own functions with image analysis, for what its callbacks cannot reach: positional and blocking calls.

They have LiteLLM's signatures and return what it returns. ``ImageAnalysis`` does the work, as LiteLLM's callback: the
one that is registered, or one with the default settings.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import anyio
import litellm
from anyio.from_thread import BlockingPortal

import litellm_image_analysis
from litellm_image_analysis import bill, guard
from litellm_image_analysis.plugin import ImageAnalysis

if TYPE_CHECKING:
    from litellm_image_analysis.bill import Bill

P = ParamSpec("P")
R = TypeVar("R")

_LOG_SECONDS = 1.0
"""How long the end of a stream may wait for LiteLLM to say what it cost, which it does at once."""


def _named(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The same function, whose arguments callbacks get to see."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        response: R = await _called(function, _by_name(signature, args, kwargs))
        return response

    return call


def _blocking(function: Callable[P, R], in_loop: Callable[..., Awaitable[Any]]) -> Callable[P, R]:
    """A blocking function made of the one LiteLLM has for event loops, also for code that blocks one."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        portal = _Loop.portal()
        response: Any = portal.call(_called, in_loop, _by_name(signature, args, kwargs))
        if hasattr(response, "__aiter__"):
            return BlockingStream(response, portal)  # type: ignore[return-value] # in the stream's place
        return response  # type: ignore[no-any-return]

    return call


def _by_name(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    named: dict[str, Any] = dict(signature.bind(*args, **kwargs).arguments)
    named |= named.pop("kwargs", {})
    return named


async def _called(function: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
    """LiteLLM's answer; a stream whose call was analysed will show its total."""
    _register()
    bill.LATEST.set(None)
    response = await function(**arguments)
    made = bill.LATEST.get()
    return response if made is None or not hasattr(response, "__aiter__") else Stream(response, made)


def _register() -> None:
    if not any(isinstance(callback, ImageAnalysis) for callback in litellm.callbacks):
        litellm.callbacks.append(litellm_image_analysis.image_analysis)


class Stream:
    """One of LiteLLM's streams, whose hidden parameters show after its last chunk what it cost altogether."""

    def __init__(self, stream: Any, made: Bill) -> None:
        self._stream = stream
        self._made = made
        self._hidden_params: dict[str, Any] = dict(getattr(stream, "_hidden_params", None) or {})

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
            with guard.harmless("showing what a stream cost"):
                bill.show(self, self._made)
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


acompletion = _named(litellm.acompletion)
aresponses = _named(litellm.aresponses)
anthropic_messages = _named(litellm.anthropic_messages)
completion = _blocking(litellm.completion, litellm.acompletion)
responses = _blocking(litellm.responses, litellm.aresponses)
