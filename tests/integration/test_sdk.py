"""LiteLLM as a library: ``litellm.callbacks = [ImageAnalysis()]`` and ``litellm.acompletion``."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import litellm
import pytest
from anyio import wait_all_tasks_blocked
from litellm.exceptions import BadRequestError
from litellm.google_genai import agenerate_content, agenerate_content_stream
from litellm.integrations.custom_logger import CustomLogger
from litellm.router import Router
from litellm.router_utils.cooldown_handlers import _async_get_cooldown_deployments
from support.billing import ROUTES
from support.configs import BASE_PRICE, VISION_PRICE, deployment
from support.images import image, message, text
from support.sdk_features import needs_bridge_prices, needs_fallback_notes, needs_logging_in_hooks, needs_stream_prices
from support.upstream import MAIN_COST, VISION_COST, Rule, Upstream, images_in

from litellm_image_analysis import AttemptError, CacheConfig, ImageAnalysis, ImageAnalysisConfig, RequestError, report
from litellm_image_analysis.compat import view_of

Ask = Callable[..., Awaitable[Any]]
VISION = "openai/seeing-mini"


@pytest.fixture
def ask(provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """``litellm.acompletion`` with the plugin and the provider on loopback."""
    del provider
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(ImageAnalysisConfig(vision_model=VISION))])
    return partial(litellm.acompletion, messages=[message(text("?"), image("a"))])


class Bookkeeper(CustomLogger):
    """A logger of the program that sums the costs that LiteLLM reports."""

    def __init__(self) -> None:
        super().__init__()
        self.costs: list[float] = []

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        assert kwargs["standard_logging_object"]["response_cost"] == kwargs["response_cost"]
        self.costs.append(kwargs["response_cost"])


@pytest.fixture
def bookkeeper() -> Bookkeeper:
    return Bookkeeper()


@pytest.fixture(params=["library", "router"])
def functions(
    request: pytest.FixtureRequest, provider: Upstream, bookkeeper: Bookkeeper, monkeypatch: pytest.MonkeyPatch
) -> Functions:
    """LiteLLM's functions by route, with the plugin and the names of models."""
    monkeypatch.setattr(litellm, "callbacks", [bookkeeper])
    if request.param == "library":
        litellm.callbacks.append(ImageAnalysis(ImageAnalysisConfig(vision_model=VISION)))
        calls = (litellm.acompletion, litellm.anthropic_messages, litellm.aresponses, agenerate_content)
        return Functions(dict(zip(ROUTES, calls, strict=True)), agenerate_content_stream, "openai/blind-chat", VISION)
    router = Router(
        model_list=[
            deployment("deepseek-chat", "blind-chat", provider.base_url, **BASE_PRICE),
            deployment("gpt-4o-mini", "seeing-mini", provider.base_url, **VISION_PRICE),
        ]
    )
    ImageAnalysis().attach(router)
    calls = (router.acompletion, router.aanthropic_messages, router.aresponses, router.agenerate_content)
    return Functions(
        dict(zip(ROUTES, calls, strict=True)), router.agenerate_content_stream, "deepseek-chat", "gpt-4o-mini"
    )


@dataclass(frozen=True)
class Functions:
    """A set of functions to call LiteLLM.

    Attributes:
        by_route: its asynchronous functions.
        stream_content: the function for a stream of generateContent.
        model: the text-only model.
        vision_model: the vision model.
    """

    by_route: dict[str, Ask]
    stream_content: Ask
    model: str
    vision_model: str

    async def ask(self, route: str, *, stream: bool, **asked: Any) -> Any:
        _, body = ROUTES[route](asked["model"], "What is it?", ["a"], stream=stream)
        call = self.stream_content if stream and route == "generateContent" else self.by_route[route]
        response = await call(**{**body, **asked})
        return [chunk async for chunk in response] if stream else response


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", ["suffix", "parameter"])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_text_only_model_answers(
    functions: Functions, provider: Upstream, bookkeeper: Bookkeeper, route: str, way: str, stream: bool
) -> None:
    suffixed, named = {"model": f"{functions.model}-ocr"}, {"model": functions.model}
    asked = suffixed if way == "suffix" else {**named, "ocr_model": functions.vision_model}
    await functions.ask(route, stream=stream, **asked)
    assert [body["model"] for body in provider.requests] == ["seeing-mini", "blind-chat"]
    assert not images_in(provider.requests[1])
    assert "ocr_model" not in provider.requests[1]
    assert "metadata" not in provider.requests[1]


