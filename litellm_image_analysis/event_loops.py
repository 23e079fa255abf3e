"""What belongs to an event loop and dies with it.

Programs that use LiteLLM as a library run several loops, one after the other or in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One value for each event loop.

    Args:
        make: makes the value when a loop first asks for it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self) -> T:
        """The running loop's value."""
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            for other in [other for other in list(self._values) if other.is_closed()]:
                self._values.pop(other, None)
            self._values[loop] = self._make()
        return self._values[loop]

    def pop(self) -> T | None:
        """The running loop's value, which it has no longer, if it had one."""
        return self._values.pop(asyncio.get_running_loop(), None)
