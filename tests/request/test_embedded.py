"""Images within texts and JSON that tools return."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.images import data_uri
from support.strategies import thorough

from litellm_image_analysis.request import PARSED, Body, Path, WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.embedded import embedded_images, replacement, without_images
from litellm_image_analysis.request.image import ImageSource

URI = data_uri("cat", size=200)
DATA = URI.partition(",")[2]
NOTE = "What it shows."
AI_SDK = [{"type": "text", "text": "Here."}, {"type": "image-data", "data": DATA, "mediaType": "image/png"}]
MCP = {"content": [{"type": "image", "data": DATA, "mimeType": "image/png"}], "isError": False}
IMAGES: dict[str, tuple[object, Path]] = {
    "AI SDK": (json.dumps(AI_SDK), (PARSED, 1)),
    "MCP": (json.dumps(MCP), (PARSED, "content", 0)),
    "indented": (f"\n {json.dumps(MCP, indent=1)}\n", (PARSED, "content", 0)),
    "Anthropic": (
        json.dumps([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}]),
        (PARSED, 0),
    ),
    "OpenAI": (json.dumps([{"type": "image_url", "image_url": {"url": URI}}]), (PARSED, 0)),
    "Google": (json.dumps({"inlineData": {"mimeType": "image/png", "data": DATA}}), (PARSED,)),
    "type and data": (json.dumps({"shot": {"mime_type": "image/png", "data": DATA}}), (PARSED, "shot")),
    "escaped slashes": (json.dumps(MCP).replace("/", "\\/"), (PARSED, "content", 0)),
    "URI in JSON": (json.dumps({"screenshot": URI}), (PARSED, "screenshot")),
    "base64 in JSON": (json.dumps({"screenshot": DATA}), (PARSED, "screenshot")),
    "JSON in JSON": (json.dumps({"output": json.dumps(AI_SDK)}), (PARSED, "output", PARSED, 1)),
    "URI": (URI, ()),
    "base64": (DATA, ()),
}
"""A tool's result as text, and where its image is."""

each_image = pytest.mark.parametrize(("text", "path"), IMAGES.values(), ids=IMAGES)


@each_image
def test_it_is_found(text: object, path: Path) -> None:
    [(found, source)] = embedded_images(text, ("here",))
    assert found == ("here", *path)
    assert source.url == URI


@each_image
def test_the_rest_is_kept_without_it(text: str, path: Path) -> None:
    del path
    rest = without_images(text)
    assert isinstance(rest, str)
    assert DATA not in rest
    assert list(embedded_images(rest, ())) == []


def test_texts_of_content_parts_become_one_text() -> None:
    assert without_images(json.dumps(AI_SDK)) == "Here."


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "a text",
        f"a text with {URI}",
        f"[not JSON {URI}",
        json.dumps({"url": "https://images.example.com/cat.png", "type": "image"}),
        json.dumps([{"type": "image_url", "image_url": {"url": "https://images.example.com/cat.png"}}]),
        json.dumps({"words": "iVBORw0KGgo is how a PNG begins"}),
        json.dumps({"pdf": "data:application/pdf;base64,JVBERi0xLjQ="}),
        "data:image/png;base64,AAAA",
        "/9j/" + "A" * 20,
        "[" * 100_000 + f'"{URI}"' + "]" * 100_000,
        json.dumps([*range(20_000), URI]),
    ],
)  # fmt: skip
def test_other_results_stay_as_they_are(value: object) -> None:
    assert list(embedded_images(value, ())) == []
    assert without_images(value) is value


def test_no_depth_is_too_deep() -> None:
    deep: Any = {"image": URI}
    for _ in range(10_000):
        deep = {"inner": deep}
    assert list(embedded_images(deep, ())) == []


def test_a_text_stands_in_place_of_a_text_and_a_part_in_place_of_a_part() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    marked = {"type": "image", "data": DATA, **mark}
    assert replacement(URI, ("messages",), NOTE) == NOTE
    assert replacement(marked, ("messages", PARSED), NOTE) == {"type": "text", "text": NOTE}
    assert replacement(marked, ("messages",), NOTE) == {
        "type": "text",
        "text": NOTE,
        "cache_control": marked["cache_control"],
    }


def chat_body(text: object) -> dict[str, Any]:
    return {"messages": [{"role": "tool", "tool_call_id": "a", "content": text}]}


def chat_part_body(text: object) -> dict[str, Any]:
    return {"messages": [{"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": text}]}]}


def messages_body(text: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": text}]}]}


def messages_part_body(text: object) -> dict[str, Any]:
    return messages_body([{"type": "text", "text": text}])


def responses_body(text: object) -> dict[str, Any]:
    return {"input": [{"type": "function_call_output", "call_id": "a", "output": text}]}


def responses_part_body(text: object) -> dict[str, Any]:
    return responses_body([{"type": "input_text", "text": text}])


def google_body(text: object) -> dict[str, Any]:
    return {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {"output": text}}}]}]}


