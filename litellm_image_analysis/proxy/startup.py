"""Messages for the operator when a proxy starts."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import anyio
import litellm

from litellm_image_analysis.compat import proxy_config, view_of
from litellm_image_analysis.config import SETTINGS_PATH, ImageAnalysisConfig
from litellm_image_analysis.engine.routing import models_in_database, running_router, serves
from litellm_image_analysis.log import LOGGER, quoted
from litellm_image_analysis.proxy.vision_choice import unserved_default

_NAME = "image_analysis"
_NAMES = (_NAME, "litellm_image_analysis")
_OTHER_SECTIONS = ("callback_settings", "litellm_settings", "general_settings", "router_settings")
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


def report_ready(config: ImageAnalysisConfig, *, is_registered: bool = True) -> None:
    """Log an INFO line with the versions and the settings that matter most, and a WARNING if settings are misplaced.

    Args:
        config: the settings.
        is_registered: whether LiteLLM calls the plugin before requests. If it does not, this is an ERROR.
    """
    if not is_registered:
        LOGGER.error(
            "image analysis: litellm_settings.callbacks does not name litellm_image_analysis.image_analysis, so no"
            " request is analysed. LiteLLM calls other lists, such as success_callback, only after a request"
        )
        return
    sections = litellm.callback_settings or {}
    fields = {
        "version": vars(sys.modules[__package__.partition(".")[0]])["__version__"],
        "litellm": version("litellm"),
        "vision_model": config.vision_model,
        "suffix": config.suffix or "off",
        "mode": config.mode,
        "cache": config.cache.backend,
        "settings": SETTINGS_PATH if sections.get(_NAME) is not None else "defaults",
    }
    line = " ".join(f"{name}={quoted(value)}" for name, value in fields.items())
    LOGGER.info("image analysis: ready %s", line, extra={"image_analysis": fields})
    found = None if _NAME in sections else misplaced_settings(proxy_config())
    if found is not None:
        LOGGER.warning(
            "image analysis: %s, so all settings have their defaults. They belong under callback_settings:"
            " {image_analysis: {...}}, at the top level of the config",
            found,
        )


def misplaced_settings(config: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the place of the settings in a proxy's config, or ``None``.

    Args:
        config: the proxy's config.
    """
    sections = {"": config, **{f"{name}.": config.get(name) for name in _OTHER_SECTIONS}}
    places = ((f"{path}{name}", section, name) for path, section in sections.items() for name in _NAMES)
    for place, section, name in places:
        if isinstance(section, Mapping) and name in section and place != SETTINGS_PATH:
            return f"the settings under {place} are not read"
    nested = config.get("litellm_settings")
    if isinstance(nested, Mapping) and "callback_settings" in nested:
        return "the settings under litellm_settings.callback_settings are not read"
    return f"callback_settings has no section {_NAME}" if config.get("callback_settings") else None


def report_suffixed_models(suffix: str | None) -> None:
    """Log a WARNING for each model of the router whose own name ends in the suffix.

    Args:
        suffix: the suffix. ``None`` if there is none.
    """
    router = running_router()
    if router is None or suffix is None:
        return
    for name in sorted(name for name in view_of(router).groups() if name.endswith(suffix)):
        LOGGER.warning(
            "image analysis: the model %s has the suffix %s in its own name, so a request for it does not ask for"
            " image analysis. Ask with ocr_model, rename it, or change the setting suffix",
            quoted(name),
            suffix,
        )


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
