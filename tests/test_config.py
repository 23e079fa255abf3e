"""Settings: the contract's defaults, what is accepted, and what a mistake is told."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.strategies import json_values

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.errors import ConfigError

MIB = 1024 * 1024
PATH = "callback_settings.image_analysis"


@dataclass
class Setting:
    """One row of the contract's table: the default, accepted values with what they become, refused ones."""

    default: Any
    accepted: list[tuple[Any, Any]]
    refused: list[Any]


def count(default: int) -> Setting:
    return Setting(
        default, accepted=[(1, 1), (7, 7), ("7", 7)], refused=[0, -1, 1.5, "many", "", True, False, None, [1]]
    )


def size(default: int) -> Setting:
    return Setting(
        default,
        accepted=[(1, 1), ("1000", 1000), ("20MiB", 20 * MIB), ("1 MB", 1_000_000), ("0.5KiB", 512)],
        refused=[0, -1, "20 parsecs", "", "-1MiB", math.inf, math.nan, True, False, None, [1]],
    )


SETTINGS = {
    "vision_model": Setting(
        "gpt-4o-mini",
        accepted=[("openai/gpt-4o", "openai/gpt-4o"), ("two words", "two words")],
        refused=["", " ", " gpt-4o", "gpt-4o\n", "gpt\n4o", 5, True, None, ["gpt-4o"]],
    ),
    "suffix": Setting(
        "-ocr", accepted=[("+eyes", "+eyes"), (None, None)], refused=["", " ", "-ocr ", 5, False, ["-ocr"]]
    ),
    "mode": Setting("on_request", accepted=[("on_request", "on_request")], refused=["always", "", None, True, 1]),
    "prompt": Setting(None, accepted=[("Read it.", "Read it."), (None, None)], refused=["", 5, False, ["Read it."]]),
    "max_output_tokens": count(1500),
    "timeout_seconds": Setting(
        60.0,
        accepted=[(5, 5.0), (0.5, 0.5), ("2.5", 2.5)],
        refused=[0, -1, "soon", "", math.inf, math.nan, "nan", True, False, None, [1]],
    ),
    "max_concurrency": count(8),
    "on_failure": Setting(
        "placeholder",
        accepted=[("placeholder", "placeholder"), ("reject", "reject"), ("keep", "keep")],
        refused=["ignore", "Keep", "", None, False, 1],
    ),
    "max_images": count(20),
    "max_image_bytes": size(20 * MIB),
    "max_request_image_bytes": size(50 * MIB),
    "remote_urls": Setting(
        "pass", accepted=[("pass", "pass"), ("reject", "reject")], refused=["fetch", "", None, True, 1]
    ),
    "allowed_url_hosts": Setting((), accepted=[([], ())], refused=["images.example.com", 5, True, None]),
    "billing": Setting("per_call", accepted=[("per_call", "per_call")], refused=["per_token", "", None, True, 1]),
}

DEFAULTS = [(name, setting.default) for name, setting in SETTINGS.items()]
ACCEPTED = [(name, given, kept) for name, setting in SETTINGS.items() for given, kept in setting.accepted]
REFUSED = [(name, value) for name, setting in SETTINGS.items() for value in setting.refused]


