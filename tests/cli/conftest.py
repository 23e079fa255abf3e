"""A proxy's environment, without the services of this machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-master-key-of-a-test")
    for name in ("DATABASE_URL", "LITELLM_SALT_KEY", "REDIS_URL", "REDIS_HOST", "OPENAI_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
