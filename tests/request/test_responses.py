"""OpenAI Responses: images in message items, tool outputs and screenshots, replaced by text parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litellm_image_analysis.request import FoundImage
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.responses import find, replace_images

CODEX_CLI = Path(__file__).parents[1] / "fixtures" / "codex_cli.json"
NOTE = "a note"
CAT, DOG = "data:image/png;base64,CAT", "https://images.example.com/dog.png"

Item = dict[str, Any]


def text(words: str, kind: str = "input_text") -> Item:
    return {"type": kind, "text": words}


def image(image_url: object = CAT, **more: Any) -> Item:
    return {"type": "input_image", "image_url": image_url, **more}


def user(*parts: Item) -> Item:
    return {"type": "message", "role": "user", "content": list(parts)}


def assistant(*parts: Item) -> Item:
    return {"type": "message", "role": "assistant", "content": list(parts)}


def call(call_id: str = "call_1", **more: Any) -> Item:
    return {"type": "function_call", "call_id": call_id, "name": "view_image", "arguments": '{"path": "a"}'} | more


def output(result: object, call_id: str = "call_1", **more: Any) -> Item:
    return {"type": "function_call_output", "call_id": call_id, "output": result} | more


def screenshot(**more: Any) -> Item:
    return output({"type": "computer_screenshot", "image_url": CAT} | more, type="computer_call_output")


def body_with(*items: Item) -> dict[str, Any]:
    return {"input": list(items)}


def sources(*parts: Item) -> list[ImageSource | None]:
    return [found.source for found in find(body_with(user(*parts))).images]


def questions(*items: Item) -> list[str]:
    return [found.question for found in find(body_with(*items)).images]


def noted(*items: Item) -> Any:
    body = body_with(*items)
    return replace_images(body, {found.path: NOTE for found in find(body).images})["input"]


class TestFind:
    def test_an_image_is_found_with_its_place_and_its_question(self) -> None:
        assert find(body_with(user(text("What is it?"), image()))).images == [
            FoundImage(("input", 0, "content", 1), ImageSource(CAT), number=1, count=1, question="What is it?")
        ]

    @pytest.mark.parametrize("role", ["user", "system", "developer", "assistant"])
    def test_images_are_found_in_items_of_every_role_with_and_without_type(self, role: str) -> None:
        bare = {"role": role, "content": [image()]}
        assert len(find(body_with(bare, {**bare, "type": "message"})).images) == 2

    @pytest.mark.parametrize("kind", ["function_call_output", "custom_tool_call_output"])
    def test_images_are_found_in_outputs(self, kind: str) -> None:
        found = find(body_with(output([text("Saved."), image(), image(DOG)], type=kind))).images
        assert [(one.place, one.number, one.count) for one in found] == [
            ("input[0].output[1]", 1, 2),
            ("input[0].output[2]", 2, 2),
        ]

    def test_a_screenshot_is_found(self) -> None:
        by_id = output({"type": "computer_screenshot", "file_id": "file-1"}, type="computer_call_output")
        found = find(body_with(screenshot(), by_id)).images
        assert [(one.place, one.source) for one in found] == [
            ("input[0].output", ImageSource(CAT)),
            ("input[1].output", ImageSource("file-1", holder="openai")),
        ]

    @pytest.mark.parametrize(
        ("part", "source"),
        [
            (image(CAT), ImageSource(CAT)),
            (image(DOG, detail="low"), ImageSource(DOG, detail="low")),
            (image(None, file_id="file-1"), ImageSource("file-1", holder="openai")),
            (image(None, file_id="file-1", detail="high"), ImageSource("file-1", detail="high", holder="openai")),
            (image(CAT, file_id="file-1"), ImageSource(CAT)),
            (image({"url": DOG, "detail": "low"}), ImageSource(DOG, detail="low")),
            ({"type": "image_url", "image_url": {"url": CAT}}, ImageSource(CAT)),
            ({"type": "input_file", "file_data": CAT}, ImageSource(CAT)),
            (image("who knows"), ImageSource("who knows")),
        ],
    )
    def test_an_image_is_read(self, part: Item, source: ImageSource) -> None:
        assert sources(part) == [source]
        assert [found.source for found in find(body_with(output([part]))).images] == [source]

    @pytest.mark.parametrize("image_url", [None, "", 5, [CAT], {}, {"url": None}])
    def test_an_image_part_that_names_no_image_is_found_without_one(self, image_url: object) -> None:
        assert sources(image(image_url), image(image_url, file_id=5)) == [None, None]

    @pytest.mark.parametrize(
        "part",
        [
            text("data:image/png;base64,CAT"),
            {"type": "input_file", "file_id": "file-1"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0"},
            {"type": "input_file", "file_url": "https://images.example.com/report.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "novelty", "image_url": CAT},
            {"type": ["input_image"], "image_url": CAT},
            {"type": {}, "image_url": CAT},
        ],
    )
    def test_other_parts_hold_no_image(self, part: Item) -> None:
        assert sources(part) == []

    @pytest.mark.parametrize("value", ["a text", None, 5, {"type": "novelty"}, [], ["input_image"]])
    def test_other_input_holds_no_image(self, value: object) -> None:
        assert find({"input": value}).images == []
        assert find(body_with({"role": "user", "content": value}, output(value))).images == []


SHOT = 'It is a result of the tool view_image, called with: {"path": "a"}'


class TestQuestion:
    @pytest.mark.parametrize(
        ("made", "question"),
        [
            (call(), 'It is a result of the tool view_image, called with: {"path": "a"}'),
            (
                {"type": "custom_tool_call", "call_id": "call_1", "name": "draw", "input": "a cat"},
                "It is a result of the tool draw, called with: a cat",
            ),
            (
                {"type": "computer_call", "call_id": "call_1", "action": {"type": "click", "x": 1}},
                'It is a result of the tool computer, called with: {"type": "click", "x": 1}',
            ),
        ],
    )
    def test_an_output_is_asked_for_the_tools_name_arguments_and_the_text_beside(
        self, made: Item, question: str
    ) -> None:
        assert questions(user(text("no")), made, output([text("Saved."), image()])) == [
            f"{question}\nSaved.\nThe user had asked: no"
        ]

    def test_a_screenshot_is_asked_for_what_the_computer_was_told(self) -> None:
        told = {"type": "computer_call", "call_id": "call_1", "action": {"type": "screenshot"}}
        assert questions(told, screenshot()) == [
            'It is a result of the tool computer, called with: {"type": "screenshot"}'
        ]

    def test_each_output_belongs_to_its_call(self) -> None:
        assert questions(
            call("call_1", name="one"), call("call_2", name="two"), output([image()], "call_2"), output([image()])
        ) == [
            'It is a result of the tool two, called with: {"path": "a"}',
            'It is a result of the tool one, called with: {"path": "a"}',
        ]

    def test_an_id_that_is_used_again_means_the_latest_call(self) -> None:
        assert questions(call(name="old"), call(name="new"), output([image()])) == [
            'It is a result of the tool new, called with: {"path": "a"}'
        ]

    def test_a_call_kept_at_the_provider_leaves_the_text_beside(self) -> None:
        """With ``previous_response_id`` the request has the output, but not the call."""
        assert questions(output([text("Saved."), image()]), call()) == ["Saved."]

    def test_a_users_image_is_asked_for_by_all_text_of_its_message(self) -> None:
        assert questions(user(text("no")), user(text("Look."), image(), text("Who?")), user(text("later"))) == [
            "Look.\nWho?"
        ]

    def test_a_message_of_images_is_asked_for_by_the_nearest_user_text_of_the_turn(self) -> None:
        assert questions(user(text("first")), {"role": "user", "content": "What is it?"}, user(image(), image())) == [
            "What is it?",
            "What is it?",
        ]

    def test_a_turn_goes_on_over_tool_calls(self) -> None:
        """An image that a tool attaches as a user message therefore gets the user's question."""
        reasoning: Item = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
        assert questions(user(text("What is it?")), reasoning, call(), output("attached"), user(image())) == [
            f"{SHOT}\nThe user had asked: What is it?"
        ]

    def test_words_beside_an_attached_image_are_none_of_the_users(self) -> None:
        attached = user(text("Attached:"), image())
        assert (
            questions(user(text("What is it?")), call(), output("a"), attached, call(), output("b"), attached)
            == [f"{SHOT}\nAttached:\nThe user had asked: What is it?"] * 2
        )

    def test_a_clients_context_is_no_part_of_it(self) -> None:
        context = text("<environment_context>\n/home\n</environment_context>")
        assert questions(user(context, text("What is it?"), image())) == ["What is it?"]

    def test_a_turn_goes_on_over_what_is_said_before_a_tool_call(self) -> None:
        said = assistant(text("Let me see.", "output_text"))
        assert questions(user(text("What is it?")), said, call(), output("attached"), user(image())) == [
            f"{SHOT}\nThe user had asked: What is it?"
        ]

    @pytest.mark.parametrize("answer", ["A cat.", [text("A cat.", "output_text")]])
    def test_an_answer_ends_the_turn(self, answer: object) -> None:
        said = {"role": "assistant", "content": answer}
        assert questions(user(text("What is it?")), call(), output("Saved."), said, user(image())) == [""]


