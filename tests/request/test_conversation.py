"""The messages of a request, and the question that an image is to be analysed for."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_image_analysis.request.conversation import Conversation, numbered, once, tool_question, written
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json


@pytest.mark.parametrize(
    ("name", "arguments", "beside", "question"),
    [
        ("shot", '{"url": "/"}', "", 'It is a result of the tool shot, called with: {"url": "/"}'),
        ("shot", {"url": "/ü"}, "", 'It is a result of the tool shot, called with: {"url": "/ü"}'),
        ("shot", {}, "Saved.", "It is a result of the tool shot, called with: {}\nSaved."),
        (None, {"url": "/"}, "Saved.", "Saved."),
        ("", {"url": "/"}, "Saved.", "Saved."),
        (["shot"], None, "", ""),
    ],
)
def test_a_tool_result_is_asked_for_what_the_tool_was_asked_for(
    name: object, arguments: object, beside: str, question: str
) -> None:
    assert tool_question(name, arguments, beside) == question


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
    answer = once(next, words)
    assert answer() == answer() == "Cats!"
    assert next(words) == "Dogs!"


class TestConversation:
    @staticmethod
    def of(*items: Json, **changed: Any) -> Conversation:
        """Messages whose text, id of a call and end of a turn are keys of theirs."""
        parts: dict[str, Any] = {
            "words": lambda item: item.get("text", ""),
            "ends_turn": lambda item: "ends" in item,
            "calls": lambda items: ((index, item.get("call"), item) for index, item in items.items()),
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

    def test_looking_back_from_everywhere_reads_each_message_a_few_times_only(self) -> None:
        """Thousands of images without words would stop a gateway otherwise."""
        read: list[Json] = []

        def words(item: Json) -> str:
            read.append(item)
            return ""

        conversation = self.of(*[{"text": ""}] * 1000, words=words)
        for index in range(1000):
            assert conversation.question(index) == ""
            assert conversation.call_before(index, "a") == {}
        assert len(read) <= 2000


def test_images_are_numbered_from_one() -> None:
    found = numbered([(("a",), None, "Who?"), (("b",), ImageSource("x"), "")])
    assert [(one.path, one.number, one.count, one.question) for one in found] == [
        (("a",), 1, 2, "Who?"),
        (("b",), 2, 2, ""),
    ]
