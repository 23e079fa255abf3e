"""Common mistakes and failures, and their messages: to the client on all routes, and in the log.

The test makes the tables of ``docs/troubleshooting.md``. Every message names the problem, its place and a remedy.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from litellm.proxy._types import UserAPIKeyAuth, hash_token
from support.app import MASTER_KEY, running_app
from support.configs import VISION_PRICE, deployment, proxy_config
from support.docs import expect_table
from support.features import SENDS_ERRORS_OF_HOOKS, WRITES_GOOGLE_ERRORS
from support.images import data_uri
from support.misbehaving import closed_port
from support.upstream import Body, Rule, Upstream, accepts_images

import litellm_image_analysis
from litellm_image_analysis import ConfigError
from litellm_image_analysis import log as log_module
from litellm_image_analysis.compat import budget_exceeded_status
from litellm_image_analysis.proxy import startup
from litellm_image_analysis.vision import local_ocr

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCS = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
CALLBACK = "litellm_image_analysis.image_analysis"
PDF = "data:image/png;base64,JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PD4+"
SVG = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4="
CUT_SHORT = "data:image/png;base64,iVBORw0KGgo"
HUGE = "data:image/gif;base64,R0lGODlh////fwAAACwAAAAA////fwAA"
LITELLM_S = {"key_model_access_denied", "budget_exceeded"}
"""Codes of refusals by LiteLLM, with its own error."""
PLACE = re.compile(r"^(messages|input|contents)\[0]\.(content|parts)\[1]")
SECRET = "SECRET"
"""A text in every error of the provider. It must not reach clients or the log."""

KEYS: dict[str, dict[str, Any]] = {
    MASTER_KEY: {},
    "sk-off": {"metadata": {"image_analysis": {"enabled": False}}},
    "sk-misspelt": {"metadata": {"image_analysis": {"vison_model": "gpt-4o-mini"}}},
    "sk-chat": {"models": ["deepseek-chat", "deepseek-chat-ocr"]},
    "sk-other": {"models": ["compatible"]},
    "sk-spent": {"model_max_budget": {"gpt-4o-mini": {"max_budget": 1.0, "budget_duration": "1d"}}},
}


STARTS: dict[str, tuple[dict[str, Any], bool]] = {
    "a setting is misspelt": ({"callback_settings": {"image_analysis": {"vison_model": "gpt-4o-mini"}}}, False),
    "a setting's value is wrong": ({"callback_settings": {"image_analysis": {"timeout_seconds": "soon"}}}, False),
    "a size is wrong": ({"callback_settings": {"image_analysis": {"max_image_bytes": "20 apples"}}}, False),
    "a setting of the cache is misspelt": (
        {"callback_settings": {"image_analysis": {"cache": {"backnd": "redis"}}}},
        False,
    ),
    "the settings are not a mapping": ({"callback_settings": {"image_analysis": "gpt-4o-mini"}}, False),
    "the callback is the class": (
        {"litellm_settings": {"callbacks": ["litellm_image_analysis.ImageAnalysis"]}},
        False,
    ),
    "the callback is a module": ({"litellm_settings": {"callbacks": ["litellm_image_analysis.plugin"]}}, False),
    "the callback is misspelt": (
        {"litellm_settings": {"callbacks": ["litellm_image_analysis.image_analysys"]}},
        False,
    ),
    "the callback is in another list": (
        {"litellm_settings": {"callbacks": [], "success_callback": [CALLBACK]}},
        True,
    ),
    "the settings are at the top level": ({"image_analysis": {"vision_model": "gpt-4o-mini"}}, True),
    "the settings are under `general_settings`": (
        {"general_settings": {"image_analysis": {"vision_model": "gpt-4o-mini"}}},
        True,
    ),
    "the settings are beside `image_analysis`, not below it": (
        {"callback_settings": {"image_analysis": None, "vision_model": "gpt-4o-mini"}},
        True,
    ),
    "`callback_settings` has other sections only": ({"callback_settings": {"otel": {}}}, True),
    "no deployment serves the vision model": (
        {"callback_settings": {"image_analysis": {"vision_model": "gpt-4o-mni"}}},
        True,
    ),
    "a model's own name ends in the suffix": (
        {
            "callback_settings": {"image_analysis": {}},
            "model_list": [
                {"model_name": name, "litellm_params": {"model": f"openai/{model}", "api_key": "sk-a"}}
                for name, model in (("text-ocr", "gpt-3.5-turbo"), ("gpt-4o-mini", "gpt-4o-mini"))
            ],
        },
        True,
    ),
}
"""Changes of a config that works, and whether the proxy starts with it."""

start_said: dict[str, str] = {}


@pytest.mark.parametrize("name", STARTS)
async def test_a_start_says_what_is_wrong(
    upstream: Upstream,
    tmp_path: Path,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    change, starts = STARTS[name]
    config = proxy_config(upstream)
    config["model_list"] = [one for one in config["model_list"] if not one["model_name"].endswith("-ocr")]
    config.pop("callback_settings")
    config |= {
        key: {**config.get(key, {}), **value} if isinstance(value, dict) else value for key, value in change.items()
    }
    for public in {"ImageAnalysis", "plugin"} & set(vars(litellm_image_analysis)):
        monkeypatch.delattr(litellm_image_analysis, public)
    last_words: list[str] = []
    monkeypatch.setattr(startup, "announce_at_exit", last_words.append)
    if starts:
        async with running_app(config, tmp_path):
            start_said[name] = await first_problem(log)
    else:
        with pytest.raises(ConfigError):
            async with running_app(config, tmp_path):
                pass
        [words] = last_words
        start_said[name] = words.splitlines()[-1].strip()


async def first_problem(log: pytest.LogCaptureFixture) -> str:
    import anyio

    with anyio.fail_after(30):
        while True:
            for record in log.records:
                if record.name == "LiteLLM.image_analysis" and record.levelno >= logging.WARNING:
                    return f"{record.levelname} {record.getMessage()}"
            await anyio.sleep(0.01)


def chat(model: str, url: str) -> tuple[str, Body]:
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": content}]}


def messages(model: str, url: str) -> tuple[str, Body]:
    source: dict[str, Any] = {"type": "url", "url": url}
    if url.startswith("data:"):
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        source = {"type": "base64", "media_type": media_type, "data": data}
    content = [{"type": "text", "text": "What is it?"}, {"type": "image", "source": source}]
    return "/v1/messages", {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


def responses(model: str, url: str) -> tuple[str, Body]:
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": url}]
    return "/v1/responses", {"model": model, "input": [{"role": "user", "content": content}]}


def generate_content(model: str, url: str) -> tuple[str, Body]:
    part: dict[str, Any] = {"fileData": {"mimeType": "image/png", "fileUri": url}}
    if url.startswith("data:"):
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        part = {"inlineData": {"mimeType": media_type, "data": data}}
    contents = [{"role": "user", "parts": [{"text": "What is it?"}, part]}]
    return f"/v1beta/models/{model}:generateContent", {"contents": contents}


ROUTES: dict[str, Callable[[str, str], tuple[str, Body]]] = {
    "chat": chat,
    "messages": messages,
    "responses": responses,
    "generateContent": generate_content,
}


@dataclass(frozen=True, kw_only=True)
class Breakage:
    """A mistake in a request or the config, or a failure of a provider.

    Attributes:
        status: the HTTP status with ``on_failure: reject``.
        code: the code of the error.
        vision_model: the vision model.
        settings: other settings of the plugin.
        model: the model that the client asks for.
        url: the image. ``None`` for a valid one.
        key: the client's key.
        body: other parameters of the request.
        answer: how the vision model's provider answers.
    """

    status: int
    code: str
    vision_model: str = "gpt-4o-mini"
    settings: dict[str, Any] = field(default_factory=dict)
    model: str = "deepseek-chat-ocr"
    url: str | None = None
    key: str = MASTER_KEY
    body: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] | None = None


def provider(status: int, error: str = "", **answer: Any) -> dict[str, Any]:
    return {"status": status, "error": f"{error} {SECRET}", **answer}


MISSPELT_MODEL = provider(404, "The model `gpt-4o-mni` does not exist")
NO_IMAGES = provider(400, "Invalid content type. image_url is only supported by certain models.")
WITHOUT_DETAILS = provider(400, "Error code 20015: bad request.")

BREAKAGES: dict[str, Breakage] = {
    "`vision_model` names no model group": Breakage(
        status=502, code="image_analysis_misconfigured", vision_model="gpt-4o-mni"
    ),
    "the vision deployment's `model` is misspelt": Breakage(
        status=502, code="image_analysis_misconfigured", answer=MISSPELT_MODEL
    ),
    "the vision model takes no images": Breakage(status=502, code="image_analysis_misconfigured", answer=NO_IMAGES),
    "the vision deployment has no API key": Breakage(
        status=502, code="image_analysis_misconfigured", vision_model="no-key"
    ),
    "its API key is wrong: the provider answers 401": Breakage(
        status=502, code="image_analysis_misconfigured", answer=provider(401)
    ),
    "the provider forbids the call: 403": Breakage(
        status=502, code="image_analysis_misconfigured", answer=provider(403)
    ),
    "the extra `local-ocr` is not installed": Breakage(
        status=502, code="image_analysis_misconfigured", vision_model="local-ocr"
    ),
    "the provider rejects the call for another reason: 400": Breakage(
        status=400, code="image_analysis_rejected", answer=WITHOUT_DETAILS
    ),
    "the provider cannot read the image": Breakage(
        status=400, code="image_analysis_bad_image", answer=provider(400, "Could not process image")
    ),
    "the provider's limit of requests is reached: 429": Breakage(
        status=429, code="image_analysis_rate_limited", answer=provider(429)
    ),
    "the provider fails: 500": Breakage(status=502, code="image_analysis_unavailable", answer=provider(500)),
    "the provider cannot be reached": Breakage(
        status=502, code="image_analysis_unavailable", vision_model="unreachable"
    ),
    "the provider does not answer within `timeout_seconds`": Breakage(
        status=504, code="image_analysis_timeout", settings={"timeout_seconds": 0.3}, answer={"hangs": True}
    ),
    "the vision model answers without text": Breakage(status=502, code="image_analysis_empty", answer={"text": " "}),
    "`max_output_tokens` is too low for the vision model": Breakage(
        status=502, code="image_analysis_max_output_tokens", answer={"text": " ", "finish_reason": "length"}
    ),
    "the vision model refuses": Breakage(
        status=400, code="image_analysis_refused", answer={"text": " ", "finish_reason": "content_filter"}
    ),
    "image analysis is switched off for the key": Breakage(status=403, code="image_analysis_disabled", key="sk-off"),
    "the key's settings are wrong": Breakage(status=400, code="invalid_image_analysis_metadata", key="sk-misspelt"),
    "`require_key_access`, and the key may not call the vision model": Breakage(
        status=403, code="vision_model_not_allowed", key="sk-chat", settings={"require_key_access": True}
    ),
    "the key may not call the model itself": Breakage(
        status=403, code="key_model_access_denied", key="sk-other", model="deepseek-chat-ocr"
    ),
    "the model's name is misspelt": Breakage(status=400, code="model_not_found", model="deepsek-chat-ocr"),
    "`ocr_model` names no model": Breakage(
        status=400, code="invalid_ocr_model", model="deepseek-chat", body={"ocr_model": "gpt-4o-mni"}
    ),
    "`ocr_model` is not a name": Breakage(
        status=400, code="invalid_ocr_model", model="deepseek-chat", body={"ocr_model": 5}
    ),
    "`ocr_model` is not among `allowed_vision_models`": Breakage(
        status=403,
        code="invalid_ocr_model",
        model="deepseek-chat",
        body={"ocr_model": "gpt-4o-mini"},
        settings={"allowed_vision_models": ("other-vision",)},
    ),
    "the budget for the vision model is used up": Breakage(
        status=budget_exceeded_status(), code="budget_exceeded", key="sk-spent"
    ),
    "the image is larger than `max_image_bytes`": Breakage(
        status=413, code="image_too_large", settings={"max_image_bytes": 100}, url=data_uri("a", size=200)
    ),
    "the image has more pixels than `max_image_pixels`": Breakage(status=413, code="image_too_large", url=HUGE),
    "the image is an SVG": Breakage(status=400, code="image_analysis_unsupported_type", url=SVG),
    "the image is a PDF declared as PNG": Breakage(status=400, code="image_analysis_mislabelled", url=PDF),
    "the image is cut short": Breakage(status=400, code="image_analysis_damaged", url=CUT_SHORT),
    "the image is a path": Breakage(status=400, code="image_analysis_unsupported_source", url="./receipt.png"),
    "the image's URL is not public": Breakage(
        status=400, code="image_analysis_url_not_public", url="http://localhost/receipt.png"
    ),
    "the image's URL has a blank": Breakage(
        status=400, code="image_analysis_url_has_blanks", url="https://images.example.com/my receipt.png"
    ),
    "the image's URL is not allowed: `remote_urls: reject`": Breakage(
        status=400,
        code="image_analysis_url_not_allowed",
        settings={"remote_urls": "reject"},
        url="https://images.example.com/receipt.png",
    ),
    "the image's URL cannot be fetched": Breakage(
        status=400,
        code="image_analysis_not_fetched",
        answer=provider(400, "Error while downloading"),
        url="https://images.example.com/gone.png",
    ),
    "the image is a file at another provider": Breakage(
        status=400, code="image_analysis_not_held", url="gs://bucket/receipt.png"
    ),
}
"""The breakages of requests, by their names in the table."""

said: dict[str, tuple[Breakage, str, str]] = {}
"""The breakages with the messages to the client and the operator."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started_app(
    shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    config = proxy_config(shared_upstream)
    keyless = {"model": "openai/seeing-mini", "api_base": shared_upstream.base_url}
    local = {"model_name": "local-ocr", "litellm_params": {"model": "local-ocr/rapidocr"}}
    with closed_port() as port:
        config["model_list"] += [
            {"model_name": "no-key", "litellm_params": keyless, "model_info": VISION_PRICE},
            deployment("unreachable", "seeing-mini", f"http://127.0.0.1:{port}/v1"),
            local,
        ]
        async with running_app(config, tmp_path_factory.mktemp("app")) as client:
            yield client