@pytest.mark.parametrize(
    "route", [pytest.param(name, marks=needs_bridge_prices if name == "generateContent" else ()) for name in ROUTES]
)
async def test_the_caller_sees_what_both_calls_cost_and_loggers_what_each_does(
    functions: Functions, provider: Upstream, bookkeeper: Bookkeeper, route: str
) -> None:
    response = await functions.ask(route, stream=False, model=f"{functions.model}-ocr")
    hidden = response["_hidden_params"] if isinstance(response, dict) else response._hidden_params
    assert hidden["response_cost"] == pytest.approx(MAIN_COST + VISION_COST, abs=1e-12)
    found = report(response)
    assert found is not None
    assert found.total_cost == pytest.approx(MAIN_COST + VISION_COST, abs=1e-12)
    assert found.base_cost == pytest.approx(MAIN_COST, abs=1e-12)
    assert found.cost == pytest.approx(VISION_COST, abs=1e-12)
    assert (found.model, found.images, found.reasons) == (functions.vision_model, 1, ())
    assert await logged(bookkeeper, 2) == pytest.approx([VISION_COST, MAIN_COST], abs=1e-12)


@needs_stream_prices
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # LiteLLM's own
@pytest.mark.parametrize("route", ROUTES)
async def test_loggers_see_what_each_call_of_a_stream_costs(
    functions: Functions, provider: Upstream, bookkeeper: Bookkeeper, route: str
) -> None:
    await functions.ask(route, stream=True, model=f"{functions.model}-ocr")
    assert await logged(bookkeeper, 2) == pytest.approx([VISION_COST, MAIN_COST], abs=1e-12)


async def logged(bookkeeper: Bookkeeper, count: int) -> list[float]:
    """Wait for LiteLLM's logging tasks."""
    with anyio.fail_after(10):
        while len(bookkeeper.costs) < count:
            await wait_all_tasks_blocked()
    return bookkeeper.costs


async def test_a_router_s_retry_does_not_pay_again(functions: Functions, provider: Upstream) -> None:
    provider.rules.append(Rule(lambda body: body["model"] == "blind-chat", status=500, times=1))
    await functions.ask("chat", stream=False, model=f"{functions.model}-ocr", num_retries=1)
    assert [body["model"] for body in provider.requests] == ["seeing-mini", "blind-chat", "blind-chat"]


async def test_two_instances_are_an_error_where_analysis_is_asked_for(ask: Ask, upstream: Upstream) -> None:
    litellm.callbacks.append(ImageAnalysis())
    with pytest.raises(RequestError, match="holds 2 instances of ImageAnalysis: register one") as caught:
        await ask(model="openai/blind-chat-ocr")
    assert caught.value.code == "several_instances"
    assert upstream.requests == []
    await ask(model="openai/seeing-chat")


@needs_logging_in_hooks
async def test_positional_arguments_with_a_suffix_are_an_error_that_says_what_to_do(
    ask: Ask, upstream: Upstream
) -> None:
    del ask
    with pytest.raises(RequestError, match="pass model and messages by name"):
        await litellm.acompletion("openai/blind-chat-ocr", [message(image("a"))])
    assert upstream.requests == []


async def test_a_router_without_the_vision_model_is_an_error_that_says_what_to_do(
    provider: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "callbacks", [])
    router = Router(model_list=[deployment("deepseek-chat", "blind-chat", provider.base_url)], num_retries=0)
    ImageAnalysis().attach(router)
    messages: Any = [message(image("a"))]
    with pytest.raises(RequestError, match=r"vision_model: the attached router serves no model 'gpt-4o-mini'\. Add a"):
        await router.acompletion(model="deepseek-chat-ocr", messages=messages)
    assert provider.requests == []


