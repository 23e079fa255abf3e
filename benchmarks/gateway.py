"""Whole proxies with and without the plugin, and the provider behind them, each in a process of its own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from support.configs import BASE_PRICE, VISION_PRICE, deployment
from support.proxy import running_proxy

from benchmarks.measure import Prepared, Run, Variant, cpu_seconds

TEXT, VISION, MULTIMODAL = "deepseek-chat", "gpt-4o-mini", "multimodal"
"""Model groups of each proxy. The text model is known to be text-only."""

_PLUGIN = "litellm_image_analysis.image_analysis"
_SETTLE_SECONDS, _IDLE_CPU_SECONDS = 0.05, 0.002


@dataclass(frozen=True)
class Provider:
    """A running provider."""

    url: str

    @property
    def base_url(self) -> str:
        """The base URL of its API."""
        return f"{self.url}/v1"

    def vision_calls(self) -> int:
        """Return how many calls its vision models got so far."""
        return int(httpx.get(f"{self.url}/vision-calls").json())


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Serve a provider until the block ends."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.provider"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Provider(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.wait()


def models_of(provider: Provider, vision: str = "seeing-mini") -> list[dict[str, Any]]:
    """Return the model list of a proxy or a Router, with this vision model of the provider."""
    url = provider.base_url
    return [
        deployment(TEXT, "blind-chat", url, **BASE_PRICE, supports_vision=False),
        deployment(VISION, vision, url, **VISION_PRICE, supports_vision=True),
        deployment(MULTIMODAL, "multimodal-chat", url, **BASE_PRICE, supports_vision=True),
    ]


def without_plugin(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a proxy's config without the plugin."""
    return {
        "model_list": models,
        "litellm_settings": {"drop_params": True},
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }


def with_callback(models: list[dict[str, Any]], callback: str) -> dict[str, Any]:
    """Return the same config with this callback."""
    config = without_plugin(models)
    return {**config, "litellm_settings": {**config["litellm_settings"], "callbacks": [callback]}}


def with_plugin(models: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    """Return the same config with the plugin, with these settings."""
    return {**with_callback(models, _PLUGIN), "callback_settings": {"image_analysis": settings}}


@dataclass(frozen=True)
class Gateway:
    """A running proxy.

    Attributes:
        pid: its process.
        client: a client that has its key.
    """

    pid: int
    client: httpx.Client

    def post(self, content: bytes) -> httpx.Response:
        """Send a chat request. The response is successful."""
        response = self.client.post("/v1/chat/completions", content=content)
        return response.raise_for_status()

    def variant(self, body: Mapping[str, Any]) -> Variant[bytes]:
        """Return the variant that sends this chat request, with the CPU time of the proxy."""
        content = encoded(body)
        return self.measured(self.post, lambda: content)

    def measured(self, act: Callable[[Prepared], Any], prepare: Callable[[], Prepared]) -> Variant[Prepared]:
        """Return a variant with the CPU time of the proxy."""
        return Variant(act, prepare, self.cpu)

    def cpu(self) -> float:
        """Return the CPU time of the proxy once it is idle: LiteLLM logs a request after the response."""
        before, now = -math.inf, cpu_seconds(self.pid)
        while now - before > _IDLE_CPU_SECONDS:
            time.sleep(_SETTLE_SECONDS)
            before, now = now, cpu_seconds(self.pid)
        return now


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a request's content."""
    return json.dumps(body).encode()


@contextmanager
def running_gateways(run: Run, configs: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, Gateway]]:
    """Start proxies at once, by name, and stop them when the block ends.

    In a quick run they are forked from a process that has imported LiteLLM. They share its memory, so only what they
    answer is that of a proxy that an operator starts.

    Args:
        run: tells whether it is quick.
        configs: config of each proxy, by name.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, ThreadPoolExecutor() as starters:
        starting = [
            running_proxy(config, Path(folder) / name, fresh=not run.is_quick) for name, config in configs.items()
        ]
        proxies = list(starters.map(stack.enter_context, starting))
        yield {
            name: Gateway(proxy.process.pid, stack.enter_context(proxy.client()))
            for name, proxy in zip(configs, proxies, strict=True)
        }
