"""The rules of a request apply to its vision calls: region, logging, fallbacks, time and cache control."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import litellm
import pytest
from anyio.lowlevel import checkpoint
from litellm.integrations.custom_logger import CustomLogger
from litellm.litellm_core_utils import litellm_logging
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth
from litellm.router import Router
from litellm.types.utils import CredentialItem
from support.app import MASTER_KEY
from support.billing import ROUTES
from support.configs import BASE_PRICE, VISION_PRICE, deployment, proxy_config
from support.images import data_uri, image, message, text
from support.proxy import eventually
from support.upstream import Rule, Upstream, images_in

import litellm_image_analysis
from litellm_image_analysis import ImageAnalysisConfig
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.config import CacheConfig
from litellm_image_analysis.vision import monitoring
from litellm_image_analysis.vision.circuit_breaker import FAILURES
from litellm_image_analysis.vision.gate import Gate

pytestmark = pytest.mark.asyncio(loop_scope="module")

DESTINATION = "langsmith"
"""A logging destination that LiteLLM knows by name. Here it is a ``Listener``."""
LOGGING = {
    "callback_name": DESTINATION,
    "callback_type": "success_and_failure",
    "callback_vars": {"turn_off_message_logging": "true"},
}
CREDENTIAL = "of-the-team"
KEYS: dict[str, dict[str, Any]] = {
    MASTER_KEY: {"user_role": LitellmUserRoles.PROXY_ADMIN},
    "sk-eu": {"allowed_model_region": "eu"},
    "sk-of-a-team": {"team_id": "team-1", "team_metadata": {"logging": [LOGGING]}},
    "sk-own-logging": {"metadata": {"logging": [LOGGING]}},
    "sk-no-fallbacks": {"metadata": {"disable_fallbacks": True}},
    "sk-own-credentials": {
        "team_id": "team-2",
        "team_metadata": {"model_config": {"eyes": {"openai": {"litellm_credentials": CREDENTIAL}}}},
    },
}
KEYS |= {f"{key}-2": KEYS[key] for key in ("sk-eu", "sk-own-credentials")}
SEEING = {**VISION_PRICE, "supports_vision": True}
STREAMS = [False, True]
QUESTION: Any = [message(text("What is it?"), image("a"))]


def models(url: str) -> list[dict[str, Any]]:
    found = [
        deployment("blind", "blind-chat", url, **BASE_PRICE, supports_vision=False),
        deployment("marker", "seeing-chat-marker", url, **SEEING),
        deployment("eyes", "seeing-eu", url, **SEEING),
        deployment("eyes", "seeing-us", url, **SEEING),
        deployment("american-eyes", "seeing-us", url, **SEEING),
        deployment("fragile-eyes", "seeing-fragile", url, **SEEING),
        deployment("wild-us/*", "seeing-us", url, **SEEING),
    ]
    for each in found:
        region = each["litellm_params"]["model"].rpartition("-")[2]
        if region in ("eu", "us"):
            each["litellm_params"]["region_name"] = region
    return found


FALLBACKS = [{"fragile-eyes": ["american-eyes"]}]


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream) -> dict[str, Any]:
    config = proxy_config(shared_upstream, vision_model="eyes", mode="auto")
    config["model_list"] = models(shared_upstream.base_url)
    config["router_settings"]["fallbacks"] = FALLBACKS
    return config


@pytest.fixture(autouse=True)
def keys(app: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The callers, by custom authentication."""
    del app
    from litellm.proxy import proxy_server

    async def authenticate(request: object, api_key: str) -> UserAPIKeyAuth:
        return UserAPIKeyAuth(api_key=api_key, **KEYS[api_key])

    monkeypatch.setattr(proxy_server, "user_custom_auth", authenticate)


