"""A request from its images to the texts that replace them, with a double for the vision model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from support.images import PNG_URI, png_header

from litellm_image_analysis.analysis import pipeline
from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.pipeline import Rewrite, VisionTarget, rewrite
from litellm_image_analysis.analysis.ports import AskVision
from litellm_image_analysis.analysis.prompt import VisionRequest
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.cache.per_request import RequestCache
from litellm_image_analysis.config import CacheConfig, ImageAnalysisConfig
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request import chat
from litellm_image_analysis.request.image import LARGE_CHARACTERS

TIMEOUT = Failed(FailureReason.TIMEOUT)
RESEARCH = Tenant("team:research", b"secret")
SALES = Tenant("team:sales", b"secret")


pytestmark = pytest.mark.usefixtures("no_blocking_calls")


def picture(mark: str) -> str:
    """An image in whose base64 its mark can be read."""
    return f"{PNG_URI}{mark}{'/' * (-len(mark) % 4)}"


def message_with(*marks: str, question: str = "What is it?") -> dict[str, Any]:
    """A user's message with one image for each mark."""
    images = [{"type": "image_url", "image_url": {"url": picture(mark)}} for mark in marks]
    return {"role": "user", "content": [{"type": "text", "text": question}, *images]}


def body_with(*marks: str, question: str = "What is it?") -> dict[str, Any]:
    return {"model": "blind", "messages": [message_with(*marks, question=question)]}


def mark_of(request: VisionRequest) -> str:
    """The marks of the images in a vision request."""
    shown = [part["image_url"]["url"] for part in request.messages[1]["content"] if part["type"] == "image_url"]
    return "".join(url.removeprefix(PNG_URI).rstrip("/") for url in shown)


class Eyes:
    """A double for the vision model: answers with each image's mark by default, and records its requests."""

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


def empty_cache(**settings: Any) -> Cache:
    return Cache(CacheConfig(**settings), 60)


@dataclass
class Viewer:
    """Runs requests with the vision model ``look``, and keeps the cache between them."""

    look: AskVision
    cache: Cache
    tenant: Tenant
    file_providers: Collection[str]


def viewer(
    look: AskVision, cache: Cache | None = None, tenant: Tenant = RESEARCH, file_providers: Collection[str] = ()
) -> Viewer:
    """A viewer with an empty cache, unless one is given."""
    return Viewer(look, cache or empty_cache(), tenant, file_providers)


async def answer_to(body: dict[str, Any], eyes: AskVision | Viewer, **settings: Any) -> Rewrite | RequestError:
    who = eyes if isinstance(eyes, Viewer) else viewer(eyes)
    target = VisionTarget("eyes", who.look, who.tenant, RequestCache(who.cache), who.file_providers)
    return await rewrite(body, chat.find(body).images, chat, ImageAnalysisConfig(**settings), target)


async def rewritten(body: dict[str, Any], eyes: AskVision | Viewer, **settings: Any) -> Rewrite:
    answer = await answer_to(body, eyes, **settings)
    assert isinstance(answer, Rewrite)
    assert answer.rejection is None
    return answer


async def rejected(body: dict[str, Any], eyes: AskVision | Viewer, **settings: Any) -> RequestError:
    answer = await answer_to(body, eyes, **settings)
    error = answer.rejection if isinstance(answer, Rewrite) else answer
    assert error is not None
    return error


async def report_on(body: dict[str, Any], eyes: AskVision | Viewer, **settings: Any) -> Report:
    return (await rewritten(body, eyes, **settings)).report


async def text_after(body: dict[str, Any], eyes: AskVision | Viewer, **settings: Any) -> str:
    """The text that the text model reads in the body's only message."""
    [message] = (await rewritten(body, eyes, **settings)).changes["messages"]
    return str(message["content"])


