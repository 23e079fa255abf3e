"""Reading JSON that may have any shape, and rewriting it without changing the original."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_image_analysis.request.values import at, joined, mapping, objects, replaced, text

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


def test_what_stands_at_a_path() -> None:
    assert at({"a": [0, {"b": "here"}]}, ("a", 1, "b")) == "here"


class TestReplaced:
    def test_a_value_is_replaced_at_each_path(self) -> None:
        value = {"a": [1, 2, {"b": 3}], "c": 4}
        assert replaced(value, {("a", 0): "x", ("a", 2, "b"): "y"}) == {"a": ["x", 2, {"b": "y"}], "c": 4}

    def test_the_original_is_not_touched(self) -> None:
        value = {"a": [1, {"b": 2}]}
        replaced(value, {("a", 1, "b"): 3})
        assert value == {"a": [1, {"b": 2}]}

    def test_what_is_not_on_a_path_is_shared(self) -> None:
        value: dict[str, Any] = {"a": [{"b": []}, {"c": []}], "d": {}}
        copy = replaced(value, {("a", 0, "b"): 1})
        assert copy["a"][1] is value["a"][1]
        assert copy["d"] is value["d"]

    def test_keys_keep_their_order(self) -> None:
        assert list(replaced({"a": 1, "b": 2, "c": 3}, {("b",): 0})) == ["a", "b", "c"]

    def test_the_empty_path_is_the_value_itself(self) -> None:
        assert replaced({"a": 1}, {(): "b"}) == "b"
