"""A real proxy in front of a provider on loopback, shared by all tests that need no special settings."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from support.configs import proxy_config
from support.proxy import Proxy, running_proxy
from support.upstream import Upstream, running_upstream


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """The provider, without earlier requests and rules."""
    shared_upstream.reset()
    return shared_upstream


@pytest.fixture(scope="session")
def proxy(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy(proxy_config(shared_upstream, timeout_seconds=30), tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy, upstream: Upstream) -> Iterator[httpx.Client]:
    """An HTTP client of the shared proxy with its master key."""
    with proxy.client() as client:
        yield client