@pytest_asyncio.fixture(loop_scope="module")
async def callers(app: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys, by custom authentication."""
    del app
    from litellm.proxy import proxy_server

    async def authenticate(request: object, api_key: str) -> UserAPIKeyAuth:
        return UserAPIKeyAuth(api_key=api_key, **KEYS[api_key])

    spent = f"virtual_key_spend:{hash_token('sk-spent')}:gpt-4o-mini:1d"
    await proxy_server.model_max_budget_limiter.dual_cache.async_set_cache(key=spent, value=2.0)
    monkeypatch.setattr(proxy_server, "user_custom_auth", authenticate)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(local_ocr.provider, "available", lambda: False)  # an extra that is not installed
    monkeypatch.setattr(local_ocr.provider._HANDLER, "_engine", None)  # and was not loaded by another test


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def of_vision(body: Body) -> bool:
    return accepts_images(body["model"])


@pytest.mark.usefixtures("callers")
@pytest.mark.parametrize("name", BREAKAGES)
async def test_the_client_and_the_operator_are_told(
    app: httpx.AsyncClient,
    upstream: Upstream,
    settings: Callable[..., None],
    log: pytest.LogCaptureFixture,
    hanging: threading.Event,
    name: str,
) -> None:
    broken = BREAKAGES[name]
    settings(on_failure="reject", vision_model=broken.vision_model, **broken.settings)
    if broken.answer is not None:
        answer = {"gate": hanging} if broken.answer.get("hangs") else broken.answer
        upstream.rules.append(Rule(of_vision, **answer))
    log_module._told.clear()
    url = broken.url or data_uri(name)  # a new image, because calls for other images may still run
    told = [await ask(app, broken, route, url) for route in ROUTES]
    assert len({PLACE.sub("", message) for message in told}) == 1
    if broken.code not in LITELLM_S:
        assert_reads_well(told[0])
    assert [body for body in upstream.requests if not of_vision(body)] == []
    line = logged(log)
    assert SECRET not in line
    said[name] = broken, told[0], line


async def ask(app: httpx.AsyncClient, broken: Breakage, route: str, url: str) -> str:
    """Send the request on a route, check the error's format there, and return its message."""
    path, body = ROUTES[route](broken.model, url)
    response = await app.post(path, json={**body, **broken.body}, headers={"Authorization": f"Bearer {broken.key}"})
    assert response.status_code == broken.status, response.text
    assert response.headers["x-litellm-image-analysis-error"] == broken.code
    assert SECRET not in response.text
    error = response.json()["error"]
    if route == "generateContent" and WRITES_GOOGLE_ERRORS:
        assert (error["code"], error["details"][0]["reason"]) == (broken.status, broken.code.upper())
    elif route in ("chat", "responses") and SENDS_ERRORS_OF_HOOKS and broken.code not in LITELLM_S:
        assert error["code"] == broken.code
    return str(error["message"])


def assert_reads_well(message: str) -> None:
    """Check that the message is a sentence and says what to do."""
    assert message.endswith((".", ")")), message
    advice = r"[Tt]ry|[Ss]end|[Ww]rite|[Nn]ame|[Aa]sk|[Cc]all|[Cc]hange|[Aa]dd|[Cc]an|it must be|may"
    assert re.search(advice, message), message


def logged(log: pytest.LogCaptureFixture) -> str:
    """The log line with the cause of an error, else the line of the request."""
    lines = [record for record in log.records if record.name == "LiteLLM.image_analysis"]
    causes = [line for line in lines if line.levelno == logging.ERROR]
    warnings = [line for line in lines if line.levelno == logging.WARNING]
    for line in (*causes[:1], *warnings[:1]):
        words = re.sub(r"request_id=\S+ |duration_ms=\S+ |cost_usd=\S+ |cached=\S+ |images=\S+ ", "", line.getMessage())
        return f"{line.levelname} {words}"
    return ""


def cell(words: str) -> str:
    # The models that accept images are in LiteLLM's cost map, to which other tests of this process add.
    words = re.sub(r"(one of|you may call): [^.]*\.", r"\1: gpt-4o-mini, ….", words)
    return words.replace("|", "\\|").replace("<", "&lt;")


def table() -> str:
    lines = ["| what is wrong | the proxy starts | the operator reads |", "|---|---|---|"]
    lines += [
        f"| {name} | {'yes' if STARTS[name][1] else 'no'} | {cell(words)} |" for name, words in start_said.items()
    ]
    lines += ["", "| what is wrong | status | code | the client reads | the log says |", "|---|---|---|---|---|"]
    for name, (broken, message, line) in said.items():
        lines.append(f"| {name} | {broken.status} | `{broken.code}` | {cell(message)} | {cell(line)} |")
    return "\n".join(lines)


async def test_the_docs_show_the_tables_of_this_run() -> None:
    if said.keys() != BREAKAGES.keys() or start_said.keys() != STARTS.keys():
        pytest.skip("not all of them were tried")
    expect_table(DOCS, table())
