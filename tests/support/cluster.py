"""A cluster of two proxies with two workers each, with HAProxy, Redis and PostgreSQL. It counts what faults cost."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from support.balancer import Balancer, running_balancer
from support.billing import SUMS, Caller, of_vision
from support.configs import proxy_config
from support.databases import new_database
from support.proxy import Proxy, eventually, free_port, start_proxy, stop_proxy, wait_until_ready
from support.redis_server import RedisServer, running_redis
from support.relay import Relay, running_relay
from support.traffic import Told, traffic
from support.upstream import Upstream

CALLERS, CLIENTS = 2, 16
GRACE_SECONDS = 60
WORKERS = ("--num_workers", "2", "--timeout_worker_healthcheck", "30")
"""If a worker dies while uvicorn asks whether it lives, uvicorn waits for this time before it starts another one."""
SETTLES_SECONDS = 120
"""LiteLLM writes its sums every second, and each worker its own."""


@dataclass(frozen=True)
class Figures:
    """What a scenario came to. USD are those of main and vision calls together."""

    scenario: str
    requests: int
    failed: int
    without_analysis: int
    vision_calls: int
    charged: float
    billed: Mapping[str, float]
    longest_seconds: float
    wrong: list[str] = field(default_factory=list)

    def unequal(self) -> dict[str, float]:
        """The sums of LiteLLM's that are not what the providers charged."""
        return {place: usd for place, usd in self.billed.items() if abs(usd - self.charged) > 1e-9}


class Host:
    """A host of the cluster. A restarted proxy keeps its port, key and log.

    Args:
        name: its name in the balancer.
        folder: the folder of config and log.
        env: its environment.
    """

    def __init__(self, name: str, folder: Path, env: dict[str, str], key: str) -> None:
        self.name, self.port = name, free_port()
        self._folder, self._env, self._key = folder, env, key
        self._earlier_logs = ""
        self.proxy: Proxy | None = None

    @property
    def log(self) -> str:
        """The output of all its proxies."""
        return self._earlier_logs + (self.proxy.log if self.proxy else "")

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, oldest first, those that have ended included."""
        return [
            int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", self.proxy.log if self.proxy else "")
        ]

    def begin(self, config: dict[str, Any], **env: str) -> None:
        """Start the proxy, without waiting for it."""
        self._earlier_logs = self.log
        options = {"key": self._key, "port": self.port}
        self.proxy = start_proxy(config, self._folder, {**self._env, **env}, *WORKERS, **options)  # type: ignore[arg-type]

    def start(self, config: dict[str, Any], **env: str) -> None:
        """Start the proxy, and wait until it serves."""
        self.begin(config, **env)
        self.wait()

    def wait(self) -> None:
        """Wait until it serves."""
        assert self.proxy is not None
        wait_until_ready(self.proxy)

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Stop the proxy, and wait for its last requests."""
        if self.proxy is not None:
            stop_proxy(self.proxy, grace_seconds)


