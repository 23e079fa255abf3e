"""The command in this process, which leaves LiteLLM's settings as they were."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import litellm
import pytest
import yaml
from click.testing import CliRunner

from litellm_image_analysis.cli.group import commands

_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_SETTINGS = ("callback_settings", "suppress_debug_info", "drop_params", "custom_provider_map")


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ran]]:
    """Run the command with these arguments."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _SETTINGS:
        monkeypatch.setattr(litellm, name, getattr(litellm, name))
    environment, models = dict(os.environ), dict(litellm.model_cost)

    def run(*arguments: str, text: str | None = None) -> Ran:
        result = CliRunner().invoke(commands, arguments, input=text)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.output)

    yield run
    litellm.model_cost.clear()  # a Router registers its models
    litellm.model_cost.update(models)
    os.environ.clear()
    os.environ.update(environment)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's environment, without the services of this machine."""
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-master-key-of-a-test")
    for name in ("DATABASE_URL", "LITELLM_SALT_KEY", "REDIS_URL", "REDIS_HOST", "OPENAI_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], str]:
    """Write a config file and return its path."""

    def write(config: Any) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return str(path)

    return write
