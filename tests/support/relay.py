"""A TCP relay on loopback. It can be cut, which tests use to take a server away that they must not stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress

from support.proxy import free_port


class Relay:
    """Forwards connections to a server on loopback.

    Args:
        target: the port of the server.
    """

    def __init__(self, target: int) -> None:
        self.port, self._target = free_port(), target
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    def cut(self) -> None:
        """Close all connections, and refuse new ones."""
        self._wait_for(asyncio.run_coroutine_threadsafe(self._cut(), self._loop))

    def mend(self) -> None:
        """Accept connections again."""
        self._wait_for(asyncio.run_coroutine_threadsafe(self._listen(), self._loop))

    def close(self) -> None:
        """End the relay."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @staticmethod
    def _wait_for(done: Future[None]) -> None:
        done.result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port, backlog=500)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            ends = {writer, far_writer}
            self._open |= ends
            try:
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            finally:
                self._open -= ends
                for end in ends:
                    end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()


@contextmanager
def running_relay(target: int) -> Iterator[Relay]:
    """Run a relay until the block ends."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()
