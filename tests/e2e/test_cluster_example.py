"""The cluster example: two proxies with its config, a real Redis, and HAProxy with its configuration if installed."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.balancer import Balancer, needs_haproxy, running_balancer
from support.dashboard import filled, panels
from support.features import needs_callbacks_from_packages, needs_shutdown_grace
from support.images import image, message, text
from support.metrics import needs_prometheus
from support.prometheus import needs_server, running_prometheus
from support.proxy import Proxy, eventually, running_proxy
from support.redis_server import running_redis
from support.upstream import ANSWER, Rule, Upstream, images_in
from typing_extensions import Self

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster"
PAGE = CLUSTER.parents[1] / "docs" / "deploy.md"
CHAT = "/v1/chat/completions"
KEY = "sk-the-master-key-of-all-hosts"
DRAIN = {"X-Drain-Token": "the token of all hosts"}

pytestmark = [needs_callbacks_from_packages, needs_shutdown_grace]


def question(mark: str) -> dict[str, Any]:
    return {"model": "deepseek-chat-ocr", "messages": [message(text(f"What is {mark}?"), image(mark))]}


@contextmanager
def running_hosts(upstream: Upstream, folder: Path) -> Iterator[list[Proxy]]:
    """Two proxies with the config of the example."""
    config: dict[str, Any] = yaml.safe_load((CLUSTER / "proxy_config.yaml").read_text())
    with ExitStack() as stack:
        env = {
            "REDIS_URL": stack.enter_context(running_redis()).url,
            "LITELLM_SALT_KEY": "sk-the-salt-key-of-all-hosts",
            "GRACEFUL_SHUTDOWN_TIMEOUT": "180",
            "DRAIN_ENDPOINT_TOKEN": DRAIN["X-Drain-Token"],
            "OPENAI_API_KEY": "sk-a",
            "OPENAI_BASE_URL": upstream.base_url,
            "DEEPSEEK_API_KEY": "sk-b",
            "DEEPSEEK_API_BASE": upstream.base_url,
        }
        yield [stack.enter_context(running_proxy(config, folder / name, env, key=KEY)) for name in ("one", "two")]


@pytest.fixture(scope="module")
def hosts(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    with running_hosts(shared_upstream, tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def balancer(hosts: list[Proxy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancer]:
    with running_balancer([host.port for host in hosts], tmp_path_factory.mktemp("balancer")) as balancer:
        yield balancer


def test_both_hosts_pay_once_for_an_image(hosts: list[Proxy], upstream: Upstream) -> None:
    cached = []
    for host in hosts:
        with host.client() as client:
            response = client.post(CHAT, json=question("shared"))
        assert response.status_code == 200, response.text
        cached.append(response.headers["x-litellm-image-analysis-cached"])
    assert cached == ["0", "1"]
    assert [bool(images_in(body)) for body in upstream.requests] == [True, False, False]
    assert [line for host in hosts for line in host.log.splitlines() if "ERROR" in line] == []


def test_a_model_that_fails_is_called_once(hosts: list[Proxy], upstream: Upstream) -> None:
    """Each further attempt would take ``request_timeout`` again, and the times of the example have room for one."""
    upstream.rules.append(Rule(lambda body: "fails" in str(body) and not images_in(body), status=503))
    with hosts[0].client() as client:
        assert client.post(CHAT, json=question("fails")).status_code == 503
    assert [bool(images_in(body)) for body in upstream.of("fails")] == [True, False]


def test_prometheus_needs_no_key(hosts: list[Proxy]) -> None:
    metrics = httpx.get(f"{hosts[0].url}/metrics/", timeout=60).text
    assert "litellm_image_analysis_calls_in_flight" in metrics


@needs_prometheus
@needs_server
def test_prometheus_has_values_for_the_dashboard_and_no_alert(
    hosts: list[Proxy], upstream: Upstream, tmp_path: Path
) -> None:
    upstream.rules.append(Rule(lambda body: "damaged" in str(body) and bool(images_in(body)), status=400))
    with running_prometheus([host.port for host in hosts], tmp_path) as prometheus:
        analysed = "sum(litellm_image_analysis_images_analysed_total)"
        assert eventually(lambda: prometheus.value("sum(up)") == len(hosts), 60)
        before = prometheus.value(analysed) or 0
        for mark in ("first", "second", "first", "damaged"):
            for host in hosts:
                with host.client() as client:
                    assert client.post(CHAT, json=question(f"scraped {mark}")).status_code == 200
        assert eventually(lambda: prometheus.value(analysed) == before + 2, 60)

        def empty_panels() -> set[str]:
            return {
                panel.title
                for panel in panels()
                for expression, _ in panel.expressions
                if not prometheus.get("query", query=filled(expression, rate="1m", total="5m"))["result"]
            }

        assert eventually(lambda: empty_panels() == {"Refused calls"}, 60), empty_panels()
        rules = prometheus.get("rules")["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


@needs_haproxy
@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/%6Detrics/", "/health/drain", "/health/%64rain"])
def test_clients_do_not_reach_what_needs_no_key(balancer: Balancer, path: str) -> None:
    response = httpx.get(balancer.url + path, headers=DRAIN, timeout=60)
    assert response.request.url.raw_path == path.encode()
    assert response.status_code == 404


def test_only_the_token_drains_a_host(hosts: list[Proxy]) -> None:
    assert httpx.get(f"{hosts[0].url}/health/drain", timeout=60).status_code == 401
    assert httpx.get(f"{hosts[0].url}/health/readiness", timeout=60).status_code == 200


def run_the_page_s_drain(host: Proxy) -> int:
    """Run the command in ``docs/deploy.md`` that drains a host. It ends when the host has no request in flight."""
    (code,) = re.findall(r'exec proxy-1 python -c "(.*?)"\n', PAGE.read_text(), re.DOTALL)
    env = {**os.environ, "DRAIN_ENDPOINT_TOKEN": DRAIN["X-Drain-Token"]}
    command = [sys.executable, "-c", code.replace("http://127.0.0.1:4000", host.url)]
    return subprocess.run(command, env=env, timeout=60, check=False).returncode


class Stream:
    """Clients that send one request after the other through the balancer until the block ends.

    Attributes:
        statuses: those of the answers. 0 if the connection ended without one.
    """

    CLIENTS = 4

    def __init__(self, balancer: Balancer) -> None:
        self.statuses: list[int] = []
        self._stopped = threading.Event()
        self._url = balancer.url
        self._pool = ThreadPoolExecutor(self.CLIENTS)

    def __enter__(self) -> Self:
        self._clients = [self._pool.submit(self._send, number) for number in range(self.CLIENTS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for client in self._clients:
            client.result()
        self._pool.shutdown()

    def _send(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=60, verify=False) as client:
            while not self._stopped.is_set():
                try:
                    self.statuses.append(client.post(CHAT, json=question(f"stream {number}")).status_code)
                except httpx.TransportError:
                    self.statuses.append(0)

    def is_longer_by(self, requests: int) -> Callable[[], bool]:
        """A condition: so many more requests were answered."""
        target = len(self.statuses) + requests
        return lambda: len(self.statuses) >= target


@needs_haproxy
def test_a_drained_host_answers_what_it_has_and_gets_nothing_more(upstream: Upstream, tmp_path: Path) -> None:
    gate = threading.Event()
    with running_hosts(upstream, tmp_path) as hosts, ThreadPoolExecutor(2) as pool:
        leaving = hosts[0]
        with running_balancer([host.port for host in hosts], tmp_path) as balancer, Stream(balancer) as stream:
            assert eventually(stream.is_longer_by(20))
            assert balancer.is_up("ready", "proxy-1")
            upstream.rules.append(Rule(lambda body: "slow" in str(body), gate=gate, times=1))
            with leaving.client() as client:
                slow = pool.submit(client.post, CHAT, json=question("slow"))
                assert eventually(lambda: bool(upstream.of("slow")))
                drain = pool.submit(run_the_page_s_drain, leaving)
                assert eventually(lambda: not balancer.is_up("ready", "proxy-1"))
                assert not drain.done()
                gate.set()
                assert slow.result().status_code == 200
                assert drain.result() == 0
            leaving.process.terminate()
            leaving.process.wait(60)
            assert eventually(stream.is_longer_by(20))
    assert {*stream.statuses} == {200}


_STATUS = {"/health/readiness": 503, "/health/liveliness": 200, CHAT: 200}


class Host(ThreadingHTTPServer):
    """A host whose database is away: it lives and is not ready."""

    daemon_threads = True

    def __init__(self, check_seconds: float = 0) -> None:
        self.check_seconds = check_seconds
        self.checks = 0
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Host)
        time.sleep(self.server.check_seconds)
        self._answer()
        self.server.checks += 1

    def _answer(self) -> None:
        self.send_response(_STATUS[self.path])
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        pass


@needs_haproxy
def test_hosts_that_are_alive_serve_if_none_is_ready(tmp_path: Path) -> None:
    hosts: Sequence[Host] = [Host(), Host()]
    with running_balancer([host.server_port for host in hosts], tmp_path) as balancer:
        assert eventually(lambda: not any(balancer.is_up("ready", f"proxy-{number}") for number in (1, 2)))
        assert balancer.is_up("alive", "proxy-1")
        assert httpx.post(balancer.url + CHAT, json={}, timeout=60).text == ANSWER
    for host in hosts:
        host.shutdown()
        host.server_close()


@needs_haproxy
def test_hosts_that_answer_checks_slowly_keep_serving(tmp_path: Path) -> None:
    hosts = [Host(check_seconds=2.5), Host(check_seconds=2.5)]
    with running_balancer([host.server_port for host in hosts], tmp_path) as balancer:
        assert eventually(lambda: min(host.checks for host in hosts) >= 8)  # two backends check each host
        assert balancer.is_up("alive", "proxy-1")
        assert httpx.post(balancer.url + CHAT, json={}, timeout=60).text == ANSWER
    for host in hosts:
        host.shutdown()
        host.server_close()


@needs_haproxy
def test_a_request_whose_headers_do_not_end_is_refused(tmp_path: Path) -> None:
    with running_balancer([1, 2], tmp_path) as balancer, socket.socket() as client:
        client.connect(("127.0.0.1", httpx.URL(balancer.url).port or 0))
        client.settimeout(60)  # the limit of the example is 10 seconds
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost:")
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")
