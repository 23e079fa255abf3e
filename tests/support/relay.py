"""A TCP relay on loopback: HAProxy. It can be cut, to take a server away that a test must not stop."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.proxy import eventually, free_port, listens

_CONFIG = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen relay
    bind 127.0.0.1:{port}
    server target 127.0.0.1:{target}
"""


class Relay:
    """Forwards connections to a server on loopback.

    Args:
        target: the port of the server.
        folder: the folder for its configuration.
    """

    def __init__(self, target: int, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "relay.cfg"
        self._config.write_text(_CONFIG.format(port=self.port, target=target))
        self.mend()

    def cut(self) -> None:
        """Close all connections, and refuse new ones."""
        self._process.kill()
        self._process.wait()

    def mend(self) -> None:
        """Accept connections."""
        self._process = subprocess.Popen(["haproxy", "-f", str(self._config)])
        assert eventually(lambda: listens(self.port)), "the relay did not start"


@contextmanager
def running_relay(target: int, folder: Path) -> Iterator[Relay]:
    """Run a relay until the block ends."""
    relay = Relay(target, folder)
    try:
        yield relay
    finally:
        relay.cut()
