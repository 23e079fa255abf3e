"""What LiteLLM's proxy asks of the plugin for one request: recorded in LiteLLM's own application, to be repeated."""

from __future__ import annotations

import asyncio
import copy
import inspect
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from operator import methodcaller
from pathlib import Path
from types import CoroutineType, FunctionType
from typing import Any, TypeAlias
from unittest import mock

import anyio
import httpx
import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy import proxy_server
from support.app import running_app
from support.configs import proxy_config
from support.upstream import running_upstream

import litellm_image_analysis

Json = dict[str, Any]
LookUp: TypeAlias = Callable[[Json], object]
Prepared: TypeAlias = "list[tuple[Callable[..., Any], Json]]"

NO_OP = CustomLogger()
"""LiteLLM's base class of callbacks: each of its hooks does nothing."""

_SECONDS_TO_START = 10
_SECONDS_WITHOUT_CALLS = 0.5
_is_noted: ContextVar[bool] = ContextVar("is_noted", default=False)
"""Whether this is within a call that is recorded, so that the calls that it makes are a part of it."""


@dataclass(frozen=True)
class HookCall:
    """One call of a hook.

    Attributes:
        callback: the plugin's object that was called.
        hook: the name of the hook.
        arguments: its arguments by name.
    """

    callback: Any
    hook: str
    arguments: Json

    def prepared(self, callback: CustomLogger | None = None) -> tuple[Callable[..., Any], Json]:
        """Return a hook and arguments for one more call.

        Args:
            callback: whose hook, if not the plugin's.
        """
        return getattr(callback or self.callback, self.hook), {
            name: _own(value) for name, value in self.arguments.items()
        }

    def with_messages(self, messages: Sequence[Json]) -> HookCall:
        """Return the same call of a request with other messages."""
        changed = {
            name: {**value, "messages": list(messages)} if isinstance(value, dict) and "messages" in value else value
            for name, value in self.arguments.items()
        }
        return HookCall(self.callback, self.hook, changed)


@dataclass(frozen=True)
class RecordedRequest:
    """A request to a proxy that is still up.

    Attributes:
        calls: the calls of the plugin's hooks, in order.
        look_ups: what LiteLLM asked the router's mapping of aliases.
        aliases: that mapping.
    """

    calls: list[HookCall]
    look_ups: list[LookUp]
    aliases: Json

    def of(self, *hooks: str) -> list[HookCall]:
        """Return the calls of these hooks."""
        return [call for call in self.calls if call.hook in hooks]


def prepared(calls: Iterable[HookCall], callback: CustomLogger | None = None) -> Prepared:
    """Return hooks and arguments to repeat these calls, on the plugin or on another callback."""
    return [call.prepared(callback) for call in calls]


async def call_hooks(hooks: Prepared) -> None:
    """Call hooks one after the other."""
    for hook, arguments in hooks:
        answer = hook(**arguments)
        if isinstance(answer, CoroutineType):
            await answer


def look_up(look_ups: Iterable[LookUp], aliases: Json) -> None:
    """Ask a mapping of aliases."""
    for ask in look_ups:
        try:
            ask(aliases)
        except KeyError:
            continue


@asynccontextmanager
async def recorded_request(model: str, mode: str = "on_request") -> AsyncIterator[RecordedRequest]:
    """Start LiteLLM's application with the plugin, send a request with a text, and record what the plugin is asked.

    Args:
        model: the model that the request names, such as ``deepseek-chat``, which is text-only.
        mode: the plugin's setting.
    """
    body = {"model": model, "messages": [{"role": "user", "content": "How are you today?"}]}
    with tempfile.TemporaryDirectory() as folder, running_upstream() as upstream:
        config = proxy_config(upstream, mode=mode)
        for entry in config["model_list"]:  # so that mode: auto knows which models are text-only
            entry["model_info"].setdefault("supports_vision", False)
        async with running_app(config, Path(folder)) as client:
            await _plugin_is_last()
            router: Any = proxy_server.llm_router
            aliases: Json = router.model_group_alias
            with _recording_hooks() as calls, _recording_look_ups(type(aliases)) as look_ups:
                for _ in ("pays for imports", "is recorded"):
                    calls.clear()
                    look_ups.clear()
                    await _send(client, body)
                    await _is_quiet(calls)
            yield RecordedRequest(calls, look_ups, aliases)
    _forget_loggers()


