"""The plugin's metrics on a proxy's ``/metrics`` page."""

from __future__ import annotations

from importlib.util import find_spec

import httpx
import pytest
from support.proxy import Proxy

PREFIX = "litellm_image_analysis_"
HAS_PROMETHEUS = find_spec("prometheus_client") is not None
needs_prometheus = pytest.mark.skipif(not HAS_PROMETHEUS, reason="prometheus_client is not there")


def parsed(page: str) -> dict[str, float]:
    """The values of the plugin's metrics by name and labels, without the prefix of the names."""
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if line.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): float(value) for name, value in lines if "_created" not in name}


def metrics_of(proxy: Proxy) -> dict[str, float]:
    """The values of the plugin's metrics on a proxy's page."""
    with proxy.client(follow_redirects=True) as client:
        response = client.get("/metrics")
    assert response.status_code == httpx.codes.OK, response.text
    return parsed(response.text)


def changes(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The differences of the values that have changed, without the buckets of histograms."""
    found = {name: value - before.get(name, 0) for name, value in after.items() if "_bucket" not in name}
    return {name: difference for name, difference in found.items() if difference}
