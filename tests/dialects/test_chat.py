"""Chat completions: every image is found, and nothing but images changes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from support.strategies import ROLES, arbitrary_bodies, chat_bodies, json_values

from litellm_image_analysis.dialects import FoundImage
from litellm_image_analysis.dialects.chat import find_images, replace_images
from litellm_image_analysis.images import ImageSource

NOTE = "a note"
CAT, DOG = "data:image/png;base64,CAT", "https://images.example.com/dog.png"

Part = dict[str, Any]


def text(words: str, **more: Any) -> Part:
    return {"type": "text", "text": words, **more}


def image(url: str = CAT, **more: Any) -> Part:
    return {"type": "image_url", "image_url": {"url": url}, **more}


def body_with(*contents: object, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for content in contents]}


def with_notes(body: dict[str, Any]) -> dict[str, Any]:
    """The body with a note in place of every image."""
    return body | replace_images(body, {found.path: NOTE for found in find_images(body)})


def content_with_notes(*parts: Part) -> Any:
    return with_notes(body_with(list(parts)))["messages"][0]["content"]


def is_image(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "image_url"


def noted(part: Part) -> Part:
    """The note that stands where an image was."""
    return text(NOTE, **{key: part[key] for key in ("cache_control",) if key in part})


class TestFind:
    def test_an_image_is_found_with_its_place_and_its_question(self) -> None:
        assert find_images(body_with("hello", [text("What is it?"), image(CAT)])) == [
            FoundImage(("messages", 1, "content", 1), ImageSource(CAT), number=1, count=1, question="What is it?")
        ]

    def test_the_place_reads_as_people_write_it(self) -> None:
        assert find_images(body_with("hello", [image()]))[0].place == "messages[1].content[0]"

    @pytest.mark.parametrize("role", ROLES)
    def test_images_are_found_in_messages_of_every_role(self, role: str) -> None:
        assert [found.source for found in find_images(body_with([image(CAT)], role=role))] == [ImageSource(CAT)]

    def test_images_of_earlier_turns_are_found_too(self) -> None:
        conversation = body_with([image(CAT)], "A cat.", [image(DOG)])
        assert [found.source for found in find_images(conversation)] == [ImageSource(CAT), ImageSource(DOG)]

    def test_images_are_numbered_in_each_message_anew(self) -> None:
        found = find_images(body_with([image(), text("and"), image()], [image()]))
        assert [(one.number, one.count) for one in found] == [(1, 2), (2, 2), (1, 1)]

    def test_no_image_is_one_too_many(self) -> None:
        assert [found.number for found in find_images(body_with([image()] * 40))] == list(range(1, 41))

    def test_all_text_of_the_message_is_the_question(self) -> None:
        found = find_images(body_with("earlier", [text("Look."), image(), text("Who is it?")], "later"))
        assert found[0].question == "Look.\nWho is it?"

    def test_a_message_without_text_asks_nothing(self) -> None:
        assert find_images(body_with([image(), text("")]))[0].question == ""

    @pytest.mark.parametrize(
        ("image_url", "source"),
        [
            ({"url": CAT}, ImageSource(CAT)),
            (CAT, ImageSource(CAT)),
            ({"url": CAT, "detail": "low"}, ImageSource(CAT, detail="low")),
            ({"url": CAT, "format": "image/webp"}, ImageSource(CAT, format="image/webp")),
            ({"url": CAT, "detail": 5, "format": None}, ImageSource(CAT)),
            ({"url": "who knows"}, ImageSource("who knows")),
        ],
    )
    def test_an_image_is_read(self, image_url: object, source: ImageSource) -> None:
        assert find_images(body_with([{"type": "image_url", "image_url": image_url}]))[0].source == source

    @pytest.mark.parametrize("image_url", ["", None, 5, [CAT], {}, {"url": ""}, {"url": None}, {"url": {"url": CAT}}])
    def test_an_image_part_that_names_no_image_is_found_without_one(self, image_url: object) -> None:
        assert find_images(body_with([{"type": "image_url", "image_url": image_url}]))[0].source is None

    def test_an_image_part_without_its_key_is_found_without_an_image(self) -> None:
        assert find_images(body_with([{"type": "image_url"}]))[0].source is None

    @pytest.mark.parametrize(
        "content", ["data:image/png;base64,AAAA", None, 5, {"type": "image_url"}, [], [text("hi")]]
    )
    def test_other_content_holds_no_image(self, content: object) -> None:
        assert find_images(body_with(content)) == []


class TestReplace:
    def test_a_message_becomes_plain_text_if_only_text_is_left(self) -> None:
        assert content_with_notes(text("What is it?"), image()) == "What is it?\n\na note"

    def test_text_and_notes_keep_their_order(self) -> None:
        assert content_with_notes(text("Look."), image(), text("Who?"), image()) == "Look.\n\na note\n\nWho?\n\na note"

    def test_an_image_alone_becomes_plain_text(self) -> None:
        assert content_with_notes(image()) == "a note"

    def test_parts_stay_if_there_is_another_kind_of_part(self) -> None:
        audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
        assert content_with_notes(text("Listen."), audio, image()) == [text("Listen."), audio, text(NOTE)]

    @pytest.mark.parametrize("more", [{"cache_control": {"type": "ephemeral"}}, {"citations": []}])
    def test_parts_stay_if_a_text_carries_more_than_text(self, more: dict[str, Any]) -> None:
        assert content_with_notes(text("Look.", **more), image()) == [text("Look.", **more), text(NOTE)]

    def test_an_images_cache_breakpoint_moves_to_its_text(self) -> None:
        ephemeral = {"type": "ephemeral"}
        assert content_with_notes(image(cache_control=ephemeral)) == [text(NOTE, cache_control=ephemeral)]

    def test_an_empty_text_leaves_nothing_behind_in_plain_text(self) -> None:
        assert content_with_notes(text(""), image(), text("")) == "a note"

    def test_an_empty_text_stays_among_parts(self) -> None:
        refusal = {"type": "refusal", "refusal": "No."}
        assert content_with_notes(text(""), refusal, image()) == [text(""), refusal, text(NOTE)]

    @pytest.mark.parametrize("role", ROLES)
    def test_a_message_keeps_all_else_in_its_order(self, role: str) -> None:
        message = {"role": role, "tool_call_id": "call_1", "content": [text("Done."), image()], "name": "screenshot"}
        rewritten = with_notes({"messages": [message]})["messages"][0]
        assert list(rewritten.items()) == [
            ("role", role),
            ("tool_call_id", "call_1"),
            ("content", "Done.\n\na note"),
            ("name", "screenshot"),
        ]

    def test_an_image_without_a_text_stays(self) -> None:
        body = body_with([image(CAT), image(DOG)])
        changes = replace_images(body, {("messages", 0, "content", 1): NOTE})
        assert changes == body_with([image(CAT), text(NOTE)])

    def test_a_message_without_replaced_images_is_the_same_object(self) -> None:
        body = body_with("hello", [image()], [image()])
        messages = replace_images(body, {("messages", 1, "content", 0): NOTE})["messages"]
        assert messages[0] is body["messages"][0]
        assert messages[2] is body["messages"][2]

    def test_nothing_changes_without_texts(self) -> None:
        assert replace_images(body_with([image()]), {}) == {}


class TestAnyRequest:
    @given(chat_bodies)
    def test_images_are_found_in_the_order_they_stand_in(self, body: dict[str, Any]) -> None:
        standing = [
            ("messages", index, "content", place)
            for index, message in enumerate(body["messages"])
            if isinstance(message.get("content"), list)
            for place, part in enumerate(message["content"])
            if is_image(part)
        ]
        assert [found.path for found in find_images(body)] == standing

    @given(chat_bodies)
    def test_no_image_is_left(self, body: dict[str, Any]) -> None:
        assert find_images(with_notes(body)) == []

    @given(chat_bodies)
    def test_rewriting_twice_changes_nothing(self, body: dict[str, Any]) -> None:
        once = with_notes(body)
        assert with_notes(once) == once

    @given(chat_bodies)
    def test_only_messages_change(self, body: dict[str, Any]) -> None:
        assert replace_images(body, {found.path: NOTE for found in find_images(body)}).keys() <= {"messages"}

    @given(chat_bodies)
    def test_messages_keep_their_order_and_all_keys_but_the_content(self, body: dict[str, Any]) -> None:
        def shells(messages: list[dict[str, Any]]) -> list[list[tuple[str, Any]]]:
            return [[(key, key == "content" or value) for key, value in message.items()] for message in messages]

        assert shells(with_notes(body)["messages"]) == shells(body["messages"])

    @given(chat_bodies)
    def test_messages_without_images_are_the_same_objects(self, body: dict[str, Any]) -> None:
        touched = {found.path[1] for found in find_images(body)}
        after = with_notes(body)["messages"]
        assert {index for index, message in enumerate(body["messages"]) if after[index] is not message} == touched

    @given(chat_bodies)
    def test_nothing_but_images_changes(self, body: dict[str, Any]) -> None:
        after = with_notes(body)["messages"]
        for index in {found.path[1] for found in find_images(body)}:
            parts = [noted(part) if is_image(part) else part for part in body["messages"][index]["content"]]
            content = after[index]["content"]
            assert content == parts or content == "\n\n".join(part["text"] for part in parts if part["text"] != "")

    @given(chat_bodies)
    def test_images_without_a_text_stay_where_they_are(self, body: dict[str, Any]) -> None:
        found = find_images(body)
        after = body | replace_images(body, {image.path: NOTE for image in found[::2]})
        assert [(one.path, one.source) for one in find_images(after)] == [(one.path, one.source) for one in found[1::2]]

    @given(arbitrary_bodies)
    def test_what_the_client_sent_is_never_changed(self, body: dict[str, Any]) -> None:
        before = deepcopy(body)
        with_notes(body)
        assert body == before

    @given(json_values)
    def test_no_json_is_too_odd_to_search(self, messages: object) -> None:
        assert isinstance(find_images({"messages": messages}), list)
