"""What a cluster goes through, with requests of all kinds meanwhile: what fails, what is paid and what is billed.

CI runs a part of the scenarios. ``CLUSTER=whole`` runs all of them. With ``UPDATE_DOCS=1`` it also writes the table in
``docs/cluster.md``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import count, repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.balancer import needs_haproxy
from support.billing import ROUTES
from support.cluster import CLIENTS, Cluster, Figures, Run
from support.configs import VISION_PRICE, deployment
from support.docs import table_in, write_table
from support.proxy import eventually
from support.traffic import at_once
from support.upstream import Upstream

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
pytestmark = [
    pytest.mark.timeout(900),  # four workers and their clients on a busy machine
    needs_haproxy,
    pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL"),
]
whole = pytest.mark.skipif(os.environ.get("CLUSTER") != "whole", reason="takes long: set CLUSTER=whole")

LOOKS_ALIKE = 12
"""Requests over new connections. HAProxy and the system spread them over all four workers."""
CONFIG_SECONDS = 40
"""LiteLLM's workers read the config in the database every 30 seconds."""
WRITTEN_LATER = frozenset({"tag by day", "client by day"})
"""Sums that LiteLLM does not write when a worker stops. It loses those of the last seconds, for all requests."""
REDIS_GONE = "image analysis: Redis does not answer"
_numbers = count()
OTHER_KEYS = "image analysis: another host with this Redis"


def expect_nothing_lost(figures: Figures, apart_from: frozenset[str] = frozenset()) -> None:
    assert figures.wrong == []
    assert {place: usd for place, usd in figures.unequal().items() if place not in apart_from} == {}, figures.charged


def test_steady_load(cluster: Cluster, upstream: Upstream) -> None:
    with cluster.scenario("steady load", upstream) as run:
        run.passes(200)
    expect_nothing_lost(run.result())


def test_one_image_at_once(cluster: Cluster, upstream: Upstream) -> None:
    with cluster.scenario("200 clients ask about one new image at the same time", upstream, clients=0) as run:
        mark, caller = next(iter(run.callers.items()))
        ask(cluster, run, {"model": "deepseek-chat"}, marks=0)  # so that each worker knows the key
        request = ROUTES["chat"]("deepseek-chat-ocr", mark, ["image"], stream=False)
        at_once(cluster.balancer.url, caller, request, 200, run.told)
    expect_nothing_lost(run.result())
    assert run.result().vision_calls == 1


@whole
def test_rolling_restart(cluster: Cluster, upstream: Upstream) -> None:
    with cluster.scenario("rolling restart, each host drained first", upstream) as run:
        for host in cluster.hosts:
            run.passes(50)
            cluster.restart(host)
        run.passes(50)
    expect_nothing_lost(run.result(), apart_from=WRITTEN_LATER)


@whole
def test_restart_without_drain(cluster: Cluster, upstream: Upstream) -> None:
    host = cluster.hosts[0]
    with cluster.scenario("SIGTERM without draining", upstream, may_fail=True) as run:
        run.passes(50)
        host.stop()
        run.passes(50)
        host.start(cluster.config)
        cluster.balancer.ready(host.name)
        run.passes(50)
    assert set(run.result().unequal()) <= WRITTEN_LATER


def test_a_worker_is_killed(cluster: Cluster, upstream: Upstream) -> None:
    host = cluster.hosts[1]
    with cluster.scenario("a worker is killed", upstream, may_fail=True) as run:
        run.passes(50)
        before = host.workers
        os.kill(before[-1], signal.SIGKILL)
        assert eventually(lambda: len(host.workers) > len(before), 300)
        run.passes(50)
    figures = run.result()
    assert figures.failed <= CLIENTS
    assert figures.billed["rows"] <= figures.charged + 1e-9


@whole
def test_a_host_is_killed(cluster: Cluster, upstream: Upstream) -> None:
    host = cluster.hosts[1]
    with cluster.scenario("a host is killed", upstream, may_fail=True) as run:
        run.passes(50)
        host.stop(grace_seconds=0)
        run.passes(50)
        host.start(cluster.config)
        cluster.balancer.ready(host.name)
        run.passes(50)
    figures = run.result()
    assert figures.failed <= 2 * CLIENTS
    assert figures.billed["rows"] <= figures.charged + 1e-9


