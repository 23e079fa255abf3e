"""What the vision model is asked, and which requests are the same question."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from support.strategies import texts

from litellm_image_analysis.images import ImageSource
from litellm_image_analysis.prompt import INSTRUCTIONS, MAX_QUESTION_CHARACTERS, VisionRequest, vision_request

CAT = ImageSource("data:image/png;base64,AAAA")


def asked(**changed: Any) -> VisionRequest:
    usual: dict[str, Any] = {
        "model": "eyes",
        "source": CAT,
        "question": "What is it?",
        "instructions": None,
        "max_output_tokens": 1500,
    }
    return vision_request(**usual | changed)


def question_in(request: VisionRequest) -> str:
    return str(request.messages[1]["content"][0]["text"])


def image_in(request: VisionRequest) -> object:
    return request.messages[1]["content"][1]


def test_a_request_is_instructions_then_the_question_with_its_image() -> None:
    assert asked().messages == [
        {"role": "system", "content": INSTRUCTIONS},
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "The image came with this question, which another model will answer:\n\nWhat is it?",
                },
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
    ]


def test_model_and_bound_are_handed_on() -> None:
    request = asked(model="other-eyes", max_output_tokens=7)
    assert (request.model, request.max_output_tokens) == ("other-eyes", 7)


def test_own_instructions_replace_the_built_in_ones() -> None:
    assert asked(instructions="Read it.").messages[0] == {"role": "system", "content": "Read it."}


@pytest.mark.parametrize(
    ("source", "image_url"),
    [
        (ImageSource("https://x.example/%41?a=b#c"), {"url": "https://x.example/%41?a=b#c"}),
        (ImageSource("DATA:image/png;base64, AA==\n"), {"url": "DATA:image/png;base64, AA==\n"}),
        (ImageSource("data:,", detail="low"), {"url": "data:,", "detail": "low"}),
        (ImageSource("data:,", format="image/webp"), {"url": "data:,", "format": "image/webp"}),
        (ImageSource("data:,", "", ""), {"url": "data:,", "detail": "", "format": ""}),
    ],
)
def test_the_image_is_handed_on_exactly_as_it_came(source: ImageSource, image_url: dict[str, str]) -> None:
    assert image_in(asked(source=source)) == {"type": "image_url", "image_url": image_url}


@pytest.mark.parametrize("question", ["", "  ", "\n\t"])
def test_without_a_question_the_image_is_described_as_a_whole(question: str) -> None:
    assert question_in(asked(question=question)) == "The image came without a question."


def test_a_question_of_full_length_is_asked_whole() -> None:
    question = "x" * MAX_QUESTION_CHARACTERS
    assert question_in(asked(question=question)).endswith(f"\n\n{question}")


def test_a_longer_question_is_cut_in_its_middle() -> None:
    half = MAX_QUESTION_CHARACTERS // 2
    question = "a" * half + "x" * 1000 + "z" * half
    shortened = "a" * half + "\n[... 1000 characters left out ...]\n" + "z" * half
    assert question_in(asked(question=question)).endswith(f":\n\n{shortened}")


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "other-eyes"},
        {"source": ImageSource("data:image/png;base64,BBBB")},
        {"source": ImageSource(CAT.url, detail="high")},
        {"source": ImageSource(CAT.url, format="image/png")},
        {"question": "Who is it?"},
        {"question": ""},
        {"instructions": "Read it."},
        {"max_output_tokens": 1501},
    ],
    ids=str,
)
def test_whatever_can_change_the_answer_changes_the_key(changed: dict[str, Any]) -> None:
    assert asked(**changed).key != asked().key


def test_the_same_question_about_the_same_image_has_the_same_key() -> None:
    assert asked(source=ImageSource(CAT.url)).key == asked().key


def test_instructions_equal_to_the_built_in_ones_ask_the_same() -> None:
    assert asked(instructions=INSTRUCTIONS).key == asked().key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"model": "eyes", "max_output_tokens": 12}, {"model": "eyes1", "max_output_tokens": 2}),
        ({"max_output_tokens": 12, "instructions": "3."}, {"max_output_tokens": 1, "instructions": "23."}),
    ],
)
def test_parts_of_the_key_do_not_run_together(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert asked(**one).key != asked(**other).key


@given(texts)
def test_any_question_can_be_asked(question: str) -> None:
    assert asked(question=question) == asked(question=question)