class TestARouterThatIsAttachedAgain:
    """Only the registered instance serves its calls."""

    MESSAGES: Any = (message(text("?"), image("a")),)

    @pytest.fixture
    def router(self, provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> Router:
        monkeypatch.setattr(litellm, "callbacks", [])
        names = {"deepseek-chat": "blind-chat", "gpt-4o-mini": "seeing-mini", "eyes": "seeing-eyes"}
        return Router(
            model_list=[deployment(name, model, provider.base_url) for name, model in names.items()], num_retries=0
        )

    @staticmethod
    def attach(router: Router, **settings: Any) -> ImageAnalysis:
        litellm.callbacks.clear()
        return ImageAnalysis(ImageAnalysisConfig(cache=CacheConfig(backend="off"), **settings)).attach(router)

    async def asked(self, router: Router, provider: Upstream, name: str) -> list[str]:
        """The models that a call reaches."""
        provider.requests.clear()
        await router.acompletion(model=name, messages=list(self.MESSAGES))
        return [body["model"] for body in provider.requests]

    async def test_the_new_settings_hold(self, router: Router, provider: Upstream) -> None:
        self.attach(router)
        assert await self.asked(router, provider, "deepseek-chat-ocr") == ["seeing-mini", "blind-chat"]
        self.attach(router, vision_model="eyes", suffix="-see")
        assert await self.asked(router, provider, "deepseek-chat-see") == ["seeing-eyes", "blind-chat"]
        with pytest.raises(BadRequestError):
            await self.asked(router, provider, "deepseek-chat-ocr")

    async def test_without_a_suffix_no_name_has_one(self, router: Router, provider: Upstream) -> None:
        self.attach(router)
        self.attach(router, suffix=None)
        with pytest.raises(BadRequestError):
            await self.asked(router, provider, "deepseek-chat-ocr")

    async def test_one_that_was_removed_asks_for_nothing(self, router: Router, provider: Upstream) -> None:
        self.attach(router)
        litellm.callbacks.clear()
        with suppress(BadRequestError):  # LiteLLM 1.110 no longer knows the name
            await router.acompletion(model="deepseek-chat-ocr", messages=[{"role": "user", "content": "?"}])
        assert not any("ocr_model" in body for body in provider.requests)

    async def test_aliases_that_a_program_writes_back_are_not_taken_for_models(
        self, router: Router, provider: Upstream
    ) -> None:
        self.attach(router)
        view = view_of(router)
        view.replace_aliases({**view.aliases(), "chat": "deepseek-chat"})
        assert await self.asked(router, provider, "deepseek-chat-ocr") == ["seeing-mini", "blind-chat"]


async def test_the_caller_s_own_objects_stay_as_they_are(ask: Ask) -> None:
    messages = [message(text("?"), image("a"))]
    metadata = {"mine": 1}
    before = copy.deepcopy((messages, metadata))
    await ask(model="openai/blind-chat-ocr", messages=messages, metadata=metadata)
    assert (messages, metadata) == before


async def test_a_call_that_does_not_ask_keeps_its_images(ask: Ask, upstream: Upstream) -> None:
    await ask(model="openai/seeing-chat")
    assert [len(images_in(body)) for body in upstream.requests] == [1]


async def test_positional_arguments_go_their_way(ask: Ask, upstream: Upstream) -> None:
    """LiteLLM does not show positional arguments to hooks."""
    await litellm.acompletion("openai/seeing-chat", [message(image("a"))])
    (body,) = upstream.requests
    assert images_in(body)


async def test_false_switches_it_off(ask: Ask, upstream: Upstream) -> None:
    await ask(model="openai/seeing-chat-ocr", ocr_model=False)
    (body,) = upstream.requests
    assert body["model"] == "seeing-chat"
    assert "ocr_model" not in body


async def test_a_wrong_ocr_model_is_an_error_of_ours(ask: Ask, upstream: Upstream) -> None:
    with pytest.raises(RequestError, match="ocr_model: it must be the name of a vision model") as raised:
        await ask(model="openai/blind-chat", ocr_model=5)
    assert raised.value.status_code == 400
    assert upstream.requests == []


async def test_a_limit_exceeded_is_an_error_of_ours(ask: Ask, upstream: Upstream) -> None:
    with pytest.raises(RequestError, match=r"2,001 image parts, the limit is 2,000 \(setting max_image_parts\)"):
        await ask(model="openai/blind-chat-ocr", messages=[message(*[image("a")] * 2001)])
    assert upstream.requests == []


async def test_a_router_s_deployments_keep_their_names(ask: Ask, upstream: Upstream) -> None:
    """``scan-ocr`` is the real name of the deployment's model, without a suffix."""
    router = Router(model_list=[deployment("scanner", "seeing-scan-ocr", upstream.base_url)])
    messages: Any = [message(image("a"))]
    await router.acompletion(model="scanner", messages=messages)
    (body,) = upstream.requests
    assert body["model"] == "seeing-scan-ocr"
    assert images_in(body)


async def test_a_vision_model_whose_name_ends_in_the_suffix_is_not_analysed_in_its_turn(
    ask: Ask, upstream: Upstream
) -> None:
    litellm.callbacks = [ImageAnalysis(ImageAnalysisConfig(vision_model="openai/seeing-scan-ocr"))]
    await ask(model="openai/blind-chat-ocr")
    assert [body["model"] for body in upstream.requests] == ["seeing-scan-ocr", "blind-chat"]


class TestRouterThatFallsBack:
    """A Router in a program whose vision model, or whose text-only one, fails."""

    @pytest.fixture
    def router(self, provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> Router:
        monkeypatch.setattr(litellm, "callbacks", [])
        url = provider.base_url
        return Router(
            model_list=[
                deployment("fragile", "seeing-fragile", url, supports_vision=True),
                deployment("text-only", "blind-chat", url, supports_vision=False),
                deployment("other-text-only", "blind-other", url, supports_vision=False),
                deployment("gpt-4o-mini", "seeing-mini", url, supports_vision=True),
            ],
            fallbacks=[{"fragile": ["text-only"]}, {"text-only": ["other-text-only"]}],
            num_retries=1,
            retry_after=0,
        )

    @staticmethod
    def attached(router: Router, **settings: Any) -> Router:
        ImageAnalysis(ImageAnalysisConfig(cache=CacheConfig(backend="off"), **settings)).attach(router)
        return router

    @staticmethod
    async def ask(router: Router, model: str, **asked: Any) -> Any:
        messages: Any = [message(text("?"), image("a"), image("b"))]
        return await router.acompletion(model=model, messages=messages, **asked)

    @staticmethod
    def looks(provider: Upstream) -> int:
        return sum(body["model"] == "seeing-mini" for body in provider.requests)

    async def test_images_are_analysed_once_the_deployment_is_text_only(
        self, router: Router, provider: Upstream
    ) -> None:
        provider.rules.append(Rule(lambda body: body["model"] == "seeing-fragile", status=500))
        response = await self.ask(self.attached(router, mode="auto"), "fragile")
        first, *_, last = provider.requests
        assert (first["model"], len(images_in(first))) == ("seeing-fragile", 2)
        assert (last["model"], len(images_in(last))) == ("blind-chat", 0)
        assert self.looks(provider) == 2
        assert response._hidden_params["image_analysis"]["images"] == 2

    @needs_fallback_notes
    @pytest.mark.parametrize("asked", [{"model": "text-only-ocr"}, {"model": "text-only", "ocr_model": "gpt-4o-mini"}])
    async def test_what_was_asked_for_holds_for_the_fallback_and_is_paid_for_once(
        self, router: Router, provider: Upstream, asked: dict[str, str]
    ) -> None:
        provider.rules.append(Rule(lambda body: body["model"] == "blind-chat", status=500))
        response = await self.ask(self.attached(router), **asked)
        last = provider.requests[-1]
        assert (last["model"], len(images_in(last))) == ("blind-other", 0)
        assert self.looks(provider) == 2
        assert response._hidden_params["image_analysis"]["cached"] == 0

    async def test_the_same_metadata_again_are_another_request(self, router: Router, provider: Upstream) -> None:
        self.attached(router)
        metadata = {"mine": 1}
        for looks in (2, 4):
            await self.ask(router, "text-only-ocr", metadata=metadata)
            assert self.looks(provider) == looks

    @pytest.mark.parametrize("status", [401, 429, 500])
    async def test_no_deployment_is_punished_for_a_failed_analysis(
        self, router: Router, provider: Upstream, status: int
    ) -> None:
        provider.rules.append(Rule(lambda body: body["model"] == "seeing-mini", status=status))
        self.attached(router, on_failure="reject")
        with pytest.raises(AttemptError) as caught:
            await self.ask(router, "text-only-ocr")
        assert caught.value.reason.status_code == {401: 502, 429: 429, 500: 502}[status]
        assert "blind-chat" not in [body["model"] for body in provider.requests]
        for _ in range(20):  # wait for LiteLLM's background tasks
            await wait_all_tasks_blocked()
        cooling = await _async_get_cooldown_deployments(litellm_router_instance=router, parent_otel_span=None)
        names = {router.get_deployment(model_id=model_id).model_name for model_id in cooling}  # type: ignore[union-attr]
        assert names <= {"gpt-4o-mini"}


@pytest.mark.parametrize("asked", [{"model": "opnai/blind-chat-ocr"}, {"model": "opnai/blind-chat", "ocr_model": "x"}])
async def test_a_misspelt_provider_is_litellm_s_error_before_a_vision_call_is_paid(
    provider: Upstream, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    monkeypatch.setattr(litellm, "callbacks", [ImageAnalysis(vision_model="openai/seeing-mini")])
    with pytest.raises(litellm.exceptions.BadRequestError, match="LLM Provider NOT provided"):
        await litellm.acompletion(messages=[message(text("?"), image("a"))], **asked)
    assert provider.requests == []
