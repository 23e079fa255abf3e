"""Any request in every wire format: all images are found, and nothing else changes."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path as File
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.images import PNG_URI
from support.strategies import (
    PIXELS,
    arbitrary_bodies,
    chat_bodies,
    chat_messages,
    google_bodies,
    google_contents,
    messages_bodies,
    messages_messages,
    nodes,
    responses_bodies,
    responses_items,
    spoiled,
    thorough,
)

from litellm_image_analysis.request import Path, WireFormat, chat, conversation, generate_content, messages, responses
from litellm_image_analysis.request.values import edited

FIXTURES = File(__file__).parents[1] / "fixtures"
FUNCTION_RESPONSES = ("functionResponse", "function_response")

Json: TypeAlias = dict[str, Any]
Texts: TypeAlias = Mapping[Path, str]


def standing(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def kept_breakpoint(image: Json) -> Json:
    return {key: image[key] for key in ("cache_control",) if key in image}


def chat_expected(body: Json, texts: Texts) -> None:
    for path, words in texts.items():
        parts = standing(body, path[:-1])
        parts[path[-1]] = {"type": "text", "text": words, **kept_breakpoint(parts[path[-1]])}
    for path in {path[:2] for path in texts}:
        message = standing(body, path)
        if all(is_plain_text(part) for part in message["content"]):
            message["content"] = "\n\n".join(part["text"] for part in message["content"] if part["text"])


def is_plain_text(part: object) -> bool:
    return isinstance(part, dict) and part == {"type": "text", "text": part.get("text")} and type(part["text"]) is str


def messages_expected(body: Json, texts: Texts) -> None:
    for path, words in texts.items():
        blocks = standing(body, path[:-1])
        blocks[path[-1]] = {"type": "text", "text": words, **kept_breakpoint(blocks[path[-1]])}


def responses_expected(body: Json, texts: Texts) -> None:
    for path, words in texts.items():
        item = standing(body, path[:2])
        part = {"type": "output_text" if item.get("role") == "assistant" else "input_text", "text": words}
        standing(body, path[:-1])[path[-1]] = [part] if path[-1] == "output" else part


def google_expected(body: Json, texts: Texts) -> None:
    told: dict[Path, list[str]] = {}
    for path in sorted((path for path in texts if path[-3] in FUNCTION_RESPONSES), reverse=True):
        del standing(body, path[:-1])[path[-1]]
        told.setdefault(path[:-2], []).insert(0, texts[path])
    for path, words in told.items():
        answer = standing(body, path)
        google_answer(answer, words)
        if not answer["parts"]:
            del answer["parts"]
    beside: dict[Path, dict[int, str]] = {}
    for path in (path for path in texts if path[-3] not in FUNCTION_RESPONSES):
        beside.setdefault(path[:-1], {})[int(path[-1])] = texts[path]
    for path, words_by_place in beside.items():
        google_parts(standing(body, path), words_by_place)


def google_answers(parts: list[Any]) -> dict[int, Json]:
    """The function responses among parts, by their places."""
    return {
        place: part[name]
        for place, part in enumerate(parts)
        if isinstance(part, dict)
        for name in FUNCTION_RESPONSES
        if isinstance(part.get(name), dict) and part[name]
    }


def google_parts(parts: list[Any], words: Mapping[int, str]) -> None:
    """Parts with texts in place of images, or in the nearest function response before them, else in the first one."""
    answers = google_answers(parts)
    told: dict[int, list[str]] = {}
    for place in sorted(words):
        if answers:
            nearest = max((answer for answer in answers if answer < place), default=min(answers))
            told.setdefault(nearest, []).append(words[place])
        else:
            parts[place] = {"text": words[place]}
    for place, texts in told.items():
        google_answer(answers[place], texts)
    for place in sorted(words if answers else [], reverse=True):
        del parts[place]


def google_answer(answer: Json, words: list[str]) -> None:
    response = answer.get("response")
    response = response if isinstance(response, dict) else {} if response is None else {"output": response}
    key = "image_analysis" + "_" * ("image_analysis" in response)
    answer["response"] = {**response, key: "\n\n".join(words)}


@dataclass(frozen=True, repr=False)
class Wire:
    """A wire format, requests in it, and their expected results."""

    wire_format: WireFormat
    bodies: st.SearchStrategy[Json]
    conversation: str
    turns: st.SearchStrategy[Any]
    expect: Callable[[Json, Texts], None]
    fixture: str

    def texts(self, body: Json) -> dict[Path, str]:
        """A different text for each image."""
        return {found.path: f"What {found.place} shows." for found in self.wire_format.find(body).images}

    def rewritten(self, body: Json, texts: Texts | None = None) -> Json:
        return body | self.wire_format.replace_images(body, self.texts(body) if texts is None else texts)

    def expected(self, body: Json, texts: Texts) -> Json:
        copy = deepcopy(body)
        self.expect(copy, texts)
        return copy

    def remade(self, body: Json, path: Path) -> Path:
        """The outermost value that is replaced, and not only copied, for an image."""
        if self.wire_format is chat:
            return path[:3]
        if self.wire_format is not generate_content:
            return path
        if path[-3] in FUNCTION_RESPONSES:
            return path[:-2]
        return path[:-1] if google_answers(standing(body, path[:-1])) else path


WIRES = {
    "chat": Wire(chat, chat_bodies, "messages", chat_messages, chat_expected, "opencode.json"),
    "messages": Wire(messages, messages_bodies, "messages", messages_messages, messages_expected, "claude_code.json"),
    "responses": Wire(responses, responses_bodies, "input", responses_items, responses_expected, "codex_cli.json"),
    "generate_content": Wire(
        generate_content, google_bodies, "contents", google_contents, google_expected, "gemini_cli.json"
    ),
}
every_wire_format = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


def is_shared(before: Any, after: Any, paths: set[Path]) -> bool:
    """Whether both share all objects, except those on the paths."""
    if () in paths:
        return True
    if not paths:
        return before is after
    keys = list(before) if isinstance(before, dict) else range(len(before))
    return len(before) == len(after) and all(
        is_shared(before[key], after[key], {path[1:] for path in paths if path[0] == key}) for key in keys
    )


def dumped(body: Json) -> str:
    return json.dumps(body, ensure_ascii=False)


class TestAnyRequest:
    @every_wire_format
    @thorough
    @given(st.data())
    def test_every_image_is_found_and_none_is_left(self, wire: Wire, data: st.DataObject) -> None:
        after = wire.rewritten(data.draw(wire.bodies))
        assert PIXELS not in dumped(after)
        assert wire.wire_format.find(after).images == []

    @every_wire_format
    @thorough
    @given(st.data())
    def test_nothing_but_images_changes(self, wire: Wire, data: st.DataObject) -> None:
        body = data.draw(wire.bodies)
        found, texts, before = wire.wire_format.find(body).images, wire.texts(body), dumped(body)
        after = wire.rewritten(body, texts)
        assert after == wire.expected(body, texts)
        assert wire.rewritten(after) == after
        half = {image.path: texts[image.path] for image in found[::2]}
        halfway = wire.rewritten(body, half)
        assert halfway == wire.expected(body, half)
        assert [image.source for image in wire.wire_format.find(halfway).images] == [
            image.source for image in found[1::2]
        ]
        assert dumped(body) == before

    @every_wire_format
    @thorough
    @given(st.data())
    def test_what_is_not_on_the_way_to_an_image_is_the_same_object(self, wire: Wire, data: st.DataObject) -> None:
        body = data.draw(wire.bodies)
        texts = wire.texts(body)
        changes = wire.wire_format.replace_images(body, texts)
        assert changes.keys() == {path[0] for path in texts}
        remade = [wire.remade(body, path) for path in texts]
        for key, value in changes.items():
            assert is_shared(body[key], value, {tuple(rest) for head, *rest in remade if head == key})

    @every_wire_format
    @thorough
    @given(st.data())
    def test_images_are_numbered_in_each_message_and_no_question_depends_on_what_comes_later(
        self, wire: Wire, data: st.DataObject
    ) -> None:
        turns = data.draw(st.lists(wire.turns, max_size=6))
        found = wire.wire_format.find({wire.conversation: turns}).images
        assert [image.path for image in found] == sorted(image.path for image in found)
        for _, group in groupby(found, key=lambda image: image.path[1]):
            images = list(group)
            numbers = [(number, len(images)) for number in range(1, len(images) + 1)]
            assert [(image.number, image.count) for image in images] == numbers
        earlier = wire.wire_format.find({wire.conversation: turns[: len(turns) // 2 + 1]}).images
        assert earlier == found[: len(earlier)]

    @every_wire_format
    @thorough
    @given(st.data())
    def test_no_json_is_too_odd(self, wire: Wire, data: st.DataObject) -> None:
        body = data.draw(spoiled(wire.bodies) | arbitrary_bodies)
        before = dumped(body)
        assert wire.wire_format.find(wire.rewritten(body)).images == []
        assert dumped(body) == before


def chat_results(count: int, words: str) -> Json:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": words}}
    parts = [{"type": "image_url", "image_url": {"url": PNG_URI}}, {"type": "text", "text": "Saved."}]
    results = [{"role": "tool", "tool_call_id": "c", "content": parts}] * count
    return {"messages": [{"role": "assistant", "tool_calls": [call]}, *results]}


def messages_results(count: int, words: str) -> Json:
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {"words": words}}
    blocks = [{"type": "image", "source": {"type": "url", "url": PNG_URI}}, {"type": "text", "text": "Saved."}]
    results = [{"type": "tool_result", "tool_use_id": "c", "content": blocks}] * count
    return {"messages": [{"role": "assistant", "content": [use]}, {"role": "user", "content": results}]}


def responses_results(count: int, words: str) -> Json:
    parts = [{"type": "input_image", "image_url": PNG_URI}, {"type": "input_text", "text": "Saved."}]
    results = [{"type": "function_call_output", "call_id": "c", "output": parts}] * count
    return {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": words}, *results]}


def google_results(count: int, words: str) -> Json:
    call = {"functionCall": {"name": "f", "args": {"words": words}}}
    image = {"inlineData": {"mimeType": "image/png", "data": PNG_URI.partition(",")[2]}}
    response = {"functionResponse": {"name": "f", "response": {"output": "Saved."}, "parts": [image]}}
    return {"contents": [{"role": "model", "parts": [call]}, {"role": "user", "parts": [response] * count}]}


class TestManyResultsOfOneLongCall:
    """A request of a megabyte. Its images would need gigabytes if each question had its own copy of the call."""

    every_request = pytest.mark.parametrize(
        ("wire_format", "results"),
        [
            (chat, chat_results),
            (messages, messages_results),
            (responses, responses_results),
            (generate_content, google_results),
        ],
        ids=WIRES,
    )

    @every_request
    def test_a_question_has_the_call_without_its_middle(
        self, wire_format: WireFormat, results: Callable[[int, str], Json]
    ) -> None:
        found = wire_format.find(results(2, "START" + "x" * 1_000_000 + "END")).images
        assert found[0].question == found[1].question
        for expected in (
            "It is a result of the tool f, called with: ",
            "START",
            "characters left out",
            "END",
            "Saved.",
        ):
            assert expected in found[0].question
        assert len(found[0].question) < 8100

    @every_request
    def test_the_call_is_written_once(
        self, wire_format: WireFormat, results: Callable[[int, str], Json], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[object] = []

        def tool_call(name: object, arguments: object) -> str:
            calls.append(name)
            return conversation.tool_call(name, arguments)

        for module in (chat, messages, responses, generate_content):
            monkeypatch.setattr(module, "tool_call", tool_call)
        found = wire_format.find(results(100, "x")).images
        assert calls == []
        assert len({image.question for image in found}) == 1
        assert len(calls) == 1

    @every_request
    def test_memory_does_not_grow_with_images_times_arguments(
        self, wire_format: WireFormat, results: Callable[[int, str], Json]
    ) -> None:
        body = results(500, "x" * 1_000_000)
        tracemalloc.start()
        try:
            found = wire_format.find(body).images
            _, to_find = tracemalloc.get_traced_memory()
            questions = [image.question for image in found]
            _, to_ask = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(questions) == 500
        assert to_find < 2_000_000
        assert to_ask < 15_000_000


@every_wire_format
def test_parts_without_images_take_no_memory(wire: Wire) -> None:
    parts = "parts" if wire.conversation == "contents" else "content"
    body = {wire.conversation: [{"role": "user", parts: [{}] * 20_000}]}
    assert wire.wire_format.find(body).images == []
    assert least_memory_of(lambda: wire.wire_format.find(body).images) < 100_000


def least_memory_of(find: Callable[[], object], calls: int = 3) -> int:
    """The smallest peak of several calls, because coverage and other threads may use memory during one."""
    peaks = []
    for _ in range(calls):
        tracemalloc.start()
        try:
            find()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


class TestCodingAgents:
    """Requests as agents send them; see ``tests/fixtures``."""

    @every_wire_format
    def test_no_depth_is_too_deep(self, wire: Wire) -> None:
        """A limit refuses deep requests, but the wire formats do not rely on it."""
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        body = json.loads((FIXTURES / wire.fixture).read_text())
        for path in nodes({key: body[key] for key in wire.wire_format.CONTENT if key in body}):
            if path:
                spoilt = edited(body, {path: lambda _: deep})
                assert not wire.wire_format.find(
                    spoilt | wire.wire_format.replace_images(spoilt, wire.texts(spoilt))
                ).images

    @every_wire_format
    def test_images_with_one_question_share_one_string(self, wire: Wire) -> None:
        """Otherwise a message of megabytes with thousands of images would be copied thousands of times."""

        def doubled(value: Any) -> Any:
            if isinstance(value, list):
                return [doubled(inner) for inner in value] * 2
            return {key: doubled(inner) for key, inner in value.items()} if isinstance(value, dict) else value

        found = wire.wire_format.find(doubled(json.loads((FIXTURES / wire.fixture).read_text()))).images
        siblings = [(one, other) for one, other in pairwise(found) if one.path[:-1] == other.path[:-1]]
        assert any(one.question for one, _ in siblings)
        assert all(one.question is other.question for one, other in siblings)

    @every_wire_format
    def test_nothing_but_images_changes(self, wire: Wire) -> None:
        body = json.loads((FIXTURES / wire.fixture).read_text())
        texts = wire.texts(body)
        after = wire.rewritten(body, texts)
        assert after == wire.expected(body, texts)

    @every_wire_format
    def test_no_image_is_left(self, wire: Wire) -> None:
        sent = (FIXTURES / wire.fixture).read_text()
        after = dumped(wire.rewritten(json.loads(sent)))
        for first_bytes in ("iVBORw0KGgo", "R0lGODlh", "https://images.example.com"):
            assert first_bytes not in after

    @every_wire_format
    def test_each_turn_repeats_the_questions_of_the_turn_before(self, wire: Wire) -> None:
        """An agent sends its whole history with every turn, and cached answers must be found again."""
        body = json.loads((FIXTURES / wire.fixture).read_text())
        turns = body[wire.conversation]
        found = wire.wire_format.find(body).images
        for length in range(len(turns)):
            earlier = wire.wire_format.find(body | {wire.conversation: turns[:length]}).images
            assert earlier == found[: len(earlier)]

    @every_wire_format
    def test_without_images_nothing_changes(self, wire: Wire) -> None:
        body = wire.rewritten(json.loads((FIXTURES / wire.fixture).read_text()))
        assert wire.wire_format.find(body).images == []
        assert wire.wire_format.replace_images(body, {}) == {}


def picture(*, responses_api: bool = False) -> dict[str, Any]:
    image = {"type": "input_image" if responses_api else "image_url", "image_url": PNG_URI}
    return image if responses_api else {**image, "image_url": {"url": PNG_URI}}


RESULT_AND_USER: list[tuple[WireFormat, dict[str, Any]]] = [
    (
        chat,
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": [picture()]},
                {"role": "user", "content": [picture()]},
            ]
        },
    ),
    (
        messages,
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example/a.png"}}],
                        },
                        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
                    ],
                },
            ]
        },
    ),
    (
        responses,
        {
            "input": [
                {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": [picture(responses_api=True)]},
                {"role": "user", "content": [picture(responses_api=True)]},
            ]
        },
    ),
    (
        generate_content,
        {
            "contents": [
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionResponse": {
                                "name": "f",
                                "response": {},
                                "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG_URI.partition(",")[2]}}],
                            }
                        },
                        {"inlineData": {"mimeType": "image/png", "data": PNG_URI.partition(",")[2]}},
                    ],
                },
            ]
        },
    ),
]


@pytest.mark.parametrize(
    ("wire_format", "body"), RESULT_AND_USER, ids=["chat", "messages", "responses", "generateContent"]
)
def test_an_image_in_a_tool_s_result_is_told_from_one_of_the_user(wire_format: WireFormat, body: Json) -> None:
    of_tool, of_user = wire_format.find(body).images
    assert (of_tool.is_result, of_user.is_result) == (True, False)
    assert conversation.tool_of(of_tool.question) == "f"
