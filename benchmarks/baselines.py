"""Callbacks that do nothing: what LiteLLM itself needs for a callback."""

from __future__ import annotations

from typing import Any

from litellm.integrations.custom_logger import CustomLogger


class _SixHooks(CustomLogger):
    """Six hooks that LiteLLM calls for each chat."""

    async def async_pre_call_hook(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    async def async_filter_deployments(
        self, model: str, healthy_deployments: list[Any], *_: Any, **__: Any
    ) -> list[Any]:
        """Keep all deployments."""
        return healthy_deployments

    async def async_pre_call_deployment_hook(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def log_pre_api_call(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    async def async_log_success_event(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    async def async_post_call_response_headers_hook(self, *_: Any, **__: Any) -> None:
        """Do nothing."""


empty = CustomLogger()
six_hooks = _SixHooks()
