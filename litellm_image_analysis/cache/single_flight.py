"""One call for many who ask the same at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from litellm_image_analysis.event_loops import PerLoop

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Calls in flight by key.

    Each call is a task of its own, so whoever started it may be cancelled without harm to the others; a call nobody
    waits for any more comes to its end all the same. Calls belong to the event loop they were started in: one instance
    serves programs that run several.
    """

    def __init__(self) -> None:
        self._flights: PerLoop[dict[Hashable, asyncio.Task[T]]] = PerLoop(dict)

    def __contains__(self, key: Hashable) -> bool:
        """Whether a call with this key is in flight."""
        return key in self._flights.get()

    async def join(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Wait for the call with this key; start it if none is in flight.

        Args:
            key: what is asked.
            call: what to do if nobody else does.

        Returns:
            What the call returned, and whether it was started here.

        Raises:
            BaseException: what the call raised; all who wait for it get the same.
        """
        flights = self._flights.get()
        flight = flights.get(key)
        starts = flight is None
        if flight is None:
            flight = flights[key] = asyncio.ensure_future(_awaited(call))
            flight.add_done_callback(lambda _: flights.pop(key))
        return await asyncio.shield(flight), starts


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()