async def ask(
    app: httpx.AsyncClient,
    route: str = "chat",
    *marks: str,
    key: str = MASTER_KEY,
    stream: bool = False,
    model: str = "blind",
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> httpx.Response:
    path, body = ROUTES[route](model, "What is it?", list(marks or "a"), stream=stream)
    headers = {"Authorization": f"Bearer {key}", **(headers or {})}
    response = await app.post(path, json={**body, **extra}, headers=headers)
    await response.aread()
    return response


def seen_by(upstream: Upstream) -> list[str]:
    """The vision models that were called."""
    return [body["model"] for body in upstream.calls("seeing")]


class Listener(CustomLogger):
    """A logging destination that records the models and messages of its calls."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name  # LiteLLM treats two with the same attributes as one
        self.told: dict[str, str] = {}

    def _hear(self, kwargs: Any) -> None:
        payload = kwargs.get("standard_logging_object") or {}
        self.told[str(kwargs.get("model")).rpartition("/")[2]] = str(payload.get("messages"))

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._hear(kwargs)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._hear(kwargs)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._hear(kwargs)

    def knows(self, model: str) -> bool:
        """Whether it got a call of this model."""
        return any(model in heard for heard in list(self.told))

    async def has_heard_of(self, *models: str) -> bool:
        """Whether it gets calls of these models within a short time, because LiteLLM logs in a separate task."""
        return await asyncio.to_thread(eventually, lambda: all(map(self.knows, models)))


@pytest.fixture
def everybodys(monkeypatch: pytest.MonkeyPatch) -> Listener:
    """The operator's own destination."""
    listener = Listener("everybody's")
    monkeypatch.setattr(litellm, "callbacks", [*litellm.callbacks, listener])
    for kind in ("success", "failure"):
        callbacks = getattr(litellm, f"_async_{kind}_callback")
        monkeypatch.setattr(litellm, f"_async_{kind}_callback", [*callbacks, listener])
    return listener


@pytest.fixture
def teams(monkeypatch: pytest.MonkeyPatch) -> Listener:
    """The own destination of a team or key."""
    listener, make = Listener("a team's"), litellm_logging._init_custom_logger_compatible_class

    def made(logging_integration: Any, *args: Any, **kwargs: Any) -> Any:
        return listener if logging_integration == DESTINATION else make(logging_integration, *args, **kwargs)

    monkeypatch.setattr(litellm_logging, "_init_custom_logger_compatible_class", made)
    return listener


WAYS: dict[str, dict[str, Any]] = {"auto": {}, "suffix": {"model": "blind-ocr"}, "parameter": {"ocr_model": "eyes"}}


def each_way_on_each_route(test: Callable[..., Any]) -> Any:
    """Run a test for each way to ask for analysis, on each route."""
    return pytest.mark.parametrize("route", ROUTES)(pytest.mark.parametrize("way", WAYS)(test))


class TestRegion:
    @each_way_on_each_route
    async def test_only_deployments_of_a_keys_region_see_its_images(
        self, app: httpx.AsyncClient, upstream: Upstream, route: str, way: str
    ) -> None:
        for number in range(6):
            assert (await ask(app, route, f"{number}", key="sk-eu", **WAYS[way])).status_code == 200
        assert seen_by(upstream) == ["seeing-eu"] * 6

    @pytest.mark.parametrize("vision_model", ["american-eyes", "wild-us/eyes", "fragile-eyes"])
    async def test_where_there_is_none_the_image_is_not_analysed(
        self, app: httpx.AsyncClient, upstream: Upstream, vision_model: str
    ) -> None:
        response = await ask(app, key="sk-eu", ocr_model=vision_model)
        assert response.headers["x-litellm-image-analysis-failed"] == "1"
        assert seen_by(upstream) == []
        assert "no deployment of the vision model serves the request's tags and region" in str(upstream.requests)

    async def test_others_may_call_any(self, app: httpx.AsyncClient, upstream: Upstream) -> None:
        await ask(app, ocr_model="american-eyes")
        assert seen_by(upstream) == ["seeing-us"]


class TestLogging:
    @pytest.mark.parametrize("stream", STREAMS)
    @each_way_on_each_route
    async def test_no_log(
        self, app: httpx.AsyncClient, everybodys: Listener, route: str, way: str, *, stream: bool
    ) -> None:
        no_log: dict[str, Any] = {"no-log": True}
        await ask(app, route, stream=stream, **WAYS[way], **no_log)
        await ask(app, model="marker", ocr_model=False)
        assert await everybodys.has_heard_of("marker")
        assert not everybodys.told.keys() & {"seeing-eu", "seeing-us"}

    @pytest.mark.parametrize("key", ["sk-of-a-team", "sk-own-logging"])
    @each_way_on_each_route
    async def test_a_vision_call_is_logged_where_the_request_is_and_redacted_as_it_is(
        self, app: httpx.AsyncClient, teams: Listener, route: str, way: str, key: str
    ) -> None:
        await ask(app, route, key=key, **WAYS[way])
        own = [] if route == "generateContent" else ["blind"]  # LiteLLM does not log this route there
        assert await teams.has_heard_of("seeing", *own)
        assert "redacted" in str(teams.told)
        assert data_uri("a") not in str(teams.told)

    async def test_the_operator_does_not_read_what_a_team_redacts(
        self, app: httpx.AsyncClient, everybodys: Listener, teams: Listener
    ) -> None:
        await ask(app, key="sk-of-a-team")
        assert await everybodys.has_heard_of("seeing", "blind")
        assert data_uri("a") not in str(everybodys.told)

    async def test_a_failed_vision_call_is_logged_there_too(
        self, app: httpx.AsyncClient, upstream: Upstream, teams: Listener
    ) -> None:
        upstream.rules.append(Rule(lambda body: bool(images_in(body)), status=500))
        await ask(app, key="sk-of-a-team")
        assert await teams.has_heard_of("seeing")


class TestFallbacks:
    @pytest.fixture(autouse=True)
    def fragile(self, upstream: Upstream) -> None:
        upstream.rules.append(Rule(lambda body: body["model"] == "seeing-fragile", status=500))

    async def test_a_vision_model_falls_back(self, app: httpx.AsyncClient, upstream: Upstream) -> None:
        await ask(app, ocr_model="fragile-eyes")
        assert seen_by(upstream) == ["seeing-fragile", "seeing-us"]

    @pytest.mark.parametrize(
        "asked", [{"key": "sk-no-fallbacks"}, {"disable_fallbacks": True}], ids=["of the key", "in the body"]
    )
    @pytest.mark.parametrize("route", ROUTES)
    async def test_unless_the_caller_wants_none(
        self, app: httpx.AsyncClient, upstream: Upstream, route: str, asked: dict[str, Any]
    ) -> None:
        await ask(app, route, ocr_model="fragile-eyes", **asked)
        assert seen_by(upstream) == ["seeing-fragile"]


@pytest.mark.usefixtures("remembering")
class TestFailuresOfOneCaller:
    """A failure because of a caller's own rules is not shared with others of its team, and not cached for them."""

    @pytest.mark.parametrize(
        ("asked", "vision_model"),
        [({"disable_fallbacks": True}, "fragile-eyes"), ({"allowed_model_region": "eu"}, "eyes")],
        ids=["no fallbacks", "region"],
    )
    async def test_they_are_not_those_of_others(
        self, app: httpx.AsyncClient, upstream: Upstream, asked: dict[str, Any], vision_model: str
    ) -> None:
        upstream.rules.append(Rule(lambda body: body["model"] in ("seeing-fragile", "seeing-eu"), status=500))
        await ask(app, ocr_model=vision_model, **asked)
        upstream.requests.clear()
        await ask(app, ocr_model=vision_model)
        assert seen_by(upstream)


@pytest.fixture
def credentials(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, object] = {"api_key": "sk-bought-by-the-team", "api_base": upstream.base_url}
    monkeypatch.setattr(litellm, "enable_model_config_credential_overrides", True)
    known = CredentialItem(credential_name=CREDENTIAL, credential_values=values, credential_info={})
    monkeypatch.setattr(litellm, "credential_list", [known])


def bought_by_the_team(upstream: Upstream) -> bool:
    return upstream.headers[-1]["authorization"] == "Bearer sk-bought-by-the-team"


@pytest.mark.usefixtures("credentials")
class TestCredentials:
    async def test_those_of_a_team_are_used(self, app: httpx.AsyncClient, upstream: Upstream) -> None:
        await ask(app, key="sk-own-credentials")
        used = [headers["authorization"] for headers in upstream.headers]
        assert used == ["Bearer sk-bought-by-the-team", "Bearer sk-upstream"]

    @pytest.mark.usefixtures("remembering")
    async def test_others_do_not_read_what_a_teams_own_account_says(
        self, app: httpx.AsyncClient, upstream: Upstream, settings: Callable[..., None]
    ) -> None:
        settings(cache=CacheConfig(scope="global"))
        upstream.rules.append(Rule(lambda _: bought_by_the_team(upstream), text="the team's own words"))
        await ask(app, key="sk-own-credentials")
        await ask(app)
        assert "the team's own words" not in str(upstream.calls("blind")[-1])


@pytest.fixture
def fragile_circuits(app: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's plugin with circuits that open."""
    del app
    gate = Gate(ImageAnalysisConfig(), monitoring.metrics().show_status, monitoring.log_circuit)
    monkeypatch.setattr(litellm_image_analysis.image_analysis._analyzer, "gate", gate)


@pytest.mark.usefixtures("credentials", "fragile_circuits")
class TestCircuits:
    async def test_a_teams_wrong_credentials_open_none_for_others(
        self, app: httpx.AsyncClient, upstream: Upstream
    ) -> None:
        upstream.rules.append(Rule(lambda _: bought_by_the_team(upstream), status=401))
        for number in range(FAILURES + 1):
            await ask(app, "chat", str(number), key=f"sk-own-credentials{'-2' * (number % 2)}")
        assert (await ask(app)).headers["x-litellm-image-analysis-failed"] == "0"

    async def test_a_region_that_is_down_opens_none_for_others(
        self, app: httpx.AsyncClient, upstream: Upstream
    ) -> None:
        upstream.rules.append(Rule(lambda body: body["model"] == "seeing-eu", status=503))
        for number in range(FAILURES + 1):
            await ask(app, "chat", str(number), key=f"sk-eu{'-2' * (number % 2)}")
        response = await ask(app, allowed_model_region="us")
        assert response.headers["x-litellm-image-analysis-failed"] == "0"


class TestTime:
    @pytest.fixture
    def slow(self, upstream: Upstream) -> Iterator[None]:
        gate = threading.Event()
        upstream.rules.append(Rule(lambda body: bool(images_in(body)), gate=gate))
        yield
        gate.set()

    @pytest.mark.usefixtures("slow")
    @pytest.mark.parametrize(
        "asked",
        [{"timeout": 0.3}, {"headers": {"x-litellm-timeout": "0.3"}}, {"timeout": "0.3"}],
        ids=["body", "header", "text"],
    )
    @pytest.mark.parametrize("route", ROUTES)
    async def test_a_callers_limit_bounds_the_vision_call(
        self, app: httpx.AsyncClient, route: str, asked: dict[str, Any]
    ) -> None:
        """The operator's limit is 60 seconds, longer than the provider takes here."""
        response = await ask(app, route, f"{route} {asked}", **asked)  # equal calls in flight are shared
        assert response.headers["x-litellm-image-analysis-failed"] == "1"


@pytest.fixture
def remembering(app: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's plugin with a cache."""
    del app

    analyzer = litellm_image_analysis.image_analysis._analyzer
    monkeypatch.setattr(analyzer, "cache", Cache(CacheConfig(), 60))


@pytest.mark.usefixtures("remembering")
class TestCacheControl:
    @each_way_on_each_route
    async def test_no_cache_looks_afresh(
        self, app: httpx.AsyncClient, upstream: Upstream, route: str, way: str
    ) -> None:
        for _ in range(2):
            await ask(app, route, **WAYS[way])
        assert len(seen_by(upstream)) == 1
        await ask(app, route, cache={"no-cache": True}, **WAYS[way])
        assert len(seen_by(upstream)) == 2

    @each_way_on_each_route
    async def test_no_store_is_not_remembered(
        self, app: httpx.AsyncClient, upstream: Upstream, route: str, way: str
    ) -> None:
        for _ in range(2):
            await ask(app, route, cache={"no-store": True}, **WAYS[way])
        assert len(seen_by(upstream)) == 2


class TestProgram:
    """The same in a program with an attached Router."""

    @pytest.fixture
    def router(self, upstream: Upstream, attached: Callable[..., Router]) -> Router:
        config = ImageAnalysisConfig(vision_model="eyes", mode="auto")
        settings = {"fallbacks": FALLBACKS, "num_retries": 0, "disable_cooldowns": True}
        return attached(config, model_list=models(upstream.base_url), **settings)

    async def test_region(self, router: Router, upstream: Upstream) -> None:
        for _ in range(6):
            question: Any = [message(text("What is it?"), image(str(_)))]
            await router.acompletion("blind-ocr", question, allowed_model_region="eu")
        assert seen_by(upstream) == ["seeing-eu"] * 6

    async def test_no_log(self, router: Router, everybodys: Listener) -> None:
        await router.acompletion("blind-ocr", QUESTION, **{"no-log": True})
        await router.acompletion("blind", [{"role": "user", "content": "Hi"}])
        assert await everybodys.has_heard_of("blind")
        assert not everybodys.knows("seeing")

    async def test_no_fallbacks(self, router: Router, upstream: Upstream) -> None:
        upstream.rules.append(Rule(lambda body: body["model"] == "seeing-fragile", status=500))
        await router.acompletion("blind", QUESTION, ocr_model="fragile-eyes", disable_fallbacks=True)
        assert seen_by(upstream) == ["seeing-fragile"]

    async def test_cache_control(self, router: Router, upstream: Upstream) -> None:
        for _ in range(2):
            await router.acompletion("blind", QUESTION, cache={"no-cache": True})
        assert len(seen_by(upstream)) == 2

    async def test_a_destination_of_the_call(self, router: Router, teams: Listener) -> None:
        await router.acompletion("blind", QUESTION, success_callback=[DESTINATION])
        assert await teams.has_heard_of("seeing", "blind")

    async def test_time(self, router: Router, upstream: Upstream) -> None:
        gate = threading.Event()
        upstream.rules.append(Rule(lambda body: bool(images_in(body)), gate=gate))
        try:
            await router.acompletion("blind", QUESTION, timeout=httpx.Timeout(0.3))
        finally:
            gate.set()
        await checkpoint()
        assert "did not answer in time" in str(upstream.calls("blind"))
