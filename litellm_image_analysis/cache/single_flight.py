"""One call for concurrent requests with the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from litellm_image_analysis.event_loops import PerLoop

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Calls in flight by key.

    Each call is a task of its own. If a request that waits for it is cancelled, the call continues, also if no other
    request waits. Calls belong to the event loop that started them. One instance may be used in several loops.
    """

    def __init__(self) -> None:
        self._flights: PerLoop[dict[Hashable, asyncio.Task[T]]] = PerLoop(dict)

    def __contains__(self, key: Hashable) -> bool:
        """Whether a call with this key is in flight."""
        return key in self._flights.get()

    async def join(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Wait for the call with this key. Start it if none is in flight.

        Args:
            key: identifies the call.
            call: makes the call.

        Returns:
            The result of the call, and whether it was started here.

        Raises:
            BaseException: the exception of the call. All requests that wait for it get the same one.
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
