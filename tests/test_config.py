"""Settings: defaults, accepted values, and the errors for wrong ones."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError
from support.strategies import json_values

from litellm_image_analysis.config import (
    CacheConfig,
    CacheSettings,
    ImageAnalysisConfig,
    PageConfig,
    PageSettings,
    Settings,
)
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.request.context_blocks import TAGS

MIB = 1024 * 1024
PATH = "callback_settings.image_analysis"
PASSWORD = "hunter2"


@dataclass
class Setting:
    """One setting: its default, accepted values with their results, and refused values."""

    default: Any
    accepted: list[tuple[Any, Any]]
    refused: list[Any]


def count(default: int) -> Setting:
    return Setting(
        default, accepted=[(1, 1), (7, 7), ("7", 7)], refused=[0, -1, 1.5, "many", "", True, False, None, [1]]
    )


def count_or_0(default: int) -> Setting:
    above = count(default)
    refused = [value for value in above.refused if value is False or value != 0]
    return Setting(default, accepted=[*above.accepted, (0, 0)], refused=refused)


def size(default: int) -> Setting:
    return Setting(
        default,
        accepted=[(1, 1), ("1000", 1000), ("20MiB", 20 * MIB), ("1 MB", 1_000_000), ("0.5KiB", 512)],
        refused=[0, -1, "20 parsecs", "", "-1MiB", math.inf, math.nan, True, False, None, [1]],
    )


def seconds(default: float) -> Setting:
    return Setting(
        default,
        accepted=[(5, 5.0), (0.5, 0.5), ("2.5", 2.5)],
        refused=[0, -1, "soon", "", math.inf, math.nan, "nan", True, False, None, [1]],
    )


def seconds_or_0(default: float) -> Setting:
    above = seconds(default)
    return Setting(default, accepted=[*above.accepted, (0, 0.0)], refused=[value for value in above.refused if value])


def flag(*, default: bool) -> Setting:
    return Setting(
        default, accepted=[(True, True), (False, False)], refused=["true", "yes", "off", "", 0, 1, None, [True]]
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
    "allowed_vision_models": Setting(
        None,
        accepted=[(["gpt-4o", "two words"], ("gpt-4o", "two words")), ([], ()), (None, None)],
        refused=["gpt-4o", 5, True],
    ),
    "require_key_access": flag(default=False),
    "advertise": flag(default=True),
    "mode": Setting("on_request", accepted=[("on_request", "on_request")], refused=["always", "", None, True, 1]),
    "prompt": Setting(None, accepted=[("Read it.", "Read it."), (None, None)], refused=["", 5, False, ["Read it."]]),
    "max_output_tokens": count(1500),
    "timeout_seconds": seconds(60.0),
    "max_concurrency": count(8),
    "max_key_concurrency": count(32),
    "max_process_concurrency": count(64),
    "max_queued": count_or_0(1000),
    "circuit_pause_seconds": seconds_or_0(10.0),
    "on_failure": Setting(
        "placeholder",
        accepted=[("placeholder", "placeholder"), ("reject", "reject"), ("keep", "keep")],
        refused=["ignore", "Keep", "", None, False, 1],
    ),
    "max_images": count(20),
    "max_image_parts": count(2_000),
    "max_vision_calls": count(50),
    "max_image_bytes": size(20 * MIB),
    "max_request_image_bytes": size(50 * MIB),
    "max_total_image_bytes": size(500 * MIB),
    "max_image_pixels": count(100_000_000),
    "max_messages": count(10_000),
    "max_nesting_depth": count(100),
    "max_url_characters": count(8192),
    "remote_urls": Setting(
        "pass", accepted=[("pass", "pass"), ("reject", "reject")], refused=["fetch", "", None, True, 1]
    ),
    "allow_private_hosts": Setting(False, accepted=[(False, False)], refused=["yes", 1, None]),
    "allowed_url_hosts": Setting((), accepted=[([], ())], refused=["images.example.com", 5, True, None]),
    "held_files": Setting(
        None,
        accepted=[("pass", "pass"), ("reject", "reject"), (None, None)],
        refused=["fetch", "", False, True, 1],
    ),
    "context_tags": Setting(
        TAGS,
        accepted=[([], ()), (["system-reminder", "mine"], ("system-reminder", "mine"))],
        refused=["mine", 5, None, True],
    ),
    "grouping": Setting(
        "per_image",
        accepted=[("per_image", "per_image"), ("per_message", "per_message")],
        refused=["per_request", "", None, True, 1],
    ),
    "cache": Setting(
        CacheConfig(), accepted=[({}, CacheConfig()), ({"ttl_seconds": "60"}, CacheConfig(ttl_seconds=60))], refused=[]
    ),
    "page": Setting(
        PageConfig(), accepted=[({}, PageConfig()), ({"enabled": True}, PageConfig(enabled=True))], refused=[]
    ),
    "count_vision_tokens": flag(default=True),
    "billing": Setting(
        "per_call",
        accepted=[("per_call", "per_call"), ("per_request", "per_request")],
        refused=["per_token", "", None, True, 1],
    ),
}

CACHE_SETTINGS = {
    "backend": Setting(
        "memory",
        accepted=[("memory", "memory"), ("redis", "redis"), ("off", "off")],
        refused=["disk", "Redis", "", None, True, 1],
    ),
    "ttl_seconds": seconds(86400.0),
    "remote_url_ttl_seconds": seconds_or_0(600.0),
    "max_bytes": size(64 * MIB),
    "scope": Setting(
        "tenant", accepted=[("tenant", "tenant"), ("global", "global")], refused=["team", "", None, True, 1]
    ),
    "redis_url": Setting(
        None,
        accepted=[
            (url, SecretStr(url)) for url in ("redis://localhost", "rediss://u:p@[::1]:6380/3?x=y", "unix:///run/redis")
        ],
        refused=[
            "",
            " ",
            "localhost:6379",
            "http://localhost",
            "redis://localhost:port",
            "redis://[::1",
            6379,
            True,
            [],
        ],
    ),
    "secret": Setting(
        None,
        accepted=[("a long random string", SecretStr("a long random string")), (None, None)],
        refused=["", " ", 12345, True, ["a long random string"]],
    ),
}
CACHE_SECRETS = ("redis_url", "secret")

DEFAULTS = [(name, setting.default) for name, setting in SETTINGS.items()]
ACCEPTED = [(name, given, kept) for name, setting in SETTINGS.items() for given, kept in setting.accepted]
REFUSED = [(name, value) for name, setting in SETTINGS.items() for value in setting.refused]
CACHE_ACCEPTED = [(name, given, kept) for name, setting in CACHE_SETTINGS.items() for given, kept in setting.accepted]
CACHE_REFUSED = [(name, value) for name, setting in CACHE_SETTINGS.items() for value in setting.refused]


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


@pytest.mark.parametrize("tag", ["<mine>", "my tag", "", "-", 5])
def test_a_tag_is_a_name(tag: object) -> None:
    told = refusal_of({"context_tags": ["mine", tag]})
    assert f"{PATH}.context_tags: got {tag!r}; it must be a list of tag names such as [system-reminder]" in told


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


@pytest.mark.parametrize("name", [5, None, "", " gpt-4o"])
def test_the_one_wrong_vision_model_is_shown(name: object) -> None:
    assert f"{PATH}.allowed_vision_models: got {name!r}; it must be a list of model names" in refusal_of(
        {"allowed_vision_models": ["gpt-4o", name]}
    )


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
    assert f"{PATH}.allowed_url_hosts: got {host!r}; it must be a list of public host names" in refusal_of(settings)


@pytest.mark.parametrize("remote_urls", ["pass", "allowlist"])
def test_private_hosts_are_named_one_by_one(remote_urls: str) -> None:
    settings = {"remote_urls": remote_urls, "allow_private_hosts": True}
    hosts = ["MinIO", "images.corp.internal", "10.0.0.5", "[::1]", "images.example.com"]
    config = ImageAnalysisConfig.from_settings({**settings, "allowed_url_hosts": hosts})
    assert config.allowed_url_hosts == ("minio", "images.corp.internal", "10.0.0.5", "[::1]", "images.example.com")
    for host in ["127.1", "0x7f", "0xdb", "017", "2130706433", "*", "a b", "http://minio", "[fe80::1%25eth0]"]:
        assert f"{PATH}.allowed_url_hosts: got {host!r}" in refusal_of({**settings, "allowed_url_hosts": [host]})


@pytest.mark.parametrize(
    "settings",
    [{}, {"remote_urls": "allowlist"}, {"remote_urls": "reject", "allowed_url_hosts": ["images.example.com"]}],
)
def test_private_hosts_need_a_list(settings: dict[str, Any]) -> None:
    wanted = f"{PATH}: allow_private_hosts: true needs allowed_url_hosts: [...] and remote_urls: pass or allowlist"
    assert wanted in refusal_of({**settings, "allow_private_hosts": True})


@pytest.mark.parametrize(
    "host",
    [
        *("https://images.example.com", "images.example.com/cats", "images.example.com:443", "*.example.com"),
        *("localhost", "images", "images.internal", "127.0.0.1", "[::1]", "images.example.com."),
    ],
)
def test_a_host_that_could_never_match_is_refused(host: str) -> None:
    settings = {"remote_urls": "allowlist", "allowed_url_hosts": [host]}
    assert f"{PATH}.allowed_url_hosts: got {host!r}" in refusal_of(settings)


def test_a_wrong_value_in_code_is_told_in_the_same_words() -> None:
    settings: Any = {"max_images": 0, "vison_model": "eyes", "cache": {"backnd": "redis"}}
    with pytest.raises(ConfigError) as caught:
        ImageAnalysisConfig(**settings)
    assert str(caught.value) == (
        "wrong settings for litellm-image-analysis:\n"
        "  ImageAnalysisConfig.max_images: got 0; it must be a whole number of images from 1, such as 20\n"
        "  ImageAnalysisConfig.cache.backnd: unknown setting; did you mean backend?\n"
        "  ImageAnalysisConfig.vison_model: unknown setting; did you mean vision_model?"
    )


def test_so_is_one_of_the_cache() -> None:
    with pytest.raises(
        ConfigError, match=r"CacheConfig\.max_bytes: got 'much'; it must be a number of bytes or a size"
    ):
        CacheConfig(max_bytes="much")


@pytest.mark.parametrize(
    ("settings", "model"),
    [(Settings, ImageAnalysisConfig), (CacheSettings, CacheConfig), (PageSettings, PageConfig)],
    ids=["all", "cache", "page"],
)
def test_type_checkers_know_every_setting(settings: type[Any], model: type[BaseModel]) -> None:
    assert list(settings.__annotations__) == list(model.model_fields)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ImageAnalysisConfig().max_images = 1


class TestCache:
    """The group of settings under ``cache``."""

    def test_the_table_has_every_setting(self) -> None:
        assert CACHE_SETTINGS.keys() == CacheConfig.model_fields.keys()

    @pytest.mark.parametrize("name", CACHE_SETTINGS)
    def test_default(self, name: str) -> None:
        assert getattr(ImageAnalysisConfig().cache, name) == CACHE_SETTINGS[name].default

    @pytest.mark.parametrize(("name", "value", "kept"), CACHE_ACCEPTED)
    def test_accepted(self, name: str, value: object, kept: object) -> None:
        config = ImageAnalysisConfig.from_settings({"cache": {name: value}})
        assert getattr(config.cache, name) == kept

    @pytest.mark.parametrize(("name", "value"), CACHE_REFUSED)
    def test_a_refusal_names_the_path_and_what_would_be_right_and_the_value_if_it_is_no_secret(
        self, name: str, value: object
    ) -> None:
        [line] = refusal_of({"cache": {name: value}}).splitlines()[1:]
        assert line.startswith(f"  {PATH}.cache.{name}: got ")
        assert line.endswith(f"; it must be {CacheConfig.model_fields[name].description}")
        assert (f"got {value!r};" in line) is (name not in CACHE_SECRETS)

    def test_a_refusal_reads_like_this(self) -> None:
        assert refusal_of({"cache": {"ttl_seconds": "soon", "secret": ["hunter2"]}}) == (
            "wrong settings for litellm-image-analysis:\n"
            "  callback_settings.image_analysis.cache.ttl_seconds: got 'soon';"
            " it must be a number of seconds above 0, such as 86400\n"
            "  callback_settings.image_analysis.cache.secret: got a value of type list;"
            " it must be a long random string, or null to use the proxy's salt or master key"
        )

    def test_problems_of_the_group_are_listed_with_the_others(self) -> None:
        lines = refusal_of({"max_images": 0, "cache": {"backend": "disk", "colour": "red"}, "colour": "red"})
        assert lines.splitlines()[1:] == [
            f"  {PATH}.max_images: got 0; it must be a whole number of images from 1, such as 20",
            f"  {PATH}.cache.backend: got 'disk'; it must be memory, redis or off",
            f"  {PATH}.cache.colour: unknown setting; known settings: {', '.join(CACHE_SETTINGS)}",
            f"  {PATH}.colour: unknown setting; known settings: {', '.join(SETTINGS)}",
        ]

    def test_a_misspelt_setting_is_told_the_nearest_one_of_the_group(self) -> None:
        assert f"{PATH}.cache.scop: unknown setting; did you mean scope?" in refusal_of({"cache": {"scop": 1}})

    @pytest.mark.parametrize("key", [5, None])
    def test_a_key_that_is_no_string_is_an_unknown_setting(self, key: object) -> None:
        assert f"{PATH}.cache.{key}: unknown setting" in refusal_of({"cache": {key: "red"}})

    @pytest.mark.parametrize("value", ["redis", 5, True, None, ["redis"]])
    def test_it_must_be_a_mapping(self, value: object) -> None:
        [line] = refusal_of({"cache": value}).splitlines()[1:]
        assert line.startswith(f"  {PATH}.cache: got ")
        assert line.endswith("; it must be a mapping of settings such as {backend: redis, ttl_seconds: 3600}")

    def test_off_is_off_though_yaml_reads_it_as_false(self) -> None:
        settings = yaml.safe_load("cache:\n  backend: off\n")
        assert ImageAnalysisConfig.from_settings(settings).cache.backend == "off"

    def test_it_is_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            ImageAnalysisConfig().cache.ttl_seconds = 1

    @pytest.mark.parametrize(
        "settings",
        [
            {"cache": {"secret": [PASSWORD]}},
            {"cache": {"redis_url": f"http://:{PASSWORD}@localhost"}},
            {"cache": {"redis_url": {"password": PASSWORD}}},
            {"cache": {"redis_url": f"redis://:{PASSWORD}@localhost:port"}},
            {"cache": {"redis_uri": f"redis://:{PASSWORD}@localhost"}},
            {"cache": {"secret": PASSWORD, "backend": "disk"}},
            {"cache": f"redis://:{PASSWORD}@localhost"},
            {"cache": [{"secret": PASSWORD}]},
            {"redis_url": f"redis://:{PASSWORD}@localhost"},
            {"secret": PASSWORD},
        ],
        ids=str,
    )
    def test_no_message_shows_a_secret(self, settings: object) -> None:
        assert PASSWORD not in refusal_of(settings)

    @pytest.mark.parametrize("wrong", [{"secret": [PASSWORD]}, {"redis_url": f"http://:{PASSWORD}@localhost"}])
    def test_no_error_in_code_shows_a_secret_either(self, wrong: dict[str, Any]) -> None:
        for build in (lambda: CacheConfig(**wrong), lambda: ImageAnalysisConfig(cache=wrong)):  # type: ignore[arg-type]
            with pytest.raises(ConfigError) as caught:
                build()
            assert PASSWORD not in str(caught.value)

    def test_settings_are_shown_without_their_secrets(self) -> None:
        cache = {"secret": PASSWORD, "redis_url": f"redis://:{PASSWORD}@localhost"}
        config = ImageAnalysisConfig.from_settings({"cache": cache})
        for shown in (
            repr(config),
            str(config),
            repr(config.cache),
            str(config.model_dump()),
            config.model_dump_json(),
        ):
            assert PASSWORD not in shown


class TestPage:
    """The group of settings under ``page``."""

    def test_it_is_off_and_bounded(self) -> None:
        assert ImageAnalysisConfig().page.model_dump() == {
            "enabled": False,
            "max_entries": 1000,
            "show_texts": False,
        }

    @pytest.mark.parametrize(
        ("name", "value"),
        [("enabled", "yes"), ("enabled", 1), ("max_entries", 0), ("max_entries", 10_001), ("max_entries", True)],
    )
    def test_a_refusal_names_the_path_and_what_would_be_right(self, name: str, value: object) -> None:
        [line] = refusal_of({"page": {name: value}}).splitlines()[1:]
        assert line == (f"  {PATH}.page.{name}: got {value!r}; it must be {PageConfig.model_fields[name].description}")


scalars = st.none() | st.booleans() | st.integers() | st.floats()
cache_groups = st.dictionaries(st.sampled_from(list(CACHE_SETTINGS)) | scalars, json_values, max_size=3) | json_values


@given(
    st.dictionaries(st.sampled_from(list(SETTINGS)) | scalars, json_values, max_size=3)
    | st.fixed_dictionaries({"cache": cache_groups})
    | json_values
)
def test_whatever_the_yaml_holds_nothing_but_a_config_error_comes_of_it(settings: object) -> None:
    with suppress(ConfigError):
        ImageAnalysisConfig.from_settings(settings)


@pytest.mark.parametrize("model", [ImageAnalysisConfig, CacheConfig, PageConfig])
def test_settings_are_passed_by_name(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"Config: pass settings by name, such as \w+Config\("):
        model("gpt-4o-mini")
