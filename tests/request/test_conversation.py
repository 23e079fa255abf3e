"""The messages of a request, and the question for each image."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from litellm_image_analysis.request import FoundImage
from litellm_image_analysis.request.conversation import (
    MAX_CALL_CHARACTERS,
    Conversation,
    Once,
    numbered,
    results_before,
    tool_call,
    written,
)
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("shot", '{"url": "/"}', 'It is a result of the tool shot, called with: {"url": "/"}'),
        ("shot", {"url": "/ü"}, 'It is a result of the tool shot, called with: {"url": "/ü"}'),
        ("shot", {}, "It is a result of the tool shot, called with: {}"),
        (None, {"url": "/"}, ""),
        ("", {"url": "/"}, ""),
        (["shot"], None, ""),
    ],
)
def test_a_call_is_a_sentence_with_its_name_and_arguments(name: object, arguments: object, words: str) -> None:
    assert tool_call(name, arguments) == words


class TestLongCall:
    START = "It is a result of the tool f, called with: "

    def test_it_is_whole_up_to_the_limit(self) -> None:
        arguments = "x" * (MAX_CALL_CHARACTERS - len(self.START))
        assert tool_call("f", arguments) == self.START + arguments

    @pytest.mark.parametrize("length", [MAX_CALL_CHARACTERS, 1_000_000])
    @pytest.mark.parametrize("named", [False, True], ids=["arguments", "name"])
    def test_it_is_cut_in_the_middle_above_the_limit(self, length: int, named: bool) -> None:
        """The cut text with its marker is within the limit, so that a question is not cut a second time."""
        words = tool_call("x" * length, "last") if named else tool_call("f", "x" * length + "last")
        whole = len(self.START) - 1 + length + len("last") + (not named)
        start, marker, end = words.split("\n")
        assert marker == f"[... {whole - len(start) - len(end)} characters left out ...]"
        assert start.startswith("It is a result of the tool ")
        assert end.endswith("last")
        assert MAX_CALL_CHARACTERS - 300 < len(words) <= MAX_CALL_CHARACTERS


def test_a_string_is_written_as_it_is() -> None:
    assert written('{"a":1}') == '{"a":1}'


def nested(levels: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


@pytest.mark.parametrize("value", [{(): 1}, nested(9000)], ids=["keys", "depth"])
def test_what_cannot_be_written_is_nothing(value: object) -> None:
    assert written({"action": value}) == ""


def test_what_json_does_not_know_is_written_all_the_same() -> None:
    assert written({"path": ImageSource("x").kind, "of": {1}}) == '{"path": "unsupported", "of": "{1}"}'


def test_what_is_too_deep_to_be_written_is_nothing() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert written({"a": deep}) == ""


def test_what_is_asked_once_is_asked_when_it_is_wanted_and_not_again() -> None:
    words = iter(["Cats!", "Dogs!"])
    answer = Once(next, words)
    assert answer() == answer() == "Cats!"
    assert next(words) == "Dogs!"


class TestConversation:
    @staticmethod
    def of(*items: Json, **changed: Any) -> Conversation:
        """Messages with their text, call id and end of turn as keys."""
        parts: dict[str, Any] = {
            "texts": lambda item: [item.get("text", "")],
            "ends_turn": lambda item: "ends" in item,
            "calls": lambda items: ((index, item.get("call"), item) for index, item in items.items()),
            "call_text": lambda call: call.get("told", ""),
        }
        return Conversation(dict(enumerate(items)), **{**parts, **changed})

    def test_a_message_asks_what_it_says_itself(self) -> None:
        assert self.of({"text": "Who?"}, {"text": "Where?"}).question(1) == "Where?"

    @pytest.mark.parametrize(
        ("earlier", "question"),
        [
            ([], ""),
            ([{"text": "Who?"}], "Who?"),
            ([{"text": "Who?"}, {"text": "Where?"}, {}], "Where?"),
            ([{"text": "Who?"}, {"role": "assistant", "text": "I look."}], "Who?"),
            ([{"text": "Who?"}, {"ends": True}], ""),
            ([{"text": "Who?"}, {"ends": True}, {"text": "Where?"}, {}], "Where?"),
        ],
    )
    def test_or_what_the_user_said_before_in_its_turn(self, earlier: list[Json], question: str) -> None:
        assert self.of(*earlier, {}, {"text": "What comes later."}).question(len(earlier)) == question

    def test_what_is_not_said_is_skipped(self) -> None:
        silent = self.of({"text": "Who?"}, {"ends": True}, {}, is_said=lambda _, index: index != 1)
        assert silent.question(2) == "Who?"

    def test_a_call_is_the_latest_one_before(self) -> None:
        calls = self.of({"call": "a", "n": 0}, {"call": "b", "n": 1}, {"call": "a", "n": 2}, {"call": "a", "n": 3})
        assert [calls.call_before(index, "a").get("n") for index in range(5)] == [None, 0, 0, 2, 3]
        assert calls.call_before(5, "b")["n"] == 1

    def test_of_one_place_s_calls_with_one_id_the_first_counts(self) -> None:
        twice = self.of({}, calls=lambda _: [(0, "a", {"n": 1}), (0, "a", {"n": 2})])
        assert twice.call_before(1, "a") == {"n": 1}

    @pytest.mark.parametrize("call_id", ["a", None, ("a", "b")])
    def test_a_call_that_nobody_made_is_an_empty_object(self, call_id: Any) -> None:
        assert self.of({"call": None}, {}).call_before(1, call_id) == {}

    def test_a_call_is_told_as_its_format_tells_it(self) -> None:
        calls = self.of({"call": "a", "told": "first"}, {"call": "b"}, {"call": "a", "told": "second"})
        assert [calls.call_text_before(index, "a") for index in (0, 1, 2, 3)] == ["", "first", "first", "second"]
        assert calls.call_text_before(3, "b") == ""

    def test_each_call_is_told_once(self) -> None:
        told: list[Json] = []

        def tell(call: Json) -> str:
            told.append(call)
            return f"call {len(told)}"

        conversation = self.of({"call": "a"}, {"call": "b"}, {}, call_text=tell)
        assert told == []
        assert [conversation.call_text_before(2, call_id) for call_id in ("a", "b", "a", "b")] == [
            "call 1",
            "call 2",
            "call 1",
            "call 2",
        ]

    def test_a_call_that_nobody_made_is_told_by_nothing(self) -> None:
        assert self.of({}, call_text=lambda _: "told").call_text_before(1, "a") == ""

    def test_looking_back_from_everywhere_reads_each_message_a_few_times_only(self) -> None:
        """Otherwise thousands of images without texts would block a gateway."""
        read: list[Json] = []

        def texts(item: Json) -> list[str]:
            read.append(item)
            return [""]

        conversation = self.of(*[{"text": ""}] * 1000, texts=texts)
        for index in range(1000):
            assert conversation.question(index) == ""
            assert conversation.call_before(index, "a") == {}
        assert len(read) <= 2000


class Counted(dict[str, Any]):
    """A message that counts its reads."""

    reads = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.reads += 1
        return super().get(key, default)


def results_of_one_call(count: int) -> Conversation:
    """A tool call, many results of it, and a message of the user."""
    results = [Counted(role="tool", id="a") for _ in range(count)]
    items: dict[int, Json] = dict(enumerate([{"role": "assistant", "call": "a"}, *results, {"role": "user"}]))
    return Conversation(
        items,
        texts=lambda item: [item.get("text")],
        ends_turn=lambda item: False,
        calls=lambda items: ((index, item["call"], item) for index, item in items.items() if "call" in item),
        call_text=lambda call: "told",
        results=lambda items, index: results_before(items, index, lambda item: item.get("role") == "tool", "id"),
    )


class TestResultsBeforeAMessage:
    def test_a_call_is_told_once_however_many_results_it_has(self) -> None:
        assert results_of_one_call(50).question(51) == "told"

    def test_each_is_read_a_few_times_only(self) -> None:
        """Otherwise thousands of tool messages in a row would block a gateway."""
        Counted.reads = 0
        results_of_one_call(1000).question(1001)
        assert Counted.reads <= 10_000


def test_images_are_numbered_from_one() -> None:
    found = numbered([(("a",), None, "Who?"), (("b",), ImageSource("x"), "")])
    assert [(one.path, one.number, one.count, one.question) for one in found] == [
        (("a",), 1, 2, "Who?"),
        (("b",), 2, 2, ""),
    ]


class TestQuestionOfAnImage:
    def test_it_is_computed_when_it_is_read_and_only_once(self) -> None:
        words = iter(["Who?", "Where?"])
        image = FoundImage(("a",), None, 1, 1, lambda: next(words))
        assert image.question == image.question == "Who?"
        assert next(words) == "Where?"

    def test_images_are_equal_if_their_questions_are(self) -> None:
        lazy = FoundImage(("a",), None, 1, 1, lambda: "Who?")
        assert lazy == FoundImage(("a",), None, 1, 1, "Who?")
        assert lazy != FoundImage(("a",), None, 1, 1, "Where?")
        assert hash(lazy) == hash(FoundImage(("a",), None, 1, 1, "Who?"))
        assert "question='Who?'" in repr(lazy)

    def test_it_cannot_be_changed(self) -> None:
        image = FoundImage(("a",), None, 1, 1, "Who?")
        with pytest.raises(FrozenInstanceError):
            image.question = "Where?"  # type: ignore[misc]
