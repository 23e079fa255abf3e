"""Values that belong to an event loop, and work that would hold it up.

Programs that use LiteLLM as a library may run several loops, one after the other or in threads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")

AT_ONCE = 16
"""Computations in one turn of an event loop."""


class PerLoop(Generic[T]):
    """One value for each event loop.

    Args:
        make: makes the value of a loop on first use.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self) -> T:
        """Return the value of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            for other in [other for other in list(self._values) if other.is_closed()]:
                self._values.pop(other, None)
            self._values[loop] = self._make()
        return self._values[loop]

    def pop(self) -> T | None:
        """Remove and return the value of the running loop, or ``None``."""
        return self._values.pop(asyncio.get_running_loop(), None)


class _Turns:
    """Lets a number of computations begin in each turn of an event loop. The others wait for a later turn, in order.

    Without it, a thousand requests at once would hold up the event loop until all of them have computed.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = AT_ONCE
        self._is_scheduled = False

    async def take(self) -> None:
        """Wait for a turn that has room. Most have, and then nothing is awaited."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._begin)
        if self._left > 0:
            self._left -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        await turn

    def _begin(self) -> None:
        self._left = AT_ONCE
        while self._left > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # it is, if its request was cancelled
                turn.set_result(None)
                self._left -= 1
        self._is_scheduled = self._left < AT_ONCE
        if self._is_scheduled:
            self._loop.call_soon(self._begin)


_turns = PerLoop(_Turns)


async def take_turn() -> None:
    """Wait until this turn of the event loop has room for another computation of about a millisecond."""
    await _turns.get().take()


async def computed(compute: Callable[[], T], *, in_thread: bool) -> T:
    """Return the value of a function, so that the event loop goes on.

    Args:
        compute: the function.
        in_thread: whether it takes long. It is called in a thread then, else in its turn.
    """
    if in_thread:
        return await anyio.to_thread.run_sync(compute)
    await take_turn()
    return compute()
