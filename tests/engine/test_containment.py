"""A bug in this package does not change a request that does not ask. For other requests, ``on_failure`` applies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Literal

import anyio
import pytest
from fastapi import HTTPException
from litellm.exceptions import BudgetExceededError
from litellm.proxy._types import ProxyException
from support.images import image, message, text
from support.routers import deployment, router_of

from litellm_image_analysis import ImageAnalysisConfig, RequestError
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import metadata
from litellm_image_analysis.billing.request_state import load_state
from litellm_image_analysis.engine import containment, routing
from litellm_image_analysis.engine.context import RequestContext
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request import chat
from litellm_image_analysis.vision import monitoring

SECRET = "SECRET words of the request"
NOTE = (
    "[Image 1 of 1 in this message could not be read: image analysis failed within the gateway."
    " You know nothing about what it shows. If the answer depends on it, say so. Do not guess.]"
)
Policy = Literal["placeholder", "reject", "keep"]
POLICIES: list[Policy] = ["placeholder", "reject", "keep"]

Contained = Callable[[], AbstractContextManager[None]]


def config(on_failure: Policy = "placeholder", **settings: Any) -> ImageAnalysisConfig:
    return ImageAnalysisConfig(on_failure=on_failure, **settings)


def body(**keys: Any) -> dict[str, Any]:
    return {"model": "deepseek-chat", "messages": [message(text("?"), image("a"))], "metadata": {"tags": ["a"]}, **keys}


def contained_analysis(
    data: dict[str, Any] | None = None, on_failure: Policy = "placeholder"
) -> AbstractContextManager[None]:
    return containment.contained_analysis(
        body() if data is None else data, chat, RequestContext(config=config(on_failure), vision_model="eyes")
    )


def fail_closed_admission(
    data: dict[str, Any] | None = None, on_failure: Policy = "placeholder"
) -> AbstractContextManager[None]:
    return containment.fail_closed_admission(body() if data is None else data, chat, config(on_failure))


every_guard = pytest.mark.parametrize(
    "contained", [lambda: containment.log_and_continue("work"), contained_analysis, fail_closed_admission]
)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    return caplog


def bug() -> None:
    raise ValueError(SECRET)


class TestWhatIsCaught:
    @every_guard
    def test_a_bug_is_logged_with_its_traceback_and_none_of_its_words(
        self, contained: Contained, log: pytest.LogCaptureFixture
    ) -> None:
        with contained():
            bug()
        record = log.records[0]
        assert (record.name, record.levelno, record.exc_info) == ("LiteLLM.image_analysis", logging.ERROR, None)
        assert 'test_containment.py", line' in record.getMessage()
        assert "in bug\n" in record.getMessage()
        assert record.getMessage().endswith("builtins.ValueError\n")
        assert SECRET not in log.text

    @every_guard
    @pytest.mark.parametrize(
        "meant",
        [
            RequestError("no"),
            HTTPException(418, "no"),
            ProxyException("no", type="t", param=None, code=403),
            BudgetExceededError(1.0, 0.5),
            asyncio.CancelledError(),
            KeyboardInterrupt(),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_is_meant_goes_on(
        self, contained: Contained, meant: BaseException, log: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(type(meant)) as raised, contained():
            raise meant
        assert raised.value is meant
        assert log.records == []

    async def test_a_cancelled_request_stays_cancelled(self) -> None:
        started = asyncio.Event()

        async def serve() -> None:
            with contained_analysis():
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(serve())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @every_guard
    def test_without_a_bug_nothing_happens(self, contained: Contained, log: pytest.LogCaptureFixture) -> None:
        with contained():
            pass
        assert log.records == []


class TestTraceback:
    def test_it_shows_what_came_before(self, log: pytest.LogCaptureFixture) -> None:
        with containment.log_and_continue("work"):
            try:
                bug()
            except ValueError as error:
                raise KeyError(SECRET) from error
        assert log.messages[0].index("builtins.ValueError") < log.messages[0].index("and then:\n")
        assert log.messages[0].endswith("builtins.KeyError\n")
        assert SECRET not in log.text

    async def test_it_shows_each_of_a_group(self, log: pytest.LogCaptureFixture) -> None:
        async def fail() -> None:
            bug()

        with containment.log_and_continue("work"):
            async with anyio.create_task_group() as group:
                group.start_soon(fail)
                group.start_soon(fail)
        [shown] = log.messages
        assert shown.count("in bug\n") == shown.count("builtins.ValueError\n") == 2
        assert "ExceptionGroup\n" in shown
        assert SECRET not in shown

    def test_it_is_short_however_deep_the_bug_is(self, log: pytest.LogCaptureFixture) -> None:
        def deeper(level: int) -> int:
            return 1 + (shallower(level + 1) if level % 2 else deeper(level + 1))

        def shallower(level: int) -> int:
            return 1 + deeper(level + 1)

        with containment.log_and_continue("work"):
            deeper(0)
        assert log.messages[0].endswith("builtins.RecursionError\n")
        assert len(log.messages[0].splitlines()) < 200


class TestOnFailure:
    def test_placeholder_puts_a_note_in_every_image_s_place(self) -> None:
        data = body(messages=[message(text("?"), image("a")), message(image("b"), image("c"), role="assistant")])
        with contained_analysis(data):
            bug()
        assert chat.find(data).images == []
        assert str(data["messages"]).count("image analysis failed within the gateway") == 3

    def test_reject_is_a_500_of_neutral_words(self) -> None:
        with pytest.raises(RequestError) as raised, contained_analysis(on_failure="reject"):
            bug()
        assert (raised.value.status_code, raised.value.code) == (500, "image_analysis_internal")
        assert SECRET not in str(raised.value)
        assert raised.value.__suppress_context__

    def test_keep_keeps_the_images(self) -> None:
        data = body()
        with contained_analysis(data, "keep"):
            bug()
        assert data["messages"] == body()["messages"]

    @pytest.mark.parametrize("on_failure", POLICIES)
    def test_a_request_without_images_goes_on(self, on_failure: Policy) -> None:
        data = body(messages=[message(text("?"))])
        with contained_analysis(data, on_failure):
            bug()
        assert data["messages"] == [message(text("?"))]

    @pytest.mark.parametrize("on_failure", ["placeholder", "keep"])
    def test_what_was_half_done_is_undone(self, on_failure: Policy) -> None:
        data = body()
        metadata = data["metadata"]
        with contained_analysis(data, on_failure):
            data.update(messages=[], litellm_trace_id="x")
            metadata["half"] = "done"
            del data["model"]
            bug()
        assert data["metadata"] is metadata
        assert metadata.items() >= {"tags": ["a"]}.items()
        assert "half" not in metadata
        expected = body() if on_failure == "keep" else body(messages=[message(text("?"), text(NOTE))])
        assert data["model"] == "deepseek-chat"
        assert "litellm_trace_id" not in data
        assert NOTE in str(data["messages"]) or data["messages"] == expected["messages"]

    @pytest.mark.parametrize(("on_failure", "replaced"), [("placeholder", 1), ("keep", 0)])
    def test_the_caller_is_told_of_failed_images_at_an_unknown_cost(self, on_failure: Policy, replaced: int) -> None:
        data = body()
        with contained_analysis(data, on_failure):
            bug()
        report = Report("eyes", images=replaced, failed=1, cost=None, reasons=("internal",))
        assert load_state(data).report == report

    @pytest.mark.parametrize("on_failure", POLICIES)
    def test_the_failed_images_are_counted(self, on_failure: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
        counted: list[tuple[str | None, tuple[str, ...]]] = []

        class Counted:
            def count_request(self, model: str | None, report: Report) -> None:
                counted.append((model, report.reasons))

        monkeypatch.setattr(monitoring, "metrics", Counted)
        with suppress(RequestError), contained_analysis(body(), on_failure):
            bug()
        assert counted == [("eyes", ("internal",))]

    def test_a_bug_in_telling_so_costs_no_note(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(metadata, "save_report", lambda *_: bug())
        data = body()
        with contained_analysis(data):
            bug()
        assert NOTE in str(data["messages"])

    @pytest.mark.parametrize("on_failure", POLICIES)
    def test_where_not_even_a_note_can_be_put_no_image_goes_on_unless_it_may(
        self, on_failure: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(chat, "find", lambda _: bug())
        data = body()
        if on_failure == "keep":
            with contained_analysis(data, on_failure):
                bug()
            assert data == body()
        else:
            with pytest.raises(RequestError, match="within the gateway"), contained_analysis(data, on_failure):
                bug()


class TestAdmission:
    @pytest.mark.parametrize("on_failure", POLICIES)
    @pytest.mark.parametrize("off", [{}, {"ocr_model": False}])
    def test_a_request_that_asks_for_nothing_goes_on_as_it_was(self, on_failure: Policy, off: dict[str, Any]) -> None:
        data = body(**off)
        with fail_closed_admission(data, on_failure):
            data["messages"] = []
            bug()
        assert data == body()

    def test_one_that_names_a_vision_model_follows_on_failure(self) -> None:
        data = body(ocr_model="eyes")
        with fail_closed_admission(data):
            bug()
        assert "ocr_model" not in data
        assert NOTE in str(data["messages"])

    @pytest.mark.parametrize("on_failure", POLICIES)
    @pytest.mark.parametrize("served", [True, False])
    def test_a_suffix_opens_no_model_by_a_bug(self, on_failure: Policy, served: bool) -> None:
        data = body(model="deepseek-chat-ocr")
        guarded = containment.fail_closed_admission(data, chat if served else None, config(on_failure))
        with pytest.raises(RequestError, match="within the gateway"), guarded:
            bug()

    @pytest.mark.parametrize("keys", [{"model": "deepseek-chat-ocr"}, {"model": 5}, {"model": None}])
    def test_without_a_suffix_in_the_settings_there_is_none(self, keys: dict[str, Any]) -> None:
        data = body(**keys)
        with containment.fail_closed_admission(data, chat, config(suffix=None)):
            bug()
        assert data == body(**keys)

    def test_a_model_that_is_really_called_so_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        router = router_of(deployment("scan-ocr"))
        monkeypatch.setattr(routing, "running_router", lambda: router)
        data = body(model="scan-ocr")
        with fail_closed_admission(data):
            bug()
        assert data == body(model="scan-ocr")

    def test_on_other_routes_ocr_model_is_left_alone(self) -> None:
        data = body(ocr_model="eyes")
        with containment.fail_closed_admission(data, None, config()):
            bug()
        assert data == body(ocr_model="eyes")
