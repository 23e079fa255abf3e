"""A double for a provider: an OpenAI-compatible server on loopback.

Models whose name starts with ``seeing``, and ``gpt-4o-mini``, describe the images in a request. All other models are
text-only and answer 400 to any image. Every request is recorded. ``rules`` change answers, or delay them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Body = dict[str, Any]

PROMPT_TOKENS, COMPLETION_TOKENS = 1000, 100
ANSWER = "It is 42."
MAIN_COST, VISION_COST = 0.0012, 0.00021


def description_of(url: str) -> str:
    """The description of an image. It depends on the bytes of the image."""
    return f"a picture with mark {hashlib.sha256(url.encode()).hexdigest()[:10]}"


def accepts_images(model: str) -> bool:
    """Whether this model of the provider accepts images."""
    return model.startswith("seeing") or model == "gpt-4o-mini"


def images_in(value: Any) -> list[str]:
    """URLs of all images anywhere in a JSON body, in any wire format."""
    if isinstance(value, dict):
        if value.get("type") in {"image_url", "input_image", "image", "computer_screenshot"}:
            image = value.get("image_url", value.get("file_id", value))
            return [image.get("url", json.dumps(image)) if isinstance(image, dict) else str(image)]
        return [url for item in value.values() for url in images_in(item)]
    if isinstance(value, list):
        return [url for item in value for url in images_in(item)]
    return [value] if isinstance(value, str) and "data:image/" in value else []


@dataclass
class Rule:
    """Changes the answers to matching requests.

    Matching requests wait for ``gate``, open the gate ``opens``, and get the status, or a changed answer. ``times``
    limits the number of requests. ``text`` may depend on the request. A stream that ``hangs`` stops before or after its
    first chunk, until the client disconnects. ``delay_seconds`` is for benchmarks.
    """

    matches: Callable[[Body], bool]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    error: str = "upstream says no"
    text: str | Callable[[Body], str] | None = None
    finish_reason: str = "stop"
    gate: threading.Event | None = None
    opens: threading.Event | None = None
    delay_seconds: float = 0.0
    times: float = math.inf
    hangs: Literal["never", "before", "after"] = "never"

    def applies(self, body: Body) -> bool:
        """Whether the rule matches this request. A match counts towards ``times``."""
        if self.times < 1 or not self.matches(body):
            return False
        self.times -= 1
        return True

    async def keep_waiting(self) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if self.gate is not None:
            await asyncio.to_thread(self.gate.wait, 30)
        if self.opens is not None:
            self.opens.set()


class Upstream:
    """The rules of the provider, and the requests that it got."""

    def __init__(self) -> None:
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.rules: list[Rule] = []
        self.answered: list[Body] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reset(self) -> None:
        self.requests.clear()
        self.headers.clear()
        self.rules.clear()
        self.answered.clear()
        self.most_in_flight = 0

    @property
    def charged(self) -> float:
        """USD for all answers, at the prices of ``support.configs``."""
        return self.charged_for("")

    def charged_for(self, mark: str) -> float:
        """The same for answers to requests that contain ``mark``."""
        return sum(_price_of(body["model"]) for body in self.answered_to(mark))

    def answered_to(self, mark: str) -> list[Body]:
        """Answered requests that contain ``mark``, oldest first."""
        return [body for body in self.answered if mark in json.dumps(body)]

    def of(self, mark: str) -> list[Body]:
        """Requests that contain ``mark``, oldest first."""
        return [body for body in self.requests if mark in json.dumps(body)]

    def calls(self, prefix: str) -> list[Body]:
        """Requests to models of this kind, oldest first."""
        return [body for body in self.requests if body["model"].startswith(prefix)]

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(body, request)
        finally:
            self.in_flight -= 1

    async def _answer(self, body: Body, request: Request) -> Response:
        rule = next((rule for rule in self.rules if rule.applies(body)), Rule(lambda _: True))
        await rule.keep_waiting()
        if rule.status != 200:
            return _error(rule.status, rule.error, rule.headers)
        images = images_in(body.get("messages", body.get("input")))
        if images and not accepts_images(body["model"]):
            return _error(400, "this model takes no images", {})
        if body.get("stream") and rule.hangs != "never":
            return StreamingResponse(self._hanging(body, rule, request), media_type="text/event-stream")
        self.answered.append(body)
        text = rule.text(body) if callable(rule.text) else rule.text
        if text is None:
            text = "; ".join(map(description_of, images)) if accepts_images(body["model"]) else ANSWER
        stream, whole = (_events, _response) if "input" in body else (_chunks, _completion)
        if body.get("stream"):
            return StreamingResponse(stream(body, text), media_type="text/event-stream")
        return JSONResponse(whole(body, text, rule.finish_reason))

    async def _hanging(self, body: Body, rule: Rule, request: Request) -> AsyncIterator[str]:
        """A chat stream that never ends. Each chunk has the token usage so far, as vLLM can send it."""
        if rule.hangs == "after":
            self.answered.append(body)
            head = {"id": _new_id(), "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
            choice = {"index": 0, "delta": {"role": "assistant", "content": "It "}, "finish_reason": None}
            yield f"data: {json.dumps({**head, 'choices': [choice], 'usage': _usage()})}\n\n"
        while (await request.receive())["type"] != "http.disconnect":
            pass


def _price_of(model: str) -> float:
    """The price of an answer in USD, at the prices of ``support.configs``."""
    if model == "free":
        return 0.0
    return VISION_COST if accepts_images(model) and model != "seeing-chat" else MAIN_COST


def _error(status: int, message: str, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "error", "code": status}}, status, headers)


def _new_id() -> str:
    """Ids are primary keys of spend-log rows."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def _usage() -> Body:
    total = PROMPT_TOKENS + COMPLETION_TOKENS
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "total_tokens": total}


