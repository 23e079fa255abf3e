"""Every way to call LiteLLM sends the same request to a text-only model and costs the same: all places, all ways to ask
for analysis, all wire formats, with and without streaming.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import litellm
import pytest
from anyio.lowlevel import checkpoint
from litellm.exceptions import BadRequestError
from litellm.google_genai import agenerate_content, agenerate_content_stream
from litellm.integrations.custom_logger import CustomLogger
from litellm.router import Router
from support.billing import ROUTES
from support.configs import BASE_PRICE, VISION_PRICE, deployment, proxy_config
from support.proxy import Proxy, eventually, running_proxy
from support.sdk_features import needs_logging_in_hooks, needs_stream_prices
from support.upstream import MAIN_COST, VISION_COST, Upstream, images_in

import litellm_image_analysis as analysed
from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig, RequestError

BLIND, EYES = "openai/blind-chat", "openai/seeing-mini"
TOTAL = MAIN_COST + VISION_COST
WAYS_TO_ASK: dict[str, dict[str, Any]] = {
    "suffix": {"model": f"{BLIND}-ocr"},
    "parameter": {"model": BLIND, "ocr_model": EYES},
    "auto": {"model": BLIND},
}
_FENCE = re.compile(r"image-analysis-[0-9a-f]{12}")

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # LiteLLM's own


class Bookkeeper(CustomLogger):
    """Sums the costs that LiteLLM reports to loggers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name  # LiteLLM treats two loggers with the same attributes as one
        self.costs: list[float] = []

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.costs.append(kwargs["response_cost"])

    def told(self) -> list[float]:
        """USD since the last call of this method, by call."""
        costs, self.costs = self.costs, []
        return costs


@dataclass
class Place:
    """A place where LiteLLM runs.

    Attributes:
        ask: makes a call, given the route, whether it streams, the marks of its images, the number of costs to expect,
            and the arguments that ask for analysis.
        costs: USD that were reported since the last call of this function, one value for each call in code.
    """

    ask: Callable[..., None]
    costs: Callable[[], list[float]]
    is_proxy: bool = False


SECONDS_UNTIL_TOLD = 20
"""Seconds to wait for a cost, because loggers are called after the response."""
MODELS = (
    ("blind-chat", BLIND, {**BASE_PRICE, "supports_vision": False}),
    ("seeing-mini", EYES, {**VISION_PRICE, "supports_vision": True}),
)


