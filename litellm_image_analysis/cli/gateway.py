"""The gateway that a config describes, as far as it can be made without starting it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import litellm
from litellm.router import Router
from pydantic import SecretStr

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.proxy.aliases import advertise
from litellm_image_analysis.vision import local_ocr

if TYPE_CHECKING:
    from litellm_image_analysis.cli.gateway_config import GatewayConfig

_ROUTER_SETTINGS = (
    *("model_group_alias", "routing_groups", "fallbacks", "default_fallbacks", "context_window_fallbacks"),
    *("content_policy_fallbacks", "num_retries", "timeout", "default_litellm_params"),
)
"""The settings of a Router that decide where a request goes. Others connect to Redis or start tasks."""

_MODULE_SETTINGS = ("drop_params", "modify_params", "request_timeout", "ssl_verify", "api_base", "model_alias_map")
"""Settings of LiteLLM that change a call to a provider."""


class ModelListError(Exception):
    """LiteLLM does not accept ``model_list`` or ``router_settings``. The message says what kind of error it raises."""


def settings_section(config: GatewayConfig) -> object:
    """Return what the config has under ``callback_settings.image_analysis``. ``None`` if there is nothing."""
    return config.section("callback_settings").get("image_analysis")


def read_settings(config: GatewayConfig) -> ImageAnalysisConfig:
    """Return the settings of image analysis, with the secret of cache keys that a proxy with this config would have.

    Raises:
        ConfigError: a setting is wrong.
    """
    settings = ImageAnalysisConfig.from_settings(settings_section(config))
    cache = settings.cache
    if cache.secret is not None or os.environ.get("LITELLM_SALT_KEY"):
        return settings
    key = master_key(config)
    if key is None:
        return settings
    return settings.model_copy(update={"cache": cache.model_copy(update={"secret": SecretStr(key)})})


def master_key(config: GatewayConfig) -> str | None:
    """Return the proxy's master key: that of the config, else of the environment."""
    general = config.section("general_settings")
    key = general["master_key"] if "master_key" in general else os.environ.get("LITELLM_MASTER_KEY")
    return key if isinstance(key, str) and key else None


def make_router(config: GatewayConfig, settings: ImageAnalysisConfig | None) -> Router:
    """Make a Router with the models, aliases and fallbacks of the config. It contacts no host.

    Deployments that LiteLLM does not accept are left out, as in a proxy.

    Args:
        config: the config.
        settings: the settings of image analysis. ``None`` for a Router without suffixed names.

    Raises:
        ModelListError: LiteLLM does not accept the config.
    """
    local_ocr.register()
    available = set(Router.get_valid_args())
    fallbacks = {name: value for name, value in config.section("litellm_settings").items() if "fallbacks" in name}
    given = {**fallbacks, **config.section("router_settings")}
    options: dict[str, Any] = {name: deepcopy(given[name]) for name in _ROUTER_SETTINGS if given.get(name) is not None}
    for name, value in options.items():
        if name.endswith("fallbacks") and not isinstance(value, list):  # a Router accepts it, and fails later
            raise ModelListError(f"{name} is not a list")
    models = [deepcopy(dict(entry)) for _, entry in config.deployments if _is_deployment(entry)]
    try:
        router = Router(
            model_list=models,
            ignore_invalid_deployments=True,
            **{name: value for name, value in options.items() if name in available},
        )
        if settings is not None and settings.suffix is not None and settings.advertise:
            advertise(router, settings.suffix, settings.vision_model)
    except Exception as error:  # noqa: BLE001 - LiteLLM raises many types for a wrong config
        raise ModelListError(type(error).__name__) from None
    return router


def apply_module_settings(config: GatewayConfig) -> None:
    """Set the settings of LiteLLM that change a call to a provider, before such a call is made."""
    for name, value in config.section("litellm_settings").items():
        if name in _MODULE_SETTINGS:
            setattr(litellm, name, value)


async def close_clients() -> None:
    """Close LiteLLM's connections to providers in the event loop that opened them. Python would warn otherwise."""
    library: Any = litellm  # the function has no types
    await library.close_litellm_async_clients()


def _is_deployment(entry: Mapping[str, Any]) -> bool:
    params = entry.get("litellm_params")
    return isinstance(entry.get("model_name"), str) and isinstance(params, Mapping) and bool(params.get("model"))
