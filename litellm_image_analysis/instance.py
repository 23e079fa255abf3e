"""The instance of ``ImageAnalysis`` that a proxy names in its config."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import litellm

from litellm_image_analysis import log
from litellm_image_analysis.compat import is_proxy_loaded
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine import containment
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.plugin import ImageAnalysis
from litellm_image_analysis.proxy import middleware, startup
from litellm_image_analysis.proxy.aliases import check_suffix

_in_background: set[asyncio.Task[None]] = set()
"""Background tasks. They are kept here because the event loop has only weak references to its tasks."""


def from_proxy_settings() -> ImageAnalysis:
    """Return the instance for a proxy's ``litellm_settings.callbacks``, or for a program.

    Its settings are in ``callback_settings.image_analysis``. A proxy sets ``callback_settings`` before it loads
    callbacks, and loads them inside its event loop.

    Raises:
        ConfigError: the settings are wrong, or the installed LiteLLM does not resolve names with the suffix. The proxy
            does not start.
    """
    loop = _proxy_loop()
    section = (litellm.callback_settings or {}).get("image_analysis")
    if loop is None:
        return ImageAnalysis(ImageAnalysisConfig.from_settings(section))
    try:
        plugin = ImageAnalysis(ImageAnalysisConfig.from_settings(section))
        if plugin.config.suffix is not None and plugin.config.advertise:
            check_suffix(plugin.config.suffix)
    except ConfigError as error:
        startup.announce_at_exit(str(error))
        raise
    log.show_requests()
    with containment.log_and_continue("installing the middleware"):
        middleware.install(plugin.config)
    for task in (
        loop.create_task(plugin.check_start(has_settings=section is not None)),
        loop.create_task(plugin.keep_in_place()),
    ):
        _in_background.add(task)
        task.add_done_callback(_in_background.discard)
    return plugin


def wrong_callback(path: str) -> ConfigError:
    """Return the error for a name in a proxy's ``litellm_settings.callbacks`` that is not a callback.

    LiteLLM before 1.108 accepts a class or a module there, but never calls it. With this error, the proxy does not
    start.

    Args:
        path: the name as it is in the config.
    """
    message = f"litellm_settings.callbacks: {path} is not a callback. Write litellm_image_analysis.image_analysis"
    startup.announce_at_exit(message)
    return ConfigError(message)


def _proxy_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of a proxy that is starting. ``None`` in a program."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop() if is_proxy_loaded() else None
    return None
