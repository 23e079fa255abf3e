"""A stand-in on loopback for a provider with OpenAI's chat API, for runs without an API key."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DESCRIPTION = "A receipt. TOTAL  42.80"
"""The answer to a request with an image."""

READ = "I am a stand-in for a model. I have read: "
"""The answer to a request without images begins with this. The text of its last message follows."""


@contextmanager
def running_provider() -> Iterator[str]:
    """Serve ``/chat/completions`` on a free loopback port. Yields the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": answer(body["messages"][-1]["content"])}
        response = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        encoded = json.dumps(response).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: Any) -> None:
        """Write no log."""


def answer(content: str | list[dict[str, Any]]) -> str:
    """Return the answer to a message of this content."""
    if isinstance(content, str):
        return READ + content
    if any(part["type"] == "image_url" for part in content):
        return DESCRIPTION
    return READ + "\n".join(part["text"] for part in content)
