"""Explain a request for a proxy with a config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litellm_image_analysis.cli import gateway
from litellm_image_analysis.cli.explain.explanation import explain
from litellm_image_analysis.cli.explain.look import look
from litellm_image_analysis.cli.explain.report import as_report
from litellm_image_analysis.cli.gateway_config import ConfigFileError, apply_environment, read_config
from litellm_image_analysis.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from litellm_image_analysis.cli.explain.request import Request
    from litellm_image_analysis.config import ImageAnalysisConfig


class UnusableConfigError(Exception):
    """A proxy with this config does not start. The message says why."""


async def run(path: Path, request: Request, team_id: str | None, *, looks: bool) -> dict[str, Any]:
    """Return the explanation of a request as JSON.

    Args:
        path: the proxy's config.
        request: the request.
        team_id: the team of the caller. ``None`` for a caller with the master key.
        looks: whether to ask the vision model, which costs money.

    Raises:
        UnusableConfigError: the config is wrong.
    """
    try:
        config = read_config(path)
        apply_environment(config)
        gateway.apply_module_settings(config)
        settings = _without_cache(gateway.read_settings(config))
        router = gateway.make_router(config, settings)
        explanation = await explain(request, config, settings, router, team_id)
    except (ConfigFileError, ConfigError) as error:
        raise UnusableConfigError(str(error)) from None
    except gateway.ModelListError as error:
        raise UnusableConfigError(f"LiteLLM does not accept model_list or router_settings: {error}") from None
    report = as_report(request, explanation, router)
    if looks:
        report["look"] = await look(request, explanation)
        await gateway.close_clients()
    return report


def _without_cache(settings: ImageAnalysisConfig) -> ImageAnalysisConfig:
    """Return settings whose analyses are neither taken from the gateway's cache nor stored in it. Keys are the same."""
    return settings.model_copy(update={"cache": settings.cache.model_copy(update={"backend": "off"})})