def refusal_of(settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        ImageAnalysisConfig.from_settings(settings)
    return str(caught.value)


def test_the_table_has_every_setting() -> None:
    assert SETTINGS.keys() == ImageAnalysisConfig.model_fields.keys()


@pytest.mark.parametrize(("name", "default"), DEFAULTS)
def test_default(name: str, default: object) -> None:
    assert getattr(ImageAnalysisConfig(), name) == default


@pytest.mark.parametrize(("name", "value", "kept"), ACCEPTED)
def test_accepted(name: str, value: object, kept: object) -> None:
    assert getattr(ImageAnalysisConfig.from_settings({name: value}), name) == kept


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_says_what_would_be_right(name: str) -> None:
    assert ImageAnalysisConfig.model_fields[name].description


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_refusal_names_the_path_the_value_and_what_would_be_right(name: str, value: object) -> None:
    description = ImageAnalysisConfig.model_fields[name].description
    assert refusal_of({name: value}).splitlines()[1] == f"  {PATH}.{name}: got {value!r}; it must be {description}"


def test_a_refusal_reads_like_this() -> None:
    assert refusal_of({"max_images": "many"}) == (
        "wrong settings for litellm-image-analysis:\n"
        "  callback_settings.image_analysis.max_images: got 'many';"
        " it must be a whole number of images from 1, such as 20"
    )


def test_every_problem_is_listed() -> None:
    assert refusal_of({"max_images": 0, "on_failure": "ignore", "colour": "red"}).splitlines()[1:] == [
        f"  {PATH}.on_failure: got 'ignore'; it must be placeholder, reject or keep",
        f"  {PATH}.max_images: got 0; it must be a whole number of images from 1, such as 20",
        f"  {PATH}.colour: unknown setting; known settings: {', '.join(SETTINGS)}",
    ]


def test_a_misspelt_setting_is_told_the_nearest_one() -> None:
    assert f"{PATH}.vison_model: unknown setting; did you mean vision_model?" in refusal_of({"vison_model": "gpt-4o"})


@pytest.mark.parametrize("key", [5, True, None])
def test_a_key_that_is_no_string_is_an_unknown_setting(key: object) -> None:
    assert f"{PATH}.{key}: unknown setting" in refusal_of({key: "red"})


def test_a_long_value_is_shown_shortened() -> None:
    assert f"got '{'x' * 76}...;" in refusal_of({"on_failure": "x" * 500})


def test_the_path_can_be_another() -> None:
    with pytest.raises(ConfigError, match=r"elsewhere\.max_images: got 0"):
        ImageAnalysisConfig.from_settings({"max_images": 0}, path="elsewhere")


@pytest.mark.parametrize("settings", [None, {}])
def test_no_settings_are_all_defaults(settings: object) -> None:
    assert ImageAnalysisConfig.from_settings(settings) == ImageAnalysisConfig()


@pytest.mark.parametrize("settings", ["gpt-4o", ["gpt-4o"], 5, True, False, ""])
def test_settings_must_be_a_mapping(settings: object) -> None:
    assert refusal_of(settings) == f"{PATH}: got {settings!r}; it must be a mapping of settings"


def test_an_allowlist_keeps_its_hosts() -> None:
    settings = {"remote_urls": "allowlist", "allowed_url_hosts": ["images.example.com", "cdn.example.com"]}
    config = ImageAnalysisConfig.from_settings(settings)
    assert config.allowed_url_hosts == ("images.example.com", "cdn.example.com")


@pytest.mark.parametrize(
    "settings",
    [
        {"remote_urls": "allowlist"},
        {"remote_urls": "allowlist", "allowed_url_hosts": []},
        {"allowed_url_hosts": ["images.example.com"]},
        {"remote_urls": "reject", "allowed_url_hosts": ["images.example.com"]},
    ],
)
def test_an_allowlist_and_its_hosts_go_together(settings: dict[str, object]) -> None:
    assert f"{PATH}: remote_urls: allowlist and allowed_url_hosts: [...] go together" in refusal_of(settings)


@pytest.mark.parametrize("host", ["", " ", " images.example.com", 5, None])
def test_the_one_wrong_host_is_shown(host: object) -> None:
    settings = {"remote_urls": "allowlist", "allowed_url_hosts": ["images.example.com", host]}
    assert f"{PATH}.allowed_url_hosts: got {host!r}; it must be a list of host names" in refusal_of(settings)


@pytest.mark.parametrize("host", ["https://images.example.com", "images.example.com/cats", "images.example.com:443"])
def test_a_host_that_could_never_match_is_refused(host: str) -> None:
    settings = {"remote_urls": "allowlist", "allowed_url_hosts": [host]}
    assert f"{PATH}.allowed_url_hosts: got {host!r}" in refusal_of(settings)


def test_a_wrong_value_in_code_is_a_validation_error() -> None:
    with pytest.raises(ValidationError):
        ImageAnalysisConfig(max_images=0)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ImageAnalysisConfig().max_images = 1


@given(st.dictionaries(st.sampled_from(list(SETTINGS)), json_values, max_size=3) | json_values)
def test_whatever_the_yaml_holds_nothing_but_a_config_error_comes_of_it(settings: object) -> None:
    with suppress(ConfigError):
        ImageAnalysisConfig.from_settings(settings)
