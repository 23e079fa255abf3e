"""The settings. They are validated once, at the start."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.request.activation import Mode
from litellm_image_analysis.request.context_blocks import TAGS
from litellm_image_analysis.request.urls import canonical_host

if TYPE_CHECKING:
    from typing_extensions import Unpack

SETTINGS_PATH = "callback_settings.image_analysis"
_MIB = 1024 * 1024


def _no_bool(value: object) -> object:
    """Refuse YAML's ``yes`` and ``true`` as numbers, although Python accepts them."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")  # noqa: TRY004 - pydantic collects ValueError
    return value


def _url_host(value: str, info: ValidationInfo) -> str:
    may_be_private = info.data.get("allow_private_hosts") is True
    host = canonical_host(value, only_public=not may_be_private)
    if host is None:
        raise ValueError("no host" if may_be_private else "no public host, which needs allow_private_hosts: true")
    return host


_Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
_Entries = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=10_000)]
_CountOrNone = Annotated[int, BeforeValidator(_no_bool), Field(ge=0)]
_Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]
_SecondsOrNone = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]
_Size = Annotated[ByteSize, BeforeValidator(_no_bool), Field(ge=1)]
Flag = Annotated[bool, Field(strict=True)]
_Host = Annotated[str, AfterValidator(_url_host)]
_Tag = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
Name = Annotated[str, Field(min_length=1, pattern=r"^\S(.*\S)?$")]
Words = Annotated[str, Field(pattern=r"\S")]


class CacheSettings(TypedDict, total=False):
    """The settings of ``CacheConfig``, as keyword arguments or a mapping. Sizes: bytes, or texts like ``"64MiB"``."""

    backend: Literal["memory", "redis", "off"]
    ttl_seconds: float
    remote_url_ttl_seconds: float
    max_bytes: int | str
    scope: Literal["tenant", "global"]
    redis_url: str | None
    secret: str | None


class PageSettings(TypedDict, total=False):
    """The settings of ``PageConfig``, as keyword arguments or a mapping."""

    enabled: bool
    max_entries: int
    show_texts: bool


class Settings(TypedDict, total=False):
    """The settings of ``ImageAnalysisConfig``, as keyword arguments. Sizes are bytes or texts such as ``"20MiB"``."""

    vision_model: str
    suffix: str | None
    allowed_vision_models: Sequence[str] | None
    require_key_access: bool
    advertise: bool
    mode: Mode
    prompt: str | None
    max_output_tokens: int
    timeout_seconds: float
    max_concurrency: int
    max_key_concurrency: int
    max_process_concurrency: int
    max_queued: int
    circuit_pause_seconds: float
    on_failure: Literal["placeholder", "reject", "keep"]
    max_images: int
    max_image_parts: int
    max_vision_calls: int
    max_image_bytes: int | str
    max_request_image_bytes: int | str
    max_total_image_bytes: int | str
    max_image_pixels: int
    max_messages: int
    max_nesting_depth: int
    max_url_characters: int
    remote_urls: Literal["pass", "reject", "allowlist"]
    allow_private_hosts: bool
    allowed_url_hosts: Sequence[str]
    held_files: Literal["pass", "reject"] | None
    context_tags: Sequence[str]
    grouping: Literal["per_image", "per_message"]
    cache: CacheConfig | CacheSettings
    page: PageConfig | PageSettings
    count_vision_tokens: bool
    billing: Literal["per_call", "per_request"]