class Cluster:
    """Two hosts, their balancer, Redis, and the way to their database."""

    def __init__(
        self,
        config: dict[str, Any],
        hosts: list[Host],
        balancer: Balancer,
        redis: RedisServer,
        relay: Relay,
        database: str,
    ) -> None:
        self.config, self.hosts, self.balancer, self.redis, self.relay = config, hosts, balancer, redis, relay
        self._database = database
        self.figures: list[Figures] = []

    @property
    def log(self) -> str:
        return "".join(host.log for host in self.hosts)

    @contextmanager
    def admin(self) -> Iterator[httpx.Client]:
        """A client of the balancer with the master key. Each request takes a new connection, to any worker."""
        proxy = self.hosts[0].proxy
        assert proxy is not None
        headers = {"Authorization": f"Bearer {proxy.master_key}"}
        with httpx.Client(
            base_url=self.balancer.url,
            headers=headers,
            timeout=120,
            verify=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client:
            yield client

    def restart(self, host: Host, config: dict[str, Any] | None = None, **env: str) -> None:
        """Restart a host as it should be done: take it out of the balancer, stop it, start it, take it in again."""
        self.balancer.drain(host.name)
        host.stop()
        host.start(config or self.config, **env)
        self.balancer.ready(host.name)

    @contextmanager
    def scenario(
        self, name: str, upstream: Upstream, clients: int = CLIENTS, *, may_fail: bool = False
    ) -> Iterator[Run]:
        """Send requests of all kinds during the block. At its end, its figures are complete and noted.

        Args:
            name: its name in the table.
            upstream: the provider.
            clients: the number of clients.
            may_fail: whether an answer without an analysis is not wrong.
        """
        with self.admin() as admin:
            callers = {secrets.token_hex(6): Caller(admin, self._database) for _ in range(CALLERS)}
            run = Run(callers)
            with traffic(self.balancer.url, callers, clients, may_fail=may_fail) as run.told:
                yield run
            run.figures = self._figures(name, callers, run.told, upstream)
            self.figures.append(run.figures)

    def _figures(self, name: str, callers: Mapping[str, Caller], told: Told, upstream: Upstream) -> Figures:
        charged = sum(map(upstream.charged_for, callers))

        def now() -> Figures:
            sums = [caller.sums() for caller in callers.values()]
            return Figures(
                scenario=name,
                requests=told.answered.total(),
                failed=len(told.wrong),
                without_analysis=told.without_analysis,
                vision_calls=sum(of_vision(body) for mark in callers for body in upstream.of(mark)),
                charged=charged,
                billed={place: sum(each[place] for each in sums) for place in SUMS},
                longest_seconds=told.longest_seconds,
                wrong=told.wrong,
            )

        eventually(lambda: not now().unequal(), SETTLES_SECONDS, every=0.5)
        return now()


@dataclass
class Run:
    """A scenario that runs: its callers by their marks, and its figures when it has ended."""

    callers: Mapping[str, Caller]
    told: Told = field(default_factory=Told)
    figures: Figures | None = None

    def passes(self, requests: int) -> None:
        """Wait until this many more requests are answered."""
        wanted = self.told.answered.total() + requests
        assert eventually(lambda: self.told.answered.total() >= wanted, 300), self.told

    def result(self) -> Figures:
        """The figures. Only after the scenario."""
        assert self.figures is not None
        return self.figures


@contextmanager
def running_cluster(
    upstream: Upstream, folder: Path, change: Callable[[dict[str, Any]], None] = lambda _: None
) -> Iterator[Cluster]:
    """Run a cluster with a database of its own until the block ends.

    Args:
        upstream: the provider.
        folder: for configs and logs.
        change: changes the proxies' config before they start.
    """
    with ExitStack() as stack:
        database = stack.enter_context(new_database())
        relay = stack.enter_context(running_relay(urlsplit(database).port or 5432, folder))
        redis = stack.enter_context(running_redis())
        config = _config(upstream, redis)
        change(config)
        env = {"DATABASE_URL": _through(relay, database), "STORE_MODEL_IN_DB": "True", "LITELLM_SALT_KEY": "sk-salt"}
        key = f"sk-{secrets.token_hex(16)}"
        hosts = [Host(name, folder / name, env, key) for name in ("proxy-1", "proxy-2")]
        for host in hosts:
            stack.callback(host.stop, 3)
            host.begin(config)
        for host in hosts:
            host.wait()
        balancer = stack.enter_context(running_balancer([host.port for host in hosts], folder))
        for host in hosts:
            balancer.ready(host.name)
        yield Cluster(config, hosts, balancer, redis, relay, database)


def _through(relay: Relay, database: str) -> str:
    """The URL of a database on loopback by way of a relay."""
    url = urlsplit(database)
    credentials = f"{url.netloc.rpartition('@')[0]}@" if "@" in url.netloc else ""
    return urlunsplit(url._replace(netloc=f"{credentials}127.0.0.1:{relay.port}"))


def _config(upstream: Upstream, redis: RedisServer) -> dict[str, Any]:
    config = proxy_config(upstream, timeout_seconds=10, cache={"backend": "redis"})
    config["general_settings"] |= {
        "coordination_redis": {"url": redis.url},
        "proxy_batch_write_at": 1,
        "store_model_in_db": True,
    }
    config["router_settings"]["redis_url"] = redis.url
    return config
