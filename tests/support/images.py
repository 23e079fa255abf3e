"""Pictures for tests: tiny, distinct, and real enough to have a PNG's first bytes."""

from __future__ import annotations

import base64
from typing import Any

PNG = b"\x89PNG\r\n\x1a\n"


def data_uri(mark: str, *, size: int = 0) -> str:
    """A data: URI that is another one for another mark, of at least that many encoded characters."""
    return "data:image/png;base64," + base64.b64encode(PNG + mark.encode() + b"\0" * (size * 3 // 4)).decode()


def image(mark: str, **options: Any) -> dict[str, Any]:
    """A chat content part with an image."""
    return {"type": "image_url", "image_url": {"url": data_uri(mark), **options}}


def text(words: str) -> dict[str, Any]:
    """A chat content part with text."""
    return {"type": "text", "text": words}


def message(*parts: dict[str, Any], role: str = "user", **keys: Any) -> dict[str, Any]:
    """A chat message."""
    return {"role": role, "content": list(parts), **keys}