class _Settings(BaseModel):
    """A group of settings. Frozen. An unknown key is an error.

    The title of a field is its meaning in ``docs/settings.md``. Its description is part of the error for a wrong value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # the input may be a password

    def __init__(self, /, *values: object, **settings: Any) -> None:
        name = type(self).__name__
        if values:
            raise ConfigError(
                f"{name}: pass settings by name, such as {name}({next(iter(type(self).model_fields))}=...)"
            )
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise _config_error(error, type(self), name) from None


vars(_Settings.__init__)["__pydantic_base_init__"] = True
"""Tells pydantic not to call ``__init__`` for a group within other settings, whose errors have a longer path."""


class CacheConfig(_Settings):
    """Settings of the cache. Frozen.

    Raises:
        ConfigError: a value is wrong, or a setting is unknown. The message names the valid values.
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[CacheSettings]) -> None: ...

    backend: Literal["memory", "redis", "off"] = Field(
        title="where analyses are cached: in memory, in Redis, or not at all",
        default="memory",
        description="memory, redis or off",
    )
    ttl_seconds: _Seconds = Field(
        title="seconds that an analysis is cached",
        default=86400.0,
        description="a number of seconds above 0, such as 86400",
    )
    remote_url_ttl_seconds: _SecondsOrNone = Field(
        title="seconds that the analysis of an http(s) or gs:// URL is cached. The image may change",
        default=600.0,
        description="a number of seconds such as 600, or 0 for no caching",
    )
    max_bytes: _Size = Field(
        title="size of the cache in memory, in one process. The least recently used analyses are dropped first",
        default=ByteSize(64 * _MIB),
        description="a number of bytes or a size such as 64MiB",
    )
    scope: Literal["tenant", "global"] = Field(
        title="tenant: analyses are shared within a team, else within a key. global: by all callers",
        default="tenant",
        description="tenant or global",
    )
    redis_url: SecretStr | None = Field(
        title="Redis of the cache. With null, the gateway's own Redis",
        default=None,
        description="a URL such as redis://:password@host:6379/0, or null for the gateway's own Redis",
    )
    secret: SecretStr | None = Field(
        title="secret for the cache keys. With null, it is derived from the proxy's salt key, or else its master key",
        default=None,
        description="a long random string, or null to use the proxy's salt or master key",
    )

    @field_validator("backend", mode="before")
    @classmethod
    def _off_is_no_bool(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads ``off`` as false

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = urlsplit(value.get_secret_value())
            if url.scheme not in ("redis", "rediss", "unix") or url.port == 0:  # reading the port validates it
                raise ValueError("not a URL of Redis")
        return value

    @field_validator("secret")
    @classmethod
    def _is_no_empty_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("empty")
        return value


class PageConfig(_Settings):
    """Settings of the page of recent analyses. Frozen.

    Raises:
        ConfigError: a value is wrong, or a setting is unknown. The message names the valid values.
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[PageSettings]) -> None: ...

    enabled: Flag = Field(
        title="whether the proxy serves `GET /image-analysis` to its admins",
        default=False,
        description="true or false",
    )
    max_entries: _Entries = Field(
        title="requests that the page keeps. The oldest are dropped first",
        default=1000,
        description="a whole number of requests from 1 to 10000, such as 1000",
    )
    show_texts: Flag = Field(
        title="whether the page shows the beginning of each analysis. Admins can then read what users' images show",
        default=False,
        description="true or false",
    )


class ImageAnalysisConfig(_Settings):
    """Settings of image analysis. Frozen.

    Raises:
        ConfigError: a value is wrong, or a setting is unknown. The message names the valid values.
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Unpack[Settings]) -> None: ...

    vision_model: Name = Field(
        title="model group (proxy) or LiteLLM model name (in code) that analyses images",
        default="gpt-4o-mini",
        description="the name of a model that accepts images, such as gpt-4o-mini",
    )
    suffix: Name | None = Field(
        title="suffix of a model name that activates analysis",
        default="-ocr",
        description="a model-name suffix such as -ocr, or null for none",
    )
    allowed_vision_models: tuple[Name, ...] | None = Field(
        title="vision models that callers may name in `ocr_model`. With null, any model that their key may call",
        default=None,
        description="a list of model names such as [gpt-4o-mini, gpt-4o], or null for any",
    )
    require_key_access: Flag = Field(
        title="whether the caller's key must have access to the default vision model, too",
        default=False,
        description="true or false",
    )
    advertise: Flag = Field(
        title="whether access to `<model>` includes `<model>-ocr`, and LiteLLM lists it where it lists aliases",
        default=True,
        description="true or false",
    )
    mode: Mode = Field(
        title="on_request: a request asks for analysis. auto: also if the deployment is known to be text-only, "
        "see [`library.md`](library.md#automatic-analysis-mode-auto)",
        default="on_request",
        description="on_request or auto",
    )
    prompt: Words | None = Field(
        title="instructions for the vision model. With null, the built-in ones below",
        default=None,
        description="instructions for the vision model, or null for the built-in ones",
    )
    max_output_tokens: _Count = Field(
        title="tokens of one analysis. A longer one is cut and marked as cut",
        default=1500,
        description="a whole number of tokens from 1, such as 1500",
    )
    timeout_seconds: _Seconds = Field(
        title="seconds for all vision calls of one request together",
        default=60.0,
        description="a number of seconds above 0, such as 60",
    )
    max_concurrency: _Count = Field(
        title="vision calls in flight for one request",
        default=8,
        description="a whole number of calls from 1, such as 8",
    )
    max_key_concurrency: _Count = Field(
        title="vision calls in flight for one key, in one process, see [`load.md`](load.md)",
        default=32,
        description="a whole number of calls from 1, such as 32",
    )
    max_process_concurrency: _Count = Field(
        title="vision calls in flight for all keys, in one process",
        default=64,
        description="a whole number of calls from 1, such as 64",
    )
    max_queued: _CountOrNone = Field(
        title="vision calls that may wait in the queue, in one process. With 0, none",
        default=1000,
        description="a whole number of calls such as 1000, or 0 for no queue",
    )
    circuit_pause_seconds: _SecondsOrNone = Field(
        title="seconds without calls to a vision model after five failures in a row. With 0, there is no pause",
        default=10.0,
        description="a number of seconds such as 10, or 0 for no pause",
    )
    on_failure: Literal["placeholder", "reject", "keep"] = Field(
        title="an image whose analysis failed. placeholder: a note replaces it. reject: the request fails. "
        "keep: the image stays. See [`README`](../README.md#when-a-vision-call-fails)",
        default="placeholder",
        description="placeholder, reject or keep",
    )
    max_images: _Count = Field(
        title="different images that need a vision call in one request. The latest get one, others get a note",
        default=20,
        description="a whole number of images from 1, such as 20",
    )
    max_image_parts: _Count = Field(
        title="image parts in one request, repetitions of the same image included",
        default=2_000,
        description="a whole number of image parts from 1, such as 2000",
    )
    max_vision_calls: _Count = Field(
        title="vision calls for one request, without cached analyses. The latest images get them, others get a note",
        default=50,
        description="a whole number of calls from 1, such as 50",
    )
    max_image_bytes: _Size = Field(
        title="encoded size of one image",
        default=ByteSize(20 * _MIB),
        description="a number of bytes or a size such as 20MiB",
    )
    max_request_image_bytes: _Size = Field(
        title="encoded size of the images that need a vision call. The latest get one, others get a note",
        default=ByteSize(50 * _MIB),
        description="a number of bytes or a size such as 50MiB",
    )
    max_total_image_bytes: _Size = Field(
        title="encoded size of all images of a request, cached ones included",
        default=ByteSize(500 * _MIB),
        description="a number of bytes or a size such as 500MiB",
    )
    max_image_pixels: _Count = Field(
        title="width x height of one image",
        default=100_000_000,
        description="a whole number of pixels (width x height) from 1, such as 100000000",
    )
    max_messages: _Count = Field(
        title="messages of one request", default=10_000, description="a whole number of messages from 1, such as 10000"
    )
    max_nesting_depth: _Count = Field(
        title="levels of objects and lists in a request's messages",
        default=100,
        description="a whole number of levels from 1, such as 100",
    )
    max_url_characters: _Count = Field(
        title="length of an image's URL or file id",
        default=8192,
        description="a whole number of characters from 1, such as 8192",
    )
    remote_urls: Literal["pass", "reject", "allowlist"] = Field(
        title="http(s) image URLs: pass them to the vision model, reject them, or allow those of a list",
        default="pass",
        description="pass, reject or allowlist",
    )
    allow_private_hosts: Flag = Field(
        title="whether `allowed_url_hosts` may name hosts that are not public, such as an image server of your own. "
        "With `remote_urls: pass`, they are allowed besides all public hosts",
        default=False,
        description="true or false",
    )
    allowed_url_hosts: tuple[_Host, ...] = Field(
        title="hosts for `remote_urls: allowlist` and `allow_private_hosts`",
        default=(),
        description="a list of public host names such as [images.example.com], or of others with "
        "allow_private_hosts: true, used with remote_urls: allowlist",
    )
    held_files: Literal["pass", "reject"] | None = Field(
        title="images that are files at a provider, by file id, gs:// or the provider's URL: pass or reject them. With "
        "null, they pass if `remote_urls` is pass",
        default=None,
        description="pass, reject, or null to follow remote_urls",
    )
    context_tags: tuple[_Tag, ...] = Field(
        title="tags of blocks around the user's words that are not part of the question. See [`routes.md`](routes.md)",
        default=TAGS,
        description="a list of tag names such as [system-reminder]",
    )
    grouping: Literal["per_image", "per_message"] = Field(
        title="per_image: a vision call for each image. per_message: one call compares all images of a message",
        default="per_image",
        description="per_image or per_message",
    )
    cache: CacheConfig = Field(
        title="settings of the cache, below",
        default=CacheConfig(),
        description="a mapping of settings such as {backend: redis, ttl_seconds: 3600}",
    )
    page: PageConfig = Field(
        title="settings of the page of recent analyses, below",
        default=PageConfig(),
        description="a mapping of settings such as {enabled: true}",
    )
    count_vision_tokens: Flag = Field(
        title="whether the tokens of vision calls count against each tpm_limit, such as those of key, team and user",
        default=True,
        description="true or false",
    )
    billing: Literal["per_call", "per_request"] = Field(
        title="per_call: a vision call has its own spend-log row. per_request is refused, see [`spend.md`](spend.md)",
        default="per_call",
        description="per_call",
    )

    @model_validator(mode="after")
    def _allowlist_has_hosts(self) -> ImageAnalysisConfig:
        if self.allow_private_hosts and (self.remote_urls == "reject" or not self.allowed_url_hosts):
            raise ValueError(
                "allow_private_hosts: true needs allowed_url_hosts: [...] and remote_urls: pass or allowlist"
            )
        if self.allow_private_hosts and self.remote_urls == "pass":
            return self
        if (self.remote_urls == "allowlist") != bool(self.allowed_url_hosts):
            raise ValueError("remote_urls: allowlist and allowed_url_hosts: [...] go together; set both or neither")
        return self

    @classmethod
    def from_settings(cls, settings: object, path: str = SETTINGS_PATH) -> ImageAnalysisConfig:
        """Build the settings from parsed YAML.

        Args:
            settings: the mapping under ``path``. ``None`` (an empty YAML key) stands for all defaults.
            path: the place of the settings in the config, for messages.

        Raises:
            ConfigError: the message has one line for each problem, with the path, the value and the valid values.
        """
        if settings is None:
            settings = {}
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{path}: got {_shown(settings)}; it must be a mapping of settings")
        try:
            return cls.model_validate({str(key): value for key, value in settings.items()})
        except ValidationError as error:
            raise _config_error(error, cls, path) from None


