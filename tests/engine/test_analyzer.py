"""Cache, vision call, billing and log together, for one request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.caching.dual_cache import DualCache
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from support.images import image, message, text
from support.strategies import plain_conversations, spoiled

from litellm_image_analysis import ImageAnalysis
from litellm_image_analysis.analysis.limits import check_shape
from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.ports import AskVision
from litellm_image_analysis.analysis.prompt import VisionRequest
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing.request_state import load_state
from litellm_image_analysis.cache.per_request import RequestOutcomes
from litellm_image_analysis.config import CacheConfig, ImageAnalysisConfig
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.engine.context import RequestContext
from litellm_image_analysis.errors import ConfigError, RequestError
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request import NO_ATTACHMENTS, Attachments, chat, generate_content, messages, responses
from litellm_image_analysis.vision import monitoring
from litellm_image_analysis.vision.circuit_breaker import FAILURES
from litellm_image_analysis.vision.gate import Gate, ModelGroup, ModelStatus

REMOTE = {"type": "image_url", "image_url": {"url": "https://images.example.com/cat.png"}}
NO_URLS = ImageAnalysisConfig(remote_urls="reject")


async def replaced(config: ImageAnalysisConfig, *parts: dict[str, Any]) -> dict[str, Any]:
    """A request after its images were replaced. Its URL is not allowed, so there is no vision call."""
    data: dict[str, Any] = {"messages": [message(text("?"), *parts)], "metadata": {}, "litellm_call_id": "call-1"}
    await Analyzer(config).replace(
        data, Attachments(chat.find(data).images), chat, RequestContext(config=config, vision_model="eyes")
    )
    return data


async def test_a_request_without_images_is_left_as_it_is_but_for_the_report() -> None:
    data = await replaced(NO_URLS)
    assert data["messages"] == [message(text("?"))]
    assert load_state(data).report == Report("eyes")


async def test_images_give_way_to_texts_and_the_report_and_a_log_line_say_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER.name):
        data = await replaced(NO_URLS, REMOTE)
    assert "image_url" not in str(data["messages"])
    report = load_state(data).report
    assert isinstance(report, Report)
    assert (report.images, report.failed, report.reasons) == (1, 1, ("url_not_allowed",))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "request_id=call-1 vision_model=eyes images=1 cached=0 failed=1" in line


async def test_observers_get_each_report_and_a_bug_of_one_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[object, Report]] = []

    def broken(request: object, report: Report) -> None:
        raise ZeroDivisionError

    analyzer = Analyzer(NO_URLS)
    analyzer.observe(broken)
    analyzer.observe(lambda request, report: seen.append((request.get("litellm_call_id"), report)))
    data: dict[str, Any] = {"messages": [message(text("?"), REMOTE)], "metadata": {}, "litellm_call_id": "call-1"}
    context = RequestContext(config=NO_URLS, vision_model="eyes")
    await analyzer.replace(data, Attachments(chat.find(data).images), chat, context)
    assert seen == [("call-1", load_state(data).report)]
    await analyzer.replace({"messages": [], "metadata": {}}, NO_ATTACHMENTS, chat, context)
    assert len(seen) == 1
    assert "ZeroDivisionError" in caplog.text


@dataclass
class Counted:
    """A double for the metrics: records the requests, and fails if it is told to."""

    requests: list[tuple[str | None, Report]] = field(default_factory=list)
    is_broken: bool = False

    def count_request(self, model: str | None, report: Report) -> None:
        self.requests.append((model, report))
        if self.is_broken:
            raise ZeroDivisionError

    def __getattr__(self, name: str) -> Any:
        def ignore(*_: object) -> None:
            if self.is_broken:
                raise ZeroDivisionError

        return ignore


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(monitoring, "metrics", lambda: counted)
    return counted


async def test_images_of_a_request_are_counted_once_for_all_of_its_attempts(counted: Counted) -> None:
    analyzer, outcomes = Analyzer(NO_URLS), RequestOutcomes()
    for _ in range(2):
        data: dict[str, Any] = {"messages": [message(text("?"), REMOTE)], "metadata": {}}
        context = RequestContext(config=NO_URLS, vision_model="eyes")
        await analyzer.replace(data, Attachments(chat.find(data).images), chat, context, outcomes)
        outcomes.by_key["another"] = Analysed("a cat")  # as an attempt that asks a vision model leaves it
    ((model, report),) = counted.requests
    assert (model, report.reasons) == ("eyes", ("url_not_allowed",))
    await analyzer.replace({"messages": [], "metadata": {}}, NO_ATTACHMENTS, chat, context)
    assert len(counted.requests) == 1


async def test_a_name_that_a_caller_may_have_invented_is_not_a_label(counted: Counted) -> None:
    data: dict[str, Any] = {"messages": [message(text("?"), REMOTE)], "metadata": {}}
    router = Router(model_list=[{"model_name": "*", "litellm_params": {"model": "openai/*", "api_key": "sk-a"}}])
    context = RequestContext(config=NO_URLS, vision_model="invented", router=router)
    await Analyzer(NO_URLS).replace(data, Attachments(chat.find(data).images), chat, context)
    assert [model for model, _ in counted.requests] == [None]


async def test_a_bug_in_metrics_changes_no_request(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counted.is_broken = True

    async def answer(request: VisionRequest) -> Outcome:
        return Analysed("a cat")

    monkeypatch.setattr("litellm_image_analysis.engine.analyzer.make_ask", lambda caller, identity, rules: answer)
    data: dict[str, Any] = {"messages": [message(text("?"), image("a"))], "metadata": {}}
    config = ImageAnalysisConfig()
    context = RequestContext(config=config, vision_model="eyes")
    await Analyzer(config).replace(data, Attachments(chat.find(data).images), chat, context)
    assert "a cat" in str(data["messages"])
    works = (
        "measuring the cache",
        "measuring vision calls",
        "counting a vision call",
        "counting the images of a request",
    )
    assert [work for work in works if work not in caplog.text] == []


async def test_vision_calls_go_through_a_gate_under_the_caller_s_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(request: VisionRequest) -> Outcome:
        return Failed(FailureReason.UNAVAILABLE)

    keys: list[str] = []
    guarded = Gate.guarded

    def noted(gate: Gate, look: AskVision, key: str, group: ModelGroup | None, owner: str | None) -> AskVision:
        keys.append(key)
        return guarded(gate, look, key, group, owner)

    monkeypatch.setattr("litellm_image_analysis.engine.analyzer.make_ask", lambda caller, identity, rules: fail)
    monkeypatch.setattr(Gate, "guarded", noted)
    plugin, reports = ImageAnalysis(), []
    for number in range(FAILURES + 1):
        data: dict[str, Any] = {"model": "blind-ocr", "messages": [message(image(f"{number}"))], "metadata": {}}
        await plugin.async_pre_call_hook(UserAPIKeyAuth(api_key=f"sk-{number % 2}"), DualCache(), data, "acompletion")
        reports.append(load_state(data).report)
    reasons = [report.reasons for report in reports if isinstance(report, Report)]
    assert reasons == [("unavailable",)] * FAILURES + [("circuit_open",)]
    assert len(set(keys)) == 2
    assert plugin.stats() == {"gpt-4o-mini": ModelStatus(is_open=True, failures_in_a_row=5, refused_while_open=1)}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (ImageAnalysisConfig(max_messages=1), "too_many_messages"),
        (ImageAnalysisConfig(max_nesting_depth=3), "nested_too_deeply"),
    ],
)
async def test_a_request_is_measured_before_it_is_searched(limits: ImageAnalysisConfig, code: str) -> None:
    data = {"messages": [message(text("?")), message(image("a"))]}
    [found] = (await Analyzer.find(data, chat, ImageAnalysisConfig())).images
    assert found.place == "messages[1].content[0]"
    with pytest.raises(RequestError) as refused:
        await Analyzer.find(data, chat, limits)
    assert refused.value.code == code


async def test_what_cannot_be_served_is_raised_and_changes_nothing() -> None:
    config = ImageAnalysisConfig(max_image_parts=1)
    data: dict[str, Any] = {"messages": [message(image("a"), image("b"))]}
    with pytest.raises(RequestError, match="max_image_parts"):
        await Analyzer(config).replace(
            data, Attachments(chat.find(data).images), chat, RequestContext(config=config, vision_model="eyes")
        )
    assert data["messages"] == [message(image("a"), image("b"))]
    assert load_state(data).report is None


@pytest.mark.parametrize(
    "config", [ImageAnalysisConfig(billing="per_request"), ImageAnalysisConfig(cache=CacheConfig(backend="redis"))]
)
def test_settings_that_cannot_be_followed_stop_the_start(
    config: ImageAnalysisConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm_image_analysis.engine.redis_settings.find_spec", lambda name: None)
    with pytest.raises(ConfigError):
        Analyzer(config)


async def test_the_budget_is_looked_at_again_between_the_calls_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(request: VisionRequest) -> Outcome:
        return Analysed("a cat")

    checks = 0

    async def check_budget() -> None:
        nonlocal checks
        checks += 1
        if checks > 2:
            raise RequestError("used up", status_code=429)

    monkeypatch.setattr("litellm_image_analysis.engine.analyzer.make_ask", lambda caller, identity, rules: look)
    config = ImageAnalysisConfig()
    data: dict[str, Any] = {"messages": [message(*map(image, "abcdef"))], "metadata": {}}
    context = RequestContext(config=config, vision_model="eyes")
    await Analyzer(config).replace(data, Attachments(chat.find(data).images), chat, context, check_budget=check_budget)
    report = load_state(data).report
    assert isinstance(report, Report)
    assert report.reasons == ("budget_exceeded",) * 3
    assert "the budget for vision calls is used up" in str(data["messages"])


@pytest.mark.parametrize("cache", ["x", 1, ["no-cache"], True])
async def test_cache_control_that_litellm_would_fail_at_is_refused_before_anything_is_paid(cache: object) -> None:
    config = ImageAnalysisConfig()
    data: dict[str, Any] = {"messages": [message(image("a"))], "metadata": {}, "cache": cache}
    context = RequestContext(config=config, vision_model="eyes")
    with pytest.raises(RequestError, match="cache: it must be an object") as error:
        await Analyzer(config).replace(data, Attachments(chat.find(data).images), chat, context)
    assert (error.value.status_code, error.value.param) == (400, "cache")


@pytest.mark.parametrize(("messages", "in_thread"), [(1, False), (20_000, True)])
async def test_a_large_request_is_searched_in_a_thread(messages: int, *, in_thread: bool) -> None:
    threads: list[threading.Thread] = []

    class Noted:
        CONTENT = chat.CONTENT

        @staticmethod
        def find(body: Any, context_tags: Sequence[str] = ()) -> Attachments:
            threads.append(threading.current_thread())
            return chat.find(body, context_tags)

        is_plain_text = staticmethod(chat.is_plain_text)
        replace_images = staticmethod(chat.replace_images)

    data = {"messages": [message(image("a")) for _ in range(messages)]}
    found = await Analyzer.find(data, Noted(), ImageAnalysisConfig(max_messages=10**6))
    assert len(found.images) == messages
    assert (threads != [threading.main_thread()]) is in_thread


@pytest.mark.parametrize(("max_nesting_depth", "is_read"), [(4, False), (3, True)])
async def test_plain_text_is_not_read_if_its_depth_is_within_the_limit(
    max_nesting_depth: int, *, is_read: bool
) -> None:
    data = {"messages": [message(text("How are you?")), {"role": "assistant", "content": "Well."}]}
    config = ImageAnalysisConfig(max_nesting_depth=max_nesting_depth)
    if is_read:
        with pytest.raises(RequestError, match="nested at least 4 levels deep"):
            await Analyzer.find(data, chat, config)
    else:
        assert await Analyzer.find(data, chat, config) is NO_ATTACHMENTS


async def test_the_number_of_plain_messages_is_limited() -> None:
    data = {"messages": [{"role": "user", "content": "How are you?"}] * 3}
    with pytest.raises(RequestError, match="there are 3, the limit is 2"):
        await Analyzer.find(data, chat, ImageAnalysisConfig(max_messages=2))
    assert not await Analyzer.find(data, chat, ImageAnalysisConfig(max_messages=2), checks_shape=False)


@given(
    data=st.data(),
    max_messages=st.integers(1, 4),
    max_nesting_depth=st.integers(1, 8),
    checks_shape=st.booleans(),
)
async def test_plain_text_is_judged_as_if_all_of_it_was_read(
    data: st.DataObject, max_messages: int, max_nesting_depth: int, checks_shape: bool
) -> None:
    wire_format: Any = data.draw(st.sampled_from([chat, generate_content, messages, responses]))
    plain = st.fixed_dictionaries(
        {wire_format.CONTENT[-1]: plain_conversations(wire_format.PLAIN.content, wire_format.PLAIN.part)}
    )
    body = data.draw(plain | spoiled(plain))
    config = ImageAnalysisConfig(max_messages=max_messages, max_nesting_depth=max_nesting_depth)
    exceeded = check_shape(body, wire_format, config) if checks_shape else None
    if exceeded is not None:
        with pytest.raises(RequestError) as caught:
            await Analyzer.find(body, wire_format, config, checks_shape=checks_shape)
        assert (str(caught.value), caught.value.code) == (str(exceeded), exceeded.code)
        return
    found = await Analyzer.find(body, wire_format, config, checks_shape=checks_shape)
    all_read = wire_format.find(body)
    assert (list(found.images), list(found.files)) == (list(all_read.images), list(all_read.files))
