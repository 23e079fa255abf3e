"""Small images for tests. Each has a PNG header and its own bytes."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any


def png_header(width: int = 1, height: int = 1) -> bytes:
    """The first 33 bytes of a PNG: its signature and the chunk with its size in pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + chunk + struct.pack(">I", zlib.crc32(chunk))


PNG = png_header()
PNG_URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
"""The start of every image. The bytes after it distinguish the images, also in base64."""


def data_uri(mark: str, *, size: int = 0) -> str:
    """A data: URI of at least ``size`` encoded characters. Each mark has a different one."""
    return PNG_URI + base64.b64encode(mark.encode() + b"\0" * (size * 3 // 4)).decode()


def image(mark: str, **options: Any) -> dict[str, Any]:
    """A chat content part with an image."""
    return {"type": "image_url", "image_url": {"url": data_uri(mark), **options}}


def text(words: str) -> dict[str, Any]:
    """A chat content part with text."""
    return {"type": "text", "text": words}


def message(*parts: dict[str, Any], role: str = "user", **keys: Any) -> dict[str, Any]:
    """A chat message."""
    return {"role": role, "content": list(parts), **keys}
