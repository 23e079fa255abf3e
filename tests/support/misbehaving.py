"""A faulty vision provider on loopback. It uses plain sockets, because HTTP frameworks do not allow such faults.

The first word in the mark of a call's image selects the fault, a key of ``BEHAVIOURS``. It describes all other images.
Its errors contain ``LEAKS``, which must not reach a model or a client.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

from anyio.from_thread import start_blocking_portal
from support.images import PNG
from support.upstream import description_of, images_in

LEAKS = "SECRET-OF-THE-PROVIDER"
KEY = "sk-of-the-vision-provider"
FLOOD_BYTES = 100_000_000
TLS_CLIENT_HELLO = b"\x16"
USUAL_HEAD = re.compile(r"data:image/(png|jpeg|webp|gif|bmp);base64,|https?://")
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}

Behaviour: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"


def completion(finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """An answer of chat completions."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "eyes",
        "choices": [choice],
        "usage": USAGE,
    }


def http(status: int, body: bytes, **headers: object) -> bytes:
    """A complete HTTP response. Its ``Content-Length`` may be wrong."""
    fields = {
        "content_type": "application/json",
        "connection": "close",
        "content_length": len(body),
        **headers,
    }
    lines = [f"HTTP/1.1 {status} So it is", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sends(data: bytes) -> Behaviour:
    """Answer and disconnect."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


def says(finish_reason: str = "stop", **message: Any) -> Behaviour:
    """Answer with 200."""
    return sends(http(200, json.dumps(completion(finish_reason, **message)).encode()))


def fails(status: int, **headers: object) -> Behaviour:
    """Answer with an error in the provider's own words."""
    error = {"message": f"Traceback: {LEAKS} {KEY} http://inside.example/?q=1", "type": "error", "code": status}
    return sends(http(status, json.dumps({"error": error}).encode(), **headers))


def hangs_after(data: bytes) -> Behaviour:
    """Send these bytes, and then nothing while the client waits."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await reader.read()

    return behave


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one byte every few milliseconds while the client reads, so that no read times out."""
    writer.write(http(200, b'{"', content_length=FLOOD_BYTES))
    gone = asyncio.ensure_future(reader.read())
    while not gone.done() and not writer.is_closing():
        writer.write(b"A")
        await asyncio.wait([gone], timeout=0.005)
    await gone


async def resets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def floods(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a description of 100 MB."""
    head, tail = json.dumps(completion(content="?")).encode().split(b"?")
    writer.write(http(200, head, content_length=len(head) + FLOOD_BYTES + len(tail)))
    for _piece in range(100):
        writer.write(b"A" * (FLOOD_BYTES // 100))
        await writer.drain()
    writer.write(tail)
    await writer.drain()


CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": f'{{"at": "{LEAKS}"}}'}}
WHOLE = json.dumps(completion(content="A picture nobody gets to hear of.")).encode()

BEHAVIOURS: dict[str, Behaviour] = {
    "reset": resets,
    **{str(status): fails(status) for status in (400, 401, 403, 404, 408, 429, 500, 503)},
    "429-later": fails(429, retry_after="7"),
    "429-date": fails(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    "503-later": fails(503, retry_after="6.5"),
    "hang": hangs_after(b""),
    "timeout": hangs_after(b""),
    "hang-in-body": hangs_after(http(200, WHOLE[:50], content_length=len(WHOLE))),
    "drip": drips,
    "empty": says(content=""),
    "no-choices": sends(http(200, json.dumps({**completion(), "choices": []}).encode())),
    "refusal": says(content=None, refusal=LEAKS),
    "filtered": says("content_filter", content=None),
    "truncated": says("length", content="A picture of"),
    "tool-call": says("tool_calls", content=None, tool_calls=[CALL]),
    "html": sends(http(200, f"<html>{LEAKS}</html>".encode(), content_type="text/html")),
    "no-json": sends(http(200, f'{{"error": {LEAKS}'.encode())),
    "other-json": sends(http(200, json.dumps([LEAKS]).encode())),
    "error-in-200": sends(http(200, json.dumps({"error": {"message": LEAKS, "code": 500}}).encode())),
    "flood": floods,
    "cut": sends(http(200, WHOLE[:50], content_length=len(WHOLE))),
    "cut-chunks": sends(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n32\r\n" + WHOLE[:50]
    ),
    "no-http": sends(f"{LEAKS}\r\n\r\n".encode()),
}


def mark_of(url: str) -> str:
    """The mark in a URI of ``data_uri``, or the last part of an http(s) URL."""
    if url.startswith("http"):
        return url.rpartition("/")[2]
    return base64.b64decode(url.partition(",")[2]).removeprefix(PNG).decode(errors="replace")


async def read_body(reader: asyncio.StreamReader, begun: bytes = b"") -> dict[str, Any] | None:
    """The JSON of a request whose first bytes may have been read. ``None`` for a GET request."""
    head = (begun + await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if head.startswith("get "):
        return None
    length = next(line for line in head.splitlines() if line.startswith("content-length:")).partition(":")[2]
    return dict(json.loads(await reader.readexactly(int(length))))


class Misbehaving:
    """The provider, with the images that it got."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.shown: list[str] = []
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request on a connection."""
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()
        self._open.discard(writer)

    def hang_up(self) -> None:
        """End all hanging answers."""
        for writer in list(self._open):  # the provider's own thread may add an answer meanwhile
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == TLS_CLIENT_HELLO:
            writer.write(LEAKS.encode())
            return
        body = await read_body(reader, first)
        if body is None:
            writer.write(http(404, b""))
            return
        (url,) = images_in(body["messages"])
        if not USUAL_HEAD.match(url):  # servers of some providers fail, and so do LiteLLM's conversions
            await fails(500)(reader, writer)
            return
        self.shown.append(mark_of(url))
        behave = BEHAVIOURS.get(self.shown[-1].split()[0]) or says(content=description_of(url))
        await behave(reader, writer)


@contextmanager
def running_misbehaving() -> Iterator[Misbehaving]:
    """Serve a ``Misbehaving`` on a free loopback port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        provider = Misbehaving(listener.getsockname()[1])
        with start_blocking_portal() as portal:
            server = portal.call(partial(asyncio.start_server, provider.serve, sock=listener))
            try:
                yield provider
            finally:
                provider.hang_up()
                portal.call(server.close)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which no server listens or can start to listen."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