def test_redis_is_restarted_empty(cluster: Cluster, upstream: Upstream) -> None:
    with cluster.scenario("Redis stops and is started empty", upstream) as run:
        run.passes(50)
        cluster.redis.stop()
        run.passes(80)
        cluster.redis.start()
        run.passes(80)
    expect_nothing_lost(run.result())


@whole
def test_redis_hangs(cluster: Cluster, upstream: Upstream) -> None:
    gone = cluster.log.count(REDIS_GONE)
    with cluster.scenario("Redis hangs", upstream) as run:
        run.passes(50)
        cluster.redis.freeze()
        try:
            assert eventually(lambda: cluster.log.count(REDIS_GONE) > gone)
            run.passes(80)
        finally:
            cluster.redis.thaw()
        run.passes(80)
    expect_nothing_lost(run.result())


@whole
def test_postgresql_is_away(cluster: Cluster, upstream: Upstream) -> None:
    with cluster.scenario("PostgreSQL is away", upstream, may_fail=True) as run:
        run.passes(50)
        cluster.relay.cut()
        try:
            assert eventually(lambda: not any(cluster.balancer.is_up("ready", host.name) for host in cluster.hosts), 60)
            run.passes(80)
        finally:
            cluster.relay.mend()
        for host in cluster.hosts:
            cluster.balancer.ready(host.name)
        run.passes(80)
    figures = run.result()
    sys.stdout.write("\n".join(figures.wrong))
    assert figures.billed["rows"] <= figures.charged + 1e-9


def ask(cluster: Cluster, run: Run, body: dict[str, Any], *, marks: int = 1) -> list[httpx.Response]:
    """Ask about so many new images again and again, over new connections, and note the answers."""
    mark, caller = next(iter(run.callers.items()))
    answers = []
    with cluster.admin() as client:
        for _ in range(LOOKS_ALIKE):
            new = [f"{mark} {next(_numbers)}" for _ in range(marks)]
            path, asked = ROUTES["chat"]("deepseek-chat", mark, new, stream=False)
            answers.append(client.post(path, json={**asked, **body}, headers=caller.headers))
            run.told.note("new image", answers[-1])
    return answers


def test_a_new_vision_model_is_served_by_all_workers_at_once(cluster: Cluster, upstream: Upstream) -> None:
    with cluster.scenario("a vision model is added by /model/new", upstream, clients=0) as run:
        add_model(cluster, "new-eyes", "seeing-other", upstream)
        answers = ask(cluster, run, {"ocr_model": "new-eyes"})
    expect_nothing_lost(run.result())
    assert {answer.headers["x-litellm-image-analysis-model"] for answer in answers} == {"new-eyes"}


def add_model(cluster: Cluster, name: str, model: str, upstream: Upstream) -> None:
    """Add a vision model while the cluster runs."""
    entry = deployment(name, model, upstream.base_url)
    entry["litellm_params"] |= VISION_PRICE
    with cluster.admin() as admin:
        answer = admin.post("/model/new", json=entry)
    assert answer.is_success, answer.text


def test_a_key_s_new_vision_model_is_served_by_all_workers_at_once(cluster: Cluster, upstream: Upstream) -> None:
    with cluster.scenario("a key is created with a vision model that was just added", upstream, clients=0) as run:
        add_model(cluster, "eyes-of-key", "seeing-other", upstream)
        update_keys(cluster, run, {"vision_model": "eyes-of-key"})
        answers = ask(cluster, run, {"model": "deepseek-chat-ocr"})
    expect_nothing_lost(run.result())
    assert {answer.headers["x-litellm-image-analysis-model"] for answer in answers} == {"eyes-of-key"}


def update_keys(cluster: Cluster, run: Run, settings: dict[str, Any]) -> None:
    """Give the scenario's keys settings of their own."""
    with cluster.admin() as admin:
        for caller in run.callers.values():
            answer = admin.post("/key/update", json={"key": caller.key, "metadata": {"image_analysis": settings}})
            assert answer.is_success, answer.text


@whole
def test_a_default_vision_model_that_is_added_late(cluster: Cluster, upstream: Upstream) -> None:
    late = changed(cluster, vision_model="late-eyes")
    with (
        restarted(cluster, late),
        cluster.scenario("the default vision model is added by /model/new", upstream, 0) as run,
    ):
        add_model(cluster, "late-eyes", "seeing-other", upstream)
        answers = ask(cluster, run, {"model": "deepseek-chat-ocr"})
    expect_nothing_lost(run.result())
    assert {answer.headers["x-litellm-image-analysis-model"] for answer in answers} == {"late-eyes"}


