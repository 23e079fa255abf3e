"""A real HAProxy with the configuration of the cluster example, on free loopback ports."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.proxy import eventually, free_port

CONFIG = Path(__file__).parents[2] / "examples" / "cluster" / "haproxy.cfg"
needs_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs HAProxy: apt-get install haproxy")


class Balancer:
    """A running HAProxy.

    Attributes:
        url: the address for clients.
        metrics_url: the address of its metrics.
    """

    def __init__(self, port: int, metrics_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"

    def is_up(self, backend: str, server: str) -> bool:
        """Whether HAProxy sends requests to this server of this backend."""
        name = f'haproxy_server_status{{proxy="{backend}",server="{server}",state="UP"}} 1'
        return name in httpx.get(self.metrics_url, timeout=5).text


@contextmanager
def running_balancer(ports: Sequence[int], folder: Path) -> Iterator[Balancer]:
    """Run HAProxy in front of two servers on these loopback ports until the block ends."""
    balancer_port, metrics_port = free_port(), free_port()
    config = config_on_loopback(ports, balancer_port, metrics_port, folder)
    balancer = Balancer(balancer_port, metrics_port)
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