def _forget_loggers() -> None:
    """Remove the plugin from LiteLLM's lists of loggers, which keep it when the application has ended."""
    loggers: Any = litellm.logging_callback_manager
    loggers._reset_all_callbacks()  # noqa: SLF001


async def _send(client: httpx.AsyncClient, body: Json) -> None:
    (await client.post("/v1/chat/completions", json=body)).raise_for_status()


def _is_plugins(value: object) -> bool:
    return type(value).__module__.startswith(litellm_image_analysis.__name__)


async def _plugin_is_last() -> None:
    """Wait until the plugin's last hook is in its place."""
    with anyio.fail_after(_SECONDS_TO_START):
        while not _is_plugins(litellm.callbacks[-1]):  # noqa: ASYNC110 - LiteLLM has no event for it
            await asyncio.sleep(0.01)


async def _is_quiet(calls: list[HookCall]) -> None:
    """Wait until no more hooks are called: LiteLLM logs after the response."""
    count = 0
    while len(calls) > count:
        count = len(calls)
        await asyncio.sleep(_SECONDS_WITHOUT_CALLS)


@contextmanager
def _recording_hooks() -> Iterator[list[HookCall]]:
    calls: list[HookCall] = []
    with ExitStack() as stack:
        for kind in {type(callback) for callback in litellm.callbacks if _is_plugins(callback)}:
            for name, hook in list(vars(kind).items()):
                if isinstance(hook, FunctionType) and hasattr(CustomLogger, name) and not name.startswith("_"):
                    stack.enter_context(mock.patch.object(kind, name, _noting(hook, calls)))
        yield calls


def _noting(hook: FunctionType, calls: list[HookCall]) -> Callable[..., Any]:
    """Return the hook, which notes its calls."""
    signature = inspect.signature(hook)

    def note(args: tuple[Any, ...], kwargs: Json) -> None:
        arguments = dict(signature.bind(*args, **kwargs).arguments)
        callback = arguments.pop("self")
        calls.append(HookCall(callback, hook.__name__, {name: _own(value) for name, value in arguments.items()}))

    @wraps(hook)
    def noted(*args: Any, **kwargs: Any) -> Any:
        with _as_one() as is_outermost:
            if is_outermost:
                note(args, kwargs)
            return hook(*args, **kwargs)

    @wraps(hook)
    async def noted_in_loop(*args: Any, **kwargs: Any) -> Any:
        with _as_one() as is_outermost:
            if is_outermost:
                note(args, kwargs)
            return await hook(*args, **kwargs)

    return noted_in_loop if inspect.iscoroutinefunction(hook) else noted


@contextmanager
def _recording_look_ups(kind: type[Json]) -> Iterator[list[LookUp]]:
    look_ups: list[LookUp] = []
    with ExitStack() as stack:
        for name in ("__contains__", "__getitem__", "get", "keys", "values", "items", "copy"):
            if name in vars(kind):
                stack.enter_context(mock.patch.object(kind, name, _noting_look_up(vars(kind)[name], look_ups)))
        yield look_ups


def _noting_look_up(method: FunctionType, look_ups: list[LookUp]) -> Callable[..., Any]:
    @wraps(method)
    def noted(aliases: Json, *args: Any) -> Any:
        with _as_one() as is_outermost:
            if is_outermost:
                look_ups.append(methodcaller(method.__name__, *args))
            return method(aliases, *args)

    return noted


@contextmanager
def _as_one() -> Iterator[bool]:
    """Run a block as one call. Yields whether it is part of no other."""
    is_outermost = not _is_noted.get()
    token = _is_noted.set(True)
    try:
        yield is_outermost
    finally:
        _is_noted.reset(token)


def _own(value: Any) -> Any:
    """Return a copy of a request with its metadata, because hooks change them. Other values are not copied."""
    if type(value) is not dict:
        return value
    return {
        key: {name: _fresh(entry) for name, entry in inner.items()} if type(inner) is dict else inner
        for key, inner in value.items()
    }


def _fresh(entry: Any) -> Any:
    """Return a copy of the plugin's state of a request, in which nothing was decided since it was recorded."""
    if not _is_plugins(entry):
        return entry
    state = copy.copy(entry)
    if getattr(state, "deferred", None) is not None:
        object.__setattr__(state, "deferred", copy.copy(state.deferred))  # the state is frozen in earlier versions
    return state