FORMATS = [
    (chat, chat_body),
    (chat, chat_part_body),
    (messages, messages_body),
    (messages, messages_part_body),
    (responses, responses_body),
    (responses, responses_part_body),
    (generate_content, google_body),
]
each_format = pytest.mark.parametrize(
    ("wire_format", "body_with"), FORMATS, ids=lambda value: getattr(value, "__name__", "")
)


@each_format
@each_image
def test_every_wire_format_finds_and_replaces_it(
    wire_format: WireFormat, body_with: Any, text: object, path: Path
) -> None:
    body = body_with(text)
    before = deepcopy(body)
    [found] = wire_format.find_images(body)
    assert found.path[len(found.path) - len(path) :] == path
    assert DATA not in found.question
    assert "(JSON)" not in found.place
    after = {**body, **wire_format.replace_images(body, {found.path: NOTE})}
    assert wire_format.find_images(after) == []
    assert DATA not in json.dumps(after)
    assert NOTE in json.dumps(after)
    assert body == before


def test_a_response_that_is_no_text_is_searched_too() -> None:
    response = {"name": "f", "response": {"image": {"mimeType": "image/png", "data": DATA}, "size": 3}}
    beside = {"inlineData": {"mimeType": "image/png", "data": DATA}}
    body: Body = {"contents": [{"parts": [{"functionResponse": {**response, "parts": [beside]}}]}]}
    beside_found, found = generate_content.find_images(body)
    after = generate_content.replace_images(body, {beside_found.path: "Beside.", found.path: NOTE})
    part = after["contents"][0]["parts"][0]["functionResponse"]
    note = {"type": "text", "text": NOTE}
    assert part == {"name": "f", "response": {"image": note, "size": 3, "image_analysis": "Beside."}}


def test_only_results_of_tools_are_searched() -> None:
    body = {"messages": [{"role": "user", "content": json.dumps(AI_SDK)}]}
    assert chat.find_images(body) == []


json_values = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", "words", "Größe \ud800", DATA[:30]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "type", "data"]), inner),
    max_leaves=8,
)
images = st.sampled_from(
    [URI, DATA, *AI_SDK[1:], MCP["content"], {"inlineData": {"mimeType": "image/png", "data": DATA}}]
)
results = st.lists(json_values | images, min_size=1, max_size=4)


@each_format
@thorough
@given(results)
def test_all_are_replaced_and_nothing_else_changes(wire_format: WireFormat, body_with: Any, value: list[Any]) -> None:
    body = body_with(json.dumps(value))
    found = wire_format.find_images(body)
    after = {**body, **wire_format.replace_images(body, {image.path: NOTE for image in found})}
    assert DATA not in json.dumps(after)
    assert wire_format.find_images(after) == []
    assert len(found) == json.dumps(value).count(DATA)
    sources = {image.source for image in found}
    assert all(isinstance(source, ImageSource) and source.url == URI for source in sources)
    if not found:
        assert after == body


class TestBesideTheContent:
    """``images`` of a chat message: those of Ollama, and those that a model has made."""

    part: ClassVar = {"type": "image_url", "image_url": {"url": URI}}

    @pytest.mark.parametrize("content", [None, "", "Here.", [{"type": "text", "text": "Here."}]])
    @pytest.mark.parametrize("image", [DATA, URI, part, {"url": URI}])
    def test_it_is_moved_into_the_content(self, image: object, content: object) -> None:
        body = {"messages": [{"role": "assistant", "content": content, "images": [image]}]}
        [found] = chat.find_images(body)
        assert found.source is not None
        assert found.source.url == URI
        after = chat.replace_images(body, {found.path: NOTE})["messages"]
        assert after == [{"role": "assistant", "content": f"Here.\n\n{NOTE}" if content else NOTE}]

    def test_those_that_stay_stay(self) -> None:
        images = [DATA, self.part, URI]
        body = {"messages": [{"role": "user", "content": [self.part], "images": images}]}
        found = chat.find_images(body)
        assert [image.path[2:] for image in found] == [("content", 0), *(("images", place) for place in range(3))]
        texts = {image.path: f"note {number}" for number, image in enumerate(found) if number != 2}
        (after,) = chat.replace_images(body, texts)["messages"]
        assert after == {"role": "user", "content": "note 0\n\nnote 1\n\nnote 3", "images": [self.part]}

    @pytest.mark.parametrize("images", [None, 5, "x", {}, [], [5, None]])
    def test_others_are_none(self, images: object) -> None:
        assert chat.find_images({"messages": [{"role": "user", "content": "?", "images": images}]}) == []