def config_of(config: object, settings: Settings) -> ImageAnalysisConfig:
    """Return the settings of an instance of ``ImageAnalysis``, from a config or from single settings.

    Args:
        config: the config, or ``None``.
        settings: single settings.

    Raises:
        ConfigError: both are given, or ``config`` is of another type.
    """
    if config is None:
        return ImageAnalysisConfig(**settings)
    if not isinstance(config, ImageAnalysisConfig):
        raise ConfigError(
            f"ImageAnalysis: got a {type(config).__name__} as config; it must be an ImageAnalysisConfig. Pass single"
            ' settings by name: ImageAnalysis(vision_model="gpt-4o-mini")'
        )
    if settings:
        raise ConfigError(f"ImageAnalysis: got config and {', '.join(settings)}; pass only one of them")
    return config


def _config_error(error: ValidationError, settings: type[BaseModel], path: str) -> ConfigError:
    lines = [f"  {problem}" for problem in problems(error, settings, path)]
    return ConfigError("\n".join(["wrong settings for litellm-image-analysis:", *lines]))


def problems(error: ValidationError, settings: type[BaseModel], path: str) -> list[str]:
    """Return the errors of settings, one line each: the path, the value unless it may be a secret, and valid values."""
    return [_problem(dict(item), settings, path) for item in error.errors(include_url=False)]


def _problem(error: Mapping[str, object], settings: type[BaseModel], path: str) -> str:
    location = error["loc"]
    if not isinstance(location, tuple) or not location:
        return f"{path}: {str(error['msg']).removeprefix('Value error, ')}"
    name, *rest = map(str, location)
    group = _group(settings, name)
    if group is not None and rest:
        return _problem({**error, "loc": location[1:]}, group, f"{path}.{name}")
    if name not in settings.model_fields:
        return f"{path}.{name}: unknown setting; {_did_you_mean(name, list(settings.model_fields))}"
    field = settings.model_fields[name]
    may_hold_a_secret = group is not None or SecretStr in get_args(field.annotation)
    got = f"a value of type {type(error['input']).__name__}" if may_hold_a_secret else _shown(error["input"])
    return f"{path}.{name}: got {got}; it must be {field.description}"


def _group(settings: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the type of a setting that is a group of settings, else ``None``."""
    field = settings.model_fields.get(name)
    kind = field.annotation if field is not None else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _did_you_mean(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known settings: {', '.join(known)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
