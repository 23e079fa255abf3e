"""An image is analysed and paid once: in one proxy, and across proxies and workers that share a Redis."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from support.configs import proxy_config
from support.images import data_uri, image, message, text
from support.metrics import HAS_PROMETHEUS, metrics_of, needs_prometheus
from support.proxy import TWO_WORKERS, Proxy, eventually, running_proxy
from support.redis_server import RedisServer, running_redis
from support.upstream import ANSWER, Rule, Upstream, images_in

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

URL = "/v1/chat/completions"
TURNS = 10
AT_ONCE = 1000
AUTH = """
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

async def user_api_key_auth(request, api_key):
    team, _, _ = api_key.removeprefix("sk-").partition("-")
    return UserAPIKeyAuth(api_key=api_key, team_id=team, user_role=LitellmUserRoles.PROXY_ADMIN)
"""


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


Start = Callable[..., Proxy]


@pytest.fixture(scope="module")
def start(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a proxy of a gateway. All have the same master key."""
    key = f"sk-{secrets.token_hex(16)}"
    with ExitStack() as stack:

        def start_one(
            cache: dict[str, Any],
            *options: str,
            env: dict[str, str] | None = None,
            callbacks: Sequence[str] = (),
            **more: Any,
        ) -> Proxy:
            folder = tmp_path_factory.mktemp("proxy")
            (folder / "auth.py").write_text(AUTH)
            config = proxy_config(shared_upstream, cache=cache, timeout_seconds=60, **more)
            config["general_settings"]["custom_auth"] = "auth.user_api_key_auth"
            config["litellm_settings"]["callbacks"].extend(callbacks)
            return stack.enter_context(running_proxy(config, folder, env, *options, key=key))

        yield start_one


@pytest.fixture(scope="module")
def lone(start: Start) -> Proxy:
    """A proxy with the default cache."""
    return start({})


@pytest.fixture(scope="module")
def pair(start: Start, redis_server: RedisServer) -> list[Proxy]:
    """Two proxies that share a Redis."""
    return [start({"backend": "redis", "redis_url": redis_server.url}) for _ in range(2)]


@pytest.fixture(scope="module")
def unusual(start: Start) -> Proxy:
    """A proxy without default settings."""
    return start({"scope": "global", "remote_url_ttl_seconds": 0}, grouping="per_message")


@pytest.fixture(params=["one proxy", "two proxies in turn"])
def proxies(request: pytest.FixtureRequest) -> list[Proxy]:
    """The proxies that answer the turns of a conversation, in this order."""
    if request.param == "one proxy":
        return [request.getfixturevalue("lone")]
    found: list[Proxy] = request.getfixturevalue("pair")
    return found


def post(proxy: Proxy, path: str, body: dict[str, Any], caller: str = "team-a") -> httpx.Response:
    with proxy.client() as client:
        response = client.post(path, json=body, headers={"Authorization": f"Bearer sk-{caller}"})
    assert response.status_code == 200, response.text
    return response


def ask(proxy: Proxy, *parts: dict[str, Any], caller: str = "team-a", **body: Any) -> httpx.Response:
    messages = [message(text("What is it?"), *parts)]
    return post(proxy, URL, {"model": "deepseek-chat-ocr", "messages": messages, **body}, caller)


def cached(response: httpx.Response) -> tuple[str, str, str]:
    """The number of replaced images, of cached ones among them, and the cost."""
    found = response.headers
    return tuple(found[f"x-litellm-image-analysis-{name}"] for name in ("images", "cached", "cost"))  # type: ignore[return-value]


def mark() -> str:
    """A mark that no other test uses."""
    return secrets.token_hex(4)


