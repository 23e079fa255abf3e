"""A vision model that keeps failing, and more vision calls than slots, as callers and operators see them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from support.billing import ROUTES, send_and_leave
from support.configs import proxy_config
from support.images import image, message, text
from support.metrics import HAS_PROMETHEUS, changes, metrics_of, needs_prometheus
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import COMPLETION_TOKENS, PROMPT_TOKENS, VISION_COST, Rule, Upstream

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.vision.circuit_breaker import FAILURES
from litellm_image_analysis.vision.gate import BUSY_SECONDS

URL = "/v1/chat/completions"
PAUSE_SECONDS = 300


@pytest.fixture(scope="module")
def small(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with one slot for vision calls and no queue. Its metrics are those of one of several workers."""
    config = proxy_config(
        shared_upstream,
        cache={"backend": "memory"},
        on_failure="reject",
        circuit_pause_seconds=PAUSE_SECONDS,
        max_process_concurrency=1,
        max_queued=0,
    )
    config["general_settings"]["cancel_on_disconnect"] = True
    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path_factory.mktemp("metrics"))}
    if HAS_PROMETHEUS:
        config["litellm_settings"]["callbacks"].append("prometheus")
    with running_proxy(config, tmp_path_factory.mktemp("small"), env) as proxy:
        yield proxy


@pytest.fixture
def client(small: Proxy, upstream: Upstream) -> Iterator[httpx.Client]:
    del upstream
    with small.client(follow_redirects=True) as client:
        yield client


def asked(client: httpx.Client, mark: str, vision_model: str) -> httpx.Response:
    content = [message(text("What is it?"), image(mark))]
    return client.post(URL, json={"model": "deepseek-chat", "ocr_model": vision_model, "messages": content})


def test_a_full_queue_is_a_503_that_says_when_to_try_again(client: httpx.Client, upstream: Upstream) -> None:
    gate = threading.Event()
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-other", gate=gate))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(asked, client, "first", "other-vision")
        assert eventually(lambda: upstream.in_flight == 1)
        try:
            refused = asked(client, "second", "other-vision")
        finally:
            gate.set()
        assert first.result().status_code == 200
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == str(BUSY_SECONDS)
    assert FailureReason.BUSY.clause in refused.json()["error"]["message"]
    assert asked(client, "second", "other-vision").status_code == 200


def test_a_client_that_hangs_up_is_waited_for_no_longer(client: httpx.Client, upstream: Upstream, small: Proxy) -> None:
    gate = threading.Event()
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-other", gate=gate))
    body = {"ocr_model": "other-vision", "messages": [message(text("What is it?"), image("left alone"))]}
    request = client.build_request("POST", URL, json={"model": "deepseek-chat", **body})
    send_and_leave(request, lambda _: eventually(lambda: upstream.in_flight == 1))
    try:
        assert eventually(lambda: "The client closed the request." in small.log)
        assert upstream.in_flight == 1
    finally:
        gate.set()
    assert upstream.calls("blind") == []
    assert asked(client, "left alone", "other-vision").headers["x-litellm-image-analysis-cached"] == "1"


def test_a_vision_model_that_keeps_failing_is_not_asked_and_what_is_remembered_is_served(
    client: httpx.Client, upstream: Upstream, small: Proxy
) -> None:
    assert asked(client, "remembered", "gpt-4o-mini").status_code == 200
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-mini", status=500, error="secret words"))
    upstream.requests.clear()
    failed = [asked(client, f"failing {number}", "gpt-4o-mini") for number in range(FAILURES)]
    assert [response.status_code for response in failed] == [502] * FAILURES
    refused = asked(client, "one more", "gpt-4o-mini")
    assert refused.status_code == 503
    assert 1 <= int(refused.headers["retry-after"]) <= PAUSE_SECONDS
    told = refused.json()["error"]["message"]
    assert FailureReason.CIRCUIT_OPEN.clause in told
    assert len(upstream.calls("seeing")) == FAILURES

    again = asked(client, "remembered", "gpt-4o-mini")
    assert (again.status_code, again.headers["x-litellm-image-analysis-cached"]) == (200, "1")
    assert asked(client, "by another", "other-vision").status_code == 200
    warnings = [line for line in small.log.splitlines() if "circuit is open" in line]
    assert len(warnings) == 1
    assert "WARNING" in warnings[0]
    assert (
        "vision_model=gpt-4o-mini failed 5 times in a row for one key, the last time with reason=unavailable"
        in warnings[0]
    )
    assert "secret words" not in warnings[0] + told


@needs_prometheus
def test_the_proxy_s_metrics_page_shows_it(small: Proxy) -> None:
    """This runs after the tests above. Metrics of several workers come from files."""
    page = metrics_of(small)
    assert page['open_circuits{vision_model="gpt-4o-mini"}'] == 1
    assert page['open_circuits{vision_model="other-vision"}'] == 0
    assert page['calls_refused_total{reason="busy",vision_model="other-vision"}'] == 1
    assert page['calls_refused_total{reason="circuit_open",vision_model="gpt-4o-mini"}'] == 1
    assert page['images_failed_total{reason="circuit_open",vision_model="gpt-4o-mini"}'] == 1
    assert {value for name, value in page.items() if name.startswith("calls_in_flight{")} == {0}


@needs_prometheus
@pytest.mark.parametrize("route", ROUTES)
def test_the_metrics_page_counts_new_known_and_failed_images(
    client: httpx.Client, small: Proxy, upstream: Upstream, route: str
) -> None:
    def send(*marks: str) -> int:
        path, body = ROUTES[route]("deepseek-chat-ocr", f"What is it on {route}?", list(marks), stream=False)
        return client.post(path, json={**body, "ocr_model": "other-vision"}).status_code

    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-other", status=400, error="no", times=1))
    before = metrics_of(small)
    assert send("bad") == 400
    assert send(f"one on {route}") == 200
    assert send(f"one on {route}", f"two on {route}") == 200
    assert send() == 200
    after = metrics_of(small)
    found = changes(before, after)
    for name in ("cache_bytes", "cache_entries"):  # a failure of an earlier test may have expired
        found.pop(name, None)
    seconds = [found.pop(f'{name}_duration_seconds_sum{{vision_model="other-vision"}}') for name in ("call", "request")]
    assert found == {
        'images_analysed_total{vision_model="other-vision"}': 2,
        'images_cached_total{vision_model="other-vision"}': 1,
        'images_failed_total{reason="rejected",vision_model="other-vision"}': 1,
        'request_duration_seconds_count{vision_model="other-vision"}': 3,
        'call_duration_seconds_count{vision_model="other-vision"}': 3,
        'tokens_total{type="input",vision_model="other-vision"}': 2 * PROMPT_TOKENS,
        'tokens_total{type="output",vision_model="other-vision"}': 2 * COMPLETION_TOKENS,
        'cost_usd_total{vision_model="other-vision"}': pytest.approx(2 * VISION_COST),
    }
    assert after["cache_entries"] >= 2
    assert after["cache_bytes"] > 0
    assert min(seconds) > 0
