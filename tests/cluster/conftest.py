"""One cluster for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.balancer import binary
from support.cluster import Cluster, running_cluster
from support.upstream import Upstream, running_upstream

UNMET = {
    "needs PostgreSQL: set DATABASE_URL": "DATABASE_URL" not in os.environ,
    "needs HAProxy (on Debian: apt-get install haproxy)": binary() is None,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for reason in [reason for reason, is_unmet in UNMET.items() if is_unmet]:
        for item in items:
            if "cluster" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def cluster(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(shared_upstream, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """The provider, without earlier requests and rules."""
    shared_upstream.reset()
    return shared_upstream
