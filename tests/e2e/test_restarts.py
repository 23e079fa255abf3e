"""A vision model that is killed and restarted every few seconds, with fifty clients, on a real PostgreSQL."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.billing import ROUTES, SUMS, Caller, database
from support.configs import VISION_PRICE, deployment, proxy_config
from support.fragile import BEGUN, SENT, Fragile, running_fragile
from support.proxy import Proxy, eventually, running_proxy
from support.traffic import ASKED, traffic
from support.upstream import VISION_COST, Upstream

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")

CLIENTS, CALLERS = 50, 5
SECONDS = float(os.environ.get("RESTARTS_SECONDS", "12"))
LIVES_SECONDS, IS_DEAD_SECONDS = 3.0, 0.5
PAID = 'SELECT request_id FROM "LiteLLM_SpendLogs" WHERE api_key = %(key)s AND spend > 0'


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[Fragile]:
    with running_fragile(tmp_path / "ledger") as eyes:
        yield eyes


@pytest.fixture
def gateway(upstream: Upstream, eyes: Fragile, tmp_path: Path) -> Iterator[Proxy]:
    config = proxy_config(upstream, timeout_seconds=10, circuit_pause_seconds=0.5, cache={"backend": "memory"})
    config["model_list"] = [
        deployment("gpt-4o-mini", "eyes", eyes.base_url, **VISION_PRICE),
        *(model for model in config["model_list"] if model["model_name"] != "gpt-4o-mini"),
    ]
    config["general_settings"]["proxy_batch_write_at"] = 1
    with running_proxy(config, tmp_path / "proxy", {"DATABASE_URL": os.environ["DATABASE_URL"]}) as proxy:
        yield proxy


def kill_and_start(eyes: Fragile, seconds: float) -> int:
    """Kill and restart the provider every few seconds for this time. Return how often."""
    ends, kills = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        time.sleep(LIVES_SECONDS)
        eyes.kill()
        kills += 1
        time.sleep(IS_DEAD_SECONDS)
        eyes.start()
    return kills


def test_everybody_is_answered_and_every_cent_is_billed(gateway: Proxy, upstream: Upstream, eyes: Fragile) -> None:
    with gateway.client() as admin:
        callers = {secrets.token_hex(6): Caller(admin) for _ in range(CALLERS)}
        with traffic(gateway.url, callers, CLIENTS, may_fail=True) as told:
            kills = kill_and_start(eyes, SECONDS)
        sys.stdout.write(f"{dict(told.answered)}, {kills} kills, {upstream.in_flight} main calls in flight\n")
        if told.wrong:
            sys.stdout.write(f"the end of the proxy's log:\n{gateway.log[-20_000:]}\n")
        assert told.wrong == []
        assert kills > SECONDS / 10
        assert min(told.answered[asked] for asked in (*ASKED, "new image, failed")) > 0

        assert eventually(lambda: looks_again(callers, gateway))
        expect_conserved(callers, upstream, eyes, most_lost=kills * CLIENTS)


def expect_conserved(callers: dict[str, Caller], upstream: Upstream, eyes: Fragile, most_lost: int) -> None:
    """Check that each sum is what the providers charged for the answers that arrived."""
    begun, sent = eyes.answers(BEGUN), eyes.answers(SENT)
    assert len(begun - sent) <= most_lost

    def wrong() -> list[object]:
        looks = {mark: billed(caller) & begun for mark, caller in callers.items()}
        charged = {mark: upstream.charged_for(mark) + VISION_COST * len(looks[mark]) for mark in callers}
        sums = {mark: caller.sums() for mark, caller in callers.items()}
        return [
            *(sent - set().union(*looks.values())),
            *(
                (mark, charged[mark], sums[mark])
                for mark in callers
                if sums[mark] != dict.fromkeys(SUMS, pytest.approx(charged[mark], abs=1e-9))
            ),
        ]

    eventually(lambda: not wrong(), 60, every=0.5)
    assert wrong() == []


def looks_again(callers: dict[str, Caller], gateway: Proxy) -> bool:
    """Whether a new image is analysed."""
    mark, caller = next(iter(callers.items()))
    answer = caller.send(ROUTES["chat"]("deepseek-chat-ocr", mark, [secrets.token_hex(6)], stream=False))
    return answer.headers["x-litellm-image-analysis-failed"] == "0"


def billed(caller: Caller) -> set[str]:
    """The ids of all answers in the caller's spend log."""
    return {str(row[0]) for row in database().execute(PAID, {"key": caller.key})}
