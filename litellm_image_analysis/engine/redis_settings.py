"""The Redis of the cache: the one in the cache's settings, else the gateway's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import litellm

from litellm_image_analysis.cache.redis_connection import NamespacedClient
from litellm_image_analysis.compat import proxy_global
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.engine.tenancy import shared_secret
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.log import LOGGER

if TYPE_CHECKING:
    from litellm_image_analysis.config import CacheConfig

_SOCKET_SECONDS: Final = 5
"""Socket timeout in seconds. The plugin's own limit is far shorter. This one ends operations that the plugin has
abandoned."""


_VARIABLES = ("REDIS_URL", "REDIS_HOST", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES")


class GatewayRedis(NamedTuple):
    """A Redis that LiteLLM itself uses.

    Attributes:
        settings: the arguments of LiteLLM's function that makes the client.
        namespace: the namespace of LiteLLM's keys.
    """

    settings: Mapping[str, Any]
    namespace: str | None = None


def check_client_library(config: CacheConfig) -> None:
    """Check that the Redis client is installed if ``backend: redis`` is set.

    Raises:
        ConfigError: it is not installed. The message says how to install it.
    """
    if config.backend == "redis" and find_spec("redis") is None:
        raise ConfigError(
            f"{SETTINGS_PATH}.cache.backend: redis needs its client: pip install 'litellm-image-analysis[redis]'"
        )


def connect(config: CacheConfig) -> NamespacedClient | None:
    """Connect to the Redis of the cache within the running event loop: ``redis_url``, else the gateway's Redis.

    Returns:
        The client. ``None`` if there is no Redis, or if the workers have no common secret. The log then says what to
        do.
    """
    if shared_secret(config) is None:
        LOGGER.error(
            "%s.cache.backend: redis needs a secret that all workers have: set %s.cache.secret, LITELLM_SALT_KEY or"
            " the proxy's master key. Analyses are remembered in this worker's memory alone.",
            SETTINGS_PATH,
            SETTINGS_PATH,
        )
        return None
    connection = client_of(config, _running_gateways())
    if connection is None:
        LOGGER.error(
            "%s.cache.backend: redis, but this gateway has no Redis settings: set %s.cache.redis_url, REDIS_URL or"
            " REDIS_HOST. Analyses are remembered in this worker's memory alone.",
            SETTINGS_PATH,
            SETTINGS_PATH,
        )
        return None
    _fail_fast(connection.client)
    return connection


def client_of(config: CacheConfig, gateways: Iterable[GatewayRedis]) -> NamespacedClient | None:
    """Make the client for the Redis of the cache, within the running event loop. ``None`` if there is no Redis.

    Args:
        config: the settings of the cache.
        gateways: the Redis that LiteLLM itself uses: for coordination, then for its response cache.
    """
    if config.redis_url is not None:
        return _own(config.redis_url.get_secret_value())
    from litellm._redis import get_redis_async_client

    for gateway in gateways:
        return NamespacedClient(get_redis_async_client(**_timed(gateway.settings)), gateway.namespace)
    if is_in_environment():
        return NamespacedClient(get_redis_async_client(**_timed({})))
    return None


def is_in_environment() -> bool:
    """Whether the environment names a Redis for LiteLLM."""
    return any(os.environ.get(name) for name in _VARIABLES)


def _own(url: str) -> NamespacedClient:
    from redis.asyncio import Redis

    client = Redis.from_url(url, socket_timeout=_SOCKET_SECONDS, socket_connect_timeout=_SOCKET_SECONDS)
    return NamespacedClient(client)


def _running_gateways() -> Iterator[GatewayRedis]:
    """The Redis that the proxy in this process uses: for coordination, and for its response cache."""
    for cache in (proxy_global("redis_usage_cache"), getattr(litellm.cache, "cache", None)):
        settings = getattr(cache, "redis_kwargs", None)
        if isinstance(settings, Mapping):
            yield GatewayRedis(settings, getattr(cache, "namespace", None))


def _timed(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings, "socket_timeout": _SOCKET_SECONDS}


def _fail_fast(client: Any) -> None:
    """Allow one retry, for a stale connection, without a pause. The cache itself limits the waiting time."""
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    client.set_retry(Retry(NoBackoff(), 1))
