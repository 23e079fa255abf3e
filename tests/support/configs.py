"""Proxy configs with deployments at the provider on loopback."""

from __future__ import annotations

from typing import Any

from support.upstream import Upstream

BASE_PRICE: dict[str, Any] = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
VISION_PRICE: dict[str, Any] = {"input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7}


def deployment(name: str, model: str, base_url: str, provider: str = "openai", **info: Any) -> dict[str, Any]:
    """A model_list entry for a model of the provider on loopback."""
    params = {"model": f"{provider}/{model}", "api_base": base_url, "api_key": "sk-upstream"}
    return {"model_name": name, "litellm_params": params, "model_info": info}


def proxy_config(upstream: Upstream, **settings: Any) -> dict[str, Any]:
    """A proxy's config with a model of each kind, and these settings of the plugin.

    By default there is no cache and no circuit breaker, because tests that share a proxy must not affect each other.
    """
    settings = {"cache": {"backend": "off"}, "circuit_pause_seconds": 0, **settings}
    url = upstream.base_url
    return {
        "model_list": [
            deployment("deepseek-chat", "blind-chat", url, **BASE_PRICE),
            deployment("compatible", "blind-compatible", url, provider="hosted_vllm", **BASE_PRICE),
            deployment("multimodal", "seeing-chat", url, **BASE_PRICE, supports_vision=True),
            deployment("gpt-4o-mini", "seeing-mini", url, **VISION_PRICE, supports_vision=True),
            deployment("other-vision", "seeing-other", url, **VISION_PRICE, supports_vision=True),
            deployment("scan-ocr", "seeing-scan", url, **VISION_PRICE, supports_vision=True),
        ],
        # Agents send parameters that LiteLLM would refuse for unknown models.
        "litellm_settings": {"callbacks": ["litellm_image_analysis.image_analysis"], "drop_params": True},
        "callback_settings": {"image_analysis": settings},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        # A test that makes a model fail must not affect the next one.
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }


def deployment_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The first deployment of a model in a config."""
    found: dict[str, Any] = next(each for each in config["model_list"] if each["model_name"] == name)
    return found
