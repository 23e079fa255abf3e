"""Image understanding for every model behind LiteLLM, including text-only models.

Importing this package does not import LiteLLM, because that takes seconds. LiteLLM is imported on first use of a name
that needs it. ``image_analysis`` is the instance that a proxy names in ``litellm_settings.callbacks``. Its settings are
in ``callback_settings.image_analysis``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litellm_image_analysis.config import CacheConfig, ImageAnalysisConfig, PageConfig
    from litellm_image_analysis.errors import AttemptError, ConfigError, ImageAnalysisError, RequestError
    from litellm_image_analysis.plugin import ImageAnalysis
    from litellm_image_analysis.sdk.functions import acompletion, anthropic_messages, aresponses, completion, responses
    from litellm_image_analysis.sdk.report import CallReport, report

    image_analysis: ImageAnalysis

__version__ = "0.1.0"

__all__ = [
    "AttemptError",
    "CacheConfig",
    "CallReport",
    "ConfigError",
    "ImageAnalysis",
    "ImageAnalysisConfig",
    "ImageAnalysisError",
    "PageConfig",
    "RequestError",
    "acompletion",
    "anthropic_messages",
    "aresponses",
    "completion",
    "image_analysis",
    "report",
    "responses",
]

_HOMES = {
    "AttemptError": "errors",
    "CacheConfig": "config",
    "CallReport": "sdk.report",
    "ConfigError": "errors",
    "ImageAnalysis": "plugin",
    "ImageAnalysisConfig": "config",
    "ImageAnalysisError": "errors",
    "PageConfig": "config",
    "RequestError": "errors",
    "acompletion": "sdk.functions",
    "anthropic_messages": "sdk.functions",
    "aresponses": "sdk.functions",
    "completion": "sdk.functions",
    "report": "sdk.report",
    "responses": "sdk.functions",
}


def __getattr__(name: str) -> object:
    """Import the module of a public name on first use (PEP 562).

    Raises:
        AttributeError: the package has no such name.
        ConfigError: a proxy's config names it as a callback, but it is not a callback.
    """
    if name == "image_analysis":
        value: object = import_module(f"{__name__}.instance").from_proxy_settings()
    elif sys._getframe(1).f_code.co_name == "get_instance_fn":  # noqa: SLF001 - LiteLLM's proxy looks up a callback
        raise import_module(f"{__name__}.instance").wrong_callback(f"{__name__}.{name}")
    elif name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
