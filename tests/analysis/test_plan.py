"""The plan of vision calls for a request: images that share a call, images that are left out, and the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.images import data_uri
from support.strategies import chat_bodies, messages_bodies, thorough

from litellm_image_analysis.analysis import plan as plan_module
from litellm_image_analysis.analysis.outcomes import Failed, FailureReason
from litellm_image_analysis.analysis.plan import Step, make_plan
from litellm_image_analysis.analysis.prompt import VisionRequest, vision_request
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.request import FoundImage, Path, WireFormat, chat, messages
from litellm_image_analysis.request.image import ImageSource

RESEARCH = Tenant("team:research", b"secret")
TOGETHER = {"grouping": "per_message"}

MALFORMED = None
UNSUPPORTED = ImageSource("ftp://images.example.com/cat.png")
REMOTE = ImageSource("https://images.example.com/cat.png")
HELD = ImageSource("file-1", holder="openai")
PRIVATE = ImageSource("https://127.0.0.1/cat.png")


def inline(mark: str) -> ImageSource:
    return ImageSource(data_uri(mark))


def message_of(*sources: ImageSource | None, index: int = 0, questions: Sequence[str] = ()) -> list[FoundImage]:
    """The images of one message, all with the same question unless each has its own."""
    asked = questions or ["What is it?"] * len(sources)
    return [
        FoundImage(("messages", index, "content", number), source, number, len(sources), question)
        for number, (source, question) in enumerate(zip(sources, asked, strict=True), start=1)
    ]


def planned(found: Sequence[FoundImage], file_providers: Sequence[str] = (), **settings: Any) -> list[Step]:
    return make_plan(found, ImageAnalysisConfig(**settings), RESEARCH, "eyes", file_providers)


def together(plan: Sequence[Step]) -> list[list[int]]:
    """The numbers of the images in each call."""
    return [[image.number for image in step.images] for step in plan if isinstance(step.ask, VisionRequest)]


def reasons(plan: Sequence[Step]) -> dict[int, FailureReason]:
    """The reason why there is no vision call, by the image's number."""
    return {step.images[0].number: step.ask.reason for step in plan if isinstance(step.ask, Failed)}


def message_holding(image: FoundImage) -> Path:
    """The place of the image's message. Anthropic's ``system`` counts as one message."""
    return image.path[: 1 if image.path[0] == "system" else 2]


def request_of(step: Step) -> VisionRequest:
    assert isinstance(step.ask, VisionRequest)
    return step.ask


