"""The text that replaces an image stays in the image's own message, role and tool result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.images import data_uri

from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses

SAYS = "WHAT-THE-IMAGE-SAYS"
BASE64 = data_uri("a").partition(",")[2]
CHAT = {"type": "image_url", "image_url": {"url": data_uri("a")}}
ANTHROPIC = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}}
OPENAI = {"type": "input_image", "image_url": data_uri("a")}
GOOGLE = {"inlineData": {"mimeType": "image/png", "data": BASE64}}

Json = dict[str, Any]
Case = tuple[WireFormat, Json, tuple[str | int, ...]]


def chat_in(role: str) -> Case:
    turns = [{"role": each, "content": [{"type": "text", "text": "?"}]} for each in ("system", "user", "assistant")]
    own = {"role": role, "content": [CHAT], "tool_call_id": "call_1"}
    return chat, {"messages": [*turns, own, {"role": "user", "content": "?"}]}, ("messages", 3)


def anthropic_in(role: str, *blocks: Json) -> Case:
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    own = {"role": role, "content": [{"type": "text", "text": "?"}, *(blocks or [ANTHROPIC])]}
    return messages, {"system": "Be brief.", "messages": [*turns, own, turns[1]]}, ("messages", 2)


def responses_in(**own: Any) -> Case:
    turns = [{"role": role, "content": "?"} for role in ("developer", "user", "assistant")]
    return responses, {"instructions": "Be brief.", "input": [*turns, own, turns[1]]}, ("input", 3)


def google_in(role: str, *parts: Json) -> Case:
    turns = [{"role": "user", "parts": [{"text": "?"}]}, {"role": "model", "parts": [{"text": "!"}]}]
    own = {"role": role, "parts": [{"text": "?"}, *(parts or [GOOGLE])]}
    return generate_content, {"systemInstruction": turns[0], "contents": [*turns, own, turns[1]]}, ("contents", 2)


CASES: dict[str, Case] = {
    **{f"chat {role}": chat_in(role) for role in ("system", "developer", "user", "assistant", "tool", "function")},
    **{f"messages {role}": anthropic_in(role) for role in ("user", "assistant")},
    "messages tool_result": anthropic_in(
        "user", {"type": "tool_result", "tool_use_id": "toolu_1", "content": [ANTHROPIC]}
    ),
    "messages document": anthropic_in(
        "user", {"type": "document", "source": {"type": "content", "content": [ANTHROPIC]}}
    ),
    "messages system": (messages, {"system": [ANTHROPIC], "messages": [{"role": "user", "content": "?"}]}, ("system",)),
    **{
        f"responses {role}": responses_in(role=role, content=[OPENAI])
        for role in ("user", "assistant", "system", "developer")
    },
    **{
        f"responses {kind}": responses_in(type=kind, call_id="call_1", output=[OPENAI])
        for kind in ("function_call_output", "custom_tool_call_output")
    },
    "responses computer_call_output": responses_in(
        type="computer_call_output", call_id="call_1", output={**OPENAI, "type": "computer_screenshot"}
    ),
    **{f"generate_content {role}": google_in(role) for role in ("user", "model", "function")},
    "generate_content functionResponse": google_in(
        "user", {"functionResponse": {"name": "look", "response": {}, "parts": [GOOGLE]}}
    ),
    "generate_content systemInstruction": (
        generate_content,
        {"systemInstruction": {"parts": [GOOGLE]}, "contents": [{"role": "user", "parts": [{"text": "?"}]}]},
        ("systemInstruction",),
    ),
}

_OWN_KINDS = {"image", "image_url", "input_image", "computer_screenshot", "input_text", "output_text", "base64"}
_ROLES = ("role", "type", "tool_call_id", "tool_use_id", "call_id", "name")


def spoken(value: Any, speaker: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every string of a body with its sources: roles, item types and ids on the path to it."""
    if isinstance(value, dict):
        own = tuple(value[key] for key in _ROLES if key in value and value[key] not in ("text", "image"))
        for key, inner in value.items():
            container = (key,) if key in ("system", "instructions", "systemInstruction", "functionResponse") else ()
            yield from spoken(inner, speaker + container + own)
    elif isinstance(value, list):
        for inner in value:
            yield from spoken(inner, speaker)
    elif isinstance(value, str):
        yield speaker, value


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_an_image_says_never_leaves_its_own_message(case: Case) -> None:
    wire_format, body, own = case
    [image] = wire_format.find(body).images
    assert image.path[: len(own)] == own
    after = {**body, **wire_format.replace_images(body, {image.path: SAYS})}
    assert json.dumps(after).count(SAYS) == 1
    value: Any = after
    for key in own:
        value = value[key]
    assert SAYS in json.dumps(value)
    assert after.keys() == body.keys()
    for key, before in body.items():
        if isinstance(before, list):
            assert len(after[key]) == len(before)
            assert [each.get("role") for each in after[key]] == [each.get("role") for each in before]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_said_by_whom_the_image_was_shown(case: Case) -> None:
    wire_format, body, _ = case
    [image] = wire_format.find(body).images
    after = {**body, **wire_format.replace_images(body, {image.path: SAYS})}
    [showed] = {_who(speaker) for speaker, words in spoken(body) if BASE64 in words}
    [says] = {_who(speaker) for speaker, words in spoken(after) if SAYS in words}
    assert says == showed


def _who(speaker: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each for each in speaker if each not in _OWN_KINDS)
