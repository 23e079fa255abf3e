"""Chat completions: every image is found, and nothing but images changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.strategies import ROLES

from litellm_image_analysis.request import FoundImage
from litellm_image_analysis.request.chat import find, replace_images
from litellm_image_analysis.request.image import ImageSource

FIXTURES = Path(__file__).parents[1] / "fixtures"
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
    return body | replace_images(body, {found.path: NOTE for found in find(body).images})


def content_with_notes(*parts: Part) -> Any:
    return with_notes(body_with(list(parts)))["messages"][0]["content"]


def file(**keys: Any) -> Part:
    return {"type": "file", "file": keys}


def user(*parts: Part) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def calls(*named: tuple[str, str], **more: Any) -> dict[str, Any]:
    """An assistant message with tool calls, by id and name."""
    tool_calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"url": "/"}'}}
        for call_id, name in named
    ]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls} | more


def result(*parts: Part, call_id: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": list(parts)}


def source_of(part: Part) -> ImageSource | None:
    [found] = find(body_with([part])).images
    return found.source


def questions(*messages: dict[str, Any]) -> list[str]:
    return [found.question for found in find({"messages": list(messages)}).images]


class TestFind:
    def test_an_image_is_found_with_its_place_and_its_question(self) -> None:
        assert find(body_with("hello", [text("What is it?"), image(CAT)])).images == [
            FoundImage(("messages", 1, "content", 1), ImageSource(CAT), number=1, count=1, question="What is it?")
        ]

    def test_the_place_reads_as_people_write_it(self) -> None:
        assert find(body_with("hello", [image()])).images[0].place == "messages[1].content[0]"

    @pytest.mark.parametrize("role", ROLES)
    def test_images_are_found_in_messages_of_every_role(self, role: str) -> None:
        assert [found.source for found in find(body_with([image(CAT)], role=role)).images] == [ImageSource(CAT)]

    def test_images_of_earlier_turns_are_found_too(self) -> None:
        conversation = body_with([image(CAT)], "A cat.", [image(DOG)])
        assert [found.source for found in find(conversation).images] == [ImageSource(CAT), ImageSource(DOG)]

    def test_images_are_numbered_in_each_message_anew(self) -> None:
        found = find(body_with([image(), text("and"), image()], [image()])).images
        assert [(one.number, one.count) for one in found] == [(1, 2), (2, 2), (1, 1)]

    def test_no_image_is_one_too_many(self) -> None:
        assert [found.number for found in find(body_with([image()] * 40)).images] == list(range(1, 41))

    def test_all_text_of_the_message_is_the_question(self) -> None:
        found = find(body_with("earlier", [text("Look."), image(), text("Who is it?")], "later")).images
        assert found[0].question == "Look.\nWho is it?"

    def test_a_message_without_text_asks_nothing(self) -> None:
        assert find(body_with([image(), text("")])).images[0].question == ""

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
        assert find(body_with([{"type": "image_url", "image_url": image_url}])).images[0].source == source

    @pytest.mark.parametrize("image_url", ["", None, 5, [CAT], {}, {"url": ""}, {"url": None}, {"url": {"url": CAT}}])
    def test_an_image_part_that_names_no_image_is_found_without_one(self, image_url: object) -> None:
        assert find(body_with([{"type": "image_url", "image_url": image_url}])).images[0].source is None

    def test_an_image_part_without_its_key_is_found_without_an_image(self) -> None:
        assert find(body_with([{"type": "image_url"}])).images[0].source is None

    @pytest.mark.parametrize(
        ("keys", "source"),
        [
            ({"image_url": CAT}, ImageSource(CAT)),
            ({"image_url": DOG, "detail": "low"}, ImageSource(DOG, detail="low")),
            ({"image_url": {"url": CAT, "detail": "low"}}, ImageSource(CAT, detail="low")),
            ({"file_id": "file-1"}, ImageSource("file-1", holder="openai")),
            ({"file_id": "file-1", "image_url": None, "detail": "low"}, ImageSource("file-1", "low", holder="openai")),
            ({"image_url": CAT, "file_id": "file-1"}, ImageSource(CAT)),
            ({}, None),
            ({"image_url": 5, "file_id": 5}, None),
        ],
    )
    def test_an_image_part_of_the_responses_api_is_read(self, keys: Part, source: ImageSource | None) -> None:
        assert source_of({"type": "input_image", **keys}) == source

    @pytest.mark.parametrize(
        ("part", "source"),
        [
            (file(file_data=CAT, filename="cat.png"), ImageSource(CAT)),
            (file(file_data="DATA:IMAGE/PNG;base64,CAT"), ImageSource("DATA:IMAGE/PNG;base64,CAT")),
            (file(file_data=CAT, format="application/pdf"), ImageSource(CAT)),
            (file(file_data="CAT", format="image/png"), ImageSource.encoded("image/png", "CAT")),
            (file(file_data="a-b_c", format="image/png"), ImageSource.encoded("image/png", "a-b_c")),
            (file(file_id="file-1", format="image/png"), ImageSource("file-1", None, "image/png", "openai")),
            (file(file_id="file_1", format="IMAGE/png"), ImageSource("file_1", None, "image/png", "anthropic")),
            (file(file_id="gs://b/cat", format="image/png"), ImageSource("gs://b/cat", None, "image/png", "vertex_ai")),
            (file(file_id=DOG, format="image/png"), ImageSource(DOG, None, "image/png")),
            (file(file_id="bWFuYWdlZA", format="image/png"), ImageSource("bWFuYWdlZA", None, "image/png")),
            (file(format="image/png"), None),
        ],
    )
    def test_a_file_that_is_an_image_is_read(self, part: Part, source: ImageSource | None) -> None:
        assert source_of(part) == source

    @pytest.mark.parametrize(
        "part",
        [
            file(file_data="data:application/pdf;base64,JVBERi0", filename="report.pdf"),
            file(file_data="JVBERi0", format="application/pdf"),
            file(file_data="CAT"),
            file(file_id="file-1"),
            file(file_id="gs://bucket/film.mp4", format="video/mp4"),
            file(file_id="file-1", format=["image/png"]),
            {"type": "file"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "video_url", "video_url": {"url": "https://images.example.com/film.mp4"}},
            {"type": ["image_url"], "image_url": CAT},
            {"type": "novelty", "image_url": {"url": CAT}},
        ],
    )
    def test_other_parts_hold_no_image(self, part: Part) -> None:
        assert find(body_with([part])).images == []

    @pytest.mark.parametrize(
        "content", ["data:image/png;base64,AAAA", None, 5, {"type": "image_url"}, [], [text("hi")]]
    )
    def test_other_content_holds_no_image(self, content: object) -> None:
        assert find(body_with(content)).images == []


READ, SHOT = (f'It is a result of the tool {name}, called with: {{"url": "/"}}' for name in ("read", "shot"))


class TestQuestion:
    def test_a_tool_result_is_asked_for_the_tools_name_arguments_and_the_text_beside(self) -> None:
        assert questions(
            user(text("Fix the header.")),
            calls(("call_1", "screenshot"), ("call_2", "read")),
            result(text("Saved."), image(), call_id="call_2"),
            result(image()),
        ) == [
            'It is a result of the tool read, called with: {"url": "/"}\nSaved.\nThe user had asked: Fix the header.',
            'It is a result of the tool screenshot, called with: {"url": "/"}\nThe user had asked: Fix the header.',
        ]

    def test_an_id_that_is_used_again_means_the_latest_earlier_call(self) -> None:
        old, new, later = (calls(("call_1", name)) for name in ("old", "new", "later"))
        assert questions(old, new, result(image()), later) == [
            'It is a result of the tool new, called with: {"url": "/"}'
        ]

    def test_a_result_without_its_call_is_asked_for_by_the_text_beside(self) -> None:
        assert questions(result(text("Saved."), image())) == ["Saved."]

    @pytest.mark.parametrize("content", ["What is it?", [text("What is it?")]])
    def test_a_message_of_images_is_asked_for_by_the_nearest_user_text_of_the_turn(self, content: object) -> None:
        asked = {"role": "user", "content": content}
        assert questions(user(text("first")), asked, user(image(), image())) == ["What is it?", "What is it?"]

    def test_a_turn_goes_on_over_tool_calls(self) -> None:
        """An image that a tool cannot put into its result therefore gets the user's question."""
        called = calls(("call_1", "screenshot"), content="Let me see.")
        assert questions(user(text("What is it?")), called, result(text("Saved.")), user(image())) == [
            'It is a result of the tool screenshot, called with: {"url": "/"}\nThe user had asked: What is it?'
        ]

    @pytest.mark.parametrize("attached", ["Attached media from tool result:", "Attached image(s) from tool result:"])
    def test_an_image_after_tool_messages_is_their_result(self, attached: str) -> None:
        """opencode, pi and Cline send it in this way. The texts in such a message are not the user's."""
        first, second = calls(("call_1", "read"), ("call_2", "shot")), calls(("call_3", "read"))
        assert questions(
            user(text("What do they say?")),
            first,
            result(text("Read.")),
            result(text("Shot."), call_id="call_2"),
            user(text(attached), image()),
            second,
            result(text("Read."), call_id="call_3"),
            user(image()),
        ) == [
            f"{READ}\n{SHOT}\n{attached}\nThe user had asked: What do they say?",
            f"{READ}\nThe user had asked: What do they say?",
        ]

    def test_words_of_the_user_after_tool_messages_are_the_users(self) -> None:
        called, again = calls(("call_1", "read")), calls(("call_2", "read"))
        assert questions(
            user(text("Fix it.")),
            called,
            result(text("Read.")),
            user(text("Stop! Look:")),
            again,
            result(image(), call_id="call_2"),
        ) == ['It is a result of the tool read, called with: {"url": "/"}\nThe user had asked: Stop! Look:']

    def test_text_of_another_api_is_text(self) -> None:
        assert questions(user({"type": "input_text", "text": "What is it?"}, image())) == ["What is it?"]

    def test_a_clients_context_is_no_part_of_it(self) -> None:
        reminder = "<system-reminder>\nCLAUDE.md\n</system-reminder>"
        assert questions(user(text(reminder), text(f"What is it?\n{reminder}"), image())) == ["What is it?"]
        assert questions(user(text("What is it?")), user(text(reminder), image())) == ["What is it?"]
        body = {"messages": [user(text("<mine>a</mine> What is it?"), image())]}
        assert [one.question for one in find(body, ["mine"]).images] == ["What is it?"]

    @pytest.mark.parametrize("more", [{}, {"tool_calls": None}, {"tool_calls": []}])
    def test_an_answer_ends_the_turn(self, more: dict[str, Any]) -> None:
        answer = {"role": "assistant", "content": "A cat.", **more}
        assert questions(user(text("What is it?")), answer, user(image())) == [""]

    def test_no_other_message_is_taken_for_the_users(self) -> None:
        system = {"role": "system", "content": "Be brief."}
        assert questions(user(text("What is it?")), system, user(image())) == ["What is it?"]


