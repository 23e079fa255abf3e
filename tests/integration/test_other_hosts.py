"""Hosts of a gateway that share a Redis, when they start."""

from __future__ import annotations

from types import ModuleType

import pytest
from support.redis_server import RedisServer
from support.routers import deployment, router_of

from litellm_image_analysis import CacheConfig, ImageAnalysis


async def test_a_host_with_other_cache_keys_is_told(
    redis: RedisServer, proxy_module: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    vars(proxy_module)["llm_router"] = router_of(deployment("gpt-4o-mini"))
    told: list[bool] = []
    for secret in ("one", "one", "other"):
        cache = CacheConfig.model_validate({"backend": "redis", "redis_url": redis.url, "secret": secret})
        host = ImageAnalysis(cache=cache)
        caplog.clear()
        await host.check_start()
        await host.aclose()
        told.append("other cache keys" in caplog.text)
    assert told == [False, False, True]
