"""Requests that real clients send, in a folder beside the checkout. They have no pictures, so these are drawn here."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.images import PNG, PNG_URI

FOLDER = Path(os.environ.get("CLIENT_SHAPES") or Path(__file__).parents[3] / "shared" / "client-shapes")
"""The folder. ``CLIENT_SHAPES`` names another one."""

_ROUTES = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
    ":generateContent": "generateContent",
    ":streamGenerateContent": "generateContent",
}
_KEPT = ("model", "messages", "input", "contents", "system", "systemInstruction", "max_tokens", "ocr_model")
_LEFT_OUT = re.compile(r"^(?:text of \d+ characters|.*\.\.\.<base64 \d+\.\.\.)$", re.DOTALL)


@dataclass(frozen=True)
class Shape:
    """A request of a client.

    Attributes:
        route: its route, as ``explain`` names it.
        path: the path on a proxy.
        model: its model, which is in the path for generateContent.
        body: its body, with pictures.
    """

    route: str
    path: str
    model: str
    body: dict[str, Any]

    @property
    def base(self) -> str:
        return self.model.removesuffix("-ocr")


def files() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json")) if FOLDER.is_dir() else []


def shapes(name: str) -> Iterator[Shape]:
    """The requests of a file to the four routes, as requests without streaming and without tools."""
    for recorded in json.loads((FOLDER / f"{name}.json").read_text()):
        path = recorded["path"].partition("?")[0]
        route = next((route for end, route in _ROUTES.items() if path.endswith(end)), None)
        body = recorded.get("body")
        if route is None or not isinstance(body, dict):
            continue
        kept = {key: value for key, value in body.items() if key in _KEPT}
        numbers = iter(range(10_000))
        kept = _with_pictures(kept, numbers)
        in_path = re.search(r"/models/([^:]+):", path)
        model = in_path[1] if in_path else kept.get("model")
        if not isinstance(model, str):
            continue
        if in_path:
            path = f"/v1beta/models/{model}:generateContent"
        if route == "messages":
            kept.setdefault("max_tokens", 100)
        yield Shape(route, path, model, kept)


def _with_pictures(value: Any, numbers: Iterator[int]) -> Any:
    if isinstance(value, list):
        return [_with_pictures(item, numbers) for item in value if not isinstance(item, str)]
    if not isinstance(value, dict):
        return _picture(value, numbers) if isinstance(value, str) and value.startswith("data:image/") else value
    filled = {key: _with_pictures(item, numbers) for key, item in value.items()}
    data, media_type = value.get("data"), str(value.get("media_type") or value.get("mimeType") or "")
    if isinstance(data, str) and _LEFT_OUT.match(data):
        is_image = media_type.startswith("image/")
        filled["data"] = _payload(next(numbers)) if is_image else base64.b64encode(b"%PDF-1.4\n").decode()
    return filled


def _picture(text: str, numbers: Iterator[int]) -> str:
    return f"{PNG_URI.partition(',')[0]},{_payload(next(numbers))}" if _LEFT_OUT.match(text) else text


def _payload(number: int) -> str:
    return base64.b64encode(PNG + f"picture {number}".encode()).decode()
