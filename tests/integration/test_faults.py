"""Faults of the vision model's provider, in LiteLLM's own app: each has the configured result."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest
import pytest_asyncio
from litellm.integrations.custom_logger import CustomLogger
from support.app import running_app
from support.billing import ROUTES
from support.configs import deployment, proxy_config
from support.docs import expect_table
from support.images import data_uri, image, message, text
from support.misbehaving import FLOOD_BYTES, KEY, LEAKS, Misbehaving, closed_port, mark_of, running_misbehaving
from support.upstream import Body, Upstream, description_of, images_in

import litellm_image_analysis
from litellm_image_analysis import ImageAnalysisConfig
from litellm_image_analysis.analysis.outcomes import FailureReason

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCS = Path(__file__).parents[2] / "docs" / "failure-modes.md"
UNHEARD_OF = "unheard-of.invalid"
CUT = "[The description was cut here at its length limit.]"
SECONDS, SECONDS_OF_A_HANG = 20.0, 0.3


@dataclass(frozen=True)
class Fault:
    """A fault of the vision call for an image whose mark begins with ``word``.

    Attributes:
        word: one of ``support.misbehaving.BEHAVIOURS``, or of ``Detour``.
        result: the reason why there is no analysis. ``None`` if there is one that is cut.
        retry_after: the ``Retry-After`` of the response, in seconds.
        hangs: whether the request waits for its deadline.
    """

    word: str
    result: FailureReason | None
    retry_after: str | None = None
    hangs: bool = False


FAULTS: dict[str, Fault] = {
    "refuses the connection": Fault("refused", FailureReason.UNAVAILABLE),
    "has an unknown host name: DNS error": Fault("dns", FailureReason.UNAVAILABLE),
    "does not speak TLS on an https address": Fault("tls", FailureReason.UNAVAILABLE),
    "resets the connection": Fault("reset", FailureReason.UNAVAILABLE),
    "does not speak HTTP": Fault("no-http", FailureReason.UNAVAILABLE),
    "answers 400": Fault("400", FailureReason.REJECTED),
    "answers 401": Fault("401", FailureReason.MISCONFIGURED),
    "answers 403": Fault("403", FailureReason.MISCONFIGURED),
    "answers 404": Fault("404", FailureReason.MISCONFIGURED),
    "answers 408": Fault("408", FailureReason.TIMEOUT),
    "answers 429": Fault("429", FailureReason.RATE_LIMITED),
    "answers 429 with `Retry-After: 7`": Fault("429-later", FailureReason.RATE_LIMITED, "7"),
    "answers 429 with a date in `Retry-After`": Fault("429-date", FailureReason.RATE_LIMITED, "0"),
    "answers 500": Fault("500", FailureReason.UNAVAILABLE),
    "answers 503": Fault("503", FailureReason.UNAVAILABLE),
    "answers 503 with `Retry-After: 6.5`": Fault("503-later", FailureReason.UNAVAILABLE, "7"),
    "takes longer than the deployment's `timeout`": Fault("timeout", FailureReason.TIMEOUT),
    "hangs before the response headers": Fault("hang", FailureReason.TIMEOUT, hangs=True),
    "hangs in the response body": Fault("hang-in-body", FailureReason.TIMEOUT, hangs=True),
    "sends single bytes slowly": Fault("drip", FailureReason.TIMEOUT, hangs=True),
    "ends the body too early": Fault("cut", FailureReason.UNAVAILABLE),
    "ends a chunked body too early": Fault("cut-chunks", FailureReason.UNAVAILABLE),
    "answers with HTML": Fault("html", FailureReason.UNAVAILABLE),
    "answers with broken JSON": Fault("no-json", FailureReason.UNAVAILABLE),
    "answers with JSON of another shape": Fault("other-json", FailureReason.UNAVAILABLE),
    "answers 200 with an error object": Fault("error-in-200", FailureReason.UNAVAILABLE),
    "answers with an empty list of choices": Fault("no-choices", FailureReason.EMPTY),
    "answers with an empty text": Fault("empty", FailureReason.EMPTY),
    "calls a tool": Fault("tool-call", FailureReason.EMPTY),
    "answers with a refusal of the model": Fault("refusal", FailureReason.REFUSED),
    "filters its answer": Fault("filtered", FailureReason.REFUSED),
    "ends at its token limit": Fault("truncated", None),
    "answers with 100 MB": Fault("flood", None),
}
"""All faults, by their names in the table."""

measured: dict[str, dict[str, str]] = {}
"""The results, by fault and policy."""


class Detour(CustomLogger):
    """Sends the vision calls for some images to an address without a provider, or gives them a short timeout."""

    def __init__(self, provider: Misbehaving, nobody: int) -> None:
        super().__init__()
        self._base_url = provider.base_url
        self._changes: dict[str, dict[str, Any]] = {
            "refused": {"api_base": f"http://127.0.0.1:{nobody}/v1"},
            "dns": {"api_base": f"http://{UNHEARD_OF}/v1"},
            "tls": {"api_base": provider.base_url.replace("http:", "https:")},
            "timeout": {"timeout": 0.1},
        }

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        del call_type
        marks = map(mark_of, images_in(kwargs.get("messages"))) if kwargs.get("api_base") == self._base_url else ()
        changes = [self._changes[word] for word in (mark.split()[0] for mark in marks) if word in self._changes]
        return {**kwargs, **changes[0]} if changes else None


@pytest.fixture(scope="module")
def vision_provider() -> Iterator[Misbehaving]:
    with running_misbehaving() as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    shared_upstream: Upstream, vision_provider: Misbehaving, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    config = proxy_config(shared_upstream, timeout_seconds=SECONDS, cache={"backend": "memory"})
    eyes = deployment("gpt-4o-mini", "eyes", vision_provider.base_url)
    eyes["litellm_params"]["api_key"] = KEY
    config["model_list"] = [eyes, *(model for model in config["model_list"] if model["model_name"] != "gpt-4o-mini")]
    with closed_port() as nobody:
        async with running_app(config, tmp_path_factory.mktemp("gateway")) as client:
            litellm.callbacks.append(Detour(vision_provider, nobody))
            yield client


@pytest.fixture(autouse=True)
def a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve a name to an error without a name server."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == UNHEARD_OF:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture(autouse=True)
def nothing_hangs_on(vision_provider: Misbehaving) -> Iterator[None]:
    yield
    vision_provider.hang_up()


class Gateway:
    """The gateway during one fault."""

    def __init__(self, client: httpx.AsyncClient, upstream: Upstream, provider: Misbehaving, fault: Fault) -> None:
        self.client, self.upstream, self.provider, self.fault = client, upstream, provider, fault

    async def ask(self, model: str, images: int, route: str = "chat") -> Asked:
        """Send a request with the bad image, alone or as the third of five."""
        asked = Asked(self.fault, images)
        if route == "chat":
            said = [message(text(asked.name)), {"role": "assistant", "content": "?"}]
            parts = message(text("What is it?"), *map(image, asked.marks))
            path, body = "/v1/chat/completions", {"model": model, "messages": [*said, parts]}
        else:
            path, body = ROUTES[route](model, asked.name, asked.marks, stream=False)
        asked.response = await self.client.post(path, json=body)
        asked.read = [body for body in self.upstream.of(asked.name) if body["model"] != "eyes"]
        self.expect_no_leak(asked)
        return asked

    async def remember_others(self) -> None:
        """Let the good images be analysed first, because the deadline may be too short for them on a busy machine."""
        parts = message(text("What is it?"), *map(image, Asked(self.fault, 5).others))
        await self.client.post("/v1/chat/completions", json={"model": "deepseek-chat-ocr", "messages": [parts]})

    def expect_no_leak(self, asked: Asked) -> None:
        told = f"{asked.response.text} {asked.response.headers} {asked.read}"
        address = self.provider.base_url.removeprefix("http://")
        assert [leak for leak in (LEAKS, KEY, address, UNHEARD_OF, "Traceback") if leak in told] == []


class Asked:
    """One request: its images, the answer, and the request to the text model."""

    response: httpx.Response
    read: list[Body]

    def __init__(self, fault: Fault, images: int) -> None:
        self.name = f"request {secrets.token_hex(6)}"
        self.bad = f"{fault.word} {'' if fault.result is None else self.name}"  # unique, if the answer is small
        self.others = [f"fine {number}" if fault.hangs else f"fine {fault.word} {number}" for number in range(4)]
        self.marks = [*self.others[:2], self.bad, *self.others[2:]] if images == 5 else [self.bad]
        number = 1 + self.marks.index(self.bad)
        self.label, self.rejected = f"Image {number} of {images} in this message", f"image {number} of {images}"

    @property
    def content(self) -> Any:
        """The content of the message with the images, as the text model got it."""
        assert self.response.status_code == 200, self.response.text
        (body,) = self.read
        return body["messages"][-1]["content"]

    @property
    def words(self) -> str:
        return (
            self.content
            if isinstance(self.content, str)
            else "\n\n".join(part.get("text", "") for part in self.content)
        )

    def expect_others(self) -> None:
        """Check that every other image has its own analysis in its place."""
        found = re.findall(r"Image (\d) of \d in this message, described by [^<]*(a picture with mark \w+)", self.words)
        seen = [(str(place), description_of(data_uri(mark))) for place, mark in enumerate(self.marks, 1)]
        assert found == [one for one, mark in zip(seen, self.marks, strict=True) if mark != self.bad]

    def expect_headers(self, *, replaced: int, failed: int) -> None:
        told = {name: self.response.headers[f"x-litellm-image-analysis-{name}"] for name in ("images", "failed")}
        assert told == {"images": str(replaced), "failed": str(failed)}


@pytest.mark.parametrize("name", FAULTS)
async def test_exactly_what_is_configured(
    gateway: httpx.AsyncClient,
    upstream: Upstream,
    vision_provider: Misbehaving,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    fault = FAULTS[name]
    under_fault = Gateway(gateway, upstream, vision_provider, fault)
    plugin, results = litellm_image_analysis.image_analysis, dict[str, str]()
    if fault.hangs:
        await under_fault.remember_others()
    for policy, expected in (("placeholder", expect_note), ("reject", expect_rejection), ("keep", expect_image)):
        seconds = SECONDS_OF_A_HANG if fault.hangs else SECONDS
        config = ImageAnalysisConfig.from_settings({"on_failure": policy, "timeout_seconds": seconds})
        monkeypatch.setattr(plugin, "config", config)
        results[policy] = await (expect_part if fault.result is None else expected)(under_fault)
    measured[name] = results


async def expect_part(gateway: Gateway) -> str:
    """Check that an incomplete analysis is used, marked as cut, with every policy."""
    one, five = await asyncio.gather(gateway.ask("deepseek-chat-ocr", 1), gateway.ask("deepseek-chat-ocr", 5))
    for asked in (one, five):
        assert f"{asked.label}, described by gpt-4o-mini" in asked.words
        assert asked.words.count(CUT) == 1
        assert len(asked.words) < FLOOD_BYTES // 1000
        asked.expect_others()
        asked.expect_headers(replaced=len(asked.marks), failed=0)
    return "the analysis so far, marked as cut"


async def expect_note(gateway: Gateway) -> str:
    result = gateway.fault.result
    assert result is not None
    one, five = await asyncio.gather(gateway.ask("deepseek-chat-ocr", 1), gateway.ask("deepseek-chat-ocr", 5))
    for asked in (one, five):
        assert images_in(asked.read) == []
        advice = f" {result.advice}" if result.is_the_images else ""
        note = f"\n\n[{asked.label} could not be read: {result.clause}.{advice} You know nothing about what it shows."
        assert asked.words.count(note) == asked.words.count("You know nothing about what it shows.") == 1
        asked.expect_others()
        asked.expect_headers(replaced=len(asked.marks), failed=1)
    return result.clause


async def expect_rejection(gateway: Gateway) -> str:
    result = gateway.fault.result
    assert result is not None
    five, *ones = await asyncio.gather(
        gateway.ask("deepseek-chat-ocr", 5), *(gateway.ask("deepseek-chat-ocr", 1, route) for route in ROUTES)
    )
    for asked in (five, *ones):
        assert asked.response.status_code == result.status_code
        assert asked.response.json()["error"]["message"].endswith(
            f" ({asked.rejected}): {result.clause}. {result.advice}"
        )
        assert asked.response.headers.get("retry-after") == gateway.fault.retry_after
        assert asked.read == []
    after = f", `retry-after: {gateway.fault.retry_after}`" if gateway.fault.retry_after else ""
    return f"{result.status_code}{after}"


async def expect_image(gateway: Gateway) -> str:
    one, five = await asyncio.gather(gateway.ask("multimodal-ocr", 1), gateway.ask("multimodal-ocr", 5))
    for asked in (one, five):
        assert images_in(asked.read) == [data_uri(asked.bad)]
        asked.expect_others()
        asked.expect_headers(replaced=len(asked.marks) - 1, failed=1)
    return "the image"


def table() -> str:
    lines = [
        "| the provider | `placeholder`: it reads | `reject`: the client gets | `keep`: it gets |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {' | '.join(results.values())} |" for name, results in measured.items()]
    return "\n".join(lines)


async def test_the_docs_show_the_table_of_this_run() -> None:
    if measured.keys() != FAULTS.keys():
        pytest.skip("not all faults were tried")
    expect_table(DOCS, table())