@pytest.fixture(scope="module")
def auto_proxy(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config = proxy_config(shared_upstream, vision_model=EYES, mode="auto")
    config["model_list"] = [deployment(name, model, shared_upstream.base_url, **info) for model, name, info in MODELS]
    with running_proxy(config, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


def of_the_proxy(proxy: Proxy) -> Place:
    told: list[float] = []

    def ask(route: str, *, stream: bool, images: list[str], costs: int, model: str, **asked: Any) -> None:
        del costs
        path, body = ROUTES[route](model, "What is it?", images, stream=stream)
        with proxy.client() as client:
            response = client.post(path, json={**body, **asked})
        assert response.status_code == 200, response.text
        vision = float(response.headers["x-litellm-image-analysis-cost"])
        # The headers of a stream cannot have its cost.
        told.append(vision + MAIN_COST if stream else float(response.headers["x-litellm-response-cost-total"]))

    return Place(ask, lambda: [told.pop()], is_proxy=True)


@pytest.fixture
def library(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Bookkeeper:
    """LiteLLM as in a program, with a logger of the program."""
    prices = {name: {**info, "litellm_provider": "openai", "mode": "chat"} for _, name, info in MODELS}
    bookkeeper = Bookkeeper("the program's")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a")
    monkeypatch.setenv("OPENAI_BASE_URL", upstream.base_url)
    monkeypatch.setattr(litellm, "model_cost", {**litellm.model_cost, **prices})
    monkeypatch.setattr(litellm, "callbacks", [bookkeeper])
    return bookkeeper


CONFIG = ImageAnalysisConfig(vision_model=EYES, mode="auto")


def attached(upstream: Upstream) -> Router:
    router = Router(
        model_list=[deployment(name, model, upstream.base_url, **info) for model, name, info in MODELS], num_retries=0
    )
    ImageAnalysis(CONFIG).attach(router)
    return router


Calls = dict[tuple[str, bool], Callable[..., Any]]
"""By wire format, and whether it streams."""


def both(**functions: Callable[..., Any]) -> Calls:
    return {(route, stream): call for route, call in functions.items() for stream in (False, True)}


def in_a_loop(calls: Calls, bookkeeper: Bookkeeper) -> Place:
    def ask(route: str, **asked: Any) -> None:
        asyncio.run(call(route, **asked))

    async def call(route: str, *, stream: bool, images: list[str], costs: int, model: str, **asked: Any) -> None:
        _, body = ROUTES[route](model, "What is it?", images, stream=stream)
        response = await calls[route, stream](**{**body, "model": model, **asked})
        if stream:
            assert [chunk async for chunk in response]
        with anyio.move_on_after(SECONDS_UNTIL_TOLD):
            while len(bookkeeper.costs) < costs:
                await checkpoint()

    return Place(ask, bookkeeper.told)


def blocking(calls: Calls, bookkeeper: Bookkeeper) -> Place:
    def ask(route: str, *, stream: bool, images: list[str], costs: int, model: str, **asked: Any) -> None:
        _, body = ROUTES[route](model, "What is it?", images, stream=stream)
        response = calls[route, stream](**{**body, "model": model, **asked})
        if stream:
            assert list(response)
        eventually(lambda: len(bookkeeper.costs) >= costs, SECONDS_UNTIL_TOLD)

    return Place(ask, bookkeeper.told)


def of_litellm_in_a_loop() -> Calls:
    calls = both(chat=litellm.acompletion, messages=litellm.anthropic_messages, responses=litellm.aresponses)
    content = {("generateContent", False): agenerate_content, ("generateContent", True): agenerate_content_stream}
    return calls | content


def of_a_router_in_a_loop(router: Router) -> Calls:
    calls = both(chat=router.acompletion, messages=router.aanthropic_messages, responses=router.aresponses)
    content = {
        ("generateContent", False): router.agenerate_content,
        ("generateContent", True): router.agenerate_content_stream,
    }
    return calls | content


def of_a_router_that_blocks(router: Router) -> Calls:
    calls = both(chat=router.completion, responses=router.responses)
    content = {
        ("generateContent", False): router.generate_content,
        ("generateContent", True): router.generate_content_stream,
    }
    return calls | content


@pytest.fixture
def place(request: pytest.FixtureRequest, upstream: Upstream) -> Place:
    """A place where LiteLLM runs, by name."""
    name = request.param
    if name == "proxy":
        return of_the_proxy(request.getfixturevalue("auto_proxy"))
    bookkeeper: Bookkeeper = request.getfixturevalue("library")
    if name in ("SDK async", "SDK sync"):
        litellm.callbacks.append(ImageAnalysis(CONFIG))
    if name == "SDK async":
        return in_a_loop(of_litellm_in_a_loop(), bookkeeper)
    if name == "SDK sync":
        return blocking(both(chat=analysed.completion, responses=analysed.responses), bookkeeper)
    if name == "Router async":
        return in_a_loop(of_a_router_in_a_loop(attached(upstream)), bookkeeper)
    return blocking(of_a_router_that_blocks(attached(upstream)), bookkeeper)


SERVED = {
    "proxy": list(ROUTES),
    "SDK async": list(ROUTES),
    "SDK sync": ["chat", "responses"],
    "Router async": list(ROUTES),
    "Router sync": ["chat", "responses", "generateContent"],
}
HAS_PROXY = find_spec("fastapi") is not None
"""Whether LiteLLM is installed with its proxy."""


def missing(name: str, route: str, *, stream: bool) -> list[pytest.MarkDecorator]:
    """The feature that the installed LiteLLM lacks for a case, with or without image analysis."""
    if HAS_PROXY:
        return []
    if name == "proxy":
        return [pytest.mark.skip("LiteLLM is installed without its proxy")]
    if route == "messages" and stream:
        return [pytest.mark.skip("without its proxy LiteLLM lacks fastapi, which its own streams of messages import")]
    return []


CELLS = [
    pytest.param(
        *(name, route, way, stream),
        id=f"{name}-{way}-{route}-{'stream' if stream else 'whole'}",
        marks=missing(name, route, stream=stream),
    )
    for name, routes in SERVED.items()
    for route in routes
    for way in WAYS_TO_ASK
    for stream in (False, True)
]


@pytest.fixture(scope="module")
def prices_streams(shared_upstream: Upstream) -> Callable[[str], bool]:
    """Whether LiteLLM itself reports the cost of a stream of a route to a program's logger."""

    @cache
    def tells(route: str) -> bool:
        bookkeeper = Bookkeeper("for streams")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(litellm, "callbacks", [bookkeeper])
            place = in_a_loop(of_litellm_in_a_loop(), bookkeeper)
            place.ask(route, stream=True, images=[], costs=1, model=BLIND)
        shared_upstream.reset()
        return place.costs() == [pytest.approx(MAIN_COST, abs=1e-12)]

    return tells


@pytest.fixture(scope="module")
def asked_of_blind() -> dict[tuple[str, bool], Any]:
    """The first request to the text-only model, by wire format and streaming. All others must be equal."""
    return {}


@pytest.mark.parametrize(("place", "route", "way", "stream"), CELLS, indirect=["place"])
def test_the_same_is_asked_and_it_costs_the_same(
    place: Place,
    upstream: Upstream,
    asked_of_blind: dict[tuple[str, bool], Any],
    prices_streams: Callable[[str], bool],
    record_property: Callable[[str, object], None],
    route: str,
    way: str,
    stream: bool,
) -> None:
    priced = place.is_proxy or not stream or prices_streams(route)
    place.ask(route, stream=stream, images=["a"], costs=2 if priced else 1, **WAYS_TO_ASK[way])
    assert [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-chat"]
    asked = upstream.requests[1]
    assert not images_in(asked)
    assert "ocr_model" not in asked
    assert upstream.charged == pytest.approx(TOTAL, abs=1e-12)
    conversation = _FENCE.sub("fence", str(asked.get("messages", asked.get("input"))))
    assert "a picture with mark" in conversation
    assert asked_of_blind.setdefault((route, stream), conversation) == conversation
    costs = place.costs()
    if priced:
        assert sum(costs) == pytest.approx(TOTAL, abs=1e-12)
    else:
        assert pytest.approx(VISION_COST, abs=1e-12) in costs
        record_property(
            "but", "LiteLLM tells loggers a wrong price of this stream, or none, also without image analysis"
        )


@needs_stream_prices
@pytest.mark.parametrize("route", [*ROUTES] if HAS_PROXY else [route for route in ROUTES if route != "messages"])
def test_litellm_prices_its_own_streams(library: Bookkeeper, prices_streams: Callable[[str], bool], route: str) -> None:
    del library
    assert prices_streams(route)


def messages_of(route: str) -> dict[str, Any]:
    _, body = ROUTES[route]("", "What is it?", ["a"], stream=False)
    return {key: value for key, value in body.items() if key not in ("model", "stream")}


UNSERVED: dict[str, tuple[Callable[[Router], object], type[Exception], str]] = {
    "litellm.completion": (
        lambda _: litellm.completion(model=f"{BLIND}-ocr", **messages_of("chat")),
        BadRequestError,
        "takes no images",
    ),
    "litellm.responses": (
        lambda _: litellm.responses(model=f"{BLIND}-ocr", **messages_of("responses")),
        BadRequestError,
        "takes no images",
    ),
    "Router.acompletion by suffix, not attached": (
        lambda router: asyncio.run(router.acompletion(model=f"{BLIND}-ocr", **messages_of("chat"))),
        BadRequestError,
        "no healthy deployments",
    ),
    "Router.acompletion by parameter, not attached": (
        lambda router: asyncio.run(router.acompletion(model=BLIND, ocr_model=EYES, **messages_of("chat"))),
        RequestError,
        r"ImageAnalysis\(\)\.attach\(router\) once",
    ),
    "Router.completion by suffix, not attached": (
        lambda router: router.completion(model=f"{BLIND}-ocr", **messages_of("chat")),
        BadRequestError,
        "no healthy deployments",
    ),
    "positional arguments": (
        lambda _: asyncio.run(litellm.acompletion(f"{BLIND}-ocr", messages_of("chat")["messages"])),
        RequestError,
        "pass model and messages by name",
    ),
}
"""Calls that cannot be served, and the error of each. docs/library.md lists them."""


CASES = [
    pytest.param(name, marks=needs_logging_in_hooks) if name == "positional arguments" else name for name in UNSERVED
]


@pytest.mark.parametrize("name", CASES)
def test_what_litellm_cannot_serve_is_an_error(library: Bookkeeper, upstream: Upstream, name: str) -> None:
    del library
    litellm.callbacks.append(ImageAnalysis(CONFIG))
    call, error, message = UNSERVED[name]
    router = Router(model_list=[deployment(of, model, upstream.base_url, **info) for model, of, info in MODELS])
    with pytest.raises(error, match=message):
        call(router)
    assert EYES.removeprefix("openai/") not in [body["model"] for body in upstream.requests]
    page = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
    assert f"| `{name}`" in page or f"| {name}" in page
