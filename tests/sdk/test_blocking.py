"""Blocking functions, and streams that replace LiteLLM's."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing.total import RequestCost
from litellm_image_analysis.sdk.blocking import BlockingStream, Stream, by_name, parameters, serve_calls

REPORT = Report("eyes", images=1, cost=Decimal("0.00021"))


class Recording:
    """A Router whose calls return their arguments."""

    async def acompletion(self, model: str, messages: list[Any], stream: bool = False, **kwargs: Any) -> dict[str, Any]:
        return {"model": model, "messages": messages, "stream": stream, **kwargs}

    async def anything(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"args": args, **kwargs}

    aresponses = anthropic_messages = aanthropic_messages = agenerate_content = agenerate_content_stream = anything

    def completion(self, model: str, messages: list[Any], **kwargs: Any) -> dict[str, Any]:
        raise AssertionError((model, messages, kwargs))  # the blocking method is never called, but the asynchronous one

    def blocks(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        raise AssertionError((args, kwargs))

    responses = generate_content = generate_content_stream = blocks


@pytest.fixture
def served() -> Any:
    """A Router whose calls get a mark."""
    router: Any = Recording()
    serve_calls(router, lambda arguments: {**arguments, "prepared": True})
    return router


class TestServedCalls:
    @pytest.mark.parametrize(
        "name",
        ["aresponses", "anthropic_messages", "aanthropic_messages", "agenerate_content", "agenerate_content_stream"],
    )
    async def test_every_wire_format_s_call_is_prepared(self, served: Any, name: str) -> None:
        assert await getattr(served, name)(model="m") == {"args": (), "model": "m", "prepared": True}

    @pytest.mark.parametrize("name", ["responses", "generate_content", "generate_content_stream"])
    def test_blocking_ones_are_once(self, served: Any, name: str) -> None:
        assert getattr(served, name)(model="m") == {"args": (), "model": "m", "prepared": True}

    async def test_arguments_by_position_are_told_by_name(self, served: Any) -> None:
        told = {"model": "m", "messages": [], "stream": True, "user": "u", "prepared": True}
        assert await served.acompletion("m", [], True, user="u") == told
        assert await served.acompletion("m", messages=[], stream=True, user="u") == told

    def test_blocking_ones_are_too(self, served: Any) -> None:
        told = {"model": "m", "messages": [], "stream": False, "user": "u", "prepared": True}
        assert served.completion("m", [], user="u") == told

    async def test_who_serves_last_prepares_alone(self, served: Any) -> None:
        serve_calls(served, lambda arguments: {**arguments, "prepared": "again"})
        assert await served.aresponses(model="m") == {"args": (), "model": "m", "prepared": "again"}

    async def test_a_method_keeps_its_name_and_signature(self, served: Any) -> None:
        assert served.acompletion.__name__ == "acompletion"
        assert inspect.signature(served.acompletion) == inspect.signature(Recording().acompletion)


class TestMethodsThatNameNoParameters:
    """Like those of LiteLLM 1.110's Router."""

    @staticmethod
    def told(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        def anything(*args: Any, **kwargs: Any) -> None:
            raise AssertionError((args, kwargs))

        anything.__name__ = name
        return by_name(parameters(anything), args, kwargs)

    def test_arguments_have_the_names_that_litellm_gives_them(self) -> None:
        assert self.told("acompletion", "m", [], user="u") == {"model": "m", "messages": [], "user": "u"}
        assert self.told("acompletion", "m", messages=[]) == {"model": "m", "messages": []}
        assert self.told("acompletion", model="m") == {"model": "m"}
        assert self.told("aresponses", "What?", "m") == {"input": "What?", "model": "m"}

    @pytest.mark.parametrize(
        ("name", "args", "kwargs"),
        [("acompletion", ("m", [], True), {}), ("acompletion", ("m", []), {"messages": []}), ("agenerate", ("m",), {})],
        ids=["one too many", "one twice", "none is known"],
    )
    def test_what_litellm_refuses_is_refused(self, name: str, args: Any, kwargs: Any) -> None:
        with pytest.raises(TypeError):
            self.told(name, *args, **kwargs)


class LiteLLMs:
    """A stream of two chunks that LiteLLM logs when it ends."""

    model = "blind"

    def __init__(self, made: RequestCost | None = None, *, breaks: bool = False) -> None:
        self._chunks = self._make(made, breaks)
        self._hidden_params: dict[str, Any] = {"model_id": "1", "response_cost": 0.0}

    async def _make(self, made: RequestCost | None, breaks: bool) -> AsyncIterator[str]:
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
    made = RequestCost("acompletion", REPORT)
    stream = Stream(LiteLLMs(made), made)
    before = dict(stream._hidden_params)
    assert [chunk async for chunk in stream] == ["It is", " 42."]
    assert before == {"model_id": "1", "response_cost": 0.0}
    assert stream._hidden_params["response_cost"] == 0.00141
    assert stream._hidden_params["model_id"] == "1"
    assert stream._hidden_params["image_analysis"]["cost"] == 0.00021


async def test_litellm_s_own_hidden_parameters_stay_as_they_are() -> None:
    made = RequestCost("acompletion", REPORT)
    theirs = LiteLLMs(made)
    assert [chunk async for chunk in Stream(theirs, made)]
    assert theirs._hidden_params == {"model_id": "1", "response_cost": 0.0}


async def test_a_stream_that_breaks_breaks() -> None:
    made = RequestCost("acompletion", REPORT)
    stream = Stream(LiteLLMs(made, breaks=True), made)
    assert await anext(stream) == "It is"
    with pytest.raises(ConnectionError):
        await anext(stream)
    assert "image_analysis" not in stream._hidden_params


async def test_it_has_what_litellm_s_stream_has() -> None:
    stream = Stream(LiteLLMs(), RequestCost("acompletion", REPORT))
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
