"""A vision model that keeps failing, and more vision calls than slots, as callers and operators see them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import httpx
import pytest
from support.billing import send_and_leave
from support.configs import proxy_config
from support.images import image, message, text
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import Rule, Upstream

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.vision.circuit_breaker import FAILURES
from litellm_image_analysis.vision.gate import BUSY_SECONDS

URL = "/v1/chat/completions"
PAUSE_SECONDS = 300
HAS_PROMETHEUS = find_spec("prometheus_client") is not None


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


def shown(client: httpx.Client, name: str) -> dict[str, str]:
    """A metric's values by their labels."""
    lines = [line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines()]
    return {labels: value for labels, value in lines if labels.startswith(f"litellm_image_analysis_{name}{{")}


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


@pytest.mark.skipif(not HAS_PROMETHEUS, reason="prometheus_client is not there")
def test_the_proxy_s_metrics_page_shows_it(client: httpx.Client) -> None:
    """This runs after the tests above. Metrics of several workers come from files."""
    circuits = shown(client, "open_circuits")
    prefix = "litellm_image_analysis"
    assert circuits[f'{prefix}_open_circuits{{vision_model="gpt-4o-mini"}}'] == "1.0"
    assert circuits[f'{prefix}_open_circuits{{vision_model="other-vision"}}'] == "0.0"
    refused = shown(client, "calls_refused_total")
    assert refused[f'{prefix}_calls_refused_total{{reason="busy",vision_model="other-vision"}}'] == "1.0"
    assert refused[f'{prefix}_calls_refused_total{{reason="circuit_open",vision_model="gpt-4o-mini"}}'] == "1.0"
    assert set(shown(client, "calls_in_flight").values()) == {"0.0"}
