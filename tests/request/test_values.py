"""Reading JSON of any shape, and rewriting it without changing the original."""

from __future__ import annotations

import json
from typing import Any

import pytest

from litellm_image_analysis.request import IN_TEXT, Path
from litellm_image_analysis.request.values import Edit, edited, joined, mapping, objects, text

NOTHING: list[Any] = [None, True, 0, 1.5, "words", "", []]


@pytest.mark.parametrize("value", NOTHING)
def test_what_is_no_object_reads_as_an_empty_one(value: object) -> None:
    assert mapping(value) == {}


def test_an_object_is_itself() -> None:
    value = {"a": 1}
    assert mapping(value) is value


def test_objects_keep_the_places_they_have_in_the_list() -> None:
    assert list(objects([None, {"a": 1}, "b", [], {}])) == [(1, {"a": 1}), (4, {})]


@pytest.mark.parametrize("value", [*NOTHING, {"a": {}}])
def test_what_is_no_list_holds_no_objects(value: object) -> None:
    assert list(objects(value)) == []


@pytest.mark.parametrize("value", [None, True, 5, "", [], {}, ["words"]])
def test_what_is_no_text(value: object) -> None:
    assert text(value) is None


def test_texts_stand_one_below_the_other_without_gaps() -> None:
    assert joined(["one", None, "", "two"]) == "one\ntwo"


class TestEdited:
    def test_a_value_is_edited_at_each_path(self) -> None:
        value = {"a": [1, 2, {"b": 3}], "c": 4}
        edits: dict[Path, Edit] = {("a", 0): str, ("a", 2, "b"): lambda old: old + 1}
        assert edited(value, edits) == {"a": ["1", 2, {"b": 4}], "c": 4}

    def test_a_piece_of_a_text_is_edited(self) -> None:
        edits: dict[Path, Edit] = {(IN_TEXT, 4, 7): str.upper, (IN_TEXT, 0, 3): lambda _: 'a "line"\nbreak'}
        assert edited("one two three", edits) == 'a "line"\nbreak TWO three'

    @pytest.mark.parametrize("levels", range(1, 6))
    @pytest.mark.parametrize("before", ["", "words "])
    def test_a_piece_of_json_is_written_as_json(self, levels: int, before: str) -> None:
        text: Any = f"{before}HERE after"
        for _ in range(levels):
            text = json.dumps({"größe": [1.50, text], "\ud83d": 1e400})
        start = text.index("HERE")
        words = 'a "line"\nbreak\\'
        found = edited(text, {(IN_TEXT, start, start + 4): lambda _: words})
        assert found.startswith(text[:start])
        assert found.endswith(text[start + 4 :])
        for _ in range(levels):
            found = json.loads(found)["größe"][1]
        assert found == f"{before}{words} after"

    def test_no_text_grows_without_end(self) -> None:
        text = '["' + "\\" * 100_000 + '"HERE'
        assert len(edited(text, {(IN_TEXT, len(text) - 4, len(text)): lambda _: "\n" * 1000})) < 200_000

    def test_the_original_is_not_touched(self) -> None:
        value = {"a": [1, {"b": 2}]}
        edited(value, {("a", 1, "b"): str})
        assert value == {"a": [1, {"b": 2}]}

    def test_what_is_not_on_a_path_is_shared(self) -> None:
        value: dict[str, Any] = {"a": [{"b": []}, {"c": []}], "d": {}}
        copy = edited(value, {("a", 0, "b"): str})
        assert copy["a"][1] is value["a"][1]
        assert copy["d"] is value["d"]

    def test_keys_keep_their_order(self) -> None:
        assert list(edited({"a": 1, "b": 2, "c": 3}, {("b",): str})) == ["a", "b", "c"]

    def test_the_empty_path_is_the_value_itself(self) -> None:
        assert edited({"a": 1}, {(): str}) == "{'a': 1}"
