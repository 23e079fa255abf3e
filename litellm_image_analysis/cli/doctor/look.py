"""Ask the vision model about a tiny picture with a number in it. This is the only check that asks a provider."""

from __future__ import annotations

import base64
import secrets
import struct
import zlib
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.prices import format_usd
from litellm_image_analysis.billing.request_state import load_state
from litellm_image_analysis.cli.doctor.finding import Finding, ok, problem
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.engine.context import RequestContext
from litellm_image_analysis.request import chat

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig

_DIGITS = (
    *("111101101101111", "010110010010111", "111001111100111", "111001111001111", "101101111001001"),
    *("111100111001111", "111100111101111", "111001001001001", "111101111101111", "111101111001111"),
)
"""Each digit as five rows of three pixels."""
_SCALE = 14
_QUESTION = "Which number does the picture show? Write its digits."
_WHERE = f"{SETTINGS_PATH}.vision_model"


async def look(settings: ImageAnalysisConfig, router: Router) -> Finding:
    """Have the vision model read a number, through the same code as a request, without the cache.

    Args:
        settings: the settings of image analysis.
        router: makes the vision call.
    """
    number = str(secrets.randbelow(9000) + 1000)
    url = f"data:image/png;base64,{base64.b64encode(picture_of(number)).decode()}"
    content = [{"type": "text", "text": _QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
    cache = settings.cache.model_copy(update={"backend": "off"})
    config = settings.model_copy(update={"on_failure": "placeholder", "cache": cache})
    request: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "metadata": {}}
    context = RequestContext(config=config, vision_model=config.vision_model, router=router)
    analyzer = Analyzer(config)
    found = await analyzer.find(request, chat, config)
    await analyzer.replace(request, found, chat, context)
    report = load_state(request).report
    model = settings.vision_model
    if report is None or report.failed:
        reasons = ", ".join(report.reasons if report else ()) or "internal"
        cures = "; ".join(report.cures if report else ())
        fix = cures or "See docs/troubleshooting.md for this reason"
        return problem("look", f"{model} could not read a picture: {reasons}", _WHERE, fix)
    cost = "of unknown cost" if report.cost is None else f"for {format_usd(report.cost)} USD"
    took = f"in {report.duration_ms / 1000:.1f} s, {cost}"
    if number not in "".join(char for char in _text_of(request) if not char.isspace() and char != ","):
        return problem(
            "look",
            f"{model} answered {took}, but not with the number in the picture. It may not see images",
            _WHERE,
            "Set vision_model to a model that accepts images",
        )
    return ok("look", f"{model} read the number in a picture {took}", _WHERE)


def _text_of(request: dict[str, Any]) -> str:
    parts = request["messages"][0]["content"]
    return parts if isinstance(parts, str) else "\n".join(part.get("text", "") for part in parts)


def picture_of(number: str) -> bytes:
    """Draw a number as a PNG, in black on white."""
    rows = [_row(number, line) for line in range(-1, 6)]
    width, height = len(rows[0]) * _SCALE, len(rows) * _SCALE
    pixels = b"".join((b"\0" + bytes(pixel for pixel in row for _ in range(_SCALE))) * _SCALE for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _row(number: str, line: int) -> list[int]:
    row = [255]
    for digit in number:
        pixels = _DIGITS[int(digit)][3 * line : 3 * line + 3] if 0 <= line < 5 else "000"
        row += [*(0 if pixel == "1" else 255 for pixel in pixels), 255]
    return row


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
