"""Checks of what the gateway needs around it: Redis, the database, packages, and time to stop."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from litellm.caching.caching import Cache

from litellm_image_analysis.cli.doctor.finding import Finding, ok, problem, skipped, warning
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.engine import redis_settings, tenancy
from litellm_image_analysis.engine.redis_settings import GatewayRedis
from litellm_image_analysis.proxy import startup
from litellm_image_analysis.vision.local_ocr import PROVIDER

if TYPE_CHECKING:
    from litellm_image_analysis.cli.gateway_config import GatewayConfig
    from litellm_image_analysis.config import ImageAnalysisConfig

SECONDS = 5.0
"""Time limit for each connection."""

_CACHE = f"{SETTINGS_PATH}.cache"
_CONNECTION = {"host", "port", "password", "redis_startup_nodes"}
"""Parameters of LiteLLM's cache that belong to the connection. Its other ones do not."""
_LOCAL_OCR = {"rapidocr": "rapidocr", "onnxruntime": "onnxruntime", "PIL": "pillow"}


def check_extras(config: GatewayConfig, settings: ImageAnalysisConfig) -> list[Finding]:
    """Check that the packages are installed that the settings need."""
    found = []
    if settings.cache.backend == "redis" and find_spec("redis") is None:
        found.append(_missing_extra("redis", ["redis"], f"{_CACHE}.backend"))
    missing = [package for module, package in _LOCAL_OCR.items() if find_spec(module) is None]
    for where, entry in config.deployments:
        params = entry.get("litellm_params")
        model = params.get("model") if isinstance(params, Mapping) else None
        if missing and isinstance(model, str) and model.startswith(f"{PROVIDER}/"):
            found.append(_missing_extra("local-ocr", missing, f"{where}.litellm_params.model"))
    return found or [ok("extras", "all packages that the settings need are installed")]


def _missing_extra(extra: str, packages: list[str], where: str) -> Finding:
    names = f"{', '.join(packages)} {'is' if len(packages) == 1 else 'are'}"
    return problem("extras", f"{names} not installed", where, f"pip install 'litellm-image-analysis[{extra}]'")


def check_secret(settings: ImageAnalysisConfig) -> list[Finding]:
    """Check that all workers derive the same cache keys."""
    if settings.cache.backend != "redis":
        return []
    if tenancy.shared_secret(settings.cache) is None:
        return [
            problem(
                "cache-secret",
                "with backend: redis, the cache keys need a secret that all workers have. There is none, so each worker"
                " remembers analyses on its own",
                f"{_CACHE}.secret",
                f"Set general_settings.master_key, LITELLM_SALT_KEY in the environment, or {_CACHE}.secret",
            )
        ]
    return [ok("cache-secret", "all workers have the same secret for cache keys", f"{_CACHE}.secret")]


async def check_redis(config: GatewayConfig, settings: ImageAnalysisConfig) -> list[Finding]:
    """Send a PING to the Redis of the cache."""
    where = f"{_CACHE}.redis_url" if settings.cache.redis_url is not None else f"{_CACHE}.backend"
    if settings.cache.backend != "redis":
        return []
    if find_spec("redis") is None:
        return [skipped("redis", "the client of Redis is not installed", where)]
    source = next((name for name, _ in _gateways(config)), "the environment")
    source = where if settings.cache.redis_url is not None else source
    try:
        connection = redis_settings.client_of(settings.cache, (gateway for _, gateway in _gateways(config)))
        if connection is None:
            fix = f"Set {_CACHE}.redis_url, or REDIS_URL or REDIS_HOST in the environment"
            return [problem("redis", "backend: redis, but the gateway has no Redis settings", where, fix)]
        client: Any = connection.client
        try:
            await asyncio.wait_for(client.ping(), SECONDS)
        finally:
            await client.aclose()
    except Exception as error:  # noqa: BLE001 - the client, TLS and credential providers raise many types
        fix = f"Start Redis, or correct the address and the password in {source}"
        return [problem("redis", f"Redis does not answer a PING: {type(error).__name__}", where, fix)]
    return [ok("redis", f"Redis answered a PING. Its settings are in {source}", where)]


def _gateways(config: GatewayConfig) -> Iterator[tuple[str, GatewayRedis]]:
    """The Redis that a proxy with this config uses, in LiteLLM's order, with the YAML path of its settings."""
    coordination = config.section("general_settings").get("coordination_redis")
    if isinstance(coordination, Mapping):
        yield "general_settings.coordination_redis", GatewayRedis(_known(coordination))
    litellm_settings = config.section("litellm_settings")
    params = litellm_settings.get("cache_params")
    params = params if isinstance(params, Mapping) else {}
    if litellm_settings.get("cache") is True and params and params.get("type", "redis") == "redis":
        others = {*inspect.signature(Cache.__init__).parameters} - _CONNECTION
        connection = _known({name: value for name, value in params.items() if name not in others})
        nodes = connection.pop("redis_startup_nodes", None)
        if nodes:
            connection["startup_nodes"] = nodes
        yield "litellm_settings.cache_params", GatewayRedis(connection, params.get("namespace"))


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


async def check_database(config: GatewayConfig) -> list[Finding]:
    """Open a TCP connection to the host of the database, without a query."""
    written = config.section("general_settings").get("database_url")
    url, where = (written, "general_settings.database_url") if written else (os.environ.get("DATABASE_URL"), None)
    source = where or "DATABASE_URL"
    if not isinstance(url, str) or not url:
        return [skipped("database", "the gateway has no database")]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 5432
    except ValueError:
        host, port = None, 0
    if not host:
        return [
            problem(
                "database", f"{source} has no host", where, f"Write {source} as postgresql://user:...@host:5432/name"
            )
        ]
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), SECONDS)
    except (OSError, TimeoutError, asyncio.TimeoutError) as error:
        what = f"no TCP connection to {host}:{port}: {type(error).__name__}"
        return [problem("database", what, where, f"Start the database, or correct the host and the port in {source}")]
    writer.close()
    checked = "Only that was checked, not the user, the password and the tables"
    return [ok("database", f"a TCP connection to {host}:{port} was opened. {checked}", where)]


def check_grace(config: GatewayConfig, settings: ImageAnalysisConfig) -> list[Finding]:
    """Compare the time that LiteLLM gives the requests of a stopped worker with the time of a vision call."""
    has_database = config.section("general_settings").get("database_url") or os.environ.get("DATABASE_URL")
    grace, where = startup.short_grace(settings.timeout_seconds), f"{SETTINGS_PATH}.timeout_seconds"
    if grace is None or not has_database:
        return [ok("grace", "a stopped worker waits long enough for vision calls, or tracks no spend", where)]
    needed = startup.sufficient_grace(settings.timeout_seconds)
    return [
        warning(
            "grace",
            f"timeout_seconds is {settings.timeout_seconds:g}, and LiteLLM ends the requests of a stopped worker after"
            f" {grace:g} s. A vision call that is cut off may be charged by its provider, and is not billed",
            where,
            f"Set GRACEFUL_SHUTDOWN_TIMEOUT={needed:g} in the environment of the proxy, or a lower timeout_seconds",
        )
    ]