def chat_turn(words: str, uri: str) -> list[dict[str, Any]]:
    content = [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": uri}}]
    return [{"role": "user", "content": content}, {"role": "assistant", "content": ANSWER}]


def messages_turn(words: str, uri: str) -> list[dict[str, Any]]:
    source = {"type": "base64", "media_type": "image/png", "data": uri.split(",")[1]}
    content = [{"type": "text", "text": words}, {"type": "image", "source": source}]
    return [{"role": "user", "content": content}, {"role": "assistant", "content": ANSWER}]


def responses_turn(words: str, uri: str) -> list[dict[str, Any]]:
    content = [{"type": "input_text", "text": words}, {"type": "input_image", "image_url": uri, "detail": "auto"}]
    return [{"role": "user", "content": content}, {"role": "assistant", "content": ANSWER}]


def google_turn(words: str, uri: str) -> list[dict[str, Any]]:
    parts = [{"text": words}, {"inlineData": {"mimeType": "image/png", "data": uri.split(",")[1]}}]
    return [{"role": "user", "parts": parts}, {"role": "model", "parts": [{"text": ANSWER}]}]


ROUTES = {
    URL: ("messages", chat_turn),
    "/v1/messages": ("messages", messages_turn),
    "/v1/responses": ("input", responses_turn),
    "/v1beta/models/deepseek-chat-ocr:generateContent": ("contents", google_turn),
}


@pytest.mark.parametrize("path", ROUTES)
def test_a_conversation_pays_for_each_image_once_and_its_texts_never_change(
    proxies: list[Proxy], upstream: Upstream, path: str
) -> None:
    key, turn = ROUTES[path]
    marks = [mark() for _ in range(TURNS)]
    turns = [turn(f"What is {name}?", data_uri(name)) for name in marks]
    for count in range(1, TURNS + 1):
        conversation = [item for said in turns[:count] for item in said][:-1]
        body = {"model": "deepseek-chat-ocr", "max_tokens": 100, key: conversation}
        response = post(proxies[count % len(proxies)], path, body)
        assert cached(response) == (str(count), str(count - 1), "0.00021")
        assert len(upstream.calls("seeing")) == count
    read: list[list[Any]] = [body.get("messages") or body["input"] for body in upstream.calls("blind")]
    assert images_in(read) == []
    for earlier, later in itertools.pairwise(read):
        assert later[: len(earlier)] == earlier


def test_what_is_remembered_costs_nothing_and_says_so(pair: list[Proxy], upstream: Upstream) -> None:
    name = mark()
    assert [cached(ask(proxy, image(name))) for proxy in (*pair, *pair)] == [
        ("1", "0", "0.00021"),
        ("1", "1", "0"),
        ("1", "1", "0"),
        ("1", "1", "0"),
    ]
    assert len(upstream.calls("seeing")) == 1
    assert eventually(lambda: "cached=1 failed=0 duration_ms=" in pair[1].log)


def test_another_question_or_another_model_is_another_analysis(lone: Proxy, upstream: Upstream) -> None:
    name = mark()
    ask(lone, image(name))
    ask(lone, image(name), text("And why?"))
    ask(lone, image(name, detail="low"))
    ask(lone, image(name), ocr_model="other-vision")
    assert len(upstream.calls("seeing")) == 4


def test_a_url_is_looked_at_again_only_after_its_own_time(unusual: Proxy, lone: Proxy, upstream: Upstream) -> None:
    linked = {"type": "image_url", "image_url": {"url": f"https://pictures.example/{mark()}.png"}}
    assert [cached(ask(lone, linked))[1] for _ in range(2)] == ["0", "1"]
    assert [cached(ask(unusual, linked))[1] for _ in range(2)] == ["0", "0"]
    assert len(upstream.calls("seeing")) == 3


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "redis"])
def test_tenants_share_nothing_and_learn_nothing_of_each_other(
    lone: Proxy, pair: list[Proxy], redis_server: RedisServer, upstream: Upstream, shared: bool
) -> None:
    """A miss takes the same steps whether or not another tenant has the image, so times reveal nothing."""
    proxy, name, other = pair[0] if shared else lone, mark(), mark()
    ask(proxy, image(mark()), caller="b-1")  # the generation of the tenant is known from now on
    with redis_server.commands() as first:
        ask(proxy, image(other), caller="b-1")
    ask(proxy, image(name), caller="a-1")
    assert cached(ask(proxy, image(name), caller="a-2"))[1] == "1"  # another key of the same team
    with redis_server.commands() as second:
        assert cached(ask(proxy, image(name), caller="b-1"))[1] == "0"
    assert [bool(images_in(body)) for body in upstream.calls("seeing")] == [True] * 4
    assert [command.split()[0] for command in first] == [command.split()[0] for command in second]
    assert bool(first) is shared


