"""Marker texts in every place of a request and of a provider's answers, and where they may appear."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import httpx
import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from support.billing import ROUTES, of_main, of_vision
from support.images import data_uri, image, message, text
from support.upstream import Rule, Upstream

from litellm_image_analysis.analysis import pipeline
from litellm_image_analysis.log import LOGGER

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = data_uri("CANARY-OF-THE-IMAGE" * 5).partition(",")[2]
ANALYSIS = "CANARY-OF-THE-ANALYSIS"
QUERY = "CANARY-OF-THE-URL-QUERY"
PROVIDER = "CANARY-OF-THE-PROVIDER"
PROVIDER_KEY = "sk-upstream"
URL = f"https://pictures.example/a.png?signature={QUERY}"
CANARIES = (IMAGE, IMAGE[:60], ANALYSIS, QUERY, PROVIDER, PROVIDER_KEY)


@dataclass
class Told(CustomLogger):
    """The data of a request for loggers and the spend log, without its messages."""

    metadata: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        params = kwargs.get("litellm_params") or {}
        for name in ("metadata", "litellm_metadata"):
            bucket = params.get(name) or {}
            self.metadata.append({key: bucket.get(key) for key in ("image_analysis", "spend_logs_metadata", "tags")})
        self.bodies.append((params.get("proxy_server_request") or {}).get("body"))


def _requests(route: str, question: str = "?") -> list[tuple[str, dict[str, Any]]]:
    """A request with the bytes of an image, and one with a URL if the route allows it."""
    path, body = ROUTES[route]("deepseek-chat-ocr", question, ["CANARY-OF-THE-IMAGE" * 5], stream=False)
    assert IMAGE in json.dumps(body)
    if route == "generateContent":
        return [(path, body)]
    behind_url = json.dumps(body).replace(f"data:image/png;base64,{IMAGE}", URL)
    if route == "messages":
        source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
        behind_url = json.dumps(body).replace(json.dumps(source), json.dumps({"type": "url", "url": URL}))
    assert QUERY in behind_url
    return [(path, body), (path, json.loads(behind_url))]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(litellm, "callbacks", [told, *litellm.callbacks])
    return told


def written(record: logging.LogRecord) -> str:
    """All texts of a log record that a handler could write, including extra fields."""
    return f"{record.getMessage()} {vars(record)}"


def assert_no_canary(log: pytest.LogCaptureFixture, answer: httpx.Response) -> None:
    ours = [written(record) for record in log.records if record.name == LOGGER.name]
    heard = ours + [written(record) for record in log.records if record.levelno >= logging.WARNING]
    heard.append(f"{answer.text} {answer.headers}")
    for canary in (*CANARIES, answer.request.headers["authorization"].removeprefix("Bearer ")):
        assert not [line for line in heard if canary in line], canary


FAILURES: dict[str, Callable[[], Rule]] = {
    **{
        str(status): partial(Rule, of_vision, status=status, error=f"{PROVIDER} {PROVIDER_KEY} {URL} {IMAGE}")
        for status in (400, 401, 403, 404, 408, 413, 429, 500, 503)
    },
    "empty": partial(Rule, of_vision, text=""),
    "refusal": partial(Rule, of_vision, text="", finish_reason="content_filter"),
}


@pytest.mark.parametrize(
    ("failure", "on_failure"),
    [*((failure, "reject") for failure in FAILURES), *product(["400", "429", "refusal"], ["placeholder", "keep"])],
)
async def test_a_failure_tells_nobody_what_the_provider_said(
    app: httpx.AsyncClient,
    upstream: Upstream,
    settings: Callable[..., None],
    log: pytest.LogCaptureFixture,
    failure: str,
    on_failure: str,
) -> None:
    settings(on_failure=on_failure)
    # With ``keep``, the text model accepts images here. LiteLLM would log its refusal.
    upstream.rules += [FAILURES[failure](), Rule(lambda body: of_main(body) and on_failure == "keep", text="fine")]
    for route in ROUTES:
        for path, body in _requests(route):
            response = await app.post(path, json={**body, "model": "multimodal-ocr"} if "model" in body else body)
            assert_no_canary(log, response)
            assert "vision call" in log.text
            told = json.dumps(upstream.calls("blind")) + json.dumps(upstream.calls("seeing-chat"))
            assert PROVIDER not in told
            assert PROVIDER_KEY not in told


async def test_a_timeout_tells_nothing(
    app: httpx.AsyncClient, upstream: Upstream, settings: Callable[..., None], log: pytest.LogCaptureFixture
) -> None:
    settings(on_failure="reject", timeout_seconds=0.05)
    gate = threading.Event()
    upstream.rules.append(Rule(of_vision, gate=gate))
    try:
        for route in ROUTES:
            # Its calls continue for a moment, and equal requests would share them. No other test sends such a request.
            for path, body in _requests(route, "What is late?"):
                response = await app.post(path, json=body)
                assert response.status_code == 504
                assert_no_canary(log, response)
    finally:
        gate.set()


@pytest.mark.parametrize("route", ROUTES)
async def test_success_tells_the_text_model_alone(
    app: httpx.AsyncClient, upstream: Upstream, log: pytest.LogCaptureFixture, told: Told, route: str
) -> None:
    for path, body in _requests(route):
        upstream.rules.append(Rule(of_vision, text=ANALYSIS))
        response = await app.post(path, json=body)
        assert response.status_code == 200
        assert ANALYSIS in json.dumps(upstream.calls("blind")[-1])
        assert_no_canary(log, response)
    assert any(bucket.get("image_analysis") for bucket in told.metadata)
    for canary in CANARIES:
        assert canary not in json.dumps(told.metadata, default=str)
    for canary in (IMAGE, QUERY):  # the analysis is part of the request to the text model
        assert canary not in json.dumps(told.bodies, default=str)


LIMITS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "bytes of an image": ({"max_image_bytes": 10}, [image("CANARY-OF-THE-IMAGE" * 5)]),
    "bytes of a request": ({"max_total_image_bytes": 10}, [image("CANARY-OF-THE-IMAGE" * 5)]),
    "images": ({"max_image_parts": 1}, [image("CANARY-OF-THE-IMAGE" * 5), {"type": "image_url", "image_url": URL}]),
    "URLs": ({"remote_urls": "reject"}, [{"type": "image_url", "image_url": {"url": URL}}]),
    "an unknown source": ({}, [{"type": "image_url", "image_url": {"url": f"ftp://pictures.example/?{QUERY}"}}]),
    "no image": ({}, [{"type": "image_url", "image_url": {"uri": URL}}]),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_what_a_limit_refuses_is_not_repeated(
    app: httpx.AsyncClient, settings: Callable[..., None], log: pytest.LogCaptureFixture, limit: str
) -> None:
    changed, parts = LIMITS[limit]
    settings(on_failure="reject", **changed)
    response = await app.post(
        "/v1/chat/completions", json={"model": "deepseek-chat-ocr", "messages": [message(text("?"), *parts)]}
    )
    assert response.status_code in (400, 413)
    assert_no_canary(log, response)


async def test_neither_does_a_bug(
    app: httpx.AsyncClient,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., None],
    log: pytest.LogCaptureFixture,
) -> None:
    def bug(*arguments: Any) -> None:
        raise ValueError(repr(arguments))

    settings(on_failure="reject")
    monkeypatch.setattr(pipeline, "_texts", bug)
    upstream.rules.append(Rule(of_vision, text=ANALYSIS))
    for route in ROUTES:
        for path, body in _requests(route):
            response = await app.post(path, json=body)
            assert response.status_code == 500
            assert "internal error while" in log.text
            assert_no_canary(log, response)


QUESTION = "What is the total?"
ELSEWHERE = "CANARY-FROM-ELSEWHERE"


def _crowded(route: str) -> tuple[str, dict[str, Any]]:
    """A request with marker texts everywhere except in the image's own message."""
    path, body = ROUTES[route]("deepseek-chat-ocr", QUESTION, ["a"], stream=False)
    schema = {"type": "object", "properties": {ELSEWHERE: {"type": "string"}}}
    said = {"role": "user", "content": ELSEWHERE}
    answered = {"role": "assistant", "content": ELSEWHERE}
    function = {"name": ELSEWHERE, "description": ELSEWHERE, "parameters": schema}
    match route:
        case "chat":
            system = {"role": "system", "content": ELSEWHERE}
            body["messages"] = [system, said, answered, *body["messages"], answered, said]
            body |= {"tools": [{"type": "function", "function": function}], "tool_choice": "auto"}
            body |= {"response_format": {"type": "json_object"}, "temperature": 0.123, "stop": [ELSEWHERE]}
        case "messages":
            body["messages"] = [said, answered, *body["messages"], answered, said]
            tool = {"name": ELSEWHERE, "description": ELSEWHERE, "input_schema": schema}
            body |= {"system": ELSEWHERE, "tools": [tool], "stop_sequences": [ELSEWHERE]}
        case "responses":
            body["input"] = [said, answered, *body["input"], answered, said]
            body |= {"instructions": ELSEWHERE, "tools": [{"type": "function", **function}]}
        case _:
            turn = {"role": "user", "parts": [{"text": ELSEWHERE}]}
            body["contents"] = [turn, {**turn, "role": "model"}, *body["contents"], {**turn, "role": "model"}, turn]
            body |= {"systemInstruction": turn, "tools": [{"functionDeclarations": [function]}]}
    return path, body