class TestReplace:
    def test_a_text_part_of_another_api_becomes_one_of_this_one(self) -> None:
        """LiteLLM refuses it. It stays in a request that is not rewritten."""
        other = {"type": "input_text", "text": "What is it?", "cache_control": {"type": "ephemeral"}}
        body = {"messages": [user(other), user(image())]}
        assert replace_images(body, {("messages", 1, "content", 0): "a note"})["messages"] == [
            user({**other, "type": "text"}),
            {"role": "user", "content": "a note"},
        ]
        assert content_with_notes({"type": "input_text", "text": "Look."}, image()) == "Look.\n\na note"
        assert replace_images(body, {}) == {}

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

    @pytest.mark.parametrize("part", [{"type": "input_image", "image_url": CAT}, file(file_data=CAT)])
    def test_every_kind_of_image_part_gives_way_and_keeps_its_cache_breakpoint(self, part: Part) -> None:
        ephemeral = {"type": "ephemeral"}
        assert content_with_notes(text("Look."), part) == "Look.\n\na note"
        assert content_with_notes(part | {"cache_control": ephemeral}) == [text(NOTE, cache_control=ephemeral)]

    @pytest.mark.parametrize("kind", ["novelty", "refusal", None, ["text"]])
    def test_a_part_of_unknown_type_passes_untouched_though_it_has_a_text(self, kind: object) -> None:
        part = {"type": kind, "text": "words"}
        assert content_with_notes(part, image()) == [part, text(NOTE)]

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


