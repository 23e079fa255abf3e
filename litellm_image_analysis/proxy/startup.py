"""Messages for the operator when a proxy starts."""

from __future__ import annotations

import atexit
import difflib
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio

from litellm_image_analysis.compat import grace_seconds, proxy_config, view_of
from litellm_image_analysis.config import SETTINGS_PATH, ImageAnalysisConfig
from litellm_image_analysis.engine.routing import models_in_database, running_router, serves, vision_groups
from litellm_image_analysis.log import LOGGER, quoted
from litellm_image_analysis.proxy.vision_choice import unserved_default

if TYPE_CHECKING:
    from litellm.router import Router

_NAME = "image_analysis"
_SECTION = "callback_settings"
_NAMES = (_NAME, "litellm_image_analysis")
_OTHER_SECTIONS = (_SECTION, "litellm_settings", "general_settings", "router_settings")
_POLL_SECONDS = 0.02
_STARTUP_SECONDS = 30.0
_CALL_OF_TEXT_MODEL_SECONDS = 30.0


async def report_unserved_default(name: str) -> None:
    """Wait for the proxy's router, and log an ERROR if it does not serve the configured vision model.

    LiteLLM loads models from the database shortly after the router. They may take 30 more seconds.

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


def report_ready(config: ImageAnalysisConfig, *, has_settings: bool = True, is_registered: bool = True) -> None:
    """Log an INFO line with the versions and the main settings, and a WARNING if settings are misplaced.

    Args:
        config: the settings.
        has_settings: whether they are those of the config. Otherwise they are the defaults.
        is_registered: whether LiteLLM calls the plugin before requests. Otherwise an ERROR is logged.
    """
    if not is_registered:
        LOGGER.error(
            "image analysis: litellm_settings.callbacks does not name litellm_image_analysis.image_analysis, so no"
            " request is analysed. LiteLLM calls other lists, such as success_callback, only after a request"
        )
        return
    fields = {
        "version": vars(sys.modules[__package__.partition(".")[0]])["__version__"],
        "litellm": version("litellm"),
        "vision_model": config.vision_model,
        "suffix": config.suffix or "off",
        "mode": config.mode,
        "cache": config.cache.backend,
        "settings": SETTINGS_PATH if has_settings else "defaults",
    }
    line = " ".join(f"{name}={quoted(value)}" for name, value in fields.items())
    LOGGER.info("image analysis: ready %s", line, extra={"image_analysis": fields})
    problem = misplaced_settings(proxy_config(), has_settings=has_settings)
    if problem is not None:
        LOGGER.warning(
            "image analysis: %s%s. They belong under callback_settings: {image_analysis: {...}}, at the top level of"
            " the config",
            problem,
            "" if has_settings else ", so all settings have their defaults",
        )


def misplaced_settings(config: Mapping[str, Any], *, has_settings: bool = False) -> str | None:
    """Return the problem with the place of the settings in a proxy's config, or ``None``.

    Args:
        config: the proxy's config.
        has_settings: whether settings were found in the place that LiteLLM reads.
    """
    sections = {"": config, **{f"{name}.": config.get(name) for name in _OTHER_SECTIONS}}
    places = ((f"{path}{name}", section, name) for path, section in sections.items() for name in _NAMES)
    for place, section, name in places:
        if isinstance(section, Mapping) and name in section and place != SETTINGS_PATH:
            return f"the settings under {place} are not read"
    return None if has_settings else _unread_section(config)


def _unread_section(config: Mapping[str, Any]) -> str | None:
    """Return the reason why no settings were found although the config may have some, or ``None``."""
    nested, section = config.get("litellm_settings"), config.get(_SECTION)
    if isinstance(nested, Mapping) and _SECTION in nested:
        return f"the settings under litellm_settings.{_SECTION} are not read"
    if isinstance(section, Mapping) and section:
        beside = [key for key in section if key in ImageAnalysisConfig.model_fields]
        if beside:
            return f"{_SECTION} has {', '.join(beside)} beside {_NAME} instead of below it"
        return None if _NAME in section else f"{_SECTION} has no section {_NAME}"
    misspelt = difflib.get_close_matches(_SECTION, list(map(str, config)), n=1)
    return f"the settings under {misspelt[0]} are not read" if misspelt and misspelt[0] != _SECTION else None


def report_suffixed_models(suffix: str | None, vision_model: str) -> None:
    """Log a WARNING for each model of the router whose own name ends in the suffix, but not for vision models.

    Args:
        suffix: the suffix. ``None`` if there is none.
        vision_model: the configured vision model. Its name causes no WARNING.
    """
    router = running_router()
    if router is None or suffix is None:
        return
    for name in suffixed_models(router, suffix, vision_model):
        LOGGER.warning(
            "image analysis: the model %s has the suffix %s in its own name, so a request for it does not ask for"
            " image analysis. Ask with ocr_model, rename it, or change the setting suffix",
            quoted(name),
            suffix,
        )


def suffixed_models(router: Router, suffix: str, vision_model: str) -> list[str]:
    """Return the sorted names of model groups that end in the suffix, without those that accept images.

    Args:
        router: the router.
        suffix: the suffix.
        vision_model: the configured vision model.
    """
    seeing = {vision_model, *vision_groups(router, None)}
    return sorted(name for name in view_of(router).groups() if name.endswith(suffix) and name not in seeing)


def report_short_grace(timeout_seconds: float) -> None:
    """Log a WARNING if a proxy with spend tracking does not wait for the longest vision call when it is stopped.

    Args:
        timeout_seconds: the time limit of vision calls.
    """
    grace = short_grace(timeout_seconds)
    if grace is not None and os.environ.get("DATABASE_URL"):
        LOGGER.warning(
            "image analysis: %s.timeout_seconds is %g, and LiteLLM ends the requests of a stopped worker after %g s. A"
            " vision call that is cut off may be charged by its provider, and is not billed. Set"
            " GRACEFUL_SHUTDOWN_TIMEOUT=%g in the environment, or a lower timeout_seconds",
            SETTINGS_PATH,
            timeout_seconds,
            grace,
            sufficient_grace(timeout_seconds),
        )


def short_grace(timeout_seconds: float) -> float | None:
    """Return the seconds that LiteLLM gives the requests of a stopped worker, if a vision call may take longer.

    Args:
        timeout_seconds: the time limit of vision calls.
    """
    grace = grace_seconds()
    return grace if grace is not None and grace <= timeout_seconds else None


def sufficient_grace(timeout_seconds: float) -> float:
    """Return the seconds that suffice for a vision call and the call of the text model after it.

    Args:
        timeout_seconds: the time limit of vision calls.
    """
    return timeout_seconds + _CALL_OF_TEXT_MODEL_SECONDS


def report_other_cache_keys() -> None:
    """Log a WARNING that hosts which share a Redis do not share analyses."""
    LOGGER.warning(
        "image analysis: another host with this Redis, or this one before it was started, has other cache keys. If it"
        " is another host, each pays for each image: give all hosts the same %s.cache.secret, or the same"
        " LITELLM_SALT_KEY, or without both the same master_key",
        SETTINGS_PATH,
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
        while not condition():  # noqa: ASYNC110 - LiteLLM has no event for this
            await anyio.sleep(_POLL_SECONDS)


def announce_at_exit(message: str) -> None:
    """Write a message to stderr when the process ends, after LiteLLM's long traceback of the failed start.

    Args:
        message: the message.
    """
    atexit.register(lambda: sys.stderr.write(f"\n{message}\n"))