@whole
def test_key_update(cluster: Cluster, upstream: Upstream) -> None:
    """A worker that knows the key keeps it for LiteLLM's 60 seconds."""
    with cluster.scenario("/key/update gives keys another vision model", upstream) as run:
        run.passes(80)
        update_keys(cluster, run, {"vision_model": "other-vision"})
        assert eventually(lambda: looks_with(cluster, run) == {"other-vision"}, 120, every=1)
    expect_nothing_lost(run.result())


def looks_with(cluster: Cluster, run: Run) -> set[str]:
    """The vision models of the workers."""
    return {
        answer.headers["x-litellm-image-analysis-model"] for answer in ask(cluster, run, {"model": "deepseek-chat-ocr"})
    }


@whole
def test_config_update(cluster: Cluster, upstream: Upstream) -> None:
    """LiteLLM's workers read the stored config every 30 seconds."""
    with cluster.scenario("/config/update changes a setting of LiteLLM", upstream) as run:
        run.passes(50)
        with cluster.admin() as admin:
            answer = admin.post("/config/update", json={"litellm_settings": {"request_timeout": 100}})
        assert answer.is_success, answer.text
        begun = time.monotonic()
        assert eventually(lambda: time.monotonic() - begun > CONFIG_SECONDS, 2 * CONFIG_SECONDS, every=1)
        run.passes(50)
    expect_nothing_lost(run.result())


def changed(cluster: Cluster, **settings: Any) -> dict[str, Any]:
    """The cluster's config with other settings of the plugin."""
    config = deepcopy(cluster.config)
    config["callback_settings"]["image_analysis"] |= settings
    return config


@contextmanager
def restarted(cluster: Cluster, *configs: dict[str, Any]) -> Iterator[None]:
    """Restart the hosts with these configs, the last of them for all further hosts. At the end, they get their own."""
    for host, config in zip(cluster.hosts, [*configs, *repeat(configs[-1], len(cluster.hosts))], strict=False):
        cluster.restart(host, config)
    try:
        yield
    finally:
        for host in cluster.hosts:
            cluster.restart(host)


@whole
def test_hosts_with_different_secrets(cluster: Cluster, upstream: Upstream) -> None:
    cache = cluster.config["callback_settings"]["image_analysis"]["cache"]
    other = changed(cluster, cache={**cache, "secret": "another one"})
    with restarted(cluster, cluster.config, other):
        assert OTHER_KEYS in cluster.hosts[1].log
        with cluster.scenario("different secrets", upstream, clients=0) as run:
            ask_all(cluster, run)
    expect_nothing_lost(run.result())
    assert run.result().vision_calls == len(cluster.hosts)


@whole
def test_hosts_with_different_prompts(cluster: Cluster, upstream: Upstream) -> None:
    other = changed(cluster, prompt="Describe the image.")
    with restarted(cluster, cluster.config, other), cluster.scenario("different prompts", upstream, clients=0) as run:
        ask_all(cluster, run)
    expect_nothing_lost(run.result())
    assert run.result().vision_calls == len(cluster.hosts)


def ask_all(cluster: Cluster, run: Run) -> None:
    """Ask all workers about the same image."""
    mark, caller = next(iter(run.callers.items()))
    request = ROUTES["chat"]("deepseek-chat-ocr", mark, ["image"], stream=False)
    at_once(cluster.balancer.url, caller, request, LOOKS_ALIKE, run.told)


@whole
def test_the_page_has_each_scenario(cluster: Cluster) -> None:
    if not write_table(PAGE, table_of(cluster.figures)):
        assert {row.split("|")[1].strip() for row in table_in(PAGE)[2:]} == {each.scenario for each in cluster.figures}


def table_of(figures: list[Figures]) -> str:
    head = ["Scenario", "Requests", "Failed", "Without analysis", "Vision calls", "Charged", "Billed", "Longest wait"]
    rows = [
        [
            each.scenario,
            f"{each.requests:,}",
            str(each.failed),
            str(each.without_analysis),
            str(each.vision_calls),
            f"{each.charged:.4f} USD",
            f"{each.billed['rows']:.4f} USD",
            f"{each.longest_seconds:.1f} s",
        ]
        for each in figures
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---", *["---:"] * 7], *rows])
