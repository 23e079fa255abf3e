"""Memory and stalls of the event loop that large requests cost, at three sizes each, in one run.

The plugin's hooks are called with a real router, and LiteLLM answers the vision calls itself. A first call fills the
cache. "peak" is the most memory that Python allocates beyond the request (tracemalloc, in a run of its own). "stall" is
the longest time between two turns of a task on the event loop, "loop" the CPU time of the loop's thread, and "CPU" that
of all threads: the least of several runs. "growth" of these four is by that of the request: 1 is linear.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from litellm.caching.dual_cache import DualCache
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from litellm.types.utils import CallTypes
from support.images import data_uri

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

ROUNDS = 3
MOST_GROWTH = 1.6
MOST_STALL_MS_A_MB = 50.0
NOISE_MS = 30.0  # of a busy machine, also without any work
TICK_SECONDS = 0.001
FORMATS = CHAT, MESSAGES, RESPONSES, GENERATE = "acompletion", "anthropic_messages", "aresponses", "agenerate_content"
LIMITS = ImageAnalysisConfig(max_image_parts=10_000, max_vision_calls=10_000, timeout_seconds=600)
PLUGIN, AUTO = ImageAnalysis(LIMITS), ImageAnalysis(LIMITS.model_copy(update={"mode": "auto"}))
Json = dict[str, Any]


class Case(NamedTuple):
    """Requests of one shape. With ``sees``, in ``mode: auto`` for a model that takes images, or takes none."""

    shape: str
    call_type: str
    body: Callable[[int], Json]
    sizes: tuple[int, int, int]
    sees: bool | None = None


class Costs(NamedTuple):
    """What one request costs, in MB and milliseconds."""

    peak: float
    stall: float
    loop: float
    cpu: float


def text(call_type: str, words: str) -> Json:
    """A content part with text."""
    kind: Json = {} if call_type == GENERATE else {"type": "input_text" if call_type == RESPONSES else "text"}
    return {**kind, "text": words}


def image(call_type: str, mark: str) -> Json:
    """A content part with an image."""
    url = data_uri(mark)
    data = url.partition(",")[2]
    parts: dict[str, Json] = {
        CHAT: {"type": "image_url", "image_url": {"url": url}},
        MESSAGES: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        RESPONSES: {"type": "input_image", "image_url": url},
        GENERATE: {"inlineData": {"mimeType": "image/png", "data": data}},
    }
    return parts[call_type]


def user(call_type: str, parts: list[Json]) -> Json:
    """A request with one message."""
    if call_type == GENERATE:
        return {"contents": [{"role": "user", "parts": parts}]}
    return {"input" if call_type == RESPONSES else "messages": [{"role": "user", "content": parts}]}


def tool_results(call_type: str, images: bool, count: int) -> Json:
    """A request with a long tool call and its results. Both grow, to a megabyte and 2,000 results."""
    given = {"text": "It is a long file. " * (count * 500 // 19)}
    words = [f"Page {number}" for number in range(count)]
    shown = [[image(call_type, str(number % 20))] if images else [] for number in range(count)]
    outputs = [[text(call_type, said), *seen] for said, seen in zip(words, shown, strict=True)]
    function: Json = {"name": "read", "arguments": json.dumps(given)}
    if call_type == CHAT:
        called: Json = {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": function}]}
        return {"messages": [called, *({"role": "tool", "tool_call_id": "a", "content": out} for out in outputs)]}
    if call_type == MESSAGES:
        called = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "read", "input": given}]}
        results = [{"type": "tool_result", "tool_use_id": "a", "content": out} for out in outputs]
        return {"messages": [called, {"role": "user", "content": results}]}
    if call_type == RESPONSES:
        called = {"type": "function_call", "call_id": "a", **function}
        return {"input": [called, *({"type": "function_call_output", "call_id": "a", "output": o} for o in outputs)]}
    told = [{"name": "read", "response": {"said": s}, "parts": seen} for s, seen in zip(words, shown, strict=True)]
    called = {"role": "model", "parts": [{"functionCall": {"name": "read", "args": given}}]}
    return {"contents": [called, {"role": "user", "parts": [{"functionResponse": response} for response in told]}]}


def tool_results_and_image(call_type: str, count: int) -> Json:
    """The same with images, and a message of the user with one more. Some clients send a tool's image there."""
    ((key, messages),) = tool_results(call_type, True, count).items()
    return {key: [*messages, *user(call_type, [image(call_type, "after")])[key]]}


def json_results(call_type: str, count: int) -> Json:
    """A request with tool results that are JSON texts, each with brackets, words and an image."""
    seen = data_uri("a")
    said = json.dumps([[[]] * 4000, "a b c " * 1000, {"shot": seen}])
    if call_type == RESPONSES:
        return {"input": [{"type": "function_call_output", "call_id": "a", "output": said}] * count}
    return {"messages": [{"role": "tool", "tool_call_id": "a", "content": said}] * count}


def copies(call_type: str, count: int) -> Json:
    """A request with a long question and copies of one image."""
    return user(call_type, [text(call_type, "What is it? " * 500), *[image(call_type, "a")] * count])


