"""The Redis of the cache, with LiteLLM's own objects and real servers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import litellm
import pytest
from litellm.caching.caching import Cache
from litellm.caching.redis_cache import RedisCache
from litellm.caching.redis_cluster_cache import RedisClusterCache
from redis.asyncio import RedisCluster
from support.features import needs_numbers_of_redis
from support.redis_server import RedisServer

from litellm_image_analysis.cache.redis_connection import PREFIX, NamespacedClient
from litellm_image_analysis.cache.redis_store import RedisStore
from litellm_image_analysis.config import CacheConfig
from litellm_image_analysis.engine.redis_settings import check_client_library, connect
from litellm_image_analysis.errors import ConfigError

KEY = "a" * 64


def in_redis(server: RedisServer | None = None, **settings: Any) -> CacheConfig:
    if server is not None:
        settings["redis_url"] = server.url
    return CacheConfig.model_validate({"backend": "redis", "secret": "a secret", **settings})


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that uses LiteLLM as a library, without settings of Redis or secrets."""
    for name in (name for name in os.environ if name.startswith("REDIS_") or name == "LITELLM_SALT_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
    monkeypatch.setattr(litellm, "cache", None)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A double of the proxy's module before it has read its config."""
    module = ModuleType("litellm.proxy.proxy_server")
    vars(module).update(master_key=None, redis_usage_cache=None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture
def litellms_cache() -> Iterator[Callable[[RedisCache], RedisCache]]:
    """Close LiteLLM's Redis caches at the end. Within an event loop they would also ping in background tasks."""
    made: list[RedisCache] = []

    def keep(cache: RedisCache) -> RedisCache:
        made.append(cache)
        return cache

    yield keep
    for cache in made:
        cache.redis_client.close()


class SettingsOnly:
    """A double of a LiteLLM cache with the attributes that are read."""

    def __init__(self, redis_kwargs: dict[str, Any], namespace: str | None) -> None:
        self.redis_kwargs = redis_kwargs
        self.namespace = namespace


@asynccontextmanager
async def connected(config: CacheConfig) -> AsyncIterator[NamespacedClient]:
    connection = connect(config)
    assert connection is not None
    try:
        yield connection
    finally:
        await connection.client.aclose()


async def names_written(config: CacheConfig, redis: RedisServer) -> list[str]:
    """Write a value with these settings. Return its names on the server."""
    async with connected(config) as connection:
        warnings: list[str] = []
        await RedisStore(lambda: connection, warnings.append).write("nobody", KEY, "a cat", 60)
        assert warnings == []
    with redis.client as client:
        return list(client.keys())


class TestConnect:
    async def test_a_url_of_its_own_goes_before_all(
        self,
        redis: RedisServer,
        proxy: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("REDIS_URL", "redis://nowhere.invalid:1/0")
        vars(proxy).update(redis_usage_cache=SettingsOnly({"host": "nowhere.invalid"}, "gateway"))
        assert await names_written(in_redis(redis), redis) == [f"{PREFIX}:{{nobody}}:{KEY}"]

    def test_the_gateways_coordination_redis_is_next(
        self,
        redis: RedisServer,
        proxy: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        litellms_cache: Callable[[RedisCache], RedisCache],
    ) -> None:
        cache = litellms_cache(RedisCache(host="127.0.0.1", port=redis.port, namespace="gateway"))
        vars(proxy).update(redis_usage_cache=cache)
        answers = Cache(type="local")  # type: ignore[arg-type]
        monkeypatch.setattr(answers, "cache", SettingsOnly({"host": "nowhere.invalid"}, "answers"))
        monkeypatch.setattr(litellm, "cache", answers)
        assert asyncio.run(names_written(in_redis(), redis)) == [f"gateway:{PREFIX}:{{nobody}}:{KEY}"]

    def test_then_the_redis_of_the_response_cache(
        self,
        redis: RedisServer,
        monkeypatch: pytest.MonkeyPatch,
        litellms_cache: Callable[[RedisCache], RedisCache],
    ) -> None:
        cache = Cache(type="redis", host="127.0.0.1", port=str(redis.port), namespace="answers")  # type: ignore[arg-type]
        assert isinstance(cache.cache, RedisCache)
        litellms_cache(cache.cache)
        monkeypatch.setattr(litellm, "cache", cache)
        assert asyncio.run(names_written(in_redis(), redis)) == [f"answers:{PREFIX}:{{nobody}}:{KEY}"]

    async def test_then_a_url_in_the_environment(self, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_URL", redis.url)
        monkeypatch.setattr(litellm, "cache", Cache(type="local"))  # type: ignore[arg-type]
        assert await names_written(in_redis(), redis) == [f"{PREFIX}:{{nobody}}:{KEY}"]

    async def test_then_a_host_in_the_environment(self, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
        monkeypatch.setenv("REDIS_PORT", str(redis.port))
        assert await names_written(in_redis(), redis) == [f"{PREFIX}:{{nobody}}:{KEY}"]

    @needs_numbers_of_redis
    async def test_settings_in_the_environment_may_be_text(
        self, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = {
            "HOST": "127.0.0.1",
            "PORT": str(redis.port),
            "DB": "3",
            "SOCKET_TIMEOUT": "0.1",
            "SOCKET_CONNECT_TIMEOUT": "1.5",
            "HEALTH_CHECK_INTERVAL": "30",
            "DECODE_RESPONSES": "true",
            "SSL": "false",
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"REDIS_{name}", value)
        assert await names_written(in_redis(), redis) == []
        with redis.client as client:
            client.select(3)
            assert client.keys() == [f"{PREFIX}:{{nobody}}:{KEY}"]

    async def test_references_to_the_environment_are_followed(
        self, redis: RedisServer, proxy: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CACHE_PORT", str(redis.port))
        settings = {"host": "127.0.0.1", "port": "os.environ/CACHE_PORT"}
        vars(proxy).update(redis_usage_cache=SettingsOnly(settings, None))
        assert await names_written(in_redis(), redis) == [f"{PREFIX}:{{nobody}}:{KEY}"]
        assert settings == {"host": "127.0.0.1", "port": "os.environ/CACHE_PORT"}

    def test_a_gateways_cluster_is_a_cluster_here(
        self,
        nodes: tuple[RedisServer, RedisServer],
        proxy: ModuleType,
        litellms_cache: Callable[[RedisCache], RedisCache],
    ) -> None:
        startup_nodes = [{"host": "127.0.0.1", "port": node.port} for node in nodes]
        cache = litellms_cache(RedisClusterCache(startup_nodes=startup_nodes))
        vars(proxy).update(redis_usage_cache=cache)
        asyncio.run(self.uses_a_cluster(in_redis()))

    async def test_a_cluster_in_the_environment_is_a_cluster_here(
        self, nodes: tuple[RedisServer, RedisServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REDIS_CLUSTER_NODES", json.dumps([{"host": "127.0.0.1", "port": nodes[0].port}]))
        await self.uses_a_cluster(in_redis())

    @staticmethod
    async def uses_a_cluster(config: CacheConfig) -> None:
        async with connected(config) as connection:
            assert isinstance(connection.client, RedisCluster)
            store = RedisStore(lambda: connection, pytest.fail)
            await store.flush()
            for scope in ("team:research", "team:sales", "nobody", "global"):
                await store.read(scope, ())
                await store.write(scope, KEY, "a cat", 60)
                reading = await store.read(scope, [KEY])
                assert reading is not None
                assert list(reading.values) == [KEY]
                lease = store.lease(scope, KEY)
                assert await lease.take()
                async with lease.kept():
                    assert not await store.lease(scope, KEY).take()

    async def test_nothing_is_tried_for_long(self, redis: RedisServer) -> None:
        """The store has its own time limit, so the client must not wait longer."""
        async with connected(in_redis(redis)) as connection:
            settings = connection.client.get_connection_kwargs()
            retry = settings["retry"]
            assert retry is not None
            assert retry._retries == 1
            assert [retry._backoff.compute(failures) for failures in range(3)] == [0, 0, 0]
            assert settings["socket_timeout"] == settings["socket_connect_timeout"] == 5

    async def test_nothing_is_sent_yet(self, redis: RedisServer) -> None:
        with redis.commands() as commands:
            async with connected(in_redis(redis)):
                pass
        assert commands == []


class TestNoConnection:
    @pytest.fixture(autouse=True)
    def heard(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.ERROR, logger="LiteLLM.image_analysis")

    async def test_without_a_secret_the_operator_is_told_what_to_set(
        self, redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert connect(in_redis(redis, secret=None)) is None
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage() == (
            "callback_settings.image_analysis.cache.backend: redis needs a secret that all workers have: set"
            " callback_settings.image_analysis.cache.secret, LITELLM_SALT_KEY or the proxy's master key."
            " Analyses are remembered in this worker's memory alone."
        )

    @pytest.mark.usefixtures("proxy")
    async def test_without_redis_settings_the_operator_is_told_what_to_set(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert connect(in_redis()) is None
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage() == (
            "callback_settings.image_analysis.cache.backend: redis, but this gateway has no Redis settings: set"
            " callback_settings.image_analysis.cache.redis_url, REDIS_URL or REDIS_HOST."
            " Analyses are remembered in this worker's memory alone."
        )

    async def test_a_response_cache_without_redis_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(litellm, "cache", Cache(type="local"))  # type: ignore[arg-type]
        assert connect(in_redis()) is None

    async def test_it_is_said_once_and_not_for_every_request(self, caplog: pytest.LogCaptureFixture) -> None:
        store = RedisStore(lambda: connect(in_redis()), pytest.fail)
        for _ in range(10):
            assert await store.read("nobody", [KEY]) is None
        assert len(caplog.records) == 1

    @pytest.mark.parametrize(
        "environment",
        [
            {"REDIS_SENTINEL_NODES": '[["127.0.0.1", 26379]]'},
            {"REDIS_CLUSTER_NODES": "127.0.0.1:7000,127.0.0.1:7001"},
            {"REDIS_HOST": "127.0.0.1", "REDIS_AWS_IAM_AUTH": "true"},
            {"REDIS_URL": "127.0.0.1:6379"},
        ],
        ids=["sentinel without service", "cluster not in JSON", "IAM without TLS", "no URL"],
    )
    async def test_settings_that_litellm_refuses_cost_redis_only(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        warnings: list[str] = []
        store = RedisStore(lambda: connect(in_redis()), warnings.append)
        assert await store.read("nobody", [KEY]) is None
        assert not await store.lease("nobody", KEY).take()

    async def test_a_url_with_a_port_that_is_none_costs_redis_only(self) -> None:
        store = RedisStore(lambda: connect(in_redis(redis_url="redis://127.0.0.1:port/0")), lambda _: None)
        assert await store.read("nobody", [KEY]) is None


class TestClientLibrary:
    @pytest.fixture
    def _missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis", None)

    @pytest.mark.usefixtures("_missing")
    def test_a_missing_one_stops_the_start(self) -> None:
        with pytest.raises(ConfigError, match=r"pip install 'litellm-image-analysis\[redis\]'"):
            check_client_library(in_redis())

    @pytest.mark.usefixtures("_missing")
    @pytest.mark.parametrize("backend", ["memory", "off"])
    def test_what_needs_none_misses_none(self, backend: str) -> None:
        check_client_library(CacheConfig.model_validate({"backend": backend}))

    def test_an_installed_one_is_found(self) -> None:
        check_client_library(in_redis())
