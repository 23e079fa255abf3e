"""A real ``litellm --config`` process on a free loopback port, its log kept."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

START_SECONDS = 200
TWO_WORKERS = ("--num_workers", "2", "--timeout_worker_healthcheck", str(START_SECONDS))
"""On a busy machine uvicorn would kill a worker that is still importing LiteLLM, as unresponsive."""


@dataclass
class Proxy:
    """A running proxy and how to talk to it."""

    port: int
    master_key: str
    log_path: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def client(self, **kwargs: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.master_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **kwargs)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def write_shim(folder: Path) -> None:
    """Lead a LiteLLM that looks for callbacks in the config's folder only to the package."""
    from support.features import loads_callbacks_from_packages  # imports LiteLLM, which takes seconds

    if not loads_callbacks_from_packages():
        shim = "from litellm_image_analysis import image_analysis\n"
        (folder / "litellm_image_analysis.py").write_text(shim)


def start_proxy(
    config: dict[str, Any], folder: Path, env: dict[str, str] | None = None, *options: str, key: str | None = None
) -> Proxy:
    """Start the process; it may not be up yet, or never be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    write_shim(folder)
    port, key = free_port(), key or f"sk-{secrets.token_hex(16)}"
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
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(folder / "config.yaml")]
    log_path = folder / "proxy.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), *options],
            stdout=log,
            stderr=log,
            env=settings,
            cwd=folder,
        )
    return Proxy(port, key, log_path, process)


@contextmanager
def running_proxy(
    config: dict[str, Any], folder: Path, env: dict[str, str] | None = None, *options: str, key: str | None = None
) -> Iterator[Proxy]:
    """Start the process, wait until it serves, stop it when the block ends.

    Args:
        config: the proxy's YAML.
        folder: where config and log are kept.
        env: more environment.
        options: more words of the command line.
        key: the master key; proxies of one gateway have the same.
    """
    proxy = start_proxy(config, folder, env, *options, key=key)
    try:
        _wait_until_ready(proxy)
        yield proxy
    finally:
        proxy.process.terminate()
        try:
            proxy.process.wait(20)
        except subprocess.TimeoutExpired:
            proxy.process.kill()
            proxy.process.wait()


def _wait_until_ready(proxy: Proxy) -> None:
    def is_ready() -> bool:
        if proxy.process.poll() is not None:
            raise RuntimeError(f"the proxy stopped with {proxy.process.returncode}:\n{proxy.log[-4000:]}")
        try:
            return httpx.get(f"{proxy.url}/health/readiness", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    if not eventually(is_ready, START_SECONDS):
        raise RuntimeError(f"the proxy did not start in {START_SECONDS} s:\n{proxy.log[-4000:]}")


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait until another process has done something; ``False`` if it has not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return condition()
