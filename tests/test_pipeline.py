"""One request from its images to their texts, with a vision model made up for the test."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from blockbuster import blockbuster_ctx

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.dialects import chat
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.pipeline import Look, Report, Rewrite, rewrite
from litellm_image_analysis.prompt import VisionRequest

INLINE = "data:image/png;base64,"
TIMEOUT = Failed(FailureReason.TIMEOUT)


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A blocking call on the event loop fails the test."""
    with blockbuster_ctx("litellm_image_analysis"):
        yield


def message_with(*marks: str, question: str = "What is it?") -> dict[str, Any]:
    """A user's message with one image a mark."""
    images = [{"type": "image_url", "image_url": {"url": INLINE + mark}} for mark in marks]
    return {"role": "user", "content": [{"type": "text", "text": question}, *images]}


def body_with(*marks: str, question: str = "What is it?") -> dict[str, Any]:
    return {"model": "blind", "messages": [message_with(*marks, question=question)]}


def mark_of(request: VisionRequest) -> str:
    """The mark of the image a vision model is shown."""
    url: str = request.messages[1]["content"][1]["image_url"]["url"]
    return url.removeprefix(INLINE)


class Eyes:
    """A vision model: sees each image's mark, except where told otherwise, and remembers what it was shown."""

    def __init__(self, **outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.asked: list[VisionRequest] = []

    async def __call__(self, request: VisionRequest) -> Outcome:
        self.asked.append(request)
        mark = mark_of(request)
        return self.outcomes.get(mark) or Analysed(f"seen {mark}", cost=Decimal("0.1"), call_id=f"call-{mark}")

    @property
    def marks(self) -> list[str]:
        return [mark_of(request) for request in self.asked]


async def answer_to(body: dict[str, Any], look: Look, **settings: Any) -> Rewrite | RequestError:
    return await rewrite(body, chat.find_images(body), chat, "eyes", ImageAnalysisConfig(**settings), look)


async def rewritten(body: dict[str, Any], look: Look, **settings: Any) -> Rewrite:
    answer = await answer_to(body, look, **settings)
    assert isinstance(answer, Rewrite)
    return answer


async def rejected(body: dict[str, Any], look: Look, **settings: Any) -> RequestError:
    answer = await answer_to(body, look, **settings)
    assert isinstance(answer, RequestError)
    return answer


async def report_on(body: dict[str, Any], look: Look, **settings: Any) -> Report:
    return (await rewritten(body, look, **settings)).report


async def text_after(body: dict[str, Any], look: Look, **settings: Any) -> str:
    """What the text model reads in place of the body's only message."""
    [message] = (await rewritten(body, look, **settings)).changes["messages"]
    return str(message["content"])


class TestPlaces:
    async def test_each_analysis_stands_where_its_image_stood(self) -> None:
        text = await text_after(body_with("A", "B"), Eyes())
        question, first, second = text.split("\n\n<image-analysis-")
        assert question == "What is it?"
        assert "image 1 of 2, as read by eyes." in first
        assert "seen A" in first
        assert "image 2 of 2, as read by eyes." in second
        assert "seen B" in second

    async def test_the_order_of_the_answers_does_not_matter(self) -> None:
        answered = {"A": anyio.Event(), "B": anyio.Event(), "C": anyio.Event()}
        waits_for = {"A": "B", "B": "C"}

        async def answer_last_one_first(request: VisionRequest) -> Outcome:
            mark = mark_of(request)
            if mark in waits_for:
                await answered[waits_for[mark]].wait()
            answered[mark].set()
            return Analysed(f"seen {mark}")

        in_reverse = await rewritten(body_with("A", "B", "C"), answer_last_one_first)
        in_order = await rewritten(body_with("A", "B", "C"), Eyes())
        assert in_reverse.changes == in_order.changes

    async def test_a_failed_image_keeps_its_number_and_so_do_the_others(self) -> None:
        text = await text_after(body_with("A", "B"), Eyes(A=TIMEOUT))
        assert "[image 1 of 2 is not available: the vision model did not answer in time." in text
        assert "image 2 of 2, as read by eyes." in text

    async def test_images_of_all_turns_are_replaced(self) -> None:
        body = {"messages": [message_with("A"), {"role": "assistant", "content": "An A."}, message_with("B")]}
        messages = (await rewritten(body, Eyes())).changes["messages"]
        assert "seen A" in messages[0]["content"]
        assert messages[1]["content"] == "An A."
        assert "seen B" in messages[2]["content"]

    async def test_a_later_turn_gives_an_earlier_image_the_same_text_byte_for_byte(self) -> None:
        first_turn = {"messages": [message_with("A")]}
        second_turn = {"messages": [message_with("A"), {"role": "assistant", "content": "An A."}, message_with("B")]}
        before = (await rewritten(first_turn, Eyes())).changes["messages"]
        after = (await rewritten(second_turn, Eyes())).changes["messages"]
        assert after[0] == before[0]

    async def test_the_body_is_left_as_it_is(self) -> None:
        body = body_with("A", "B")
        before = deepcopy(body)
        await rewritten(body, Eyes(B=TIMEOUT))
        assert body == before

    async def test_only_messages_change(self) -> None:
        assert (await rewritten(body_with("A"), Eyes())).changes.keys() == {"messages"}

    async def test_without_images_nothing_is_asked_and_nothing_changes(self) -> None:
        eyes = Eyes()
        assert await rewritten(body_with(), eyes) == Rewrite({}, Report("eyes"))
        assert eyes.asked == []


class TestAsking:
    async def test_the_vision_model_is_asked_as_configured(self) -> None:
        eyes = Eyes()
        await rewritten(body_with("A", question="Who is it?"), eyes, prompt="Read it.", max_output_tokens=7)
        [request] = eyes.asked
        assert (request.model, request.max_output_tokens) == ("eyes", 7)
        assert request.messages[0]["content"] == "Read it."
        assert "Who is it?" in request.messages[1]["content"][0]["text"]

    async def test_the_same_question_about_the_same_image_is_asked_once(self) -> None:
        eyes = Eyes()
        report = await report_on(body_with("A", "A", "A"), eyes)
        assert eyes.marks == ["A"]
        assert (report.images, report.cached, report.cost, report.call_ids) == (3, 2, Decimal("0.1"), ("call-A",))

    async def test_another_question_about_the_same_image_is_asked_too(self) -> None:
        eyes = Eyes()
        report = await report_on({"messages": [message_with("A"), message_with("A", question="Who is it?")]}, eyes)
        assert eyes.marks == ["A", "A"]
        assert (report.images, report.cached, report.cost) == (2, 0, Decimal("0.2"))

    async def test_a_failure_is_shared_like_an_analysis_and_paid_once(self) -> None:
        eyes = Eyes(A=Failed(FailureReason.EMPTY, cost=Decimal("0.3"), call_id="call-A"))
        report = await report_on(body_with("A", "A"), eyes)
        assert eyes.marks == ["A"]
        assert (report.failed, report.cached, report.cost, report.call_ids) == (2, 0, Decimal("0.3"), ("call-A",))

    @pytest.mark.parametrize("max_concurrency", [1, 2, 3])
    async def test_as_many_calls_are_in_flight_as_allowed_and_no_more(self, max_concurrency: int) -> None:
        in_flight: set[str] = set()
        most: list[int] = []
        full = anyio.Event()

        async def look(request: VisionRequest) -> Outcome:
            in_flight.add(mark_of(request))
            most.append(len(in_flight))
            if len(in_flight) == max_concurrency:
                full.set()
            await full.wait()
            await checkpoint()
            in_flight.remove(mark_of(request))
            return Analysed("seen")

        report = await report_on(body_with(*"ABCDEF"), look, max_concurrency=max_concurrency)
        assert report.failed == 0
        assert max(most) == max_concurrency

    @pytest.mark.parametrize(
        ("image_url", "settings", "reason"),
        [
            (None, {}, "malformed"),
            ({"url": ""}, {}, "malformed"),
            ({}, {}, "malformed"),
            ("ftp://images.example.com/cat.png", {}, "unsupported_source"),
            ("data:application/pdf;base64,AAAA", {}, "unsupported_source"),
            ("AAAA", {}, "unsupported_source"),
            ("gs://bucket/cat.png", {}, "not_held"),
            ("https://evil.net/cat.png", {"remote_urls": "reject"}, "url_not_allowed"),
            (
                "https://evil.net/cat.png",
                {"remote_urls": "allowlist", "allowed_url_hosts": ("images.example.com",)},
                "url_not_allowed",
            ),
        ],
    )
    async def test_nobody_is_asked_about_an_image_that_must_not_be_sent(
        self, image_url: object, settings: dict[str, Any], reason: str
    ) -> None:
        eyes = Eyes()
        content = [{"type": "image_url", "image_url": image_url}]
        report = await report_on({"messages": [{"role": "user", "content": content}]}, eyes, **settings)
        assert eyes.asked == []
        assert (report.images, report.failed, report.reasons, report.cost) == (1, 1, (reason,), Decimal(0))

    @pytest.mark.parametrize(
        ("limits", "code"),
        [
            ({"max_images": 1}, "too_many_images"),
            ({"max_image_bytes": 10}, "image_too_large"),
            ({"max_request_image_bytes": 30}, "image_too_large"),
        ],
    )
    async def test_nobody_is_asked_about_a_request_over_a_limit(self, limits: dict[str, int], code: str) -> None:
        eyes = Eyes()
        assert (await rejected(body_with("A", "B"), eyes, **limits)).code == code
        assert eyes.asked == []


class TestDeadline:
    async def test_who_has_not_answered_by_then_failed_and_the_others_stay(self) -> None:
        async def look(request: VisionRequest) -> Outcome:
            if mark_of(request) == "B":
                await anyio.sleep_forever()
            return Analysed(f"seen {mark_of(request)}")

        result = await rewritten(body_with("A", "B", "C"), look, timeout_seconds=0.1)
        assert result.report.reasons == ("timeout",)
        assert "seen A" in str(result.changes)
        assert "[image 2 of 3 is not available: the vision model did not answer in time." in str(result.changes)
        assert "seen C" in str(result.changes)

    async def test_it_is_the_configured_one(self) -> None:
        remaining: list[float] = []

        async def look(_: VisionRequest) -> Outcome:
            remaining.append(anyio.current_effective_deadline() - anyio.current_time())
            return Analysed("seen")

        await rewritten(body_with("A"), look, timeout_seconds=3600)
        assert remaining == [pytest.approx(3600, abs=60)]

    async def test_who_never_got_a_turn_failed_too(self) -> None:
        async def never_answer(_: VisionRequest) -> Outcome:
            await anyio.sleep_forever()
            raise AssertionError

        report = await report_on(body_with("A", "B"), never_answer, timeout_seconds=0.1, max_concurrency=1)
        assert report.reasons == ("timeout", "timeout")

    async def test_cancelling_the_request_cancels_the_looking(self) -> None:
        looked_to_the_end = False

        with anyio.CancelScope() as request_scope:

            async def look(_: VisionRequest) -> Outcome:
                nonlocal looked_to_the_end
                request_scope.cancel()
                await checkpoint()
                looked_to_the_end = True
                return TIMEOUT

            await rewritten(body_with("A"), look)
        assert request_scope.cancelled_caught
        assert not looked_to_the_end


class TestFailure:
    async def test_placeholder_puts_a_note_where_the_image_was(self) -> None:
        text = await text_after(body_with("A"), Eyes(A=TIMEOUT), on_failure="placeholder")
        assert text == (
            "What is it?\n\n"
            "[image 1 of 1 is not available: the vision model did not answer in time. What it shows is unknown.]"
        )

    async def test_keep_leaves_the_failed_image_and_replaces_the_others(self) -> None:
        result = await rewritten(body_with("A", "B"), Eyes(A=TIMEOUT), on_failure="keep")
        _, kept, replaced = result.changes["messages"][0]["content"]
        assert kept == {"type": "image_url", "image_url": {"url": f"{INLINE}A"}}
        assert "seen B" in replaced["text"]
        assert (result.report.images, result.report.failed) == (1, 1)

    async def test_keep_changes_nothing_if_every_image_failed(self) -> None:
        result = await rewritten(body_with("A"), Eyes(A=TIMEOUT), on_failure="keep")
        assert result.changes == {}
        assert (result.report.images, result.report.failed) == (0, 1)

    @pytest.mark.parametrize("reason", FailureReason, ids=lambda reason: reason.code)
    async def test_reject_answers_with_the_failure(self, reason: FailureReason) -> None:
        error = await rejected(body_with("A", "B"), Eyes(B=Failed(reason)), on_failure="reject")
        assert error.message == f"messages[0].content[2] (image 2 of 2): {reason.clause}."
        assert error.status_code == reason.status_code
        assert error.code == f"image_analysis_{reason.code}"
        assert error.param == "messages[0].content[2]"

    async def test_reject_names_the_first_of_several_failures(self) -> None:
        eyes = Eyes(B=Failed(FailureReason.EMPTY), C=TIMEOUT)
        error = await rejected(body_with("A", "B", "C"), eyes, on_failure="reject")
        assert error.code == "image_analysis_empty"

    async def test_reject_hands_on_when_to_try_again(self) -> None:
        eyes = Eyes(A=Failed(FailureReason.RATE_LIMITED, retry_after_seconds=7))
        assert (await rejected(body_with("A"), eyes, on_failure="reject")).retry_after_seconds == 7

    async def test_reject_lets_a_request_without_failures_pass(self) -> None:
        assert (await report_on(body_with("A"), Eyes(), on_failure="reject")).images == 1

    async def test_an_error_in_looking_is_a_bug_of_ours_and_comes_out(self) -> None:
        async def look(_: VisionRequest) -> Outcome:
            raise ZeroDivisionError

        with pytest.RaisesGroup(ZeroDivisionError):
            await rewritten(body_with("A"), look)


class TestReport:
    async def test_all_is_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("anyio.current_time", iter([10.0, 10.25]).__next__)
        eyes = Eyes(B=Failed(FailureReason.EMPTY, cost=Decimal("0.3"), call_id="call-B"), C=TIMEOUT)
        assert await report_on(body_with("A", "B", "A", "C", "D"), eyes) == Report(
            vision_model="eyes",
            images=5,
            cached=1,
            failed=2,
            cost=Decimal("0.5"),
            duration_ms=250,
            call_ids=("call-A", "call-B", "call-D"),
            reasons=("empty", "timeout"),
        )

    async def test_what_the_vision_models_own_cache_answered_counts_as_cached(self) -> None:
        eyes = Eyes(A=Analysed("seen A", cost=Decimal(0), cached=True))
        report = await report_on(body_with("A", "B"), eyes)
        assert (report.cached, report.cost) == (1, Decimal("0.1"))

    @pytest.mark.parametrize("outcome", [Analysed("seen B", cost=None), Failed(FailureReason.EMPTY, cost=None)])
    async def test_one_unknown_price_makes_the_sum_unknown(self, outcome: Outcome) -> None:
        assert (await report_on(body_with("A", "B"), Eyes(B=outcome))).cost is None

    async def test_many_small_prices_add_up_exactly(self) -> None:
        marks = [f"mark{number}" for number in range(10)]
        eyes = Eyes(**{mark: Analysed("seen", cost=Decimal("0.1")) for mark in marks})
        assert (await report_on(body_with(*marks), eyes)).cost == Decimal(1)
