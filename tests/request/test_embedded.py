"""Images within texts and JSON of tool results."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.images import data_uri
from support.strategies import thorough

from litellm_image_analysis.request import IN_TEXT, Body, WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.embedded import embedded_images, holds_image, replacement, without_images

URI = data_uri("cat", size=200)
DATA = URI.partition(",")[2]
WRAPPED = "\n".join(textwrap.wrap(DATA, 76))
NOTE = 'What it "shows".\nIn lines.'
AI_SDK = [{"type": "text", "text": "Here."}, {"type": "image-data", "data": DATA, "mediaType": "image/png"}]
MCP_PART = {"type": "image", "data": DATA, "mimeType": "image/png"}
MCP = {"content": [MCP_PART], "isError": False}
ANTHROPIC = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
RESULTS: dict[str, str] = {
    "AI SDK": json.dumps(AI_SDK),
    "MCP": json.dumps(MCP),
    "indented": f"\n {json.dumps(MCP, indent=1)}\n",
    "Anthropic": json.dumps([ANTHROPIC]),
    "OpenAI": json.dumps([{"type": "image_url", "image_url": {"url": URI}}]),
    "beside others": json.dumps({"stdout": "Total: 42 EUR", "exit_code": 0, "image": URI}),
    "escaped slashes": json.dumps(MCP).replace("/", "\\/"),
    "URI with escaped slashes": json.dumps([URI]).replace("/", "\\/"),
    "JSON in JSON": json.dumps({"output": json.dumps(AI_SDK)}),
    "JSON in JSON in JSON": json.dumps(json.dumps({"output": json.dumps([URI])})),
    "slashes escaped twice": json.dumps(json.dumps(MCP).replace("/", "\\/")),
    "a JSON string": json.dumps(URI),
    "lines in JSON": json.dumps({"png": WRAPPED}),
    "lines in JSON in JSON": json.dumps(json.dumps({"png": f"\n{WRAPPED}\n"})),
    "not quite JSON": f"Result: {json.dumps(MCP)}\nDone",
    "Python": str(AI_SDK),
    "a lone surrogate": f'{{"b":"{URI}","t":"cut \\ud83d"}}',
    "odd numbers": f'{{"a": 1e400, "a": 1.10, "b": "{URI}", "c": {"9" * 5000}}}',
    "much JSON": json.dumps([{"type": "text", "text": "a,b," * 5001}, *AI_SDK]),
    "deep JSON": "[" * 10_000 + json.dumps(URI) + "]" * 10_000,
    "Markdown": f"![a chart]({URI})\nThe chart.",
    "the beginning of a text": f"{URI}\nTotal on page: 42 EUR",
    "the end of a text": f"Saved. {DATA}",
    "URI": URI,
    "upper case": URI.replace("image/png;base64", "IMAGE/PNG;BASE64"),
    "parameters": URI.replace(";base64", ";charset=utf-8;base64"),
    "no type": URI.replace("image/png", ""),
    "any type": URI.replace("image/png", "application/octet-stream"),
    "base64": DATA,
    "lines": WRAPPED,
    "lines of Windows": WRAPPED.replace("\n", "\r\n") + "\r\n",
    "lines before text": f"{WRAPPED}\nDone.",
    "blanks before": f"  \n{DATA}",
}
"""A tool's result with an image."""

each_result = pytest.mark.parametrize("text", RESULTS.values(), ids=RESULTS)


