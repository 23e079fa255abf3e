"""P2: what the plugin costs a long conversation of texts, over callbacks that do nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from support.images import data_uri, message, text
from support.upstream import description_of

from benchmarks.measure import Curve, Result, Row, Run, Scenario, Variant
from benchmarks.recorded import NO_OP, HookCall, Json, RecordedRequest, call_hooks, prepared, recorded_request

_COUNTS = 10, 50, 100, 200, 400
_MEASURED = 200
_PARTS = 3


@dataclass(frozen=True)
class _Case:
    """A request, and the hooks that may read its messages."""

    name: str
    model: str
    mode: str
    hooks: Callable[[RecordedRequest], list[HookCall]]
    at_most: float
    is_analysed: bool


_CASES = (
    _Case(
        "does not ask",
        "deepseek-chat",
        "on_request",
        lambda recorded: recorded.of("async_pre_call_hook")[:1],
        at_most=5,
        is_analysed=False,
    ),
    _Case(
        "auto",
        "deepseek-chat",
        "auto",
        lambda recorded: recorded.of("async_pre_call_hook", "async_pre_call_deployment_hook"),
        at_most=80,
        is_analysed=True,
    ),
    _Case(
        "asks, no image",
        "deepseek-chat-ocr",
        "on_request",
        lambda recorded: recorded.of("async_pre_call_hook"),
        at_most=150,
        is_analysed=True,
    ),
)


def _messages(count: int) -> list[Json]:
    """Return a conversation in which user and model take turns."""
    return [
        message(
            *(text(f"Turn {turn}, part {part}: the train to Lisbon leaves at noon.") for part in range(_PARTS)),
            role="assistant" if turn % 2 else "user",
        )
        for turn in range(count)
    ]


def _with(calls: Sequence[HookCall], messages: Sequence[Json]) -> list[HookCall]:
    return [call.with_messages(messages) for call in calls]


async def _check(calls: Sequence[HookCall], *, is_analysed: bool) -> None:
    """Check that these hooks replace an image, or do not."""
    uri = data_uri("an image behind the texts")
    shown = [*_messages(2), message(text("What is it?"), {"type": "image_url", "image_url": {"url": uri}})]
    answers = [await hook(**arguments) for hook, arguments in prepared(_with(calls, shown))]
    if is_analysed != any(description_of(uri) in json.dumps(answer["messages"]) for answer in answers if answer):
        raise AssertionError("the benchmark's hooks are not those that replace images")


async def measure(run: Run) -> Result:
    """Measure each case at each length."""
    extra: dict[str, list[tuple[float, float]]] = {}
    for case in _CASES:
        async with recorded_request(case.model, case.mode) as recorded:
            calls = case.hooks(recorded)
            await _check(calls, is_analysed=case.is_analysed)
            variants: dict[str, Variant[Any]] = {}
            for count in _COUNTS:
                these = _with(calls, _messages(count))
                variants[f"{count}"] = Variant(call_hooks, partial(prepared, these))
                variants[f"{count}, no-op"] = Variant(call_hooks, partial(prepared, these, NO_OP))
            times = await run.compare(variants, rounds=31, calls=5)
        extra[case.name] = [(count, (times[f"{count}"].cpu - times[f"{count}, no-op"].cpu) * 1e6) for count in _COUNTS]
    rows = [
        Row(
            f"{_MEASURED} messages x {_PARTS} texts, {case.name}",
            dict(extra[case.name])[_MEASURED],
            "µs",
            at_most=case.at_most,
        )
        for case in _CASES
    ]
    return Result(rows, [Curve("A conversation of texts", "messages", "CPU over a no-op, µs", extra)])


SCENARIO = Scenario(
    "A long conversation of texts",
    measure,
    f"{_MEASURED} messages with {_PARTS} text parts each. The calls that LiteLLM's own application makes of the hooks"
    " which may read them are recorded and repeated with these messages, against the empty hooks of LiteLLM's"
    " `CustomLogger`: the pre-call hook; with `mode: auto` also the hook before the call of a text-only deployment; for"
    " a request that asks also the last hook. An image in the messages is replaced, which is checked.",
)
