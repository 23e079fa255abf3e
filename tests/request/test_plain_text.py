"""Messages that are not searched because they are plain text: none of them has an image or a file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import (
    arbitrary_bodies,
    chat_bodies,
    google_bodies,
    messages_bodies,
    plain_conversations,
    responses_bodies,
    spoiled,
    subclassed,
    thorough,
)

from litellm_image_analysis.analysis.limits import check_shape
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.request import chat, generate_content, messages, plain_text, responses
from litellm_image_analysis.request.plain_text import DEPTH, PlainText

NEVER = PlainText("nothing", "nothing", is_result=("role", "content", "parts", "type"))
"""Matches no message, so that all messages are searched."""

WIRES = {
    "chat": (chat, chat_bodies),
    "messages": (messages, messages_bodies),
    "responses": (responses, responses_bodies),
    "generateContent": (generate_content, google_bodies),
}
every_wire_format = pytest.mark.parametrize(("wire_format", "bodies"), WIRES.values(), ids=WIRES)


def plain_bodies(wire_format: Any) -> st.SearchStrategy[Any]:
    """Requests of text, some of them with something odd in it."""
    conversations = plain_conversations(wire_format.PLAIN.content, wire_format.PLAIN.part)
    bodies = st.fixed_dictionaries({wire_format.CONTENT[-1]: conversations})
    return bodies | spoiled(bodies)


@every_wire_format
@thorough
@given(data=st.data())
def test_what_is_found_does_not_depend_on_what_is_skipped(wire_format: Any, bodies: Any, data: st.DataObject) -> None:
    body = data.draw(st.one_of(bodies, spoiled(bodies), plain_bodies(wire_format), arbitrary_bodies))
    body = data.draw(st.sampled_from([body, subclassed(body)]))
    images, files, is_plain = (
        wire_format.find(body).images,
        wire_format.find(body).files,
        wire_format.is_plain_text(body),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire_format, "PLAIN", NEVER)
        assert wire_format.find(body).images == images
        assert wire_format.find(body).files == files
    if is_plain:
        assert (images, files) == ([], [])
        assert check_shape(body, wire_format, ImageAnalysisConfig(max_nesting_depth=DEPTH)) is None


def texts(*words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": each} for each in words]


@pytest.mark.parametrize(
    ("wire_format", "body"),
    [
        (chat, {"messages": [{"role": "user", "content": texts("a", "b")}, {"role": "assistant", "content": None}]}),
        (chat, {"messages": [{"role": "system", "content": "a", "name": "b"}]}),
        (chat, {}),
        (messages, {"system": texts("a"), "messages": [{"role": "user", "content": "a"}]}),
        (responses, {"input": "a"}),
        (responses, {"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}]}),
        (responses, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]}),
        (generate_content, {"systemInstruction": {"parts": [{"text": "a"}]}, "contents": [{"parts": [{"text": "b"}]}]}),
    ],
)
def test_usual_texts_are_plain(wire_format: Any, body: dict[str, Any]) -> None:
    assert wire_format.is_plain_text(body)


@pytest.mark.parametrize(
    ("wire_format", "body"),
    [
        (chat, {"messages": [{"role": "tool", "content": "a"}]}),
        (chat, {"messages": [{"role": "user", "content": "a", "images": []}]}),
        (chat, {"messages": [{"role": "user", "content": [{"type": "text", "text": ["a"]}]}]}),
        (chat, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "image_url": "b"}]}]}),
        (chat, {"messages": ["a"]}),
        (chat, {"messages": {"role": "user", "content": "a"}}),
        (messages, {"system": [{"type": "image"}], "messages": []}),
        (responses, {"input": [{"type": "function_call_output", "output": "a"}]}),
        (generate_content, {"system_instruction": {"parts": [{"inlineData": {}}]}, "contents": []}),
    ],
)
def test_what_may_hold_an_image_is_not(wire_format: Any, body: dict[str, Any]) -> None:
    assert not wire_format.is_plain_text(body)


@pytest.mark.parametrize(
    "many",
    [
        [{"role": "user", "content": "a"}] * 11,
        [{"role": "user", "content": texts(*"aaaa")}] * 3,
        [{"role": "user", "content": texts(*"a" * 11)}],
    ],
    ids=["messages", "parts of several messages", "parts of one message"],
)
def test_so_many_that_an_event_loop_would_stop_are_read_elsewhere(
    many: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chat.is_plain_text({"messages": many})
    monkeypatch.setattr(plain_text, "_MOST_VALUES", 10)
    assert not chat.is_plain_text({"messages": many})
