"""The command ``litellm-image-analysis`` in this process. It leaves LiteLLM's settings as they were."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest
import yaml
from support.proxy import write_shim

_SETTINGS = ("callback_settings", "suppress_debug_info", "drop_params", "custom_provider_map")


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    stdout: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Run(Protocol):
    """Runs the command with these arguments, and this text on its stdin."""

    def __call__(self, *arguments: str, text: str | None = None) -> Ran: ...


Doctor: TypeAlias = Callable[..., list[dict[str, Any]]]
"""Examines a config with these options, and returns the problems and warnings."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the command with these arguments."""
    import litellm
    from click.testing import CliRunner

    from litellm_image_analysis.cli.group import commands
    from litellm_image_analysis.cli.output import LOGGERS
    from litellm_image_analysis.vision import local_ocr

    local_ocr.register()  # once in a process, so its price must be among those that are kept
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in _SETTINGS:
        monkeypatch.setattr(litellm, name, getattr(litellm, name))
    environment, models = dict(os.environ), dict(litellm.model_cost)

    def run(*arguments: str, text: str | None = None) -> Ran:
        result = CliRunner().invoke(commands, arguments, input=text)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.output, result.stdout)

    yield run
    litellm.model_cost.clear()  # a Router registers its models
    litellm.model_cost.update(models)
    os.environ.clear()
    os.environ.update(environment)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], str]:
    """Write a config file and return its path."""
    write_shim(tmp_path)

    def write(config: Any) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return str(path)

    return write
