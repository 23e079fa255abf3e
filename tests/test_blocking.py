"""Streams in the place of LiteLLM's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from litellm_image_analysis.bill import Bill
from litellm_image_analysis.blocking import BlockingStream, Stream
from litellm_image_analysis.pipeline import Report

REPORT = Report("eyes", images=1, cost=Decimal("0.00021"))


class LiteLLMs:
    """A stream of two chunks that LiteLLM logs when it ends."""

    model = "blind"

    def __init__(self, made: Bill | None = None, *, breaks: bool = False) -> None:
        self._chunks = self._make(made, breaks)
        self._hidden_params: dict[str, Any] = {"model_id": "1", "response_cost": 0.0}

    async def _make(self, made: Bill | None, breaks: bool) -> AsyncIterator[str]:
        yield "It is"
        if breaks:
            raise ConnectionError
        yield " 42."
        if made is not None:
            made.base_cost = Decimal("0.0012")
            made.is_settled.set()

    async def __anext__(self) -> str:
        return await self._chunks.__anext__()


async def test_the_total_is_there_after_the_last_chunk_and_not_before() -> None:
    made = Bill("acompletion", REPORT)
    stream = Stream(LiteLLMs(made), made)
    before = dict(stream._hidden_params)
    assert [chunk async for chunk in stream] == ["It is", " 42."]
    assert before == {"model_id": "1", "response_cost": 0.0}
    assert stream._hidden_params["response_cost"] == 0.00141
    assert stream._hidden_params["model_id"] == "1"
    assert stream._hidden_params["image_analysis"]["cost"] == 0.00021


async def test_litellm_s_own_hidden_parameters_stay_as_they_are() -> None:
    made = Bill("acompletion", REPORT)
    theirs = LiteLLMs(made)
    assert [chunk async for chunk in Stream(theirs, made)]
    assert theirs._hidden_params == {"model_id": "1", "response_cost": 0.0}


async def test_a_stream_that_breaks_breaks() -> None:
    made = Bill("acompletion", REPORT)
    stream = Stream(LiteLLMs(made, breaks=True), made)
    assert await anext(stream) == "It is"
    with pytest.raises(ConnectionError):
        await anext(stream)
    assert "image_analysis" not in stream._hidden_params


async def test_it_has_what_litellm_s_stream_has() -> None:
    stream = Stream(LiteLLMs(), Bill("acompletion", REPORT))
    assert stream.model == "blind"
    with pytest.raises(AttributeError):
        _ = stream.nothing_like_it


def test_a_blocking_one_gives_the_same_chunks() -> None:
    with start_blocking_portal() as portal:
        stream = BlockingStream(LiteLLMs(), portal)
        assert list(stream) == ["It is", " 42."]
        assert list(stream) == []
        assert stream.model == "blind"


def test_a_blocking_one_breaks_too() -> None:
    with start_blocking_portal() as portal:
        stream = BlockingStream(LiteLLMs(breaks=True), portal)
        assert next(stream) == "It is"
        with pytest.raises(ConnectionError):
            next(stream)
