"""LangChain's chat model, as ``docs/library.md`` says to use it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import litellm
import pytest
from support.images import data_uri
from support.upstream import Upstream, images_in

from litellm_image_analysis import ImageAnalysis

LIBRARY = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
CONTENT = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": data_uri("a")}},
]


@pytest.fixture
def model(provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model, made by the code of the page with another model name."""
    del provider
    monkeypatch.setattr(
        litellm, "callbacks", [ImageAnalysis(vision_model="openai/seeing-mini", cache={"backend": "off"})]
    )
    [lines] = re.findall(r"```python\n(.*?)```", LIBRARY.partition("## LangChain")[2], re.DOTALL)
    names: dict[str, Any] = {}
    exec(lines.replace("deepseek/deepseek-chat-ocr", "openai/blind-chat-ocr"), names)
    return names["model"]


def is_analysed(upstream: Upstream) -> bool:
    [seen], [read] = upstream.calls("seeing"), upstream.calls("blind")
    return images_in(seen) == [data_uri("a")] and images_in(read) == [] and "described by" in str(read)


def test_a_blocking_call(model: Any, upstream: Upstream) -> None:
    assert model.invoke([("human", CONTENT)]).content == "It is 42."
    assert is_analysed(upstream)


def test_a_blocking_stream(model: Any, upstream: Upstream) -> None:
    assert "".join(chunk.content for chunk in model.stream([("human", CONTENT)])).strip() == "It is 42."
    assert is_analysed(upstream)


async def test_a_call_in_an_event_loop(model: Any, upstream: Upstream) -> None:
    assert (await model.ainvoke([("human", CONTENT)])).content == "It is 42."
    assert is_analysed(upstream)


async def test_a_stream_in_an_event_loop(model: Any, upstream: Upstream) -> None:
    assert "".join([chunk.content async for chunk in model.astream([("human", CONTENT)])]).strip() == "It is 42."
    assert is_analysed(upstream)
