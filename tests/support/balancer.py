"""A real HAProxy in front of several proxies."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.proxy import eventually, free_port

SERVERS = "gateway"


class Balancer:
    """HAProxy with one server for each proxy.

    Args:
        ports: the ports of the proxies by their names.
        folder: the folder for its config, log and socket.
    """

    def __init__(self, ports: Mapping[str, int], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._control = folder / "control"
        port, config = free_port(), folder / "haproxy.cfg"
        self.url = f"http://127.0.0.1:{port}"
        config.write_text(_config(port, ports, self._control))
        self._process = subprocess.Popen([binary() or "haproxy", "-f", str(config)], cwd=folder)
        assert eventually(lambda: all(self.is_up(name) for name in ports)), "HAProxy found no healthy proxy"

    def is_up(self, name: str) -> bool:
        """Whether the proxy gets requests."""
        return self._column(name, "status").startswith("UP")

    def drain(self, name: str) -> None:
        """Send the proxy no new requests, and wait until it has answered the others."""
        self._tell(f"set server {SERVERS}/{name} state drain")
        assert eventually(lambda: self._column(name, "scur") == "0", 120), f"{name} is still answering"

    def ready(self, name: str) -> None:
        """Send requests to the proxy as soon as it is healthy, and wait for that."""
        self._tell(f"set server {SERVERS}/{name} state ready")
        assert eventually(lambda: self.is_up(name), 120), f"{name} is not healthy"

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _column(self, name: str, column: str) -> str:
        lines = self._tell("show stat").removeprefix("# ").splitlines()
        names = lines[0].split(",") if lines else []
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:]]
        return next((row[column] for row in rows if (row["pxname"], row["svname"]) == (SERVERS, name)), "")

    def _tell(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._control))
            except OSError:
                return ""  # it starts
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def binary() -> str | None:
    """The path of HAProxy, where it is installed. Debian has it outside the path of users."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def _config(port: int, ports: Mapping[str, int], control: Path) -> str:
    servers = [f"  server {name} 127.0.0.1:{at}" for name, at in ports.items()]
    return "\n".join(
        [
            "global",
            f"  stats socket {control} mode 600 level admin",
            "defaults",
            "  mode http",
            "  timeout connect 5s",
            "  timeout client 200s",
            "  timeout server 200s",
            "  timeout check 5s",
            "  option redispatch",
            "  retries 3",
            "frontend clients",
            f"  bind 127.0.0.1:{port}",
            f"  default_backend {SERVERS}",
            f"backend {SERVERS}",
            "  balance roundrobin",
            "  option httpchk GET /health/readiness",
            "  default-server check inter 500ms fall 3 rise 1",
            *servers,
            "",
        ]
    )


@contextmanager
def running_balancer(ports: Mapping[str, int], folder: Path) -> Iterator[Balancer]:
    """Run HAProxy until the block ends."""
    balancer = Balancer(ports, folder)
    try:
        yield balancer
    finally:
        balancer.stop()
