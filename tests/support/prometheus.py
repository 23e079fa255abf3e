"""A real Prometheus on a free loopback port, with the configuration and the alert rules of the cluster example."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.dashboard import ALERTS, CLUSTER
from support.proxy import eventually, free_port

needs_server = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus: apt-get install prometheus"
)
SECONDS = 60


class Prometheus:
    """A running Prometheus. Its times are in seconds since 1970."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: Any) -> Any:
        response = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, verify=False)
        body = response.json()
        assert body["status"] == "success", body
        return body["data"]

    def value(self, expression: str) -> float | None:
        """The value of an expression that has one. ``None`` if it has none."""
        found = self.get("query", query=expression)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def series(self, expression: str, start: float, end: float, step: float) -> list[tuple[dict[str, str], list[Any]]]:
        """The values of an expression over time, with the labels of each series."""
        data = self.get("query_range", query=expression, start=start, end=end, step=step)
        return [(each["metric"], each["values"]) for each in data["result"]]

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5, verify=False).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def running_prometheus(ports: Sequence[int], folder: Path, *, scrape: str = "1s") -> Iterator[Prometheus]:
    """Run Prometheus with the example's configuration until the block ends.

    Args:
        ports: those of the proxies on loopback, in place of the example's.
        folder: the folder of configuration, data and log.
        scrape: the interval of scrapes.
    """
    config = yaml.safe_load((CLUSTER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": scrape, "evaluation_interval": scrape}
    proxies = next(job for job in config["scrape_configs"] if job["job_name"] == "litellm")
    proxies["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    config["scrape_configs"] = [proxies]
    (folder / ALERTS.name).write_text(ALERTS.read_text())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    server = Prometheus(port)
    with (folder / "prometheus.log").open("wb") as log:
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert eventually(server.is_ready, SECONDS), (folder / "prometheus.log").read_text()
        yield server
    finally:
        process.kill()
        process.wait()
