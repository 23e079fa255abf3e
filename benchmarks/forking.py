"""Proxies that are forked from one process, so that valgrind has to import LiteLLM only once.

``python -m benchmarks.forking CONFIG...`` prints a line of process and port for each config.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from support.proxy import free_port


def _serve(config: Path, port: int) -> NoReturn:
    """Be a proxy."""
    log = os.open(config.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["litellm", "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    from litellm.proxy.proxy_cli import run_server

    run_server()
    os._exit(0)


def main() -> None:
    """Fork a proxy for each config, and wait until the process is ended."""
    import litellm.proxy.proxy_cli
    import litellm.proxy.proxy_server  # noqa: F401

    for config in map(Path, sys.argv[1:]):
        port = free_port()
        child = os.fork()
        if not child:
            _serve(config, port)
        print(child, port, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
