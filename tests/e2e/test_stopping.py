"""A proxy that is stopped while a vision call runs, on a real PostgreSQL."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.billing import ROUTES, Caller, database, of_vision
from support.configs import proxy_config
from support.features import needs_shutdown_grace
from support.proxy import Proxy, eventually, running_proxy
from support.upstream import VISION_COST, Rule, Upstream

pytestmark = [
    pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL"),
    needs_shutdown_grace,
]

ROWS = 'SELECT spend::float FROM "LiteLLM_SpendLogs" WHERE api_key = %(key)s'


@pytest.fixture
def gateway(upstream: Upstream, tmp_path: Path) -> Iterator[Proxy]:
    config: dict[str, Any] = proxy_config(upstream)
    config["general_settings"] |= {"cancel_on_disconnect": True, "proxy_batch_write_at": 1}
    with running_proxy(config, tmp_path / "proxy", {"DATABASE_URL": os.environ["DATABASE_URL"]}) as proxy:
        yield proxy


def is_closed(proxy: Proxy) -> bool:
    """Whether the proxy accepts no connections any more."""
    try:
        httpx.get(f"{proxy.url}/health/liveliness", timeout=5)
    except httpx.TransportError:
        return True
    return False


def test_a_vision_call_whose_client_has_left_is_waited_for_and_billed(gateway: Proxy, upstream: Upstream) -> None:
    assert eventually(lambda: "GRACEFUL_SHUTDOWN_TIMEOUT=90" in gateway.log), gateway.log
    gate = threading.Event()
    upstream.rules.append(Rule(of_vision, gate=gate))
    with gateway.client() as client:
        caller = Caller(client)
        request = ROUTES["chat"]("deepseek-chat-ocr", "mark", ["an image"], stream=False)
        caller.post_and_leave(request, lambda _: eventually(lambda: any(map(of_vision, upstream.requests))))
    gateway.process.terminate()
    assert eventually(lambda: is_closed(gateway))
    assert not eventually(lambda: gateway.process.poll() is not None, 5)
    gate.set()
    gateway.process.wait(30)
    spent = sorted(spend for (spend,) in database().execute(ROWS, {"key": caller.key}))
    assert spent == [0, pytest.approx(VISION_COST)]  # the request itself has failed
