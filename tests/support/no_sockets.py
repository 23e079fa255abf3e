"""Tests may look up and connect to loopback only, and unit tests may not even do that.

Python reports look-ups and connections of every library and thread to audit hooks. The hook refuses them, and the test
fails even if the code under test catches the refusal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

_CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LOOKS_UP = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost", None, ""}
_WITH_SERVERS_OF_THEIR_OWN = {"integration", "e2e", "cluster", "clients", "test_neighbours"}
_WITH_A_REDIS = {"test_cache", "test_redis_settings", "test_lease", "test_redis_connection", "test_redis_store"}

_WITH_A_PROVIDER = {"test_command", "test_doctor", "test_doctor_models", "test_doctor_services"}

_allowed: set[Any] | None = None
"""Hosts that the running test may use. ``None`` between tests."""
_tried: list[str] = []


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _allowed is None or event not in _CONNECTS | _LOOKS_UP:
        return
    host = args[1] if event in _CONNECTS else args[0]
    if event in _CONNECTS:
        if not isinstance(host, tuple):
            return  # a Unix socket
        host = host[0]
    if host not in _allowed:
        _tried.append(f"{event} {host!r}")
        raise PermissionError(f"tests open no socket to {host!r}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def no_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse all connections that the running test may not make, and fail the test if it tried one."""
    global _allowed  # noqa: PLW0603 - an audit hook applies to the whole process and cannot be removed
    names = {request.path.parent.name, request.path.stem}
    has_server = bool(names & (_WITH_SERVERS_OF_THEIR_OWN | _WITH_A_REDIS | _WITH_A_PROVIDER))
    _tried.clear()
    _allowed = _LOOPBACK if has_server else set()
    yield
    _allowed = None
    assert _tried == []
