"""A proxy's environment without the services of this machine, and ``doctor`` on a config without a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.command import Doctor, Run
from support.configs import proxy_config
from support.upstream import Upstream, running_upstream


@pytest.fixture(autouse=True)
def an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-master-key-of-a-test")
    for name in ("DATABASE_URL", "LITELLM_SALT_KEY", "REDIS_URL", "REDIS_HOST", "OPENAI_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.reset()
    return shared_upstream


@pytest.fixture
def config(upstream: Upstream) -> dict[str, Any]:
    """A config without a fault."""
    return proxy_config(upstream)


@pytest.fixture
def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Its settings of image analysis."""
    found: dict[str, Any] = config["callback_settings"]["image_analysis"]
    return found


@pytest.fixture
def doctor(config: dict[str, Any], run: Run, written: Callable[[Any], str]) -> Doctor:
    """Examine the config, and return the problems and warnings."""

    def examine(*options: str) -> list[dict[str, Any]]:
        ran = run("doctor", "--config", written(config), "--json", *options)
        report = ran.json
        faults = [each for each in report["findings"] if each["status"] in ("problem", "warning")]
        assert ran.code == int(any(each["status"] == "problem" for each in faults))
        assert report["ok"] is (ran.code == 0)
        assert all(each["fix"] for each in faults)
        return faults

    return examine