def cut(text: str) -> list[str]:
    """The text around the images."""
    spans = [path[-2:] for path, _ in embedded_images(text, ())]
    edges = [0, *(int(edge) for span in spans for edge in span), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


@each_result
def test_it_is_found(text: str) -> None:
    [(path, source)] = embedded_images(text, ("here",))
    assert path[:2] == ("here", IN_TEXT)
    assert source.url == URI


@each_result
def test_only_the_image_is_cut_out(text: str) -> None:
    before, after = cut(text)
    assert without_images(text) == before + after
    assert list(embedded_images(before + after, ())) == []
    assert base64_in(before) == base64_in(after) == []


def base64_in(text: str) -> list[str]:
    """Remains of an image: long words in a text."""
    return [word for word in re.findall(r"[A-Za-z0-9+]{30,}", text) if word in DATA]


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "",
        "a text",
        json.dumps({"url": "https://images.example.com/cat.png", "type": "image"}),
        json.dumps({"words": "iVBORw0KGgo is how a PNG begins"}),
        json.dumps({"files": [{"mimeType": "image/png", "data": "<omitted>", "title": "A"}]}),
        {"name": "cat.png", "mimeType": "image/png", "image": "cat.png"},
        "data:application/pdf;base64,JVBERi0xLjQ" + "A" * 100,
        "data:image/png;base64,AAAA",
        "/9j/" + "A" * 20,
        "x" + DATA,
        f'<img alt="" src="{URI}">',
        json.dumps(f'<img src="{URI}">'),
        f"a {{ background: url({URI}) }}",
        f"a {{ background: URL( '{URI}' ) }}",
        "/9j/" * 9 + "!" * 100,
    ],
)  # fmt: skip
def test_other_results_stay_as_they_are(value: object) -> None:
    assert list(embedded_images(value, ())) == []
    assert without_images(value) is value
    assert not holds_image(value)


@pytest.mark.parametrize("head", ["/9j/4AAQSkZJRgABAQ", "R0lGODlhAQABAIAAAAAA", "UklGRiQAAABXRUJQVlA4", "SUkqAAgAAAA"])
def test_base64_of_each_type_is_known_by_its_beginning(head: str) -> None:
    ((path, _),) = embedded_images(f"see {head + 'A' * 100}.", ())
    assert path == (IN_TEXT, 4, 104 + len(head))


@pytest.mark.parametrize("kind", ["svg+xml", "bmp", "x-unknown"])
def test_a_uri_says_itself_that_it_is_an_image(kind: str) -> None:
    ((_, source),) = embedded_images(f"data:image/{kind};base64,{'A' * 100}", ())
    assert source.flaw is not None


def test_several_in_one_text() -> None:
    text = json.dumps({"before": URI, "words": "between", "after": [data_uri("dog"), DATA]})
    assert len(cut(text)) == 4
    assert [source.url for _, source in embedded_images(text, ())] == [URI, data_uri("dog"), URI]


def test_an_image_anywhere_in_a_value_is_held() -> None:
    assert holds_image([{"a": [{"type": "image_url", "image_url": "https://images.example.com/a.png"}]}])
    assert holds_image({"result": json.dumps({"shot": DATA})})
    assert not holds_image([{"type": "text", "text": "image"}, 5, None])


@pytest.mark.parametrize(("levels", "images"), [(400, 1), (100_000, 0)])
def test_no_depth_is_too_deep(levels: int, images: int) -> None:
    deep: Any = {"image": URI}
    for _ in range(levels):
        deep = {"inner": deep}
    found = list(embedded_images(deep, ("here",)))
    assert len(found) == images
    assert (without_images(deep) is deep) is (images == 0)


def test_order_and_places() -> None:
    value = {"a": [1, URI, {"b": [URI]}], "c": {"d": URI, "e": []}, "f": f"{URI} {URI}"}
    found = [path[: path.index(IN_TEXT)] for path, _ in embedded_images(value, ("here",))]
    assert found == [("here", *path) for path in (("a", 1), ("a", 2, "b", 0), ("c", "d"), ("f",), ("f",))]


