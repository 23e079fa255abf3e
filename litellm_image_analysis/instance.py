"""The one instance a proxy names in its config."""

from __future__ import annotations

import asyncio

import litellm

from litellm_image_analysis import log
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine import containment
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.plugin import ImageAnalysis
from litellm_image_analysis.proxy import disconnects, startup
from litellm_image_analysis.proxy.aliases import check_suffix

_in_background: set[asyncio.Task[None]] = set()
"""The event loop keeps only weak references to its tasks."""


def from_proxy_settings() -> ImageAnalysis:
    """The instance a proxy's ``litellm_settings.callbacks`` names, set up by ``callback_settings.image_analysis``.

    LiteLLM sets ``callback_settings`` before it loads callbacks, and loads them inside its event loop.

    Raises:
        ConfigError: the settings are wrong, or the installed LiteLLM would not understand names with the suffix; the
            proxy does not start.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return ImageAnalysis(_settings())  # imported by a program, not loaded by a proxy
    try:
        plugin = ImageAnalysis(_settings())
        if plugin.config.suffix is not None and plugin.config.advertise:
            check_suffix(plugin.config.suffix)
    except ConfigError as error:
        startup.announce_at_exit(str(error))
        raise
    log.show_requests()
    with containment.log_and_continue("watching for clients that hang up"):
        disconnects.watch()
    for task in (loop.create_task(plugin.check_start()), loop.create_task(plugin.keep_in_place())):
        _in_background.add(task)
        task.add_done_callback(_in_background.discard)
    return plugin


def _settings() -> ImageAnalysisConfig:
    return ImageAnalysisConfig.from_settings((litellm.callback_settings or {}).get("image_analysis"))
