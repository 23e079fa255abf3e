"""Read QR codes and barcodes, if zxing-cpp is installed (the extra ``codes``)."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels

_MOST_CODES = 20
_MOST_CHARACTERS = 2_000


def read_codes(picture: Pixels) -> list[str]:
    """Return a line for each code in a picture, such as ``QR Code: https://example.com``."""
    reader = _reader()
    found = reader.read_barcodes(picture)[:_MOST_CODES] if reader is not None else []
    return [f"{code.format!s}: {' '.join(code.text[:_MOST_CHARACTERS].split())}" for code in found if code.text]


@cache
def _reader() -> Any:
    return import_module("zxingcpp") if find_spec("zxingcpp") is not None else None