def test_with_a_global_scope_everybody_shares(unusual: Proxy, upstream: Upstream) -> None:
    name = mark()
    assert [cached(ask(unusual, image(name), caller=caller))[1] for caller in ("a-1", "b-1")] == ["0", "1"]
    assert len(upstream.calls("seeing")) == 1


def test_twenty_images_take_one_round_trip(pair: list[Proxy], redis_server: RedisServer, upstream: Upstream) -> None:
    images = [image(mark()) for _ in range(20)]
    ask(pair[0], *images)
    with redis_server.commands() as commands:
        assert cached(ask(pair[1], *images)) == ("20", "20", "0")
    assert [command.split()[0] for command in commands] == ["MGET"]
    assert len(upstream.calls("seeing")) == 20


def test_images_of_a_message_are_compared_in_one_call(unusual: Proxy, upstream: Upstream) -> None:
    names = [mark() for _ in range(3)]
    answers = [ask(unusual, *map(image, names)) for _ in range(2)]
    assert [cached(answer) for answer in answers] == [("3", "0", "0.00021"), ("3", "3", "0")]
    (seen,) = upstream.calls("seeing")
    assert images_in(seen) == [data_uri(name) for name in names]
    read, again = (json.dumps(body["messages"]) for body in upstream.calls("blind"))
    assert "Images 1, 2, 3 of 3 in this message, looked at together, described by gpt-4o-mini" in read
    assert "[Image 2 of 3 in this message is described together with image 1: see there.]" in read
    assert again == read


async def test_an_operator_empties_it_for_one_team_and_wholly(
    pair: list[Proxy], redis_server: RedisServer, upstream: Upstream
) -> None:
    name = mark()

    def calls() -> int:
        for proxy in pair:
            for caller in ("a-1", "b-1"):
                ask(proxy, image(name), caller=caller)
        return len(upstream.calls("seeing"))

    assert calls() == 2
    cache: Any = {"backend": "redis", "redis_url": redis_server.url, "secret": "of no account here"}
    operator = ImageAnalysis(ImageAnalysisConfig(cache=cache))
    await operator.flush_cache("team:a")
    assert eventually(lambda: calls() == 3)
    await operator.flush_cache()
    assert eventually(lambda: calls() == 5)
    await operator.aclose()
    redis_server.client.set("litellm-image-analysis:{team:a}:generation", "as the document says")
    assert eventually(lambda: calls() == 6)
    redis_server.client.set("litellm-image-analysis:generation", "as the document says")
    assert eventually(lambda: calls() == 8)


def test_a_hung_redis_costs_one_moment_and_is_used_again(
    pair: list[Proxy], redis_server: RedisServer, upstream: Upstream
) -> None:
    known, name = mark(), mark()
    ask(pair[0], image(known))
    redis_server.freeze()
    try:
        assert cached(ask(pair[0], image(known), image(mark())))[:2] == ("2", "1")
        answers = [cached(ask(pair[0], image(name))) for _ in range(5)]
        assert [count for _, count, _ in answers] == ["0", "1", "1", "1", "1"]
    finally:
        redis_server.thaw()
    assert pair[0].log.count("Redis does not answer") == 1

    def is_used_again() -> bool:
        again = image(mark())
        return [cached(ask(proxy, again))[1] for proxy in pair] == ["0", "1"]

    assert eventually(is_used_again)


def test_the_gateway_s_own_redis_serves_too(
    start: Start, pair: list[Proxy], redis_server: RedisServer, upstream: Upstream
) -> None:
    env = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis_server.port)}
    name = mark()
    assert [cached(ask(proxy, image(name)))[1] for proxy in (pair[0], start({"backend": "redis"}, env=env))] == [
        "0",
        "1",
    ]
    assert len(upstream.calls("seeing")) == 1


