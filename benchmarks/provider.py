"""A provider on loopback, in a process of its own: ``python -m benchmarks.provider`` prints its port.

Models whose names begin with ``seeing`` are counted as vision models. Those that end in ``slow`` take half a second.
A stream has as many chunks as ``max_tokens`` says.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

SLOW_SECONDS = 0.5
_HEAD = {"id": "chatcmpl-1", "created": 1}
_USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


class _Provider:
    def __init__(self) -> None:
        self._vision_calls = 0

    async def chat(self, request: Request) -> Response:
        """Answer a chat."""
        body = await request.json()
        model: str = body["model"]
        self._vision_calls += model.startswith("seeing")
        if model.endswith("slow"):
            await asyncio.sleep(SLOW_SECONDS)
        if body.get("stream"):
            return StreamingResponse(_chunks(model, body["max_tokens"]), media_type="text/event-stream")
        message = {"role": "assistant", "content": "A bill: 42 euros for a lamp, paid in cash."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse(
            {**_HEAD, "object": "chat.completion", "model": model, "choices": [choice], "usage": _USAGE}
        )

    async def vision_calls(self, _: Request) -> Response:
        """Return how many calls the vision models got."""
        return JSONResponse(self._vision_calls)


async def _chunks(model: str, count: int) -> AsyncIterator[str]:
    head = {**_HEAD, "object": "chat.completion.chunk", "model": model}

    def event(finish_reason: str | None, usage: dict[str, Any] | None, **delta: str) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return f"data: {json.dumps({**head, 'choices': [choice], 'usage': usage})}\n\n"

    for number in range(count):
        yield event(None, None, content=f"word{number} ")
    yield event("stop", _USAGE)
    yield "data: [DONE]\n\n"


def main() -> None:
    """Serve until the process is ended."""
    provider = _Provider()
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", provider.chat, methods=["POST"]),
            Route("/vision-calls", provider.vision_calls),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=600))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