def test_instructions_may_stand_between_a_tools_result_and_its_image() -> None:
    """Pydantic AI explains its tags there."""
    call = {"id": "call_1", "type": "function", "function": {"name": "screenshot", "arguments": '{"window":"till"}'}}
    parts = [text('<pyai:tool_result file_id="55f259">'), image(), text("</pyai:tool_result>")]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Which button is red?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "See file 55f259."},
        {"role": "system", "content": "Tags frame what tools return."},
        {"role": "user", "content": parts},
        {"role": "user", "content": [image()]},
    ]
    first, second = find({"messages": messages}).images
    assert first.question.startswith('It is a result of the tool screenshot, called with: {"window":"till"}\n')
    assert first.question.endswith("The user had asked: Which button is red?")
    assert second.question == "Which button is red?"


CALLED = (
    'Called the Read tool with the following input: {"filePath":"/home/dev/shop/page.png"}\nImage read successfully'
)
CLIENTS: dict[str, list[tuple[str, str]]] = {
    "opencode": [
        ("messages[1].content[2]", f'{CALLED}\n"The footer is off."'),
        ("messages[1].content[3]", f'{CALLED}\n"The footer is off."'),
        (
            "messages[4].content[1]",
            (
                'It is a result of the tool shot_take_screenshot, called with: {"n":0}\n'
                f'Attached media from tool result:\nThe user had asked: {CALLED}\n"The footer is off."'
            ),
        ),
        *(
            (
                f"messages[8].content[{place}]",
                (
                    'It is a result of the tool read, called with: {"filePath":"/home/dev/shop/a.png"}\n'
                    'It is a result of the tool read, called with: {"filePath":"/home/dev/shop/b.png"}\n'
                    f'Attached media from tool result:\nThe user had asked: {CALLED}\n"The footer is off."'
                ),
            )
            for place in (1, 2)
        ),
        ("messages[13].content[0]", "Better?"),
    ],
    "cline": [
        (
            f"messages[{index}].content[0]",
            (
                f'It is a result of the tool read_files, called with: {{"paths":["/home/dev/shop/{name}.png"]}}\n'
                "The user had asked: What do they read?"
            ),
        )
        for index, name in ((4, "a"), (7, "b"))
    ],
    "pi": [
        (
            f"messages[{index}].content[1]",
            (
                f'It is a result of the tool read, called with: {{"path":"/home/dev/shop/{name}.png"}}\n'
                "Attached image(s) from tool result:\nThe user had asked: What do they read?"
            ),
        )
        for index, name in ((4, "a"), (7, "b"))
    ],
    "ai_sdk": [
        (
            "messages[2].content",
            (
                'It is a result of the tool read_file, called with: {"path":"/home/dev/shop/a.png"}\nThe file:\n'
                "The user had asked: What does it read?"
            ),
        )
    ],
    "langchain": [
        (
            "messages[2].content[0]",
            'It is a result of the tool read_file, called with: {"path":"a.png"}\nThe user had asked: Look at a.png.',
        )
    ],
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_clients_send(client: str) -> None:
    found = find(json.loads((FIXTURES / f"{client}.json").read_text())).images
    assert [(one.place, one.question) for one in found] == CLIENTS[client]