@asynccontextmanager
async def crowd(proxies: list[Proxy], count: int, part: dict[str, Any]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Clients that send the same request at once, each on its own connection. All have sent it at the yield."""
    body = {"model": "deepseek-chat-ocr", "messages": [message(text("What is it?"), part)]}
    asked = asyncio.Semaphore(0)

    async def trace(event: str, _: object) -> None:
        if event == "http11.send_request_body.complete":
            asked.release()

    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=None)) as client:
        headers = {"Authorization": "Bearer sk-team-a"}
        answers = [
            asyncio.ensure_future(
                client.post(f"{proxy.url}{URL}", json=body, headers=headers, extensions={"trace": trace})
            )
            for proxy in (proxies[place % len(proxies)] for place in range(count))
        ]
        for _ in range(count):
            await asked.acquire()
        yield answers


async def test_a_client_that_goes_away_harms_nobody_and_its_call_is_remembered(lone: Proxy, upstream: Upstream) -> None:
    gate, part = threading.Event(), image(mark())
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", gate=gate))
    async with crowd([lone], 1, part) as (first,):
        assert await asyncio.to_thread(eventually, lambda: upstream.calls("seeing") != [])
        first.cancel()
        async with crowd([lone], 1, part) as (second,):
            gate.set()
            assert cached(await second)[1] == "1"
    assert cached(ask(lone, part))[1] == "1"
    assert len(upstream.calls("seeing")) == 1


@pytest.fixture(scope="module")
def workers(start: Start, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> list[Proxy]:
    """Two proxies of two workers each, with metrics."""
    cache = {"backend": "redis", "redis_url": redis_server.url}
    callbacks = ["prometheus"] if HAS_PROMETHEUS else []

    def env() -> dict[str, str]:
        return {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path_factory.mktemp("metrics"))}

    return [start(cache, *TWO_WORKERS, env=env(), callbacks=callbacks) for _ in range(2)]


async def test_a_thousand_at_once_in_four_workers_are_one_call(workers: list[Proxy], upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", gate=gate))
    async with crowd(workers, AT_ONCE, image(mark())) as answers:
        gate.set()
        responses = await asyncio.gather(*answers)
    assert {response.status_code for response in responses} == {200}
    assert len(upstream.calls("seeing")) == 1
    paid, *free = sorted(cached(response) for response in responses)
    assert paid == ("1", "0", "0.00021")
    assert set(free) == {("1", "1", "0")}


@needs_prometheus
def test_their_metrics_add_up_to_one_call_that_the_others_shared(workers: list[Proxy]) -> None:
    """This runs after the test above. Each page has the sums of two workers."""
    pages = [metrics_of(proxy) for proxy in workers]
    model = '{vision_model="gpt-4o-mini"}'
    names = [f"images_analysed_total{model}", f"images_cached_total{model}", f"request_duration_seconds_count{model}"]
    assert [sum(page.get(name, 0) for page in pages) for name in names] == [1, AT_ONCE - 1, AT_ONCE]
    assert sum(page.get(f"call_duration_seconds_count{model}", 0) for page in pages) == 1
    late = sum(page[f"images_cached_total{model}"] - page["calls_joined_total"] for page in pages)
    assert 0 <= late < AT_ONCE / 2  # requests that came when the analysis was known
    assert sum(page["cache_entries"] for page in pages) in range(1, 5)  # in the memory of each worker that needed it


async def test_a_redis_that_dies_in_the_middle_costs_a_call_a_worker_at_most(
    workers: list[Proxy], redis_server: RedisServer, upstream: Upstream
) -> None:
    gate = threading.Event()
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", gate=gate))
    try:
        async with crowd(workers, 200, image(mark())) as answers:
            redis_server.stop()
            gate.set()
            responses = await asyncio.gather(*answers)
    finally:
        redis_server.start()
    assert {response.status_code for response in responses} == {200}
    assert {response.headers["x-litellm-image-analysis-failed"] for response in responses} == {"0"}
    assert 1 <= len(upstream.calls("seeing")) <= 4
