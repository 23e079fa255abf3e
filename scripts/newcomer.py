"""The path of a newcomer, timed: ``python -m scripts.newcomer dist/*.whl``.

The commands, programs and the config are those of ``docs/quick-start.md``, in its order. They run in an empty folder,
with an empty home folder, so that nothing is installed or cached. Three things are replaced: the checkout by the wheel,
port 4000 by a free one, and DeepSeek by a stand-in on loopback, because there is no API key.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.provider import READ, running_provider

PAGE = Path(__file__).parents[1] / "docs" / "quick-start.md"
BOUND_SECONDS = 300

_READ_IN_THE_PICTURE = "TOTAL"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"[Ss]ave (?:it|this) as `([\w.]+)`:\s*\Z")
_PACKAGE = re.compile(r"""(["'])(?:\.|litellm-image-analysis)(\[[\w,-]+\])\1""")
_PORT = re.compile(r"\b4000\b")
_START_SECONDS = 120
_STOP_SECONDS = 30
_COMMAND_SECONDS = 900


@dataclass(frozen=True)
class Step:
    """One thing that the page tells its reader to do.

    Attributes:
        text: shell commands, or the content of a file.
        file: the name of the file. ``None`` for shell commands.
    """

    text: str
    file: str | None = None

    @property
    def name(self) -> str:
        """The file, or the last command."""
        return f"save {self.file}" if self.file else self.text.strip().splitlines()[-1]

    @property
    def is_server(self) -> bool:
        """Whether the last command runs until it is stopped."""
        return self.file is None and self.name.startswith("litellm --config")


def steps(page: str) -> list[Step]:
    """Read the steps from a page: its shell commands, and the blocks that the reader is told to save as a file."""
    found = []
    for block in _BLOCK.finditer(page):
        if file := _FILE.search(page[: block.start()]):
            found.append(Step(block[2], file[1]))
        elif block[1] == "bash":
            found.append(Step(block[2]))
    return found


def adapted(page: str, wheel: Path, port: int) -> str:
    """Return a page that installs a wheel instead of a checkout or a published package, and uses another port."""
    page = _PACKAGE.sub(lambda found: shlex.quote(f"{wheel}{found[2]}"), page)
    return _PORT.sub(str(port), page)


class Reader:
    """A reader who does what the page says, with one shell in one folder.

    Args:
        folder: the empty folder.
        provider: base URL of the stand-in for DeepSeek.
        port: the port of the proxy.
    """

    def __init__(self, folder: Path, provider: str, port: int) -> None:
        self._folder = folder
        self._port = port
        self._log = folder / ".proxy.log"
        self._shell = folder / ".shell"
        self._shell.touch()
        self._home = folder / ".home"
        self._home.mkdir()
        self._environment = {**_environment(), "HOME": str(self._home), "DEEPSEEK_API_BASE": provider}
        self._server: subprocess.Popen[bytes] | None = None

    def follow(self, step: Step) -> str:
        """Do one step, and return what it printed.

        Raises:
            RuntimeError: a command failed.
        """
        if step.file:
            (self._folder / step.file).write_text(step.text)
        elif step.is_server:
            self._start(step.text)
        else:
            return self._run(step.text)
        return ""

    def _run(self, commands: str) -> str:
        kept = f"{commands}\nexport -p > {shlex.quote(str(self._shell))}"
        process = subprocess.Popen(
            self._in_shell(kept),
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # including the programs that the shell has started
            printed, _ = process.communicate()
            problem = f"{commands} took more than {_COMMAND_SECONDS} s"
        else:
            problem = f"status {process.returncode} of {commands}"
        if process.returncode:
            raise RuntimeError(f"{problem}\n{printed[-3000:]}\n{self._log_end()}")
        return printed

    def _in_shell(self, commands: str) -> list[str]:
        return ["bash", "-c", f"set -e\n. {shlex.quote(str(self._shell))}\n{commands}"]

    def _start(self, commands: str) -> None:
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                self._in_shell(commands),
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"the proxy did not start\n{self._log_end()}")

    def _log_end(self) -> str:
        return self._log.read_text()[-3000:] if self._log.exists() else ""

    def leave(self) -> None:
        """Stop the proxy."""
        if self._server is not None and self._server.poll() is None:
            stop(self._server)


def stop(leader: subprocess.Popen[bytes]) -> None:
    """Stop all processes of a session. If its leader does not end in time, kill them."""
    os.killpg(leader.pid, signal.SIGTERM)
    try:
        leader.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


def _environment() -> dict[str, str]:
    """Return this process's environment without keys, caches and Python environments."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith(("_API_KEY", "DATABASE_URL", "CACHE_DIR")) and not name.startswith(("PYTHON", "VIRTUAL"))
    }
    python = Path(os.path.realpath(sys.executable)).parent
    return {
        **kept,
        "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin",
        "DEEPSEEK_API_KEY": "none",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # LiteLLM looks up no prices on the network
    }


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def walk(wheel: Path) -> float:
    """Do what the page says, print the time of each step, and return their sum in seconds.

    Raises:
        RuntimeError: a command failed, or the text model has not read the picture.
    """
    port, total, printed = free_port(), 0.0, ""
    with tempfile.TemporaryDirectory() as folder, running_provider() as provider:
        reader = Reader(Path(folder), provider, port)
        try:
            for step in steps(adapted(PAGE.read_text(), wheel.resolve(), port)):
                start = time.monotonic()
                printed = reader.follow(step)
                total += (seconds := time.monotonic() - start)
                print(f"{seconds:7.1f} s  {step.name.replace(str(wheel.resolve().parent) + '/', '')}", flush=True)
        finally:
            reader.leave()
    print(f"{total:7.1f} s  in all")
    if READ not in printed or _READ_IN_THE_PICTURE not in printed:
        raise RuntimeError(f"the text model has not read the picture:\n{printed}")
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description="Run docs/quick-start.md in an empty environment, and time it.")
    parser.add_argument("wheel", type=Path)
    total = walk(parser.parse_args(arguments).wheel)
    if total > BOUND_SECONDS:
        sys.exit(f"It took more than {BOUND_SECONDS} s.")


if __name__ == "__main__":
    main()
