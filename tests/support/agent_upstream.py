"""Servers on loopback for tests with coding agents: a provider that calls tools, a recorder, and an HTTP proxy.

The provider's text model reads the files that the user names, one after the other, with the client's own tool. It
answers 400 to any image. Its vision model describes each picture. The recorder is between client and LiteLLM's proxy.
The HTTP proxy (the dead end) is set in the client: it refuses all hosts, and records them.
"""

from __future__ import annotations

import hashlib
import json
import re
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Body = dict[str, Any]

TEXT_MODEL, VISION_MODEL = "blind-agent", "seeing-mini"
TOOLS: dict[str, Callable[[str], Body]] = {
    "Read": lambda path: {"file_path": path},  # Claude Code
    "view_image": lambda path: {"path": path},  # Codex
    "read_file": lambda path: {"file_path": path},  # Gemini CLI
    "read": lambda path: {"filePath": path},  # opencode
    "read_files": lambda path: {"files": [{"path": path}]},  # Cline
}
"""The tool with which each client reads an image, and its arguments."""

_TURN = re.compile(r"TURN-\d+")
_FILES = re.compile(r"READ-FILE:([^\s\"<]+)")
_IMAGE_DATA = re.compile(r"iVBORw0KGgo|data:image/|/9j/4AAQ|UklGR[\w+/]{20}|\"(image_url|input_image|inlineData)\"")
"""The first characters of images in base64, and of image parts in JSON."""


def tools_in(body: Body) -> set[str]:
    """Names of the tools of a request, in the format of any route."""
    text = json.dumps(body.get("tools") or [])
    return {name for name in TOOLS if f'"name": "{name}"' in text}


def text_of(content: Any) -> str:
    """The text of a chat message."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


@dataclass
class AgentUpstream:
    """The provider, with the requests that it got."""

    read: list[Body] = field(default_factory=list)
    """Requests to the text model that offer a tool to read images, oldest first."""
    refused: list[Body] = field(default_factory=list)
    misordered: list[Body] = field(default_factory=list)
    """Requests in which the results do not follow the tool calls directly. OpenAI and DeepSeek refuse them."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """The hash of the picture and the question of each request to the vision model."""
    port: int = 0

    async def chat(self, request: Request) -> Response:
        body: Body = await request.json()
        if body["model"] == VISION_MODEL:
            return self._look(body)
        if _IMAGE_DATA.search(json.dumps(body["messages"])):
            self.refused.append(body)
            return JSONResponse({"error": {"message": "this model takes no images", "type": "error"}}, 400)
        if _is_misordered(body["messages"]):
            self.misordered.append(body)
        if tools := tools_in(body):
            self.read.append(body)
        message = _next(body["messages"], tools)
        if body.get("stream"):
            return StreamingResponse(_chunks(message), media_type="text/event-stream")
        return JSONResponse(_completion(message))

    def _look(self, body: Body) -> Response:
        parts = [part for message in body["messages"] if message["role"] == "user" for part in message["content"]]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        marks = [hashlib.sha256(url.encode()).hexdigest()[:10] for url in urls]
        self.seen += [(mark, text_of(parts)) for mark in marks]
        words = "; ".join(f"a picture with mark {mark}" for mark in marks)
        return JSONResponse(_completion({"role": "assistant", "content": words}))


def _is_misordered(messages: list[Body]) -> bool:
    """Whether results do not follow their calls. Gemini CLI repeats results after a resume, which is not counted."""
    called: set[str] = set()
    answered: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            answered.add(message["tool_call_id"])
        elif answered != called:
            return True
        else:
            called, answered = {call["id"] for call in message.get("tool_calls") or []}, set()
    return answered != called


def _next(messages: list[Body], tools: set[str]) -> Body:
    """Return the answer: a call for the next unread file of the latest turn, or a text when all were read."""
    said = [_TURN.search(text_of(message["content"])) if message["role"] == "user" else None for message in messages]
    latest = max((index for index, turn in enumerate(said) if turn), default=0)
    paths = [path for files in _FILES.findall(text_of(messages[latest].get("content"))) for path in files.split(";")]
    calls = [call for message in messages[latest:] for call in message.get("tool_calls") or []]
    left = [path for path in paths if not any(path in call["function"]["arguments"] for call in calls)]
    if not tools or not left:
        turn = said[latest]
        return {"role": "assistant", "content": f"The answer to {turn[0] if turn else 'nothing'}."}
    tool = next(name for name in TOOLS if name in tools)
    number = sum(len(message.get("tool_calls") or []) for message in messages) + 1
    function = {"name": tool, "arguments": json.dumps(TOOLS[tool](left[0]))}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}],
    }


_USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def _reason(message: Body) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _completion(message: Body) -> Body:
    choice = {"index": 0, "message": message, "finish_reason": _reason(message)}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": _USAGE}


async def _chunks(message: Body) -> AsyncIterator[str]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for delta, reason in ((message, None), ({}, _reason(message))):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    yield f"data: {json.dumps({**head, 'choices': [], 'usage': _USAGE})}\n\n"
    yield "data: [DONE]\n\n"


@dataclass
class Recorder:
    """Passes a client's requests on to the proxy, and records them."""

    target: str
    requests: list[tuple[str, Body, int]] = field(default_factory=list)
    """Method and path, body, and status of the answer, oldest first."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bodies(self) -> list[Body]:
        """Requests that offer a tool to read images, oldest first."""
        return [body for _, body, status in self.requests if tools_in(body) and status == 200]

    async def forward(self, request: Request) -> Response:
        content = await request.body()
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        headers = {name: value for name, value in request.headers.items() if name not in {"host", "accept-encoding"}}
        async with httpx.AsyncClient(timeout=None, verify=False, trust_env=False) as client:
            answer = await client.request(request.method, self.target + path, headers=headers, content=content)
        body = json.loads(content) if content.startswith(b"{") else {}
        self.requests.append((f"{request.method} {path}", body, answer.status_code))
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))


@contextmanager
def _served(app: Starlette) -> Iterator[int]:
    """Serve an app on a free loopback port until the block ends."""
    settings = uvicorn.Config(app, port=0, log_level="error", ws="none", lifespan="off", timeout_keep_alive=600)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


@contextmanager
def running_agent_upstream() -> Iterator[AgentUpstream]:
    upstream = AgentUpstream()
    with _served(Starlette(routes=[Route("/v1/chat/completions", upstream.chat, methods=["POST"])])) as upstream.port:
        yield upstream


@contextmanager
def recording(target: str) -> Iterator[Recorder]:
    """Record the requests to a server until the block ends."""
    recorder = Recorder(target)
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]
    with _served(Starlette(routes=[Route("/{path:path}", recorder.forward, methods=methods)])) as recorder.port:
        yield recorder


@contextmanager
def dead_end() -> Iterator[tuple[str, list[str]]]:
    """Run an HTTP proxy that refuses all requests. Yields its URL, and the hosts that clients asked for."""
    asked: list[str] = []

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline(1000).decode(errors="replace").strip())
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