def test_a_text_stands_in_place_of_a_text_and_a_part_in_place_of_a_part() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    assert replacement(URI, NOTE) == NOTE
    assert replacement({"type": "image", "data": DATA, **mark}, NOTE) == {"type": "text", "text": NOTE, **mark}


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
@each_result
def test_every_wire_format_finds_and_replaces_it(wire_format: WireFormat, body_with: Any, text: str) -> None:
    body = body_with(text)
    before, after = cut(text)
    [found] = wire_format.find(body).images
    assert "text)" not in found.place
    assert DATA[:60] not in found.question
    changed = {**body, **wire_format.replace_images(body, {found.path: NOTE})}
    (written,) = [words for words in texts_in(changed) if NOTE in _unescaped(words)]
    assert written.startswith(before)
    assert written.endswith(after)
    assert wire_format.find(changed).images == []
    assert body == body_with(text)


def texts_in(value: object) -> list[str]:
    """All texts of a JSON value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in texts_in(each)]


def _unescaped(text: str) -> str:
    return re.sub(r"\\+n", "\n", text).replace("\\", "")


def test_a_response_that_is_no_text_is_searched_too() -> None:
    response = {"name": "f", "response": {"output": "ok", "image": {"mimeType": "image/png", "data": DATA}, "size": 3}}
    beside = {"inlineData": {"mimeType": "image/png", "data": DATA}}
    body: Body = {"contents": [{"parts": [{"functionResponse": {**response, "parts": [beside]}}]}]}
    beside_found, found = generate_content.find(body).images
    assert found.question == "It is a result of the tool f, called with: {}\n" + json.dumps(
        {"output": "ok", "image": {"mimeType": "image/png", "data": ""}, "size": 3}
    )
    after = generate_content.replace_images(body, {beside_found.path: "Beside.", found.path: NOTE})
    part = after["contents"][0]["parts"][0]["functionResponse"]
    image = {"mimeType": "image/png", "data": NOTE}
    assert part == {"name": "f", "response": {"output": "ok", "image": image, "size": 3, "image_analysis": "Beside."}}


def test_only_results_of_tools_are_searched() -> None:
    body = {"messages": [{"role": "user", "content": json.dumps(AI_SDK)}]}
    assert chat.find(body).images == []


def test_a_result_of_the_old_role_has_no_base64_in_its_question() -> None:
    body = {"messages": [{"role": "function", "name": "f", "content": json.dumps({"shot": URI, "size": 3})}]}
    [found] = chat.find(body).images
    assert found.question == '{"shot": "", "size": 3}'


ODD: dict[str, tuple[WireFormat, dict[str, Any], str]] = {
    "messages, an object": (messages, messages_body(ANTHROPIC), "text"),
    "messages, an object with blocks": (messages, messages_body({"content": [{"data": DATA}], "ok": True}), "content"),
    "messages, a search result": (
        messages,
        messages_body([{"type": "search_result", "content": [MCP_PART], "title": "a"}]),
        "search_result",
    ),
    "chat, a list of texts": (chat, chat_body(["one", URI]), "one"),
    "chat, a part of a part": (chat, chat_body([{"type": "custom", "content": [{"data": DATA}]}]), "custom"),
    "responses, an object": (responses, responses_body({"content": [MCP_PART]}), "content"),
    "responses, output of a shell": (
        responses,
        {"input": [{"type": "shell_call_output", "call_id": "a", "output": [{"stdout": DATA, "stderr": ""}]}]},
        "stdout",
    ),
    "responses, an empty output": (
        responses,
        {"input": [{"role": "user", "output": "", "content": [{"type": "input_image", "image_url": URI}]}]},
        "input_text",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wire_format", "body", "kept"), ODD.values(), ids=ODD)
def test_results_of_odd_shapes(wire_format: WireFormat, body: dict[str, Any], kept: str) -> None:
    [found] = wire_format.find(body).images
    after = {**body, **wire_format.replace_images(body, {found.path: NOTE})}
    assert DATA not in json.dumps(after)
    assert NOTE in texts_in(after)
    assert kept in json.dumps(after)


json_values = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", "words", "Größe \ud800", DATA[:30], '"', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "type", "data"]), inner),
    max_leaves=8,
)
images = st.sampled_from([URI, DATA, WRAPPED, *AI_SDK[1:], f"words {URI} words"])
results = st.lists(json_values | images | st.builds(json.dumps, images), min_size=1, max_size=4)


def with_notes(value: Any, note: str) -> Any:
    """The expected JSON value: notes replace the images in its texts."""
    if isinstance(value, dict):
        return {key: with_notes(inner, note) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_notes(inner, note) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith('{"type": "image-data"'):
        return json.dumps(with_notes(json.loads(value), note), ensure_ascii=False)
    if value.startswith('"') and len(value) > 1:
        return json.dumps(with_notes(json.loads(value), note), ensure_ascii=False)
    return value.replace(URI, note).replace(DATA, note).replace(WRAPPED, note)


@each_format
@thorough
@given(results)
def test_all_are_replaced_and_nothing_else_changes(wire_format: WireFormat, body_with: Any, value: list[Any]) -> None:
    text = json.dumps(value)
    body = body_with(text)
    found = wire_format.find(body).images
    after = {**body, **wire_format.replace_images(body, {image.path: NOTE for image in found})}
    assert all(image.source is not None and image.source.url == URI for image in found)
    assert wire_format.find(after).images == []
    (written,) = [words for words in texts_in(after) if words[:1] == "["]
    assert json.loads(written) == with_notes(value, NOTE)
    if not found:
        assert after == body


class TestBesideTheContent:
    """``images`` of a chat message, from Ollama or generated by a model."""

    part: ClassVar = {"type": "image_url", "image_url": {"url": URI}}

    @pytest.mark.parametrize("content", [None, "", "Here.", [{"type": "text", "text": "Here."}]])
    @pytest.mark.parametrize("image", [DATA, URI, part, {"url": URI}])
    def test_it_is_moved_into_the_content(self, image: object, content: object) -> None:
        body = {"messages": [{"role": "assistant", "content": content, "images": [image]}]}
        [found] = chat.find(body).images
        assert found.source is not None
        assert found.source.url == URI
        after = chat.replace_images(body, {found.path: NOTE})["messages"]
        assert after == [{"role": "assistant", "content": f"Here.\n\n{NOTE}" if content else NOTE}]

    @pytest.mark.parametrize("content", [5, {"a": 1}])
    def test_content_of_an_odd_shape_is_kept(self, content: object) -> None:
        body = {"messages": [{"role": "user", "content": content, "images": [DATA]}]}
        [found] = chat.find(body).images
        (after,) = chat.replace_images(body, {found.path: NOTE})["messages"]
        assert after["content"] == [content, {"type": "text", "text": NOTE}]

    def test_their_order_stays(self) -> None:
        body = {"messages": [{"role": "user", "content": "?", "images": [DATA, URI, DATA]}]}
        found = chat.find(body).images
        (after,) = chat.replace_images(body, {found[at].path: f"note {at}" for at in (2, 0, 1)})["messages"]
        assert after["content"] == "?\n\nnote 0\n\nnote 1\n\nnote 2"

    def test_those_that_stay_stay(self) -> None:
        images = [DATA, self.part, URI]
        body = {"messages": [{"role": "user", "content": [self.part], "images": images}]}
        found = chat.find(body).images
        assert [image.path[2:] for image in found] == [("content", 0), *(("images", place) for place in range(3))]
        texts = {image.path: f"note {number}" for number, image in enumerate(found) if number != 2}
        (after,) = chat.replace_images(body, texts)["messages"]
        assert after == {"role": "user", "content": "note 0\n\nnote 1\n\nnote 3", "images": [self.part]}

    @pytest.mark.parametrize("images", [None, 5, "x", {}, [], [5, None]])
    def test_others_are_none(self, images: object) -> None:
        assert chat.find({"messages": [{"role": "user", "content": "?", "images": images}]}).images == []
