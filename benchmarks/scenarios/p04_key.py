"""P4: the key of a 5 MB image, against the least it can cost, one SHA-256 of its text."""

from __future__ import annotations

import base64
import hashlib
import random
from functools import partial
from typing import Any

from support.images import png_header

from benchmarks.measure import Result, Row, Run, Scenario, Variant
from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses

_BYTES = 5_000_000


def _body(name: str, encoded: str) -> dict[str, Any]:
    """A request of each wire format with this image."""
    uri = f"data:image/png;base64,{encoded}"
    if name == "chat":
        return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}}]}]}
    if name == "responses":
        return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": uri}]}]}
    if name == "messages":
        source = {"type": "base64", "media_type": "image/png", "data": encoded}
        return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    data = {"mimeType": "image/png", "data": encoded}
    return {"contents": [{"role": "user", "parts": [{"inlineData": data}]}]}


def _key(wire_format: WireFormat, body: dict[str, Any]) -> None:
    """Do what a remembered image needs. Earlier versions also checked the whole image then."""
    found: Any = wire_format
    [image] = found.find(body).images if hasattr(found, "find") else found.find_images(body)
    source: Any = image.source
    flaw = source.first_flaw if hasattr(source, "first_flaw") else source.flaw
    if flaw is not None or len(source.digest) != 64:
        raise AssertionError(f"the benchmark's image has a flaw: {flaw}")


async def measure(run: Run) -> Result:
    """Measure it for each wire format."""
    noise = random.Random(4).randbytes(run.many(_BYTES, 50_000))
    encoded = base64.b64encode(png_header(1000, 1000) + noise).decode()
    uri = f"data:image/png;base64,{encoded}"
    variants: dict[str, Variant[Any]] = {
        "SHA-256": Variant(lambda text: hashlib.sha256(text.encode()).hexdigest(), lambda: uri)
    }
    formats: tuple[tuple[str, WireFormat], ...] = (
        ("chat", chat),
        ("responses", responses),
        ("messages", messages),
        ("generate_content", generate_content),
    )
    for name, wire_format in formats:
        variants[name] = Variant(partial(_key, wire_format), partial(_body, name, encoded))
    times = await run.compare(variants, rounds=15, calls=5)
    return Result(
        [
            Row(f"{name}, CPU over SHA-256 of the text", times[name].cpu / times["SHA-256"].cpu, "ratio", at_most=1.15)
            for name, _ in formats
        ]
    )


SCENARIO = Scenario(
    "Key of a 5 MB image",
    measure,
    "Finding the image in a request, reading its header and computing its digest, against `sha256(text.encode())` of"
    " the same characters.",
)
