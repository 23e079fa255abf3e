"""P1: what the plugin costs a request that has nothing for it, over callbacks that do nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.measure import Result, Row, Run, Scenario, Variant
from benchmarks.recorded import NO_OP, Json, LookUp, Prepared, call_hooks, look_up, prepared, recorded_request
from litellm_image_analysis import ImageAnalysisConfig
from litellm_image_analysis.proxy.middleware import Middleware
from litellm_image_analysis.request.activation import Mode

_MODES: tuple[Mode, ...] = ("on_request", "auto")
_METADATA_KEYS = 50
"""The least that a proxy's request has. LiteLLM 1.108.7 gives it 53."""

_SCOPE: Json = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
_BODY: Json = {"type": "http.request", "body": b"{}", "more_body": False}
_START: Json = {"type": "http.response.start", "status": 200, "headers": []}


class _PassOn:
    """ASGI middleware that does nothing."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send(_START)
    await send({"type": "http.response.body", "body": b"{}"})


async def _receive() -> Json:
    return _BODY


async def _send(message: Json) -> None:
    pass


@dataclass(frozen=True)
class _Parts:
    """All that a request passes on its way through a proxy, of the plugin's or doing nothing."""

    hooks: Prepared
    middleware: Any
    look_ups: list[LookUp]
    aliases: Json


async def _serve(parts: _Parts) -> None:
    await parts.middleware(_SCOPE, _receive, _send)
    look_up(parts.look_ups, parts.aliases)
    await call_hooks(parts.hooks)


async def measure(run: Run) -> Result:
    """Measure it in both modes."""
    return Result([row for mode in _MODES for row in await _rows(run, mode)])


async def _rows(run: Run, mode: Mode) -> list[Row]:
    async with recorded_request("deepseek-chat", mode) as recorded:
        first = recorded.of("async_pre_call_hook")[:1]
        if len(first[0].arguments["data"]["metadata"]) < _METADATA_KEYS:
            raise AssertionError("the request does not have the metadata of a proxy's request")
        own_aliases = dict(dict.items(recorded.aliases))
        middleware = Middleware(_app, ImageAnalysisConfig(mode=mode))

        def plugin_parts() -> _Parts:
            return _Parts(prepared(recorded.calls), middleware, recorded.look_ups, recorded.aliases)

        def no_op_parts() -> _Parts:
            return _Parts(prepared(recorded.calls, NO_OP), _PassOn(_app), recorded.look_ups, own_aliases)

        look_all_up = partial(look_up, recorded.look_ups)
        variants: dict[str, Variant[Any]] = {
            "hook": Variant(call_hooks, lambda: prepared(first)),
            "hook, no-op": Variant(call_hooks, lambda: prepared(first, NO_OP)),
            "aliases": Variant(look_all_up, lambda: recorded.aliases),
            "aliases, no-op": Variant(look_all_up, lambda: own_aliases),
            "all": Variant(_serve, plugin_parts),
            "all, no-op": Variant(_serve, no_op_parts),
        }
        times = await run.compare(variants, rounds=201, calls=5)

    def extra(name: str) -> float:
        return (times[name].cpu - times[f"{name}, no-op"].cpu) * 1e6

    return [
        Row(f"{mode}, pre-call hook over a no-op", extra("hook"), "µs", at_most=5),
        Row(f"{mode}, hooks, middleware and aliases over no-ops", extra("all"), "µs", at_most=14),
        Row(f"{mode}, of which aliases", extra("aliases"), "µs"),
        Row(f"{mode}, calls of hooks", len(recorded.calls), "calls", is_exact=True),
        Row(f"{mode}, look-ups of aliases", len(recorded.look_ups), "calls", is_exact=True),
    ]


SCENARIO = Scenario(
    "A text request",
    measure,
    "LiteLLM's own application serves a text request, and each call of a hook of the plugin and each look-up in the"
    " router's aliases is recorded with its arguments. These are repeated, with a copy of the request and its 53"
    " metadata, against the empty hooks of LiteLLM's `CustomLogger`, a middleware that does nothing and a plain"
    " dict. The figure is the difference of the medians of CPU time.",
)
