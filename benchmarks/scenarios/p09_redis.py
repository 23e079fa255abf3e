"""P9: a request whose images another worker has analysed, so that their analyses are in Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.asyncio import Redis
from support.redis_server import RedisServer, running_redis
from support.upstream import Upstream, running_upstream

from benchmarks.hooks import Json, analyse, check_described, data_uri, question, use_router
from benchmarks.measure import Curve, Result, Row, Run, Scenario, Variant
from litellm_image_analysis import CacheConfig, ImageAnalysis

_SIZES = {"500 kB": 500_000, "2 kB": 2_000}
_BOUNDS = {"500 kB": 1.4, "2 kB": 4.0}
_COUNTS = 1, 5, 10, 20
_ROUNDS, _CALLS = 9, 4


@dataclass(frozen=True)
class _Stored:
    """Images whose analyses are in Redis, under these names."""

    uris: Sequence[str]
    names: Sequence[str]


class _Workers:
    """Instances that share a Redis. Each is connected to it and remembers none of the measured images."""

    def __init__(self, server: RedisServer) -> None:
        self._config = CacheConfig(backend="redis", redis_url=server.url, secret="bench")  # noqa: S106 - of an empty server on loopback
        self._all: list[ImageAnalysis] = []
        self._unused: Iterator[ImageAnalysis] = iter(())

    async def start(self, count: int) -> None:
        """Start so many."""
        started = [ImageAnalysis(cache=self._config) for _ in range(count)]
        for worker in started:
            await analyse(worker, question([data_uri(-1, 100)]))
        self._all += started
        self._unused = iter(started)

    def next(self) -> ImageAnalysis:
        """Return one that has not been used."""
        return next(self._unused)

    async def stop(self) -> None:
        """Close the connections of all."""
        for worker in self._all:
            await worker.aclose()


async def measure(run: Run) -> Result:
    """Store the analyses, then let a worker with an empty memory read them."""
    with running_upstream() as upstream, running_redis() as server:
        use_router(upstream)
        workers = _Workers(server)
        client = Redis(port=server.port)
        rows: list[Row] = []
        lines: dict[str, list[tuple[float, float]]] = {}
        for name, size in _SIZES.items():
            uris = [data_uri(seed, run.many(size, 2_000) + seed) for seed in range(_COUNTS[-1])]
            for count in _COUNTS:
                stored = await _store(workers, server, upstream, uris[:count])
                trips = await _round_trips(workers, server, stored)
                plugin, baseline = await _cpu(run, workers, client, stored)
                lines.setdefault(f"plugin, {name}", []).append((count, plugin * 1e3))
                lines.setdefault(f"MGET and hashing, {name}", []).append((count, baseline * 1e3))
            rows += [
                Row(f"20 images of {name}, round trips", trips, "round trips", at_most=1, at_least=1, is_exact=True),
                Row(f"20 images of {name}, CPU over MGET and hashing", plugin / baseline, "ratio", _BOUNDS[name]),
            ]
        await client.aclose()
        await workers.stop()
    return Result(rows, [Curve("Images whose analyses are in Redis", "images", "CPU of a request, ms", lines)])


async def _store(workers: _Workers, server: RedisServer, upstream: Upstream, uris: Sequence[str]) -> _Stored:
    """Let a worker analyse these images, with an empty Redis before."""
    server.client.flushall()
    upstream.requests.clear()
    await workers.start(1)
    names = {str(name) for name in server.client.scan_iter()}
    check_described(await analyse(workers.next(), question(uris)), uris)
    added = [str(name) for name in server.client.scan_iter() if name not in names]
    if len(added) != len(uris):
        raise AssertionError(f"{len(uris)} analyses have {len(added)} names in Redis")
    upstream.requests.clear()
    return _Stored(uris, added)


async def _round_trips(workers: _Workers, server: RedisServer, stored: _Stored) -> int:
    """Count the commands that Redis gets for a request. A pipeline would count as several."""
    await workers.start(1)
    with server.commands() as commands:
        check_described(await analyse(workers.next(), question(stored.uris)), stored.uris)
    return len(commands)


async def _cpu(run: Run, workers: _Workers, client: Any, stored: _Stored) -> tuple[float, float]:
    """Return the CPU seconds of a request and of the baseline."""
    await workers.start((run.many(_ROUNDS) + 1) * run.many(_CALLS))

    async def read(prepared: tuple[ImageAnalysis, Json]) -> None:
        await analyse(*prepared)

    async def least(uris: Sequence[str]) -> None:
        for uri in uris:
            hashlib.sha256(uri.encode()).hexdigest()
        await client.mget(stored.names)

    times = await run.compare(
        {
            "plugin": Variant(read, lambda: (workers.next(), question(stored.uris))),
            "least": Variant(least, partial(list, stored.uris)),
        },
        rounds=_ROUNDS,
        calls=_CALLS,
    )
    return times["plugin"].cpu, times["least"].cpu


SCENARIO = Scenario(
    "Images whose analyses are in Redis",
    measure,
    "One instance analyses 1 to 20 images with a real Redis. Other instances with an empty memory then get the same"
    " request, each once: the commands that Redis gets are counted, and the CPU time of the process is compared with"
    " `MGET` of the same values and `sha256(text.encode())` of the same images.",
)
