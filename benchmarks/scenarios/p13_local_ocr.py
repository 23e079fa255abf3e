"""P13: local OCR against RapidOCR alone with its default settings and one thread."""

from __future__ import annotations

import asyncio
import base64
import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import litellm
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR

from benchmarks.local_ocr import ONE_THREAD
from benchmarks.measure import Result, Row, Run, Scenario, Variant
from litellm_image_analysis.vision import local_ocr

_RECEIPT = Path(__file__).parents[2] / "examples/receipt.png"
_AT_ONCE = 4
_WORDS = "Invoice number 2024-117: three chairs and one table, delivered on 4 May, to be paid within 30 days"


def _page() -> bytes:
    """Return a page of 10 lines as a PNG."""
    page = Image.new("RGB", (1200, 420), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(20)
    for line in range(10):
        draw.text((40, 30 + 38 * line), f"{line + 1}. {_WORDS}", "black", font)
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


def _words_of(engine: RapidOCR, content: bytes) -> list[str]:
    found: Any = engine(content)
    return list(found.txts or ())


async def _local(messages: list[dict[str, Any]]) -> str:
    answer = await litellm.acompletion("local-ocr/rapidocr", messages)
    return str(answer.choices[0].message.content)


def _messages(content: bytes) -> list[dict[str, Any]]:
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


def _variants(engine: RapidOCR, content: bytes) -> dict[str, Variant[Any]]:
    """Return RapidOCR and local OCR, each with one image and with several at once, two of which are read at a time."""
    threads = ThreadPoolExecutor(2)
    messages = _messages(content)

    def several(content: bytes) -> None:
        list(threads.map(partial(_words_of, engine), [content] * _AT_ONCE))

    async def several_local(messages: list[dict[str, Any]]) -> None:
        await asyncio.gather(*(_local(messages) for _ in range(_AT_ONCE)))

    return {
        "bare": Variant(partial(_words_of, engine), lambda: content),
        "local": Variant(_local, lambda: messages),
        "bare, several": Variant(several, lambda: content),
        "local, several": Variant(several_local, lambda: messages),
    }


async def _rows(run: Run, engine: RapidOCR, name: str, content: bytes) -> list[Row]:
    found = await run.compare(_variants(engine, content), rounds=5)
    cpu = found["bare"].cpu / found["local"].cpu
    wall = found["bare, several"].wall / found["local, several"].wall
    return [
        Row(f"{name}: speed over RapidOCR, CPU", cpu, "ratio", at_least=0.95),
        Row(f"{name}, {_AT_ONCE} at once: speed over RapidOCR, wall time", wall, "ratio", at_least=0.95),
    ]


async def measure(run: Run) -> Result:
    """Measure a receipt and a page of text. A quick run only compares the texts in the receipt."""
    local_ocr.register()
    engine = RapidOCR(params=ONE_THREAD)
    receipt = _RECEIPT.read_bytes()
    transcript = await _local(_messages(receipt))
    missing = sum(words not in transcript for words in _words_of(engine, receipt))
    rows = [Row("texts of the receipt that only RapidOCR finds", missing, "texts", at_most=0, is_exact=True)]
    if not run.is_quick:
        for name, content in {"receipt": receipt, "page of 10 lines": _page()}.items():
            rows += await _rows(run, engine, name, content)
    return Result(rows)


SCENARIO = Scenario(
    "Local OCR against RapidOCR",
    measure,
    "`local-ocr/rapidocr`, called through LiteLLM with a `data:` URI, against RapidOCR with its default settings and"
    " one thread, called with the bytes of the same picture: one at a time, and four of which two are read at once."
    " Above 1, local OCR is faster.",
)
