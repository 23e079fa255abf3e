"""A vision provider in a separate process that tests kill. Its record of charged calls is kept in a file.

::

    python tests/support/fragile.py PORT LEDGER

The ledger gets a line before each answer, and another one after the answer is sent. If the process is killed in
between, the answer may have arrived or not.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.misbehaving import completion, http, read_body
from support.proxy import eventually, free_port, listens
from support.upstream import description_of, images_in

BEGUN, SENT = "begun", "sent"
THINKS_SECONDS = 0.02


class Fragile:
    """The provider, with methods to start and kill it.

    Args:
        ledger: the file for the charged calls.
    """

    def __init__(self, ledger: Path) -> None:
        self._ledger, self._port = ledger, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen([sys.executable, __file__, str(self._port), str(self._ledger)])
        assert eventually(lambda: listens(self._port))

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def answers(self, state: str) -> set[str]:
        """The ids of all answers that have reached this state."""
        lines = map(str.split, self._ledger.read_text().splitlines())
        return {answer for came_to, answer in lines if came_to == state}


@contextmanager
def running_fragile(ledger: Path) -> Iterator[Fragile]:
    """Start a provider, and kill it when the block ends."""
    provider = Fragile(ledger)
    provider.start()
    try:
        yield provider
    finally:
        provider.kill()


async def serve(port: int, ledger: Path) -> None:
    """Describe images until the process ends."""
    with ledger.open("a", buffering=1) as account:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            body = await read_body(reader)
            if body is None:
                writer.write(http(404, b""))
                return
            await asyncio.sleep(THINKS_SECONDS)
            (url,) = images_in(body["messages"])
            said = {**completion(content=description_of(url)), "id": f"chatcmpl-{secrets.token_hex(12)}"}
            account.write(f"{BEGUN} {said['id']}\n")
            writer.write(http(200, json.dumps(said).encode()))
            await writer.drain()
            account.write(f"{SENT} {said['id']}\n")

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await answer(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve_one, "127.0.0.1", port, backlog=200)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