class TestPerImage:
    def test_it_is_the_default(self) -> None:
        assert together(planned(message_of(inline("A"), inline("B")))) == [[1], [2]]

    def test_each_image_is_asked_about_with_the_question_of_its_message(self) -> None:
        [step] = planned(message_of(inline("A"), questions=["Who is it?"]), prompt="Read it.", max_output_tokens=7)
        assert step.ask == vision_request(RESEARCH, "eyes", [(1, inline("A"))], "Who is it?", "Read it.", 7)

    def test_the_same_image_in_another_place_is_the_same_question(self) -> None:
        first, _, third = planned(message_of(inline("A"), inline("B"), inline("A")))
        assert first.ask == third.ask

    @pytest.mark.parametrize(("settings", "calls"), [({}, 3), (TOGETHER, 2)])
    def test_copies_share_one_request(
        self, settings: dict[str, str], calls: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise thousands of copies would store and hash the question thousands of times."""
        made: list[VisionRequest] = []

        def noted(*about: Any) -> VisionRequest:
            made.append(vision_request(*about))
            return made[-1]

        monkeypatch.setattr(plan_module, "vision_request", noted)
        copies = [inline("A") for _ in range(100)]
        planned(
            [*message_of(*copies, inline("B")), *message_of(*copies, index=1, questions=["Who?"] * 100)], **settings
        )
        assert len(made) == calls

    def test_without_images_nothing_is_planned(self) -> None:
        assert planned([]) == []

    @pytest.mark.parametrize(
        ("source", "settings", "reason"),
        [
            (MALFORMED, {}, FailureReason.MALFORMED),
            (UNSUPPORTED, {}, FailureReason.UNSUPPORTED_SOURCE),
            (HELD, {}, FailureReason.NOT_HELD),
            (ImageSource("data:image/svg+xml;base64,AAAA"), {}, FailureReason.UNSUPPORTED_TYPE),
            (ImageSource("data:image/jpeg;base64,PGh0bWw+"), {}, FailureReason.MISLABELLED),
            (ImageSource("data:image/png;base64,iVBORw0KGgo"), {}, FailureReason.DAMAGED),
            (PRIVATE, {}, FailureReason.URL_NOT_PUBLIC),
            (ImageSource("https://images.example.com/my cat.png"), {}, FailureReason.URL_HAS_BLANKS),
            (ImageSource("https://images.example.com/my\u200bcat.png"), {}, FailureReason.URL_HAS_BLANKS),
            (ImageSource("https://images.example.com/a b"), {"remote_urls": "reject"}, FailureReason.URL_NOT_ALLOWED),
            (PRIVATE, {"remote_urls": "reject"}, FailureReason.URL_NOT_ALLOWED),
            (PRIVATE, {"remote_urls": "allowlist", "allowed_url_hosts": ("x.example",)}, FailureReason.URL_NOT_PUBLIC),
            (REMOTE, {"remote_urls": "reject"}, FailureReason.URL_NOT_ALLOWED),
            (REMOTE, {"remote_urls": "allowlist", "allowed_url_hosts": ("x.example",)}, FailureReason.URL_NOT_ALLOWED),
        ],
    )
    @pytest.mark.parametrize("grouping", ["per_image", "per_message"])
    def test_nobody_is_asked_about_an_image_that_must_not_be_sent(
        self, source: ImageSource | None, settings: dict[str, Any], reason: FailureReason, grouping: str
    ) -> None:
        [step] = planned(message_of(source), grouping=grouping, **settings)
        assert step.ask == Failed(reason)

    @pytest.mark.parametrize(
        ("file_providers", "is_asked"),
        [(["openai"], True), ([], False), (["gemini"], False), (["openai", "gemini"], False)],
    )
    def test_a_file_is_asked_about_if_its_holder_alone_serves_the_model(
        self, file_providers: list[str], is_asked: bool
    ) -> None:
        assert (together(planned(message_of(HELD), file_providers)) == [[1]]) is is_asked

    GOOGLES = ImageSource.referenced("gs://corp-internal/scan.png")

    @pytest.mark.parametrize("source", [HELD, GOOGLES, ImageSource.referenced("file-1", holder="openai")])
    @pytest.mark.parametrize(
        ("settings", "may_pass"),
        [
            ({}, True),
            ({"remote_urls": "reject"}, False),
            ({"remote_urls": "allowlist", "allowed_url_hosts": ("x.example",)}, False),
            ({"held_files": "reject"}, False),
            ({"held_files": "pass", "remote_urls": "reject"}, True),
        ],
    )
    def test_no_file_is_read_with_the_gateways_account_where_urls_are_not_passed(
        self, source: ImageSource, settings: dict[str, Any], *, may_pass: bool
    ) -> None:
        [step] = planned(message_of(source), [str(source.holder)], **settings)
        assert (step.ask == Failed(FailureReason.FILE_NOT_ALLOWED)) is not may_pass

    @pytest.mark.parametrize("name", ["file-\ud83d", "gs://bucket/a\nb", "file-\x00"])
    def test_no_file_has_such_a_name(self, name: str) -> None:
        source = ImageSource.referenced(name, holder="openai")
        [step] = planned(message_of(source), [str(source.holder)])
        assert step.ask == Failed(FailureReason.MALFORMED)

    def test_several_deployments_of_one_holder_are_one_holder(self) -> None:
        assert together(planned(message_of(HELD), ["openai", "openai"])) == [[1]]


class TestPerMessage:
    def test_all_images_of_a_message_are_looked_at_in_one_call(self) -> None:
        plan = planned(message_of(inline("A"), inline("B"), inline("C")), **TOGETHER)
        assert together(plan) == [[1, 2, 3]]
        numbered = [(1, inline("A")), (2, inline("B")), (3, inline("C"))]
        assert plan[0].ask == vision_request(RESEARCH, "eyes", numbered, "What is it?", None, 1500)

    def test_each_message_is_a_call_of_its_own(self) -> None:
        found = message_of(inline("A"), inline("B")) + message_of(inline("C"), index=1)
        assert together(planned(found, **TOGETHER)) == [[1, 2], [1]]

    def test_messages_with_the_same_question_are_calls_of_their_own_too(self) -> None:
        found = message_of(inline("A")) + message_of(inline("B"), index=2) + message_of(inline("A"), index=4)
        first, second, third = planned(found, **TOGETHER)
        assert first.ask != second.ask
        assert first.ask == third.ask

    def test_images_with_different_questions_are_looked_at_apart(self) -> None:
        found = message_of(inline("A"), inline("B"), inline("C"), questions=["Who?", "Who?", "Where?"])
        assert together(planned(found, **TOGETHER)) == [[1, 2], [3]]

    def test_images_with_one_question_are_looked_at_together_although_one_with_another_is_between(self) -> None:
        found = message_of(inline("A"), inline("B"), inline("C"), questions=["Who?", "Where?", "Who?"])
        assert sorted(together(planned(found, **TOGETHER))) == [[1, 3], [2]]

    def test_an_image_that_is_alone_in_its_message_is_asked_about_as_ever(self) -> None:
        found = message_of(inline("A"))
        assert planned(found, **TOGETHER) == planned(found)

    def test_those_that_must_not_be_sent_stay_out_and_the_others_keep_their_numbers(self) -> None:
        plan = planned(message_of(MALFORMED, inline("A"), UNSUPPORTED, REMOTE, HELD), **TOGETHER)
        assert together(plan) == [[2, 4]]
        [request] = [step.ask for step in plan if isinstance(step.ask, VisionRequest)]
        assert request == vision_request(RESEARCH, "eyes", [(2, inline("A")), (4, REMOTE)], "What is it?", None, 1500)
        assert reasons(plan) == {
            1: FailureReason.MALFORMED,
            3: FailureReason.UNSUPPORTED_SOURCE,
            5: FailureReason.NOT_HELD,
        }

    def test_one_that_is_left_alone_is_asked_about_as_a_single_image(self) -> None:
        [_, step] = planned(message_of(MALFORMED, inline("A")), **TOGETHER)
        assert step.ask == planned(message_of(inline("A")))[0].ask

    def test_a_message_of_nothing_but_malformed_images_is_no_call(self) -> None:
        assert together(planned(message_of(MALFORMED, MALFORMED), **TOGETHER)) == []

    def test_the_same_images_in_another_order_are_another_question(self) -> None:
        one, other = [planned(message_of(*map(inline, marks)), **TOGETHER)[0] for marks in ("AB", "BA")]
        assert request_of(one).key != request_of(other).key

    def test_files_of_openai_are_looked_at_together_with_the_images_beside_them(self) -> None:
        [step] = planned(message_of(inline("A"), HELD), ["openai"], **TOGETHER)
        [message] = request_of(step).input or []
        assert [part.get("file_id", part.get("image_url")) for part in message["content"][2::2]] == [
            inline("A").url,
            "file-1",
        ]

    def test_what_may_change_makes_the_whole_call_one_that_may_change(self) -> None:
        [step] = planned(message_of(inline("A"), REMOTE), **TOGETHER)
        assert request_of(step).may_change


@thorough
@given(
    st.tuples(st.just(chat), chat_bodies) | st.tuples(st.just(messages), messages_bodies),
    st.sampled_from(["per_image", "per_message"]),
)
def test_every_image_is_in_exactly_one_step_whatever_the_request(
    drawn: tuple[WireFormat, dict[str, Any]], grouping: str
) -> None:
    wire_format, body = drawn
    found = wire_format.find(body).images
    plan = planned(found, grouping=grouping)
    assert sorted((image.path for step in plan for image in step.images), key=str) == sorted(
        (image.path for image in found), key=str
    )
    for step in plan:
        numbers = [image.number for image in step.images]
        assert numbers == sorted(set(numbers))
        assert len({image.question for image in step.images}) == 1
        assert len({message_holding(image) for image in step.images}) == 1
        assert len(step.images) == 1 or (grouping == "per_message" and isinstance(step.ask, VisionRequest))


@thorough
@given(st.tuples(st.just(chat), chat_bodies) | st.tuples(st.just(messages), messages_bodies))
def test_one_call_a_message_and_question_and_no_more(drawn: tuple[WireFormat, dict[str, Any]]) -> None:
    wire_format, body = drawn
    plan = planned(wire_format.find(body).images, **TOGETHER)
    asked = [step.images[0] for step in plan if isinstance(step.ask, VisionRequest)]
    calls = [(message_holding(image), image.question) for image in asked]
    assert len(calls) == len(set(calls))
