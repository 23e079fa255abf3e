"""Messages for the operator when a proxy starts."""

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
    """Log an ERROR if the proxy's router does not serve the configured vision model once it is up.

    Models in the database are loaded a little later than the router. They get up to 30 seconds more.

    Args:
        name: the configured vision model.
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
    """Wait up to 30 seconds for the proxy's router. LiteLLM creates it after it loads callbacks."""
    await wait_for(lambda: running_router() is not None)


async def wait_for(condition: Callable[[], bool]) -> None:
    """Poll a condition for up to 30 seconds.

    Args:
        condition: a function that returns whether to stop.
    """
    with anyio.move_on_after(_STARTUP_SECONDS):
        while not condition():  # noqa: ASYNC110 - LiteLLM has no event for a router that is up
            await anyio.sleep(_POLL_SECONDS)


def announce_at_exit(message: str) -> None:
    """Write a message to stderr when the process ends, after LiteLLM's long traceback of the failed start.

    Args:
        message: the message.
    """
    atexit.register(lambda: sys.stderr.write(f"\n{message}\n"))