class TestPlaces:
    async def test_each_analysis_stands_where_its_image_stood(self) -> None:
        text = await text_after(body_with("A", "B"), Eyes())
        question, first, second = text.split("\n\n<image-analysis-")
        assert question == "What is it?"
        assert "Image 1 of 2 in this message, described by eyes because" in first
        assert "seen A" in first
        assert "Image 2 of 2 in this message, described by eyes because" in second
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
        assert "[Image 1 of 2 in this message could not be read: the vision model did not answer in time." in text
        assert "Image 2 of 2 in this message, described by eyes because" in text

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
        nothing = await rewritten(body_with(), eyes)
        assert nothing == Rewrite({}, Report("eyes", duration_ms=nothing.report.duration_ms))
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
            ("data:application/x-sh;base64,AAAA", {}, "unsupported_type"),
            ("AAAA", {}, "unsupported_source"),
            ("gs://bucket/cat.png", {}, "not_held"),
            ("data:image/svg+xml;base64,AAAA", {}, "unsupported_type"),
            ("data:image/jpeg;base64,PGh0bWw+", {}, "mislabelled"),
            ("data:image/png;base64,iVBORw0KGgo", {}, "damaged"),
            ("http://127.0.0.1/cat.png", {}, "url_not_public"),
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
            ({"max_image_parts": 1}, "too_many_images"),
            ({"max_image_bytes": 10}, "image_too_large"),
            ({"max_total_image_bytes": 130}, "image_too_large"),
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
        assert "[Image 2 of 3 in this message could not be read: the vision model did not answer in time." in str(
            result.changes
        )
        assert "seen C" in str(result.changes)

    async def test_it_is_the_configured_one(self) -> None:
        remaining: list[float] = []

        class Watched(Cache):
            async def ask(self, *asked: Any) -> Outcome:
                remaining.append(anyio.current_effective_deadline() - anyio.current_time())
                return await super().ask(*asked)

        eyes = viewer(Eyes(), Watched(CacheConfig(), 60))
        await rewritten(body_with("A"), eyes, timeout_seconds=3600)
        assert remaining == [pytest.approx(3600, abs=60)]

    async def test_looking_up_what_is_known_is_within_it_too(self) -> None:
        class Hung(Cache):
            async def recall(self, _: object) -> dict[str, Outcome]:
                await anyio.sleep_forever()
                raise AssertionError

        eyes = Eyes()
        report = await report_on(body_with("A", "B"), viewer(eyes, Hung(CacheConfig(), 60)), timeout_seconds=0.1)
        assert report.reasons == ("timeout", "timeout")
        assert eyes.asked == []

    async def test_who_never_got_a_turn_failed_too(self) -> None:
        async def never_answer(_: VisionRequest) -> Outcome:
            await anyio.sleep_forever()
            raise AssertionError

        report = await report_on(body_with("A", "B"), never_answer, timeout_seconds=0.1, max_concurrency=1)
        assert report.reasons == ("timeout", "timeout")

    async def test_what_comes_after_it_is_known_to_the_next_turn(self) -> None:
        may_answer = anyio.Event()
        eyes = Eyes()

        async def look(request: VisionRequest) -> Outcome:
            await may_answer.wait()
            return await eyes(request)

        patient = viewer(look)
        assert (await report_on(body_with("A"), patient, timeout_seconds=0.1)).reasons == ("timeout",)
        may_answer.set()
        assert (await report_on(body_with("A"), patient)).images == 1
        assert eyes.marks == ["A"]

    async def test_a_cancelled_request_leaves_what_it_asked_for_to_the_next_one(self) -> None:
        eyes = Eyes()
        with anyio.CancelScope() as request_scope:

            async def look(request: VisionRequest) -> Outcome:
                request_scope.cancel()
                await checkpoint()
                return await eyes(request)

            same = viewer(look)
            await rewritten(body_with("A"), same)
        assert request_scope.cancelled_caught
        report = await report_on(body_with("A"), same)
        assert eyes.marks == ["A"]
        assert (report.images, report.failed) == (1, 0)


class TestFailure:
    async def test_placeholder_puts_a_note_where_the_image_was(self) -> None:
        text = await text_after(body_with("A"), Eyes(A=TIMEOUT), on_failure="placeholder")
        assert text == (
            "What is it?\n\n"
            "[Image 1 of 1 in this message could not be read: the vision model did not answer in time."
            " You know nothing about what it shows. If the answer depends on it, say so. Do not guess.]"
        )

    async def test_keep_leaves_the_failed_image_and_replaces_the_others(self) -> None:
        result = await rewritten(body_with("A", "B"), Eyes(A=TIMEOUT), on_failure="keep")
        _, kept, replaced = result.changes["messages"][0]["content"]
        assert kept == {"type": "image_url", "image_url": {"url": picture("A")}}
        assert "seen B" in replaced["text"]
        assert (result.report.images, result.report.failed) == (1, 1)

    async def test_keep_changes_nothing_if_every_image_failed(self) -> None:
        result = await rewritten(body_with("A"), Eyes(A=TIMEOUT), on_failure="keep")
        assert result.changes == {}
        assert (result.report.images, result.report.failed) == (0, 1)

    @pytest.mark.parametrize(
        "reason",
        [one for one in FailureReason if one is not FailureReason.NOT_LOOKED_AT],
        ids=lambda reason: reason.code,
    )
    async def test_reject_answers_with_the_failure(self, reason: FailureReason) -> None:
        error = await rejected(body_with("A", "B"), Eyes(B=Failed(reason)), on_failure="reject")
        assert error.message == f"messages[0].content[2] (image 2 of 2): {reason.clause}. {reason.advice}"
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

        with pytest.raises(ZeroDivisionError):
            await rewritten(body_with("A"), look)
        with pytest.RaisesGroup(ZeroDivisionError, ZeroDivisionError):
            await rewritten(body_with("A", "B"), look)


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
            analysed=2,
        )

    @pytest.mark.parametrize("on_failure", ["placeholder", "reject"])
    async def test_it_has_the_beginnings_of_analyses_only_if_the_page_shows_them(self, on_failure: str) -> None:
        eyes = Eyes(A=Analysed("x" * 501), B=TIMEOUT, C=Analysed("read", cached=True))
        body = body_with("A", "B", "C")
        shown = await answer_to(body, eyes, on_failure=on_failure, page={"show_texts": True})
        hidden = await answer_to(body, eyes, on_failure=on_failure)
        assert isinstance(shown, Rewrite)
        assert isinstance(hidden, Rewrite)
        assert shown.report.texts == ("x" * 500, "read")
        assert "read" not in repr(shown.report)
        assert hidden.report.texts == ()

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