SENT = {"model", "messages", "max_tokens", "stream"}


@pytest.mark.parametrize("route", ROUTES)
async def test_the_vision_model_gets_the_image_and_its_own_question_and_no_tools(
    app: httpx.AsyncClient, upstream: Upstream, route: str
) -> None:
    path, body = _crowded(route)
    extra = {"x-canary": ELSEWHERE, "user-agent": ELSEWHERE, "cookie": f"session={ELSEWHERE}"}
    response = await app.post(path, json=body, headers=extra)
    assert response.status_code == 200, response.text
    seen = [(sent, headers) for sent, headers in _sent(upstream) if of_vision(sent)]
    [(sent, headers)] = seen
    assert sent.keys() <= SENT
    assert [turn["role"] for turn in sent["messages"]] == ["system", "user"]
    question, picture = sent["messages"][1]["content"]
    assert question["text"].endswith(f"\n\n{QUESTION}")
    assert picture == {"type": "image_url", "image_url": {"url": data_uri("a")}}
    assert ELSEWHERE not in json.dumps(sent)
    assert ELSEWHERE not in json.dumps(headers)
    assert headers["authorization"] == f"Bearer {PROVIDER_KEY}"


def _sent(upstream: Upstream) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    return zip(upstream.requests, upstream.headers, strict=True)
