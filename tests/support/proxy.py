"""A real ``litellm --config`` process on a free loopback port, with its log."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from support.forked import Forked, fork_litellm

START_SECONDS = 200
STOP_SECONDS = 3
"""Seconds before a proxy is killed at the end. Some tests leave a request whose provider never answers."""
_READ_AT_IMPORT = {"LITELLM_LOG", "JSON_LOGS"}
TWO_WORKERS = ("--num_workers", "2", "--timeout_worker_healthcheck", str(START_SECONDS))
"""On a busy machine, uvicorn would otherwise kill a worker that is still importing LiteLLM."""


@dataclass
class Proxy:
    """A running proxy, with methods to send requests."""

    port: int
    master_key: str
    log_path: Path
    process: subprocess.Popen[bytes] | Forked

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def client(self, **kwargs: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.master_key}"}
        # With verify=False it loads no certificates, which would take more time than most requests.
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False, **kwargs)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether a server accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def write_shim(folder: Path) -> None:
    """Write a file beside the config that imports the package. Some versions look for callbacks only there."""
    from support.features import loads_callbacks_from_packages  # imports LiteLLM, which takes seconds

    if not loads_callbacks_from_packages():
        shim = "from litellm_image_analysis import image_analysis\n"
        (folder / "litellm_image_analysis.py").write_text(shim)


def start_proxy(
    config: dict[str, Any],
    folder: Path,
    env: dict[str, str] | None = None,
    *options: str,
    key: str | None = None,
    fresh: bool = False,
    port: int | None = None,
) -> Proxy:
    """Start the process. It may not serve yet, or fail to start.

    If LiteLLM reads a variable of the environment during its import, the process is never forked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    write_shim(folder)
    port, key = port or free_port(), key or f"sk-{secrets.token_hex(16)}"
    settings = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": key,
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        **(env or {}),
    }
    for name in ("LITELLM_LOG", "DATABASE_URL"):
        if env is None or name not in env:
            settings.pop(name, None)
    arguments = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port), *options]
    log_path = folder / "proxy.log"
    log_path.write_bytes(b"")
    process: subprocess.Popen[bytes] | Forked
    if fresh or _READ_AT_IMPORT & settings.keys():
        command = [str(Path(sys.executable).with_name("litellm")), *arguments]
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=settings, cwd=folder, start_new_session=True
            )
    else:
        process = fork_litellm(arguments, settings, folder, log_path)
    return Proxy(port, key, log_path, process)


@contextmanager
def running_proxy(
    config: dict[str, Any],
    folder: Path,
    env: dict[str, str] | None = None,
    *options: str,
    key: str | None = None,
    fresh: bool = False,
) -> Iterator[Proxy]:
    """Start the process, wait until it serves, and stop it when the block ends.

    Args:
        config: the proxy's YAML.
        folder: the folder of config and log.
        env: further variables of the environment.
        options: further arguments of the command line.
        key: the master key. Proxies of one gateway share it.
        fresh: start a new process instead of forking one that has imported LiteLLM.
    """
    proxy = start_proxy(config, folder, env, *options, key=key, fresh=fresh)
    try:
        wait_until_ready(proxy)
        yield proxy
    finally:
        stop_proxy(proxy)


def stop_proxy(proxy: Proxy, grace_seconds: float = STOP_SECONDS) -> None:
    """Stop it like a container: SIGTERM, and SIGKILL for what is left of it after the grace."""
    proxy.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        proxy.process.wait(grace_seconds)
    with suppress(ProcessLookupError):
        os.killpg(proxy.process.pid, signal.SIGKILL)  # including its workers and the database engine
    proxy.process.wait()


def wait_until_ready(proxy: Proxy) -> None:
    """Wait until it serves.

    Raises:
        RuntimeError: it stopped, or does not serve in time. The message has the end of its log.
    """

    def is_ready() -> bool:
        if proxy.process.poll() is not None:
            raise RuntimeError(f"the proxy stopped with {proxy.process.returncode}:\n{proxy.log[-4000:]}")
        try:
            return httpx.get(f"{proxy.url}/health/readiness", timeout=5, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    if not eventually(is_ready, START_SECONDS):
        raise RuntimeError(f"the proxy did not start in {START_SECONDS} s:\n{proxy.log[-4000:]}")


def eventually(condition: Callable[[], bool], seconds: float = 30, *, every: float = 0.1) -> bool:
    """Wait for a condition that another process fulfils. ``False`` if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every)
    return condition()