class TestDigests:
    """Hashing megabytes takes milliseconds, which would block an event loop."""

    @pytest.fixture
    def hashing_threads(self, monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
        """The threads in which digests are computed."""
        seen: list[threading.Thread] = []

        def watched(*given: Any) -> Any:
            seen.append(threading.current_thread())
            return sha256(*given)

        sha256 = hashlib.sha256
        monkeypatch.setattr("hashlib.sha256", watched)
        return seen

    async def test_small_images_are_hashed_where_they_are(self, hashing_threads: list[threading.Thread]) -> None:
        await rewritten(body_with("A", "B"), Eyes())
        assert hashing_threads == [threading.current_thread()] * 2

    async def test_an_image_of_more_than_a_mebibyte_is_hashed_in_a_thread(
        self, hashing_threads: list[threading.Thread]
    ) -> None:
        await rewritten(body_with("A" * LARGE_CHARACTERS), Eyes())
        assert len(hashing_threads) == 1
        assert threading.current_thread() not in hashing_threads

    async def test_images_that_are_large_together_are_hashed_in_a_thread(
        self, hashing_threads: list[threading.Thread]
    ) -> None:
        half = LARGE_CHARACTERS // 2
        await rewritten(body_with("A" * half, "B" * half), Eyes())
        assert len(hashing_threads) == 2
        assert threading.current_thread() not in hashing_threads

    async def test_a_url_of_megabytes_is_an_error(self, hashing_threads: list[threading.Thread]) -> None:
        url = "https://images.example.com/" + "x" * LARGE_CHARACTERS
        content = [{"type": "image_url", "image_url": {"url": url}}]
        error = await rejected({"messages": [{"role": "user", "content": content}]}, Eyes())
        assert error.code == "url_too_long"
        assert hashing_threads == []

    @pytest.mark.parametrize("size", [0, LARGE_CHARACTERS])
    async def test_nothing_is_hashed_of_a_request_with_an_image_of_too_many_pixels(
        self, hashing_threads: list[threading.Thread], size: int
    ) -> None:
        bomb = f"data:image/png;base64,{base64.b64encode(png_header(10_001, 10_000)).decode()}{'A' * size}"
        content = [*message_with("A")["content"], {"type": "image_url", "image_url": {"url": bomb}}]
        error = await rejected({"messages": [{"role": "user", "content": content}]}, Eyes())
        assert (error.code, error.status_code) == ("image_too_large", 413)
        assert "10,001 x 10,000" in error.message
        assert hashing_threads == []

    async def test_nothing_is_hashed_of_images_with_a_flaw(self, hashing_threads: list[threading.Thread]) -> None:
        flawed = [f"data:image/jpeg;base64,{'A' * LARGE_CHARACTERS}", "data:image/svg+xml;base64,AAAA"]
        content = [{"type": "image_url", "image_url": {"url": url}} for url in flawed]
        report = await report_on({"messages": [{"role": "user", "content": content}]}, Eyes())
        assert report.reasons == ("mislabelled", "unsupported_type")
        assert hashing_threads == []

    @pytest.mark.parametrize("size", [10, LARGE_CHARACTERS])
    async def test_nothing_is_hashed_of_a_request_with_an_image_that_is_too_large(
        self, hashing_threads: list[threading.Thread], size: int
    ) -> None:
        error = await rejected(body_with("A", "B" * size), Eyes(), max_image_bytes=len(picture("A")))
        assert error.code == "image_too_large"
        assert hashing_threads == []

    async def test_an_image_is_hashed_once_a_request(self, hashing_threads: list[threading.Thread]) -> None:
        await rewritten(body_with("A", "B", "C"), Eyes(), max_images=3)
        await rewritten(body_with("A", "B", "C"), Eyes(), max_images=2)
        assert len(hashing_threads) == 6


class TestThreads:
    @pytest.fixture
    def threads(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, threading.Thread]:
        """The last thread of each part of the work."""
        seen: dict[str, threading.Thread] = {}

        def watch(holder: Any, name: str) -> None:
            work = getattr(holder, name)

            def watched(*given: Any, **named: Any) -> Any:
                seen[name] = threading.current_thread()
                return work(*given, **named)

            monkeypatch.setattr(holder, name, watched)

        for name in ("check_sizes", "make_plan", "analysis_text", "make_report"):
            watch(pipeline, name)
        watch(chat, "replace_images")
        return seen

    async def test_a_request_with_few_images_needs_none(self, threads: dict[str, threading.Thread]) -> None:
        await rewritten(body_with("A", "B"), Eyes())
        assert set(threads.values()) == {threading.current_thread()}
        assert len(threads) == 5

    @pytest.mark.parametrize("large", ["images", "values"])
    async def test_many_images_and_large_requests_leave_the_event_loop_alone(
        self, large: str, threads: dict[str, threading.Thread]
    ) -> None:
        body = body_with(*["A"] * 40) if large == "images" else body_with("A")
        body["messages"] += [{"role": "user", "content": "?"}] * (10_000 if large == "values" else 0)
        await rewritten(body, Eyes())
        assert threading.current_thread() not in threads.values()
        assert len(threads) == 5


class TestRepetitions:
    async def test_an_analysis_is_written_once_and_later_copies_point_to_it(self) -> None:
        body = {"messages": [message_with("A"), {"role": "assistant", "content": "?"}, message_with("B", "A")]}
        first, _, second = (await rewritten(body, Eyes())).changes["messages"]
        (fence,) = re.findall("<(image-analysis-[0-9a-f]{12})>", first["content"])
        assert second["content"].endswith(
            f"[Image 2 of 2 in this message was shown before with the same question: see {fence} above.]"
        )
        assert "seen B" in second["content"]

    async def test_with_another_question_it_is_another_analysis(self) -> None:
        body = {"messages": [message_with("A"), message_with("A", question="Who is it?")]}
        result = await rewritten(body, Eyes())
        assert str(result.changes).count("seen A") == 2

    async def test_a_request_of_one_image_many_times_stays_small(self) -> None:
        body = body_with(*["A"] * 500)
        result = await rewritten(body, Eyes(A=Analysed("x" * 5000)))
        assert len(result.changes["messages"][0]["content"]) < 5000 + 500 * 150
        assert result.report.images == 500


LIMITS: list[tuple[dict[str, int], str]] = [
    ({"max_images": 2}, "max_images is 2"),
    ({"max_vision_calls": 2}, "max_vision_calls is 2"),
    ({"max_request_image_bytes": 2 * len(picture("A"))}, f"max_request_image_bytes is {2 * len(picture('A'))}"),
]


class TestLimitsOfOneRequest:
    """Limits count images that need a vision call now. The latest images get one, the others get a note."""

    @staticmethod
    def asked_often(questions: int) -> dict[str, Any]:
        """One image with many questions."""
        return {"messages": [message_with("A", question=f"Question {number}?") for number in range(questions)]}

    @staticmethod
    def session(marks: str) -> dict[str, Any]:
        """A conversation with a turn for each image."""
        return {"messages": [message_with(mark) for mark in marks]}

    @pytest.mark.parametrize("on_failure", ["placeholder", "reject", "keep"])
    @pytest.mark.parametrize(("limits", "note"), LIMITS)
    async def test_the_latest_images_are_analysed_and_the_others_get_a_note(
        self, limits: dict[str, int], note: str, on_failure: str
    ) -> None:
        eyes = Eyes()
        result = await rewritten(self.session("ABCDE"), eyes, **limits, on_failure=on_failure)
        texts = [message["content"] for message in result.changes["messages"]]
        assert sorted(eyes.marks) == ["D", "E"]
        assert [f"older image, not looked at: {note}." in text for text in texts] == [True] * 3 + [False] * 2
        assert result.report.reasons == ("not_looked_at",) * 3

    @pytest.mark.parametrize(("limits", "_"), LIMITS)
    async def test_what_is_remembered_passes_with_the_text_it_had(self, limits: dict[str, int], _: str) -> None:
        eyes, marks = Eyes(), "ABCDEFGH"
        target = viewer(eyes)
        before: list[Any] = []
        for turn in range(1, len(marks) + 1):
            result = await rewritten(self.session(marks[:turn]), target, **limits)
            after = result.changes["messages"]
            assert after[: len(before)] == before
            assert result.report.failed == 0
            before = after
        assert eyes.marks == list(marks)

    async def test_a_note_becomes_an_analysis_when_there_is_room(self) -> None:
        eyes = Eyes()
        target = viewer(eyes)
        await rewritten(self.session("ABCDE"), target, max_images=3)
        result = await rewritten(self.session("ABCDE"), target, max_images=3)
        assert result.report.failed == 0

    async def test_a_copy_at_the_end_is_as_late_as_its_latest_place(self) -> None:
        eyes = Eyes()
        await rewritten(self.session("ABCA"), eyes, max_images=2)
        assert sorted(eyes.marks) == ["A", "C"]

    async def test_an_image_under_many_questions_is_one_image(self) -> None:
        eyes = Eyes()
        result = await rewritten(self.asked_often(5), eyes, max_images=1)
        assert (len(eyes.asked), result.report.failed) == (5, 0)

    async def test_300_questions_make_50_calls(self) -> None:
        eyes = Eyes()
        await rewritten(self.asked_often(300), eyes)
        assert len(eyes.asked) == 50

    async def test_another_attempt_at_the_request_makes_no_further_calls(self) -> None:
        eyes, body = Eyes(), self.session("ABCDE")
        target = VisionTarget("eyes", eyes, RESEARCH, RequestCache(empty_cache()))
        for _ in range(2):
            config = ImageAnalysisConfig(max_images=2)
            result = await rewrite(body, chat.find(body).images, chat, config, target)
            assert isinstance(result, Rewrite)
            assert result.report.failed == 3
        assert len(eyes.asked) == 2

    @pytest.mark.parametrize("grouping", ["per_image", "per_message"])
    async def test_an_image_above_the_limit_of_all_is_not_looked_at(self, grouping: str) -> None:
        eyes = Eyes()
        limits: dict[str, Any] = {"max_request_image_bytes": 10, "grouping": grouping}
        result = await rewritten(body_with("A", "B"), eyes, **limits)
        assert (eyes.asked, result.report.failed) == ([], 2)

    async def test_many_images_of_one_message_are_several_calls(self) -> None:
        eyes = Eyes()
        result = await rewritten(body_with(*"ABCDE"), eyes, max_images=2, grouping="per_message")
        assert eyes.marks == ["E"]
        assert result.report.failed == 4
        again = viewer(eyes)
        for _ in range(3):
            result = await rewritten(body_with(*"ABCDE"), again, max_images=2, grouping="per_message")
        assert (eyes.marks[1:], result.report.failed) == (["E", "CD", "AB"], 0)


class TestPerMessage:
    """``grouping: per_message``: one call for all images of a message."""

    @staticmethod
    def eyes_failing(marks: str, reason: FailureReason = FailureReason.EMPTY) -> Eyes:
        return Eyes(**{marks: Failed(reason, cost=Decimal("0.3"), call_id="call-1")})

    async def test_the_analysis_stands_at_the_first_image_and_the_others_point_there(self) -> None:
        eyes = Eyes()
        text = await text_after(body_with("A", "B", "C"), eyes, grouping="per_message")
        assert eyes.marks == ["ABC"]
        question, analysis, second, third = text.split("\n\n", 1)[0], *text.split("\n\n", 1)[1].rsplit("\n\n", 2)
        assert question == "What is it?"
        assert "Images 1, 2, 3 of 3 in this message, looked at together, described by eyes because" in analysis
        assert "seen ABC" in analysis
        assert second == "[Image 2 of 3 in this message is described together with image 1: see there.]"
        assert third == "[Image 3 of 3 in this message is described together with image 1: see there.]"

    async def test_the_call_is_paid_once_and_no_image_of_it_is_cached(self) -> None:
        report = await report_on(body_with("A", "B", "C"), Eyes(), grouping="per_message")
        assert (report.images, report.cached, report.failed) == (3, 0, 0)
        assert (report.cost, report.call_ids) == (Decimal("0.1"), ("call-ABC",))

    async def test_each_image_of_a_remembered_group_is_cached(self) -> None:
        eyes = Eyes()
        same = viewer(eyes)
        paid = await rewritten(body_with("A", "B", "C"), same, grouping="per_message")
        remembered = await rewritten(body_with("A", "B", "C"), same, grouping="per_message")
        assert eyes.marks == ["ABC"]
        assert remembered.changes == paid.changes
        report = remembered.report
        assert (report.images, report.cached, report.cost, report.call_ids) == (3, 3, Decimal(0), ())

    async def test_the_same_group_twice_in_a_request_is_one_call_and_cached_the_second_time(self) -> None:
        eyes = Eyes()
        body = {"messages": [message_with("A", "B"), {"role": "assistant", "content": "?"}, message_with("A", "B")]}
        result = await rewritten(body, eyes, grouping="per_message")
        assert eyes.marks == ["AB"]
        report = result.report
        assert (report.images, report.cached, report.cost, report.call_ids) == (4, 2, Decimal("0.1"), ("call-AB",))
        first, _, second = result.changes["messages"]
        (fence,) = re.findall("<(image-analysis-[0-9a-f]{12})>", first["content"])
        assert second["content"] == "\n\n".join(
            [
                "What is it?",
                *(
                    f"[Image {n} of 2 in this message was shown before with the same question: see {fence} above.]"
                    for n in (1, 2)
                ),
            ]
        )

    async def test_different_messages_are_different_calls(self) -> None:
        eyes = Eyes()
        body = {"messages": [message_with("A", "B"), message_with("C"), message_with("B", "A")]}
        await rewritten(body, eyes, grouping="per_message")
        assert sorted(eyes.marks) == ["AB", "BA", "C"]

    async def test_the_same_images_with_another_question_are_another_call(self) -> None:
        eyes = Eyes()
        body = {"messages": [message_with("A", "B"), message_with("A", "B", question="Who is it?")]}
        report = await report_on(body, eyes, grouping="per_message")
        assert eyes.marks == ["AB", "AB"]
        assert (report.cached, report.cost) == (0, Decimal("0.2"))

    async def test_a_malformed_image_gets_its_note_while_the_rest_is_read_together(self) -> None:
        body = body_with("A", "B", "C")
        body["messages"][0]["content"][2]["image_url"] = None
        eyes = Eyes()
        result = await rewritten(body, eyes, grouping="per_message")
        assert eyes.marks == ["AC"]
        text = result.changes["messages"][0]["content"]
        assert "Images 1, 3 of 3 in this message, looked at together" in text
        assert "[Image 2 of 3 in this message could not be read: the image part holds no image. Send" in text
        assert "[Image 3 of 3 in this message is described together with image 1: see there.]" in text
        assert text.index("Images 1, 3 of 3") < text.index("[Image 2 of 3") < text.index("[Image 3 of 3")
        assert (result.report.images, result.report.failed, result.report.reasons) == (3, 1, ("malformed",))

    async def test_if_the_first_image_is_malformed_the_analysis_stands_at_the_second(self) -> None:
        body = body_with("A", "B", "C")
        body["messages"][0]["content"][1]["image_url"] = None
        text = await text_after(body, Eyes(), grouping="per_message")
        assert "Images 2, 3 of 3 in this message, looked at together" in text
        assert "[Image 3 of 3 in this message is described together with image 2: see there.]" in text

    async def test_a_failed_call_puts_a_note_at_every_image_of_it(self) -> None:
        eyes = self.eyes_failing("AB")
        result = await rewritten(body_with("A", "B"), eyes, grouping="per_message", on_failure="placeholder")
        assert result.changes["messages"][0]["content"] == (
            "What is it?\n\n"
            "[Image 1 of 2 in this message could not be read: the vision model returned no text."
            " You know nothing about what it shows. If the answer depends on it, say so. Do not guess.]\n\n"
            "[Image 2 of 2 in this message could not be read: the vision model returned no text."
            " You know nothing about what it shows. If the answer depends on it, say so. Do not guess.]"
        )
        report = result.report
        assert (report.images, report.failed, report.reasons) == (2, 2, ("empty", "empty"))
        assert (report.cost, report.call_ids) == (Decimal("0.3"), ("call-1",))

    async def test_keep_leaves_every_image_of_a_failed_call_and_replaces_the_other_messages_images(self) -> None:
        body = {"messages": [message_with("A", "B"), message_with("C", "D")]}
        result = await rewritten(body, self.eyes_failing("AB"), grouping="per_message", on_failure="keep")
        first, second = result.changes["messages"]
        assert first == message_with("A", "B")
        assert "seen CD" in second["content"]
        assert (result.report.images, result.report.failed) == (2, 2)

    async def test_reject_names_the_first_image_of_the_failed_call(self) -> None:
        error = await rejected(
            {"messages": [message_with("C"), message_with("A", "B")]},
            self.eyes_failing("AB"),
            grouping="per_message",
            on_failure="reject",
        )
        assert error.message == (
            "messages[1].content[1] (image 1 of 2): the vision model returned no text. Try again, or name another"
            " vision model."
        )

    async def test_failures_are_reported_in_the_order_of_their_images(self) -> None:
        body = body_with("A", "B", "C")
        body["messages"][0]["content"][2]["image_url"] = None
        report = await report_on(body, self.eyes_failing("AC"), grouping="per_message")
        assert report.reasons == ("empty", "malformed", "empty")

    async def test_reject_names_the_first_failed_image_though_a_later_one_was_never_sent(self) -> None:
        body = body_with("A", "B")
        body["messages"][0]["content"][2]["image_url"] = None
        error = await rejected(body, self.eyes_failing("A"), grouping="per_message", on_failure="reject")
        assert error.param == "messages[0].content[1]"

    async def test_files_of_openai_are_shown_beside_inline_images_through_the_responses_api(self) -> None:
        asked: list[VisionRequest] = []

        async def look(request: VisionRequest) -> Outcome:
            asked.append(request)
            return Analysed("seen both")

        body = body_with("A")
        body["messages"][0]["content"].append({"type": "input_image", "file_id": "file-1"})
        report = await report_on(body, viewer(look, file_providers=["openai"]), grouping="per_message")
        [request] = asked
        assert request.input is not None
        assert [part for part in request.input[0]["content"] if part["type"] == "input_image"] == [
            {"type": "input_image", "image_url": picture("A")},
            {"type": "input_image", "file_id": "file-1"},
        ]
        assert (report.images, report.failed) == (2, 0)

    async def test_the_two_groupings_do_not_share_analyses_of_several_images(self) -> None:
        eyes = Eyes()
        same = viewer(eyes)
        await rewritten(body_with("A", "B"), same, grouping="per_message")
        await rewritten(body_with("A", "B"), same, grouping="per_image")
        assert eyes.marks == ["AB", "A", "B"]


class TestMemory:
    """Several requests with one cache."""

    async def test_the_second_request_pays_nothing_and_says_so(self) -> None:
        eyes = Eyes()
        same = viewer(eyes)
        paid = await rewritten(body_with("A", "B"), same)
        remembered = await rewritten(body_with("A", "B"), same)
        assert eyes.marks == ["A", "B"]
        assert remembered.changes == paid.changes
        report = remembered.report
        assert (report.images, report.cached, report.cost, report.call_ids) == (2, 2, Decimal(0), ())

    async def test_only_what_is_new_is_asked(self) -> None:
        eyes = Eyes()
        same = viewer(eyes)
        await rewritten(body_with("A"), same)
        report = await report_on(body_with("A", "B"), same)
        assert eyes.marks == ["A", "B"]
        assert (report.images, report.cached, report.cost, report.call_ids) == (2, 1, Decimal("0.1"), ("call-B",))

    async def test_what_is_known_does_not_wait_for_a_turn(self) -> None:
        eyes = Eyes()

        async def look(request: VisionRequest) -> Outcome:
            if mark_of(request) == "B":
                await anyio.sleep_forever()
            return await eyes(request)

        same = viewer(look)
        await rewritten(body_with("A"), same)
        report = await report_on(body_with("B", "A"), same, max_concurrency=1, timeout_seconds=0.1)
        assert (report.cached, report.reasons) == (1, ("timeout",))

    async def test_an_unknown_price_is_not_unknown_any_more_once_it_is_remembered(self) -> None:
        same = viewer(Eyes(A=Analysed("seen A", cost=None)))
        assert (await report_on(body_with("A"), same)).cost is None
        assert (await report_on(body_with("A"), same)).cost == Decimal(0)

    async def test_an_image_that_stands_at_another_place_later_is_labelled_by_its_place(self) -> None:
        eyes = Eyes()
        same = viewer(eyes)
        await rewritten(body_with("A", "B"), same)
        text = await text_after(body_with("B", "A"), same)
        assert eyes.marks == ["A", "B"]
        assert text.index("Image 1 of 2") < text.index("seen B") < text.index("Image 2 of 2") < text.index("seen A")

    async def test_two_tenants_with_the_same_image_make_two_calls_and_share_no_fence(self) -> None:
        eyes = Eyes()
        cache = empty_cache()
        one = await rewritten(body_with("A"), viewer(eyes, cache, RESEARCH))
        other = await rewritten(body_with("A"), viewer(eyes, cache, SALES))
        assert eyes.marks == ["A", "A"]
        assert [request.scope for request in eyes.asked] == ["team:research", "team:sales"]
        assert (other.report.cached, other.report.cost) == (0, Decimal("0.1"))
        assert one.changes != other.changes

    async def test_two_tenants_who_ask_at_the_same_time_are_not_joined(self) -> None:
        both_asked = anyio.Event()
        scopes: list[str] = []

        async def look(request: VisionRequest) -> Outcome:
            scopes.append(request.scope)
            if len(scopes) == 2:
                both_asked.set()
            await both_asked.wait()
            return Analysed("seen", cost=Decimal("0.1"))

        cache = empty_cache()
        reports: list[Report] = []

        async def ask_as(tenant: Tenant) -> None:
            reports.append(await report_on(body_with("A"), viewer(look, cache, tenant)))

        async with anyio.create_task_group() as group:
            group.start_soon(ask_as, RESEARCH)
            group.start_soon(ask_as, SALES)
        assert sorted(scopes) == ["team:research", "team:sales"]
        assert [(report.cached, report.cost) for report in reports] == [(0, Decimal("0.1"))] * 2

    @pytest.mark.parametrize("grouping", ["per_image", "per_message"])
    async def test_one_of_many_requests_at_the_same_time_pays_for_all(self, grouping: str) -> None:
        may_answer, all_started = anyio.Event(), anyio.Event()
        eyes = Eyes()
        started = 0

        async def look(request: VisionRequest) -> Outcome:
            await may_answer.wait()
            return await eyes(request)

        same = viewer(look)
        answers: list[Rewrite] = []

        async def ask() -> None:
            nonlocal started
            started += 1
            if started == 30:
                all_started.set()
            answers.append(await rewritten(body_with("A", "B"), same, grouping=grouping))

        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(ask)
            await all_started.wait()
            may_answer.set()
        paid_calls = 2 if grouping == "per_image" else 1
        assert len(eyes.asked) == paid_calls
        assert sum(len(answer.report.call_ids) for answer in answers) == paid_calls
        assert sum(answer.report.cost or 0 for answer in answers) == paid_calls * Decimal("0.1")
        assert sum(answer.report.cached for answer in answers) == 58
        assert all(answer.changes == answers[0].changes for answer in answers)

    async def test_without_a_cache_every_request_pays_for_each_of_its_images_once(self) -> None:
        eyes = Eyes()
        forgetful = viewer(eyes, empty_cache(backend="off"))
        reports = [await report_on(body_with("A", "A"), forgetful) for _ in range(2)]
        assert eyes.marks == ["A", "A"]
        assert [(report.cached, report.cost) for report in reports] == [(1, Decimal("0.1"))] * 2

    async def test_the_text_is_the_same_with_and_without_a_cache(self) -> None:
        with_cache = await rewritten(body_with("A", "B"), Eyes())
        without = await rewritten(body_with("A", "B"), viewer(Eyes(), empty_cache(backend="off")))
        assert with_cache.changes == without.changes

    async def test_a_failure_is_not_remembered_as_an_analysis(self) -> None:
        eyes = Eyes(A=Failed(FailureReason.EMPTY, cost=Decimal("0.3"), call_id="call-1"))
        same = viewer(eyes)
        first, second = [await report_on(body_with("A"), same) for _ in range(2)]
        assert eyes.marks == ["A"]  # a failing vision model gets no further call
        assert (first.failed, first.cached, first.cost) == (1, 0, Decimal("0.3"))
        assert (second.failed, second.cached, second.cost, second.call_ids) == (1, 0, Decimal(0), ())

    async def test_a_failure_is_forgotten_before_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("litellm_image_analysis.cache.cache.FAILURE_SECONDS", 0)
        eyes = Eyes(A=TIMEOUT)
        same = viewer(eyes)
        assert (await report_on(body_with("A"), same)).failed == 1
        eyes.outcomes.clear()
        assert (await report_on(body_with("A"), same)).failed == 0

    async def test_one_failed_image_does_not_keep_the_others_from_being_remembered(self) -> None:
        eyes = Eyes(A=TIMEOUT)
        same = viewer(eyes)
        await rejected(body_with("A", "B"), same, on_failure="reject")
        report = await report_on(body_with("B"), same, on_failure="reject")
        assert (report.cached, report.cost) == (1, Decimal(0))

    async def test_what_is_behind_a_url_can_be_forgotten_at_once(self) -> None:
        eyes = Eyes()
        content = [{"type": "image_url", "image_url": {"url": "https://images.example.com/cat.png"}}]
        body = {"messages": [{"role": "user", "content": content}, message_with("A")]}
        same = viewer(eyes, empty_cache(remote_url_ttl_seconds=0))
        await rewritten(body, same)
        assert (await report_on(body, same)).cached == 1
        assert eyes.marks == ["https://images.example.com/cat.png", "A", "https://images.example.com/cat.png"]


turns = st.lists(
    st.tuples(st.lists(st.sampled_from("ABCD"), max_size=3), st.sampled_from(["What is it?", "Who?", ""])),
    min_size=1,
    max_size=6,
)
"""The user's turns: images, some of them repeated, and a question."""


class TestConversation:
    """A client sends the whole history with every turn."""

    @given(turns, st.sampled_from(["per_image", "per_message"]))
    async def test_every_question_is_paid_once_and_every_earlier_text_stays_byte_for_byte(
        self, turns: list[tuple[list[str], str]], grouping: str
    ) -> None:
        eyes = Eyes()
        same = viewer(eyes)
        history: list[dict[str, Any]] = []
        sent_before: list[str] = []
        paid = Decimal(0)
        for marks, question in turns:
            history += [message_with(*marks, question=question), {"role": "assistant", "content": "I see."}]
            body = {"messages": history}
            result = await rewritten(body, same, grouping=grouping)
            sent = [json.dumps(message) for message in result.changes.get("messages", history)]
            assert sent[: len(sent_before)] == sent_before
            assert "base64" not in "".join(sent)
            sent_before = sent
            paid += result.report.cost or 0
        asked = different_questions(turns, grouping)
        assert len(eyes.asked) == len(asked)
        assert paid == len(asked) * Decimal("0.1")

    @pytest.mark.parametrize("k", [1, 5, 10])
    async def test_k_turns_with_a_new_image_each_cost_k_calls(self, k: int) -> None:
        eyes = Eyes()
        same = viewer(eyes)
        marks = [f"mark{turn}" for turn in range(k)]
        for turn in range(k):
            report = await report_on({"messages": [message_with(mark) for mark in marks[: turn + 1]]}, same)
            assert (report.images, report.cached, report.cost) == (turn + 1, turn, Decimal("0.1"))
        assert eyes.marks == marks


def different_questions(turns: Sequence[tuple[list[str], str]], grouping: str) -> set[tuple[str, ...]]:
    """All different questions of a conversation."""
    if grouping == "per_message":
        return {(*marks, question) for marks, question in turns if marks}
    return {(mark, question) for marks, question in turns for mark in marks}


@pytest.mark.parametrize("grouping", ["per_image", "per_message"])
async def test_an_image_damaged_behind_its_header_is_not_sent_and_the_others_are(grouping: str) -> None:
    body = body_with("A", "B")
    body["messages"][0]["content"][1]["image_url"]["url"] += f"{'A' * 400}!!!!"
    eyes = Eyes()
    report = await report_on(body, eyes, grouping=grouping)
    assert eyes.marks == ["B"]
    assert (report.images, report.failed, report.reasons) == (2, 1, ("damaged",))
