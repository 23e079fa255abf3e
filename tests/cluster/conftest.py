"""One cluster for all tests of a file. It ends with them, because its threads would open sockets in other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.cluster import Cluster, running_cluster
from support.upstream import Upstream, running_upstream


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def cluster(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(shared_upstream, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """The provider, without earlier requests and rules."""
    shared_upstream.reset()
    return shared_upstream
