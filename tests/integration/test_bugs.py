"""Bugs that are inserted into the plugin at many points, tested through LiteLLM's own app and in a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import httpx
import litellm
import pytest
from litellm.exceptions import BadRequestError
from litellm.types.utils import CallTypes
from support.billing import ROUTES
from support.images import data_uri, image, message, text
from support.upstream import Upstream, images_in

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig, RequestError, plugin
from litellm_image_analysis.analysis import pipeline, plan
from litellm_image_analysis.billing import identity, metadata, summary, total
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.engine import analyzer, routing, tenancy
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.proxy import access, admission, budgets, vision_choice
from litellm_image_analysis.sdk import library
from litellm_image_analysis.vision import call as vision_call

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "SECRET-words-of-the-request"
POLICIES = ["placeholder", "reject", "keep"]
NOTE = "Image 1 of 1 in this message could not be read: image analysis failed within the gateway"

Point = tuple[Any, str]
ADMISSION: list[Point] = [
    (routing, "decide"),
    (admission, "admit"),
    (admission, "effective_settings"),
    (routing, "running_router"),
]
OF_A_SUFFIX: list[Point] = [
    (routing, "bears_name"),
    (access, "check_access"),
    (admission, "apply_model_aliases"),
    (budgets, "affordable"),
]
ANALYSIS: list[Point] = [
    (admission, "check_vision"),
    (budgets, "check_vision"),
    (analyzer.Analyzer, "replace"),
    (analyzer, "VisionTarget"),
    (analyzer, "rewrite"),
    (identity, "child_identity"),
    (analyzer, "make_ask"),
    (vision_call, "_fresh"),
    (vision_call, "_outcome_of"),
    (tenancy, "tenant"),
    (routing, "file_providers"),
    (pipeline, "check_sizes"),
    (pipeline, "check_pixels"),
    (pipeline, "within_limits"),
    (pipeline, "make_plan"),
    (plan, "vision_request"),
    (Cache, "recall"),
    (Cache, "ask"),
    (pipeline, "analysis_text"),
    (pipeline, "make_report"),
]
BOOKKEEPING: list[Point] = [
    (metadata, "save_report"),
    (metadata, "summary"),
    (summary, "log_request"),
    (total, "attach_cost"),
    (summary, "response_headers"),
    (total, "get_base_cost"),
    (library, "after_call"),
    (total, "log_base_cost"),
    (total, "finish"),
]


def each(points: list[Point]) -> Callable[..., Any]:
    return pytest.mark.parametrize(
        "point", points, ids=[f"{getattr(at, '__name__', at)}.{name}" for at, name in points]
    )


def bug(*_: Any, **__: Any) -> NoReturn:
    raise ValueError(SECRET)


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[Point], None]:
    def put(point: Point) -> None:
        monkeypatch.setattr(*point, bug)

    return put


def assert_told(log: pytest.LogCaptureFixture, *, of_it: bool = True) -> None:
    """Check that the log has the traceback of the bug, and no text of a request."""
    ours = [record.getMessage() for record in log.records if record.name == LOGGER.name]
    assert any("in bug\n" in line for line in ours) is of_it
    assert SECRET not in "".join(ours)


def assert_followed(response: httpx.Response, upstream: Upstream, on_failure: str) -> None:
    """Check that the answer and the request to the text model follow the policy."""
    assert SECRET not in response.text
    if on_failure == "reject":
        assert response.status_code == 500
        assert "Image analysis failed within the gateway" in response.text
        assert upstream.calls("blind") == []
        return
    [body] = upstream.calls("blind")
    assert "ocr_model" not in body
    assert images_in(body) == ([data_uri("a")] if on_failure == "keep" else [])
    assert (NOTE in json.dumps(body)) is (on_failure == "placeholder")


async def ask(app: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await app.post("/v1/chat/completions", json={"messages": [message(text("?"), image("a"))], **body})


class TestProxy:
    @each([*ANALYSIS, (vision_choice, "check_chosen"), *ADMISSION])
    @pytest.mark.parametrize("on_failure", POLICIES)
    async def test_a_request_that_names_a_vision_model_follows_on_failure(
        self,
        app: httpx.AsyncClient,
        upstream: Upstream,
        put: Callable[[Point], None],
        settings: Callable[..., None],
        log: pytest.LogCaptureFixture,
        point: Point,
        on_failure: str,
    ) -> None:
        settings(on_failure=on_failure)
        put(point)
        response = await ask(app, model="deepseek-chat", ocr_model="gpt-4o-mini")
        assert_followed(response, upstream, on_failure)
        assert_told(log)

    @each(ANALYSIS[::6])
    @pytest.mark.parametrize("on_failure", POLICIES)
    async def test_so_does_one_with_a_suffix_once_its_model_s_access_is_checked(
        self,
        app: httpx.AsyncClient,
        upstream: Upstream,
        put: Callable[[Point], None],
        settings: Callable[..., None],
        log: pytest.LogCaptureFixture,
        point: Point,
        on_failure: str,
    ) -> None:
        settings(on_failure=on_failure)
        put(point)
        assert_followed(await ask(app, model="deepseek-chat-ocr"), upstream, on_failure)
        assert_told(log)

    @each([*ADMISSION, *OF_A_SUFFIX])
    @pytest.mark.parametrize("on_failure", ["placeholder", "keep"])
    async def test_before_that_it_is_refused_for_a_bug_must_not_open_a_model(
        self,
        app: httpx.AsyncClient,
        upstream: Upstream,
        put: Callable[[Point], None],
        settings: Callable[..., None],
        log: pytest.LogCaptureFixture,
        point: Point,
        on_failure: str,
    ) -> None:
        settings(on_failure=on_failure)
        put(point)
        assert_followed(await ask(app, model="deepseek-chat-ocr"), upstream, "reject")
        assert upstream.requests == []
        assert_told(log)

    @each([*ADMISSION, *OF_A_SUFFIX, *ANALYSIS, *BOOKKEEPING])
    async def test_a_request_that_asks_for_nothing_never_notices(
        self, app: httpx.AsyncClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, point: Point
    ) -> None:
        await ask(app, model="multimodal", user="u")
        monkeypatch.setattr(*point, bug)
        response = await ask(app, model="multimodal", user="u")
        assert response.status_code == 200
        before, after = upstream.requests
        assert after == before
        assert images_in(after) == [data_uri("a")]

    @each(BOOKKEEPING)
    async def test_a_bug_in_bookkeeping_costs_no_analysis(
        self,
        app: httpx.AsyncClient,
        upstream: Upstream,
        put: Callable[[Point], None],
        log: pytest.LogCaptureFixture,
        point: Point,
    ) -> None:
        put(point)
        response = await ask(app, model="deepseek-chat-ocr")
        assert response.status_code == 200
        assert "described by gpt-4o-mini" in str(upstream.calls("blind"))
        assert_told(log, of_it=any("in bug" in line for line in log.messages))

    async def test_the_headers_tell_of_the_failed_image(
        self, app: httpx.AsyncClient, upstream: Upstream, put: Callable[[Point], None]
    ) -> None:
        put((analyzer, "rewrite"))
        headers = (await ask(app, model="deepseek-chat-ocr")).headers
        assert headers["x-litellm-image-analysis-failed"] == headers["x-litellm-image-analysis-images"] == "1"
        assert "x-litellm-image-analysis-cost" not in headers

    @pytest.mark.parametrize("on_failure", POLICIES)
    @pytest.mark.parametrize("route", ROUTES)
    async def test_every_route_follows_on_failure(
        self,
        app: httpx.AsyncClient,
        upstream: Upstream,
        put: Callable[[Point], None],
        settings: Callable[..., None],
        route: str,
        on_failure: str,
    ) -> None:
        settings(on_failure=on_failure)
        put((pipeline, "make_plan"))
        path, body = ROUTES[route]("deepseek-chat-ocr", "?", ["a"], stream=False)
        response = await app.post(path, json=body)
        assert SECRET not in response.text
        if on_failure == "reject":
            assert response.status_code == 500
            assert "within the gateway" in response.json()["error"]["message"]
        else:
            sent = json.dumps(upstream.calls("blind")[-1])
            assert (NOTE in sent) is (on_failure == "placeholder")

    @each([(budgets, "affordable"), (admission, "check_suffixed_name"), (routing, "bears_name")])
    async def test_a_suffix_opens_no_model_on_other_routes_either(
        self, app: httpx.AsyncClient, put: Callable[[Point], None], point: Point
    ) -> None:
        put(point)
        plain = await app.post("/v1/embeddings", json={"model": "deepseek-chat", "input": "x"})
        assert "within the gateway" not in plain.text
        if point[1] != "affordable":
            response = await app.post("/v1/embeddings", json={"model": "deepseek-chat-ocr", "input": "x"})
            assert response.status_code == 500
            assert "within the gateway" in response.text


class TestProgram:
    @pytest.fixture
    def call(self, provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        del provider

        def call(on_failure: str, **asked: Any) -> Any:
            config = ImageAnalysisConfig.from_settings(
                {"vision_model": "openai/seeing-mini", "on_failure": on_failure, "cache": {"backend": "off"}}
            )
            monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(config)])
            return litellm.acompletion(messages=[message(text("?"), image("a"))], **asked)

        return call

    @each(
        [
            *[point for point in ANALYSIS if point[0] not in (admission, budgets)],
            (routing, "decide"),
            (total, "load_state"),
        ]
    )
    @pytest.mark.parametrize("on_failure", POLICIES)
    @pytest.mark.parametrize(
        "asked",
        [{"model": "openai/blind-chat-ocr"}, {"model": "openai/blind-chat", "ocr_model": "openai/seeing-mini"}],
        ids=["suffix", "parameter"],
    )
    async def test_a_call_that_asks_follows_on_failure(
        self,
        call: Callable[..., Any],
        upstream: Upstream,
        put: Callable[[Point], None],
        log: pytest.LogCaptureFixture,
        point: Point,
        on_failure: str,
        asked: dict[str, Any],
    ) -> None:
        put(point)
        if point == (total, "load_state"):  # it affects only reports
            await call(on_failure, **asked)
            assert "described by openai/seeing-mini" in str(upstream.calls("blind"))
        elif on_failure == "reject":
            with pytest.raises(RequestError, match="within the gateway") as raised:
                await call(on_failure, **asked)
            assert raised.value.status_code == 500
        elif on_failure == "keep":
            with pytest.raises(BadRequestError, match="this model takes no images"):
                await call(on_failure, **asked)
        else:
            await call(on_failure, **asked)
            assert NOTE in str(upstream.calls("blind"))
        assert_told(log)

    @each([*ANALYSIS, *BOOKKEEPING, (routing, "decide"), (library, "_model_group"), (plugin, "isinstance")])
    async def test_a_call_that_asks_for_nothing_never_notices(
        self, call: Callable[..., Any], upstream: Upstream, monkeypatch: pytest.MonkeyPatch, point: Point
    ) -> None:
        monkeypatch.setattr(*point, bug, raising=False)
        await call("reject", model="openai/seeing-chat")
        assert images_in(upstream.requests[-1]) == [data_uri("a")]

    async def test_metadata_of_a_strange_kind_are_left_to_litellm(self) -> None:
        kwargs = {"model": "openai/seeing-chat", "messages": [], "metadata": ["strange"]}
        assert await ImageAnalysis().async_pre_call_deployment_hook(kwargs, CallTypes.acompletion) is None

    async def test_rewriting_follows_on_failure(
        self, provider: Upstream, put: Callable[[Point], None], log: pytest.LogCaptureFixture
    ) -> None:
        del provider
        put((pipeline, "make_plan"))
        messages = [message(text("?"), image("a"))]
        rewritten = await ImageAnalysis().rewrite(messages)
        assert NOTE in str(rewritten)
        assert messages == [message(text("?"), image("a"))]
        assert_told(log)
