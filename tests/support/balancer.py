"""A real HAProxy with the configuration of the cluster example, on free loopback ports."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.proxy import eventually, free_port

BACKENDS = ("ready", "alive")
SECONDS = 120
CONFIG = Path(__file__).parents[2] / "examples" / "cluster" / "haproxy.cfg"
needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs HAProxy: apt-get install haproxy")


class Balancer:
    """A running HAProxy.

    Attributes:
        url: the address for clients.
        metrics_url: the address of its metrics.
    """

    def __init__(self, port: int, metrics_port: int, control: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self._control = control

    def is_up(self, backend: str, server: str) -> bool:
        """Whether HAProxy sends requests to this server of this backend."""
        return self._is(f'haproxy_server_status{{proxy="{backend}",server="{server}",state="UP"}} 1')

    def drain(self, server: str) -> None:
        """Send the server no new requests, and wait until it has answered the others."""
        self._set(server, "drain")
        counts = [f'haproxy_server_current_sessions{{proxy="{backend}",server="{server}"}} 0' for backend in BACKENDS]
        assert eventually(lambda: all(map(self._is, counts)), SECONDS), f"{server} is still answering"

    def ready(self, server: str) -> None:
        """Send requests to the server as soon as it is healthy, and wait for that."""
        self._set(server, "ready")
        assert eventually(lambda: self.is_up("ready", server), SECONDS), f"{server} is not healthy"

    def _is(self, metric: str) -> bool:
        return metric in httpx.get(self.metrics_url, timeout=5, verify=False).text.splitlines()

    def _set(self, server: str, state: str) -> None:
        commands = "; ".join(f"set server {backend}/{server} state {state}" for backend in BACKENDS)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            connection.sendall(f"{commands}\n".encode())
            connection.makefile().read()


@contextmanager
def running_balancer(ports: Sequence[int], folder: Path) -> Iterator[Balancer]:
    """Run HAProxy in front of two servers on these loopback ports until the block ends."""
    balancer_port, metrics_port = free_port(), free_port()
    config = config_on_loopback(ports, balancer_port, metrics_port, folder)
    control = folder / "control"
    config.write_text(config.read_text().replace("global\n", f"global\n    stats socket {control} level admin\n", 1))
    balancer = Balancer(balancer_port, metrics_port, control)
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(["haproxy", "-f", str(config)], stdout=log, stderr=log)
    try:
        assert eventually(lambda: _serves(balancer)), (folder / "haproxy.log").read_text()
        yield balancer
    finally:
        process.kill()
        process.wait()


def config_on_loopback(servers: Sequence[int], clients: int, metrics: int, folder: Path) -> Path:
    """Write the configuration of the example with these loopback ports to the folder."""
    config = CONFIG.read_text()
    for number, port in enumerate(servers, 1):
        config = config.replace(f"proxy-{number}:4000", f"127.0.0.1:{port}")
    config = config.replace("bind :4000", f"bind 127.0.0.1:{clients}")
    config = config.replace("bind :8405", f"bind 127.0.0.1:{metrics}")
    assert re.findall(r":4000|:8405", config) == []
    path = folder / CONFIG.name
    path.write_text(config)
    return path


def _serves(balancer: Balancer) -> bool:
    try:
        return httpx.get(balancer.metrics_url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
