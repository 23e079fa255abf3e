"""Values that belong to an event loop, and work that would hold it up.

Programs that use LiteLLM as a library may run several loops, one after the other or in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


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


async def computed(compute: Callable[[], T], *, in_thread: bool) -> T:
    """Return the value of a function, called in a thread if it takes long, so that the event loop goes on."""
    return await anyio.to_thread.run_sync(compute) if in_thread else compute()