def small_objects(call_type: str, images: bool, megabytes: int) -> Json:
    """A request with many small objects, and perhaps an image after them."""
    objects = [{"a": {"b": 1}}] * (megabytes * 1_000_000 // len('{"a": {"b": 1}}, '))
    return user(call_type, [*objects, *([image(call_type, "a")] if images else [])])


def cases() -> Iterator[Case]:
    """All cases. Copies and small objects are measured in two formats only, because they take long."""
    for call_type in FORMATS:
        results, counts = partial(tool_results_and_image, call_type), (500, 1000, 2000)
        yield Case("tool results, images", call_type, results, counts)
        yield Case("tool results, no images", call_type, partial(tool_results, call_type, False), counts)
        yield Case("tool results, auto, sees", call_type, results, counts, sees=True)
        yield Case("tool results, auto, text-only", call_type, results, counts, sees=False)
    for call_type in (CHAT, RESPONSES):
        yield Case("JSON texts with images", call_type, partial(json_results, call_type), (25, 50, 100))
        yield Case("copies", call_type, partial(copies, call_type), (2000, 4000, 8000))
        yield Case("small objects, image last", call_type, partial(small_objects, call_type, True), (3, 6, 12))
        yield Case("small objects, no image", call_type, partial(small_objects, call_type, False), (3, 6, 12))


async def note(gaps: list[float]) -> None:
    """Note how many milliseconds later than asked for the event loop comes back."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(TICK_SECONDS)
        gaps.append((time.perf_counter() - start - TICK_SECONDS) * 1e3)


async def run(case: Case, raw: str, *, traced: bool = False) -> tuple[Json, Costs]:
    """Let the plugin process a request that has just been read. Traced, it takes much longer."""
    data: Json = json.loads(raw) | {"model": "deepseek-chat-ocr" if case.sees is None else "deepseek-chat"}
    data["metadata"] = {"model_group": "deepseek-chat", "model_info": {"supports_vision": case.sees}}
    plugin, caller, gaps = PLUGIN if case.sees is None else AUTO, UserAPIKeyAuth(api_key="sk-bench"), list[float]()
    ticker = asyncio.ensure_future(note(gaps))
    await asyncio.sleep(TICK_SECONDS)
    if traced:
        tracemalloc.start()
    loop, cpu = time.thread_time(), time.process_time()
    await plugin.async_pre_call_hook(caller, DualCache(), data, case.call_type)
    if case.sees is not None:
        data = await plugin.async_pre_call_deployment_hook(data, CallTypes(case.call_type)) or data
    loop, cpu = time.thread_time() - loop, time.process_time() - cpu
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await asyncio.sleep(2 * TICK_SECONDS)  # the ticker notes the last gap
    ticker.cancel()
    return data, Costs(peak / 1e6, max(gaps), loop * 1e3, cpu * 1e3)


async def measured(case: Case, size: int) -> tuple[float, float, Costs]:
    """Megabytes of a request, megabytes of what goes to the text model, and what it costs."""
    raw = json.dumps(case.body(size))
    data, _ = await run(case, raw)
    sent = json.dumps({key: data[key] for key in ("messages", "input", "contents") if key in data})
    del data
    gc.collect()
    timed = [(await run(case, raw))[1] for _ in range(ROUNDS)]
    least = Costs(*map(min, zip(*timed, strict=True)))
    return len(raw) / 1e6, len(sent) / 1e6, least._replace(peak=(await run(case, raw, traced=True))[1].peak)


async def main() -> int:
    """Print one row a size, and return the number of cases out of bounds."""
    vision = {"model": "openai/gpt-4o-mini", "api_key": "none", "mock_response": "A page of text. " * 100}
    models = {"gpt-4o-mini": vision, "deepseek-chat": {"model": "openai/deepseek-chat", "api_key": "none"}}
    proxy_server.llm_router = Router(
        model_list=[{"model_name": name, "litellm_params": params} for name, params in models.items()]
    )
    names = ("MB", "sent MB", "peak MB", "stall ms", "loop ms", "CPU ms", "stall/MB")
    print(f"{'shape':<31}{'wire format':<20}{''.join(f'{name:>9}' for name in names)}  growth")
    failed = 0
    for case in cases():
        rows = [await measured(case, size) for size in case.sizes]
        (first, _, few), (last, _, many) = rows[0], rows[-1]
        growth = Costs(*(then / max(now, 0.001) / (last / first) for now, then in zip(few, many, strict=True)))
        for row, (size, sent, costs) in enumerate(rows):
            line = "".join(f"{number:>9.1f}" for number in (size, sent, *costs, costs.stall / size))
            grown = "  " + " ".join(f"{each:.1f}" for each in growth) if row == len(rows) - 1 else ""
            print(f"{case.shape:<31}{case.call_type:<20}{line}{grown}", flush=True)
        stalls = any(costs.stall > max(MOST_STALL_MS_A_MB * size, NOISE_MS) for size, _, costs in rows)
        failed += stalls or max(growth.loop, growth.cpu, growth.peak) > MOST_GROWTH
    return failed


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main()) else 0)
