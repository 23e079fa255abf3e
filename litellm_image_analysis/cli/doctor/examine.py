"""Run all checks on a config."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from litellm_image_analysis import __version__
from litellm_image_analysis.cli import gateway
from litellm_image_analysis.cli.doctor import callbacks, look, models, services, settings, versions
from litellm_image_analysis.cli.doctor.finding import Finding, problem, skipped
from litellm_image_analysis.cli.gateway_config import ConfigFileError, apply_environment, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from litellm_image_analysis.cli.gateway_config import GatewayConfig


async def examine(path: Path, *, looks: bool) -> list[Finding]:
    """Return the findings on a config, in the order of the checks.

    Args:
        path: the config.
        looks: whether to ask the vision model about a picture, which costs money.
    """
    found = versions.check_versions(sys.version_info[:3], version("litellm"), __version__)
    try:
        config = read_config(path)
        apply_environment(config)
    except ConfigFileError as error:
        return [*found, problem("config", str(error), None, "Correct the file")]
    return [*found, *settings.check_file(config), *await _examine_config(config, looks=looks)]


async def _examine_config(config: GatewayConfig, *, looks: bool) -> list[Finding]:
    effective, found = settings.check_settings(config)
    entries, instances = callbacks.load_callbacks(config)
    if effective is None:
        found += callbacks.unresolved(entries)
        return [*found, skipped("vision-model", "the settings have to be corrected first")]
    found += callbacks.check_callbacks(config, entries, instances)
    found += services.check_extras(config, effective)
    found += services.check_secret(effective)
    found += await services.check_redis(config, effective)
    found += await services.check_database(config)
    found += services.check_grace(config, effective)
    try:
        router = gateway.make_router(config, effective)
    except gateway.ModelListError as error:
        fix = "Compare model_list and router_settings with LiteLLM's documentation"
        return [*found, problem("models", f"LiteLLM does not accept the config: {error}", "model_list", fix)]
    found += models.check_models(config, effective, router)
    found += models.check_names(effective, router)
    if looks:
        gateway.apply_module_settings(config)
        found.append(await look.look(effective, router))
        await gateway.close_clients()
        return found
    return [*found, skipped("look", "the vision model was not asked. --look asks it, which costs money")]
