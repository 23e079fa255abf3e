"""The package root: a few names, which are imported on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import litellm_image_analysis

PUBLIC_NAMES = [
    "AttemptError",
    "CacheConfig",
    "CallReport",
    "ConfigError",
    "ImageAnalysis",
    "ImageAnalysisConfig",
    "ImageAnalysisError",
    "PageConfig",
    "RequestError",
    "acompletion",
    "anthropic_messages",
    "aresponses",
    "completion",
    "image_analysis",
    "report",
    "responses",
]


def printed_by_a_fresh_interpreter(program: str) -> str:
    beside_the_package = Path(litellm_image_analysis.__file__).parents[1]
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=beside_the_package, capture_output=True, text=True, check=True).stdout


def test_the_public_names_are_these() -> None:
    assert litellm_image_analysis.__all__ == PUBLIC_NAMES


@pytest.mark.parametrize(
    "statement",
    [
        "import litellm_image_analysis",
        "from litellm_image_analysis import AttemptError, CacheConfig, ConfigError, ImageAnalysisConfig, RequestError",
    ],
)
def test_package_settings_and_errors_come_without_litellm(statement: str) -> None:
    assert printed_by_a_fresh_interpreter(f"{statement}; import sys; print('litellm' in sys.modules)") == "False\n"


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(litellm_image_analysis, name) is not None


def test_a_name_is_made_once() -> None:
    assert litellm_image_analysis.image_analysis is litellm_image_analysis.image_analysis


def test_the_instance_for_the_proxy_is_a_callback() -> None:
    assert isinstance(litellm_image_analysis.image_analysis, litellm_image_analysis.ImageAnalysis)


def test_dir_lists_public_names_that_were_not_used_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PUBLIC_NAMES:
        monkeypatch.delitem(vars(litellm_image_analysis), name, raising=False)
    assert set(PUBLIC_NAMES) <= set(dir(litellm_image_analysis))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'litellm_image_analysis' has no attribute 'ImageAnalysys'"):
        _ = litellm_image_analysis.ImageAnalysys


def test_the_version_is_a_release_number() -> None:
    assert [part.isdecimal() for part in litellm_image_analysis.__version__.split(".")] == [True, True, True]