def _completion(body: Body, text: str, finish_reason: str) -> Body:
    message = {"role": "assistant", "content": text}
    return {
        "id": _new_id(),
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": _usage(),
    }


async def _chunks(body: Body, text: str) -> AsyncIterator[str]:
    head = {"id": _new_id(), "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    for word in text.split(" "):
        choice = {"index": 0, "delta": {"role": "assistant", "content": word + " "}, "finish_reason": None}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    yield f"data: {json.dumps({**head, 'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\n"
    yield f"data: {json.dumps({**head, 'choices': [], 'usage': _usage()})}\n\n"
    yield "data: [DONE]\n\n"


def _response(body: Body, text: str, finish_reason: str) -> Body:
    """An answer of the Responses API."""
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]}
    total = PROMPT_TOKENS + COMPLETION_TOKENS
    return {
        "id": _new_id(),
        "object": "response",
        "created_at": 1,
        "status": "completed" if finish_reason == "stop" else "incomplete",
        "model": body["model"],
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": PROMPT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": COMPLETION_TOKENS,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": total,
        },
    }


async def _events(body: Body, text: str) -> AsyncIterator[str]:
    response = _response(body, text, "stop")
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "sequence_number": 1}
    for event in (
        {"type": "response.created", "sequence_number": 0, "response": {**response, "output": [], "usage": None}},
        {"type": "response.output_text.delta", "delta": text, "logprobs": [], **where},
        {"type": "response.completed", "sequence_number": 2, "response": response},
    ):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


@contextmanager
def running_upstream(port: int = 0) -> Iterator[Upstream]:
    """Serve an ``Upstream`` on this loopback port until the block ends; on a free one, if none is given."""
    upstream = Upstream()
    paths = ("/v1/chat/completions", "/v1/responses", "/v1/responses/compact")
    app = Starlette(routes=[Route(path, upstream.chat, methods=["POST"]) for path in paths])
    # Connections stay open longer here than in the proxy, so the proxy never reuses one that is being closed.
    settings = uvicorn.Config(app, port=port, log_level="error", ws="none", lifespan="off", timeout_keep_alive=600)
    server = uvicorn.Server(settings)
    started = threading.Event()

    async def serve() -> None:
        config = server.config
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        upstream.port = server.servers[0].sockets[0].getsockname()[1]
        started.set()
        await server.main_loop()
        await server.shutdown()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield upstream
    finally:
        server.should_exit = True
        thread.join(10)
