"""What the operator is told when a proxy starts."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable

import anyio

from litellm_image_analysis.engine.routing import models_in_database, running_router, serves
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.proxy.vision_choice import unserved_default

_POLL_SECONDS = 0.02
_STARTUP_SECONDS = 30.0


async def report_unserved_default(name: str) -> None:
    """Log an ERROR if the router, once it is up, does not serve the configured vision model.

    Models that live in the database arrive a little later than the router.
    """
    await router_is_up()
    if models_in_database():
        await wait_for(lambda: _is_served(name))
    if not _is_served(name):
        LOGGER.error("%s", unserved_default(name, running_router()))


def _is_served(name: str) -> bool:
    router = running_router()
    return router is not None and serves(router, name, None)


async def router_is_up() -> None:
    """Wait for the proxy's router, which appears after callbacks are loaded, but not for ever."""
    await wait_for(lambda: running_router() is not None)


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells of, but not for ever."""
    with anyio.move_on_after(_STARTUP_SECONDS):
        while not condition():  # noqa: ASYNC110 - LiteLLM tells nobody when its router is up
            await anyio.sleep(_POLL_SECONDS)


def announce_at_exit(message: str) -> None:
    """Write to stderr when the process ends: LiteLLM's traceback of a failed start would bury it before."""
    atexit.register(lambda: sys.stderr.write(f"\n{message}\n"))
