"""One call for concurrent requests with the same key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
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
            flight = asyncio.ensure_future(self._made(key, call, flights))
            if not flight.done():  # it is, if tasks start eagerly and the call does not wait
                flights[key] = flight
                flight.add_done_callback(partial(self._forget, key, flights))
        return await asyncio.shield(flight), starts

    @staticmethod
    async def _made(key: Hashable, call: Callable[[], Awaitable[T]], flights: dict[Hashable, asyncio.Task[T]]) -> T:
        try:
            return await call()
        finally:
            # The task's callbacks run later. A request that joined the ended call until then would not suspend.
            flights.pop(key, None)

    @staticmethod
    def _forget(key: Hashable, flights: dict[Hashable, asyncio.Task[T]], ended: asyncio.Task[T]) -> None:
        if flights.get(key) is ended:  # the task was cancelled before it began, so the call did not leave
            del flights[key]
