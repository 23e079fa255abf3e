"""Google generateContent: images in contents, system instruction and function responses, in both spellings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litellm_image_analysis.request import FoundImage
from litellm_image_analysis.request.generate_content import find, replace_images
from litellm_image_analysis.request.image import ImageSource

GEMINI_CLI = Path(__file__).parents[1] / "fixtures" / "gemini_cli.json"
NOTE = "a note"
CAT_SOURCE = ImageSource.encoded("image/png", "CAT")

Part = dict[str, Any]


def text(words: str) -> Part:
    return {"text": words}


def image(data: str = "CAT") -> Part:
    return {"inlineData": {"mimeType": "image/png", "data": data}}


def file(uri: str, media_type: str = "image/png") -> Part:
    return {"fileData": {"mimeType": media_type, "fileUri": uri}}


def function_call(name: str = "shot", **more: Any) -> Part:
    return {"functionCall": {"name": name, "args": {"url": "/"}} | more}


def function_response(*parts: Part, name: str = "shot", **more: Any) -> Part:
    return {"functionResponse": {"name": name, "response": {"output": "Saved."}, "parts": list(parts)} | more}


def user(*parts: Part) -> Part:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Part) -> Part:
    return {"role": "model", "parts": list(parts)}


def body_with(*contents: Part, **more: Any) -> dict[str, Any]:
    return {"contents": list(contents), **more}


def sources(*parts: Part) -> list[ImageSource | None]:
    return [found.source for found in find(body_with(user(*parts))).images]


def questions(*contents: Part) -> list[str]:
    return [found.question for found in find(body_with(*contents)).images]


def with_notes(body: dict[str, Any]) -> dict[str, Any]:
    """The body with each image replaced by a note with its place."""
    return body | replace_images(body, {found.path: f"note {found.path[-1]}" for found in find(body).images})


def noted(*parts: Part) -> Any:
    return with_notes(body_with(user(*parts)))["contents"][0]["parts"]


class TestFind:
    def test_an_image_is_found_with_its_place_and_its_question(self) -> None:
        assert find(body_with(user(text("What is it?"), image()))).images == [
            FoundImage(("contents", 0, "parts", 1), CAT_SOURCE, number=1, count=1, question="What is it?")
        ]

    @pytest.mark.parametrize("role", ["user", "model", "function"])
    def test_images_are_found_in_contents_of_every_role(self, role: str) -> None:
        assert len(find(body_with({"role": role, "parts": [image()]})).images) == 1

    def test_contents_without_a_list_around_them_are_searched(self) -> None:
        found = find({"contents": {"parts": [text("Who?"), image()]}}).images
        assert [(one.place, one.question) for one in found] == [("contents.parts[1]", "Who?")]

    @pytest.mark.parametrize("key", ["systemInstruction", "system_instruction"])
    def test_images_are_found_in_the_system_instruction_first(self, key: str) -> None:
        found = find(body_with(user(image()), **{key: {"parts": [text("Our logo:"), image()]}})).images
        assert [(one.place, one.question) for one in found] == [
            (f"{key}.parts[1]", "Our logo:"),
            ("contents[0].parts[0]", ""),
        ]

    @pytest.mark.parametrize("key", ["functionResponse", "function_response"])
    def test_images_are_found_in_function_responses(self, key: str) -> None:
        response = {key: {"name": "shot", "parts": [image(), {}, image()]}}
        found = find(body_with(user(response, image()))).images
        assert [(one.place, one.number, one.count) for one in found] == [
            (f"contents[0].parts[0].{key}.parts[0]", 1, 3),
            (f"contents[0].parts[0].{key}.parts[2]", 2, 3),
            ("contents[0].parts[1]", 3, 3),
        ]

    @pytest.mark.parametrize(
        ("part", "source"),
        [
            (image(), CAT_SOURCE),
            (image("a-b_c="), ImageSource.encoded("image/png", "a-b_c=")),
            ({"inline_data": {"mime_type": "image/webp", "data": "CAT"}}, ImageSource.encoded("image/webp", "CAT")),
            ({"inlineData": {"mime_type": "image/png", "data": "CAT"}}, CAT_SOURCE),
            ({"inlineData": {"mimeType": "IMAGE/PNG", "data": "CAT"}}, ImageSource.encoded("IMAGE/PNG", "CAT")),
            (file("gs://bucket/cat.png"), ImageSource("gs://bucket/cat.png", None, "image/png", "vertex_ai")),
            (
                file("https://generativelanguage.googleapis.com/v1beta/files/a"),
                ImageSource("https://generativelanguage.googleapis.com/v1beta/files/a", None, "image/png", "gemini"),
            ),
            (
                {"file_data": {"mime_type": "image/png", "file_uri": "https://images.example.com/c.png"}},
                ImageSource("https://images.example.com/c.png", None, "image/png"),
            ),
        ],
    )
    def test_an_image_is_read(self, part: Part, source: ImageSource) -> None:
        assert sources(part) == [source]
        assert sources(function_response(part)) == [source]

    @pytest.mark.parametrize(
        "part",
        [
            {"inlineData": {"mimeType": "image/png"}},
            {"inlineData": {"mimeType": "image/png", "data": ""}},
            {"inlineData": {"mimeType": "image/png", "data": ["CAT"]}},
            {"fileData": {"mimeType": "image/png", "fileUri": None}},
        ],
    )
    def test_an_image_part_that_names_no_image_is_found_without_one(self, part: Part) -> None:
        assert sources(part) == [None]

    @pytest.mark.parametrize(
        "part",
        [
            text(CAT_SOURCE.url),
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
            {"inlineData": {"data": "CAT"}},
            {"inlineData": {"mimeType": ["image/png"], "data": "CAT"}},
            {"inlineData": "CAT"},
            file("gs://bucket/film.mp4", "video/mp4"),
            {"novelty": {"mimeType": "image/png", "data": "CAT"}},
        ],
    )
    def test_other_parts_hold_no_image(self, part: Part) -> None:
        assert sources(part, function_response(part)) == []

    @pytest.mark.parametrize("value", ["a text", None, 5, {}, [], ["inlineData"], [None]])
    def test_other_contents_hold_no_image(self, value: object) -> None:
        assert find({"contents": value, "systemInstruction": value}).images == []
        assert find(body_with({"parts": value}, user({"functionResponse": {"parts": value}}))).images == []


class TestQuestion:
    def test_a_function_response_is_asked_for_its_name_the_arguments_and_what_it_answered(self) -> None:
        assert questions(user(text("no")), model(function_call()), user(text("no"), function_response(image()))) == [
            'It is a result of the tool shot, called with: {"url": "/"}\n{"output": "Saved."}\nThe user had asked: no'
        ]

    def test_arguments_are_those_of_the_latest_earlier_call(self) -> None:
        old, new, later = (model(function_call(args={"number": number})) for number in range(3))
        response = user(function_response(image(), response=None))
        assert questions(old, new, response, later) == ['It is a result of the tool shot, called with: {"number": 1}']

    def test_calls_of_the_same_function_side_by_side_are_told_apart_by_their_ids(self) -> None:
        calls = [function_call(id=name, args={"path": name}) for name in "ab"]
        responses = [function_response(image(), id=name, response={}) for name in "ab"]
        assert questions(model(*calls), user(*responses)) == [
            'It is a result of the tool shot, called with: {"path": "a"}',
            'It is a result of the tool shot, called with: {"path": "b"}',
        ]

    def test_both_spellings_are_one(self) -> None:
        call = {"function_call": {"name": "shot", "args": {"url": "/"}}}
        response = {"function_response": {"name": "shot", "parts": [image()]}}
        assert questions(model(call), user(response)) == ['It is a result of the tool shot, called with: {"url": "/"}']

    def test_a_response_without_its_call_is_asked_for_by_its_name(self) -> None:
        assert questions(user(function_response(image(), response={})), model(function_call())) == [
            "It is a result of the tool shot, called with: {}"
        ]

    def test_a_users_image_is_asked_for_by_all_text_of_its_content(self) -> None:
        assert questions(user(text("no")), user(text("Look."), image(), text("Who?")), user(text("later"))) == [
            "Look.\nWho?"
        ]

    def test_contents_of_images_are_asked_for_by_the_nearest_user_text_of_the_turn(self) -> None:
        without_role = {"parts": [text("What is it?")]}
        assert questions(user(text("first")), without_role, user(image(), image())) == ["What is it?", "What is it?"]

    def test_a_turn_goes_on_over_function_calls(self) -> None:
        """Gemini models that do not accept images in function responses get them beside the response."""
        assert questions(
            user(text("What is it?")),
            model(text("Let me see."), function_call()),
            user({"functionResponse": {"name": "shot", "response": {"output": "Saved."}}}, image()),
        ) == ['It is a result of the tool shot, called with: {"url": "/"}\nThe user had asked: What is it?']

    def test_an_image_in_the_content_after_a_response_is_its_result(self) -> None:
        response = {"functionResponse": {"name": "shot", "response": {"output": "Saved."}}}
        assert questions(
            user(text("What is it?")), model(function_call()), user(response), user(text("Here:"), image())
        ) == ['It is a result of the tool shot, called with: {"url": "/"}\nHere:\nThe user had asked: What is it?']

    def test_a_clients_context_is_no_part_of_it(self) -> None:
        context = "<session_context>\nToday is Friday.\n</session_context>"
        assert questions(user(text(context), text("What is it?"), image())) == ["What is it?"]

    def test_an_answer_ends_the_turn(self) -> None:
        assert questions(user(text("What is it?")), model(text("A cat.")), user(image())) == [""]


class TestReplace:
    def test_a_text_part_stands_where_the_image_was(self) -> None:
        assert noted(text("Look."), image(), text("Who?"), file("gs://bucket/cat.png")) == [
            text("Look."),
            text("note 1"),
            text("Who?"),
            text("note 3"),
        ]

    def test_what_a_function_responses_images_show_joins_its_response(self) -> None:
        assert noted(function_response(image(), image(), id="call_1", willContinue=False)) == [
            {
                "functionResponse": {
                    "name": "shot",
                    "response": {"output": "Saved.", "image_analysis": "note 0\n\nnote 1"},
                    "id": "call_1",
                    "willContinue": False,
                }
            }
        ]

    def test_other_parts_of_a_function_response_stay(self) -> None:
        pdf = {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0"}}
        after = noted(function_response(image(), pdf, image()))[0]["functionResponse"]
        assert after["parts"] == [pdf]
        assert after["response"] == {"output": "Saved.", "image_analysis": "note 0\n\nnote 2"}

    @pytest.mark.parametrize(
        ("response", "told"),
        [(None, {}), ({}, {}), ("Saved.", {"output": "Saved."}), (["a"], {"output": ["a"]})],
    )
    def test_a_response_that_is_no_object_is_kept_in_one(self, response: object, told: dict[str, Any]) -> None:
        after = noted(function_response(image(), response=response))[0]["functionResponse"]
        assert after["response"] == {**told, "image_analysis": "note 0"}

    def test_texts_join_a_response_in_the_order_of_the_images_in_whatever_order_they_come(self) -> None:
        body = body_with(user(function_response(image(), image())))
        here = ("contents", 0, "parts", 0, "functionResponse", "parts")
        changes = replace_images(body, {(*here, 1): "second", (*here, 0): "first"})
        answer = changes["contents"][0]["parts"][0]["functionResponse"]["response"]
        assert answer["image_analysis"] == "first\n\nsecond"

    def test_a_functions_own_answer_under_that_name_is_not_lost(self) -> None:
        """A function may analyse images itself, and a response may be rewritten in two steps."""
        after = noted(function_response(image(), response={"image_analysis": "Two cats."}))
        assert "Two cats." in json.dumps(after)
        assert "note 0" in json.dumps(after)

    def test_both_spellings_keep_their_own(self) -> None:
        response = {"function_response": {"name": "shot", "parts": [{"inline_data": {"mime_type": "image/png"}}]}}
        assert noted(response) == [{"function_response": {"name": "shot", "response": {"image_analysis": "note 0"}}}]

    @pytest.mark.parametrize("key", ["systemInstruction", "system_instruction"])
    def test_system_instruction_and_contents_change_together(self, key: str) -> None:
        body = body_with(user(image()), **{key: {"parts": [text("Our logo:"), image()]}}, model="m")
        assert with_notes(body) == body_with(
            user(text("note 0")), **{key: {"parts": [text("Our logo:"), text("note 1")]}}, model="m"
        )

    def test_contents_without_a_list_around_them_stay_so(self) -> None:
        assert with_notes({"contents": {"parts": [image()]}}) == {"contents": {"parts": [text("note 0")]}}

    def test_all_other_parts_are_the_same_objects(self) -> None:
        thought = {"text": "Hm.", "thought": True, "thoughtSignature": "CiQB"}
        novelty = {"novelty": {"mimeType": "image/png", "data": "CAT"}}
        parts = [thought, function_call(), novelty, file("gs://bucket/film.mp4", "video/mp4")]
        assert all(after is before for after, before in zip(noted(*parts, image()), parts, strict=False))

    def test_an_image_without_a_text_stays(self) -> None:
        body = body_with(user(image(), image("DOG")))
        assert replace_images(body, {("contents", 0, "parts", 1): NOTE}) == body_with(user(image(), text(NOTE)))

    def test_nothing_changes_without_texts(self) -> None:
        assert replace_images(body_with(user(image())), {}) == {}


def test_gemini_cli() -> None:
    found = find(json.loads(GEMINI_CLI.read_text())).images
    tool = "It is a result of the tool"
    asked = "What is wrong in @shot.png?\n\n--- Content from referenced files ---\n\n--- End of content ---"
    assert [(one.place, f"{one.number}/{one.count}", one.question) for one in found] == [
        ("contents[0].parts[3]", "1/1", asked),
        (
            "contents[2].parts[1]",
            "1/1",
            f'{tool} read_file, called with: {{"file_path": "/home/dev/shop/logo.png"}}\nThe user had asked: {asked}',
        ),
        (
            "contents[4].parts[1]",
            "1/1",
            f'{tool} mcp_shot_take_screenshot, called with: {{"n": 0}}\nThe user had asked: {asked}',
        ),
        (
            "contents[8].parts[0].functionResponse.parts[0]",
            "1/1",
            (
                f'{tool} read_file, called with: {{"file_path": "/home/dev/shop/icon.png"}}\n'
                f'{{"output": "Binary content provided (1 item(s))."}}\nThe user had asked: {asked}'
            ),
        ),
        ("contents[10].parts[0]", "1/1", "And now?"),
    ]


class TestBesideFunctionResponses:
    """Gemini CLI sends a tool's image there. A text there would become a message before the tool's."""

    @staticmethod
    def replaced(*parts: Part) -> list[Part]:
        body = {"contents": [user(*parts)]}
        found = find(body).images
        changed = replace_images(body, {image.path: f"note {number}" for number, image in enumerate(found)})
        assert find({**body, **changed}).images == []
        parts_after: list[Part] = changed["contents"][0]["parts"]
        return parts_after

    def test_the_text_is_added_to_the_response(self) -> None:
        answer = {"name": "shot", "response": {"output": "Saved."}}
        assert self.replaced({"functionResponse": answer}, image(), text("And?")) == [
            {"functionResponse": {**answer, "response": {"output": "Saved.", "image_analysis": "note 0"}}},
            text("And?"),
        ]

    def test_of_several_responses_the_one_before_it_gets_it(self) -> None:
        one, two = ({"functionResponse": {"name": name}} for name in ("one", "two"))
        first, second = self.replaced(image(), one, image(), two, image(), image())
        assert first["functionResponse"] == {"name": "one", "response": {"image_analysis": "note 0\n\nnote 1"}}
        assert second["functionResponse"] == {"name": "two", "response": {"image_analysis": "note 2\n\nnote 3"}}

    def test_images_within_the_response_keep_their_place(self) -> None:
        answer = {"functionResponse": {"name": "shot", "parts": [image()], "response": {"output": "Saved."}}}
        (after,) = self.replaced(answer, image())
        told = {"output": "Saved.", "image_analysis": "note 0", "image_analysis_": "note 1"}
        assert after == {"functionResponse": {"name": "shot", "response": told}}


def test_a_picture_of_the_model_s_own_keeps_its_thought_signature() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "EqQBCg=="}
    body = {"contents": [{"role": "model", "parts": [picture]}]}
    (found,) = find(body).images
    changed = replace_images(body, {found.path: "a note"})
    assert changed["contents"][0]["parts"] == [{"text": "a note", "thoughtSignature": "EqQBCg=="}]
