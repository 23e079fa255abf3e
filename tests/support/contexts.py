"""Contexts of requests, with defaults for tests."""

from __future__ import annotations

from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine.context import ProxyContext


def proxy_context(
    vision_model: str, config: ImageAnalysisConfig, router: Router | None, caller: UserAPIKeyAuth
) -> ProxyContext:
    return ProxyContext(config=config, vision_model=vision_model, router=router, caller=caller)
