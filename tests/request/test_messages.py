"""Anthropic messages: images in messages, tool results and system, replaced by text blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litellm_image_analysis.request import FoundImage
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.messages import find, replace_images

CLAUDE_CODE = Path(__file__).parents[1] / "fixtures" / "claude_code.json"
NOTE = "a note"
EPHEMERAL = {"type": "ephemeral"}
CAT = {"type": "base64", "media_type": "image/png", "data": "CAT"}
CAT_SOURCE = ImageSource.encoded("image/png", "CAT")
SCREENSHOT = 'It is a result of the tool screenshot, called with: {"url": "/"}'

Block = dict[str, Any]


def text(words: str, **more: Any) -> Block:
    return {"type": "text", "text": words, **more}


def image(source: object = CAT, **more: Any) -> Block:
    return {"type": "image", "source": source, **more}


def document(source: object) -> Block:
    return {"type": "document", "source": source, "title": "A document"}


def tool_use(use_id: str = "toolu_1", name: str = "screenshot", **more: Any) -> Block:
    return {"type": "tool_use", "id": use_id, "name": name, "input": {"url": "/"}} | more


def tool_result(*blocks: Block, use_id: str = "toolu_1", **more: Any) -> Block:
    return {"type": "tool_result", "tool_use_id": use_id, "content": list(blocks)} | more


def user(*blocks: Block) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Block) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def body_with(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def sources(*blocks: Block) -> list[ImageSource | None]:
    return [found.source for found in find(body_with(user(*blocks))).images]


def questions(*messages: dict[str, Any], **more: Any) -> list[str]:
    return [found.question for found in find(body_with(*messages, **more)).images]


def with_notes(body: dict[str, Any]) -> dict[str, Any]:
    return body | replace_images(body, {found.path: NOTE for found in find(body).images})


def noted(*blocks: Block) -> Any:
    return with_notes(body_with(user(*blocks)))["messages"][0]["content"]


class TestFind:
    def test_an_image_is_found_with_its_place_and_its_question(self) -> None:
        assert find(body_with(user(text("What is it?"), image()))).images == [
            FoundImage(("messages", 0, "content", 1), CAT_SOURCE, number=1, count=1, question="What is it?")
        ]

    @pytest.mark.parametrize("role", ["user", "assistant"])
    def test_images_are_found_in_messages_of_every_role(self, role: str) -> None:
        assert len(find(body_with({"role": role, "content": [image()]})).images) == 1

    def test_images_are_found_in_the_system_prompt_first(self) -> None:
        found = find(body_with(user(image()), system=[text("Our logo:"), image()])).images
        assert [(one.place, one.question) for one in found] == [
            ("system[1]", "Our logo:"),
            ("messages[0].content[0]", ""),
        ]

    def test_images_are_found_in_tool_results(self) -> None:
        found = find(body_with(user(tool_result(text("Saved."), image()), image()))).images
        assert [(one.place, one.number, one.count) for one in found] == [
            ("messages[0].content[0].content[1]", 1, 2),
            ("messages[0].content[1]", 2, 2),
        ]

    @pytest.mark.parametrize("kind", ["tool_result", "mcp_tool_result"])
    def test_results_of_every_kind_of_tool_are_searched(self, kind: str) -> None:
        assert sources(tool_result(image(), type=kind)) == [CAT_SOURCE]

    @pytest.mark.parametrize(
        ("source", "read"),
        [
            (CAT, CAT_SOURCE),
            ({**CAT, "data": "a-b_c"}, ImageSource.encoded("image/png", "a-b_c")),
            ({**CAT, "media_type": "image/webp"}, ImageSource.encoded("image/webp", "CAT")),
            ({"type": "base64", "data": "CAT"}, ImageSource.encoded("", "CAT")),
            (
                {"type": "url", "url": "https://images.example.com/c.png"},
                ImageSource("https://images.example.com/c.png"),
            ),
            ({"type": "file", "file_id": "file_011C"}, ImageSource("file_011C", holder="anthropic")),
        ],
    )
    def test_an_image_is_read_from_every_kind_of_source(self, source: object, read: ImageSource) -> None:
        assert sources(image(source)) == [read]
        assert sources(tool_result(image(source))) == [read]

    @pytest.mark.parametrize(
        "source",
        [
            None,
            "CAT",
            {},
            {"type": "base64"},
            {"type": "base64", "data": ""},
            {"type": "url", "data": "CAT"},
            {"type": "file", "file_id": 5},
            {"type": "novelty", "url": "https://images.example.com/c.png"},
        ],
    )
    def test_an_image_block_that_names_no_image_is_found_without_one(self, source: object) -> None:
        assert sources(image(source)) == [None]

    def test_a_document_that_is_an_image_is_one(self) -> None:
        assert sources(document(CAT), tool_result(document(CAT))) == [CAT_SOURCE] * 2

    @pytest.mark.parametrize(
        "source",
        [
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0"},
            {"type": "text", "media_type": "text/plain", "data": "words"},
            {"type": "url", "url": "https://images.example.com/report.pdf"},
            {"type": "file", "file_id": "file_011C"},
        ],
    )
    def test_other_documents_are_left_alone(self, source: object) -> None:
        assert sources(document(source), tool_result(document(source))) == []

    @pytest.mark.parametrize("kind", ["novelty", "", None, 5, ["image"], {"image": "image"}])
    def test_blocks_of_unknown_type_hold_no_image(self, kind: object) -> None:
        assert sources({"type": kind, "source": CAT}) == []

    @pytest.mark.parametrize("content", ["a text", None, 5, {"type": "image", "source": CAT}, [], ["image"]])
    def test_other_content_holds_no_image(self, content: object) -> None:
        assert find(body_with({"role": "user", "content": content}, system=content)).images == []


class TestQuestion:
    def test_a_tool_result_is_asked_for_the_tools_name_arguments_and_the_text_beside(self) -> None:
        assert questions(
            user(text("Fix the header.")),
            assistant(tool_use("toolu_1"), tool_use("toolu_2", "Read", input={"file_path": "b.png"})),
            user(
                tool_result(text("Saved."), image(), use_id="toolu_1"),
                tool_result(image(), use_id="toolu_2"),
                text("a reminder"),
            ),
        ) == [
            f"{SCREENSHOT}\nSaved.\nThe user had asked: Fix the header.",
            'It is a result of the tool Read, called with: {"file_path": "b.png"}\nThe user had asked: Fix the header.',
        ]

    def test_a_servers_tool_stands_beside_its_result(self) -> None:
        use, result = tool_use(type="mcp_tool_use"), tool_result(image(), type="mcp_tool_result")
        assert questions(assistant(use, result)) == ['It is a result of the tool screenshot, called with: {"url": "/"}']

    def test_an_id_that_is_used_again_means_the_latest_use(self) -> None:
        assert questions(
            assistant(tool_use(name="old")), assistant(tool_use(name="new")), user(tool_result(image()))
        ) == ['It is a result of the tool new, called with: {"url": "/"}']

    def test_a_result_without_its_tool_use_is_asked_for_by_the_text_beside(self) -> None:
        assert questions(user(text("no"), tool_result(text("Saved."), image())), assistant(tool_use())) == ["Saved."]

    def test_a_users_image_is_asked_for_by_all_text_of_its_message_but_not_of_tool_results(self) -> None:
        content = [text("Look."), image(), tool_result(text("no")), text("Who is it?")]
        assert questions(user(text("earlier")), user(*content), user(text("later"))) == ["Look.\nWho is it?"]

    def test_a_message_of_images_is_asked_for_by_the_nearest_user_text_of_the_turn(self) -> None:
        assert questions(
            user(text("first")), user(text("What is it?")), user(tool_result(text("no"))), user(image(), image())
        ) == ["What is it?", "What is it?"]

    def test_a_turn_goes_on_over_tool_uses(self) -> None:
        assert questions(
            {"role": "user", "content": "What is it?"},
            assistant(text("Let me see."), tool_use()),
            user(tool_result(text("Saved.")), image()),
        ) == ['It is a result of the tool screenshot, called with: {"url": "/"}\nThe user had asked: What is it?']

    def test_an_image_in_the_message_after_a_result_is_its_result(self) -> None:
        assert questions(
            user(text("What is it?")), assistant(tool_use()), user(tool_result(text("Saved."))), user(image())
        ) == ['It is a result of the tool screenshot, called with: {"url": "/"}\nThe user had asked: What is it?']

    def test_a_clients_context_is_no_part_of_it(self) -> None:
        reminder = text("<system-reminder>\nCLAUDE.md\n</system-reminder>")
        assert questions(user(reminder, text("What is it?"), image(), reminder)) == ["What is it?"]

    @pytest.mark.parametrize("answer", ["A cat.", [text("A cat.")], []])
    def test_an_answer_ends_the_turn(self, answer: object) -> None:
        assert questions(user(text("What is it?")), {"role": "assistant", "content": answer}, user(image())) == [""]

    @pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use"])
    def test_an_answer_for_which_the_provider_ran_a_tool_itself_ends_the_turn(self, kind: str) -> None:
        """The client adds no result to it, so its next message begins a new turn."""
        answer = assistant(tool_use(type=kind), tool_result(type="web_search_tool_result"), text("A cat."))
        assert questions(user(text("What is it?")), answer, user(image())) == [""]


class TestReplace:
    def test_a_text_block_stands_where_the_image_was(self) -> None:
        assert noted(text("Look."), image(), text("Who?"), image()) == [
            text("Look."),
            text(NOTE),
            text("Who?"),
            text(NOTE),
        ]

    def test_the_cache_breakpoint_moves_to_the_text(self) -> None:
        assert noted(image(cache_control=EPHEMERAL), tool_result(image(cache_control=EPHEMERAL))) == [
            text(NOTE, cache_control=EPHEMERAL),
            tool_result(text(NOTE, cache_control=EPHEMERAL)),
        ]

    def test_a_tool_result_keeps_all_else(self) -> None:
        more: dict[str, Any] = {"is_error": False, "cache_control": EPHEMERAL}
        assert noted(tool_result(text("Saved."), image(), text("Done."), **more)) == [
            tool_result(text("Saved."), text(NOTE), text("Done."), **more)
        ]

    def test_system_and_messages_change_together(self) -> None:
        body = body_with(user(image()), system=[text("Our logo:"), image()], model="m")
        assert with_notes(body) == body_with(user(text(NOTE)), system=[text("Our logo:"), text(NOTE)], model="m")

    def test_only_what_holds_images_is_among_the_changes(self) -> None:
        body = body_with(user(text("hi")), system=[image()])
        assert replace_images(body, {("system", 0): NOTE}) == {"system": [text(NOTE)]}

    def test_thinking_and_tool_use_are_the_same_objects(self) -> None:
        thinking = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}
        body = body_with(assistant(thinking, image(), tool_use()))
        content = with_notes(body)["messages"][0]["content"]
        assert content[0] is thinking
        assert content[2] is body["messages"][0]["content"][2]

    def test_unknown_blocks_and_other_documents_pass_untouched(self) -> None:
        pdf = document({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0"})
        novelty = {"type": "novelty", "text": "words", "source": CAT}
        assert noted(pdf, novelty, image()) == [pdf, novelty, text(NOTE)]

    def test_an_image_without_a_text_stays(self) -> None:
        body = body_with(user(image(), tool_result(image())))
        changes = replace_images(body, {("messages", 0, "content", 1, "content", 0): NOTE})
        assert changes == body_with(user(image(), tool_result(text(NOTE))))

    def test_nothing_changes_without_texts(self) -> None:
        assert replace_images(body_with(user(image())), {}) == {}


def test_claude_code() -> None:
    found = find(json.loads(CLAUDE_CODE.read_text())).images
    question = "The cart badge overlaps the logo. Compare it with design/header.png."
    read, screenshot = '{"file_path": "/home/dev/shop/design/header.png"}', "mcp__shot__take_screenshot"
    asked = f"The user had asked: {question}"
    assert [(one.place, f"{one.number}/{one.count}", one.question) for one in found] == [
        ("messages[0].content[2]", "1/1", question),
        (
            "messages[3].content[0].content[0]",
            "1/1",
            f"It is a result of the tool Read, called with: {read}\n{asked}",
        ),
        (
            "messages[5].content[0].content[1]",
            "1/1",
            (
                f'It is a result of the tool {screenshot}, called with: {{"n": 0}}\n'
                f"Screenshot 0 of the current page\n{asked}"
            ),
        ),
        ("messages[10].content[1]", "1/2", "Do these two pages look alike?"),
        ("messages[10].content[2]", "2/2", "Do these two pages look alike?"),
    ]


def test_instructions_may_stand_between_a_tools_result_and_its_image() -> None:
    shown = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "CAT"}}
    turns = [
        {"role": "assistant", "content": [tool_use()]},
        {"role": "user", "content": [tool_result({"type": "text", "text": "See below."})]},
        {"role": "system", "content": "The task tools haven't been used recently."},
        {"role": "user", "content": [shown]},
    ]
    (found,) = find({"messages": turns}).images
    assert found.question == 'It is a result of the tool screenshot, called with: {"url": "/"}'


class TestDocumentOfBlocks:
    """A document may consist of text and images. It is in a message, in a tool result or in ``system``."""

    @staticmethod
    def book(*blocks: object) -> Block:
        return document({"type": "content", "content": list(blocks)})

    def test_its_images_have_the_question_of_its_message(self) -> None:
        (found,) = find(body_with(user(self.book(text("Chapter one"), image()), text("Who is it?")))).images
        assert (found.place, found.question) == ("messages[0].content[0].source.content[1]", "Who is it?")

    def test_in_a_tool_result_its_images_have_the_question_of_the_result(self) -> None:
        result = tool_result(text("Found."), self.book(text("Chapter one"), image()), image())
        found = find(body_with(assistant(tool_use()), user(result, image()))).images
        assert [(one.place, one.number, one.count, one.question) for one in found] == [
            ("messages[1].content[0].content[1].source.content[1]", 1, 3, asked := f"{SCREENSHOT}\nFound."),
            ("messages[1].content[0].content[2]", 2, 3, asked),
            ("messages[1].content[1]", 3, 3, SCREENSHOT),
        ]

    def test_in_the_system_prompt_its_images_have_the_text_beside_as_question(self) -> None:
        found = find(body_with(user(image()), system=[text("Our logo:"), self.book(image()), image()])).images
        assert [(one.place, one.number, one.count, one.question) for one in found] == [
            ("system[1].source.content[0]", 1, 2, "Our logo:"),
            ("system[2]", 2, 2, "Our logo:"),
            ("messages[0].content[0]", 1, 1, ""),
        ]

    def test_only_its_images_change(self) -> None:
        def content(picture: Block) -> list[Block]:
            book = self.book(text("Chapter one"), picture)
            return [{**book, "citations": {"enabled": True}, "cache_control": EPHEMERAL}, text("Who is it?")]

        def whole(picture: Block) -> dict[str, Any]:
            message = user(*content(picture), tool_result(*content(picture)))
            return body_with(message, system=content(picture))

        assert with_notes(whole(image(cache_control=EPHEMERAL))) == whole(text(NOTE, cache_control=EPHEMERAL))

    def test_documents_in_it_are_no_blocks_of_the_format(self) -> None:
        """They are not searched, so any depth is possible."""
        inner = self.book(image())
        for _ in range(100_000):
            inner = self.book(inner)
        assert sources(inner, tool_result(inner)) == []

    @pytest.mark.parametrize("content", [None, 5, "Chapter one", {"type": "image", "source": CAT}, [], ["image"]])
    def test_other_content_holds_no_image(self, content: object) -> None:
        book = document({"type": "content", "content": content})
        assert find(body_with(user(book, tool_result(book)), system=[book])).images == []