class TestReplace:
    def test_a_text_part_stands_where_the_image_was(self) -> None:
        assert noted(user(text("Look."), image(), text("Who?"), image())) == [
            user(text("Look."), text(NOTE), text("Who?"), text(NOTE))
        ]

    def test_an_assistants_text_is_output(self) -> None:
        assert noted(assistant(image())) == [assistant(text(NOTE, "output_text"))]

    def test_an_output_keeps_all_else(self) -> None:
        more = {"id": "fco_1", "status": "completed"}
        assert noted(output([text("Saved."), image(), text("Done.")], **more)) == [
            output([text("Saved."), text(NOTE), text("Done.")], **more)
        ]

    def test_a_screenshot_becomes_a_list_of_one_text(self) -> None:
        checks: Item = {"acknowledged_safety_checks": []}
        assert noted(screenshot() | checks) == [output([text(NOTE)], type="computer_call_output") | checks]

    def test_all_other_items_are_the_same_objects(self) -> None:
        reasoning: Item = {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAA"}
        reference = {"type": "item_reference", "id": "rs_1"}
        items = [reasoning, reference, call(), user(text("hi")), output("{}")]
        assert all(after is before for after, before in zip(noted(*items, user(image())), items, strict=False))

    def test_other_parts_pass_untouched(self) -> None:
        pdf = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0"}
        novelty = {"type": "novelty", "text": "words", "image_url": CAT}
        assert noted(user(pdf, novelty, image())) == [user(pdf, novelty, text(NOTE))]

    def test_an_image_without_a_text_stays(self) -> None:
        body = body_with(user(image(), image(DOG)))
        assert replace_images(body, {("input", 0, "content", 1): NOTE}) == body_with(user(image(), text(NOTE)))

    def test_nothing_changes_without_texts(self) -> None:
        assert replace_images(body_with(user(image())), {}) == {}


def test_codex_cli() -> None:
    found = find(json.loads(CODEX_CLI.read_text())).images
    tool = "It is a result of the tool"
    asked = '<image name=[Image #1] path="/tmp/a.png">\n</image>\n[Image #1] Why is the chart empty?'
    had_asked = f"The user had asked: {asked}"
    assert [(one.place, f"{one.number}/{one.count}", one.question) for one in found] == [
        ("input[3].content[1]", "1/1", asked),
        (
            "input[9].output[0]",
            "1/1",
            f'{tool} view_image, called with: {{"path": "/home/dev/shop/chart.png"}}\n{had_asked}',
        ),
        (
            "input[13].output[2]",
            "1/1",
            (
                f'{tool} mcp__shot__take_screenshot, called with: {{"n": 0}}\nWall time: 0.1 seconds\nOutput:\n'
                f"Screenshot 0 of the current page\n{had_asked}"
            ),
        ),
        ("input[17].content[1]", "1/1", "Which month is highest?"),
    ]
