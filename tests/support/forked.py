"""Processes forked from one that has imported LiteLLM's proxy. The imports take most of the time of a start."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

_CONTEXT = multiprocessing.get_context("forkserver")
_TESTS = str(Path(__file__).parents[1])


class Forked:
    """A forked process, with the methods of ``subprocess.Popen`` that the tests use."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.pid = process.pid or 0  # it has started

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def fork_litellm(arguments: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> Forked:
    """Run ``litellm`` with these arguments in a process that has imported its proxy.

    Values that LiteLLM reads from the environment during its import are those of the tests' own process. Uvicorn's
    workers are forked, too.

    Args:
        arguments: the arguments after the command's name.
        env: the environment of the process.
        folder: its working directory.
        log: the file for all output.
    """
    _CONTEXT.set_forkserver_preload(["litellm.proxy.proxy_server", "litellm.proxy.proxy_cli"])
    with _calm_environment():
        forkserver.ensure_running()
    process = _CONTEXT.Process(target=_litellm, args=(list(arguments), dict(env), str(folder), str(log)))
    process.start()
    return Forked(process)


@contextmanager
def _calm_environment() -> Iterator[None]:
    """The tests' environment without variables that belong to a single proxy."""
    before = dict(os.environ)
    for name in [name for name in before if name in ("LITELLM_LOG", "DATABASE_URL") or name.startswith("COV")]:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def _litellm(arguments: list[str], env: dict[str, str], folder: str, log: str) -> None:
    os.setsid()  # a new process group, so that it ends together with its children
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.path[:] = [path for path in sys.path if path != _TESTS]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["litellm", *arguments]
    _make_it_quick()
    from litellm.proxy.proxy_cli import run_server

    run_server()


def _make_it_quick() -> None:
    """Fork workers, do not compare database and schema, and write spend every ``proxy_batch_write_at`` seconds."""
    import uvicorn._subprocess
    from litellm.proxy import proxy_server
    from litellm.proxy.db import check_migration

    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]
    setattr(check_migration, "check_prisma_schema_diff", lambda db_url=None: None)  # noqa: B010 - it takes ten seconds to write a log line
    jitter = SimpleNamespace(randint=lambda low, high: low, choice=random.choice)
    vars(proxy_server).update(random=jitter, DAILY_TAG_SPEND_BATCH_MULTIPLIER=1)
