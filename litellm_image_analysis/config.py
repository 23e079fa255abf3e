"""The settings, validated once at start."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, model_validator

from litellm_image_analysis.errors import ConfigError

SETTINGS_PATH = "callback_settings.image_analysis"
_MIB = 1024 * 1024


def _no_bool(value: object) -> object:
    """YAML's ``yes`` and ``true`` are no numbers, though Python counts with them."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")  # noqa: TRY004 - pydantic collects ValueError
    return value


_Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
_Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]
_Size = Annotated[ByteSize, BeforeValidator(_no_bool), Field(ge=1)]
_Host = Annotated[str, Field(pattern=r"^[^\s/:@\\]+$")]
_Name = Annotated[str, Field(min_length=1, pattern=r"^\S(.*\S)?$")]


class ImageAnalysisConfig(BaseModel):
    """How images are analysed. Frozen; an unknown key is an error.

    A field's description is what a wrong value's message says would be right.

    Raises:
        pydantic.ValidationError: built directly with a wrong value.
        ConfigError: built by ``from_settings`` with a wrong value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vision_model: _Name = Field(
        default="gpt-4o-mini", description="the name of a model that can see, such as gpt-4o-mini"
    )
    suffix: _Name | None = Field(default="-ocr", description="a model-name suffix such as -ocr, or null for none")
    mode: Literal["on_request"] = Field(default="on_request", description="on_request")
    prompt: Annotated[str, Field(pattern=r"\S")] | None = Field(
        default=None, description="instructions for the vision model, or null for the built-in ones"
    )
    max_output_tokens: _Count = Field(default=1500, description="a whole number of tokens from 1, such as 1500")
    timeout_seconds: _Seconds = Field(default=60.0, description="a number of seconds above 0, such as 60")
    max_concurrency: _Count = Field(default=8, description="a whole number of calls from 1, such as 8")
    on_failure: Literal["placeholder", "reject", "keep"] = Field(
        default="placeholder", description="placeholder, reject or keep"
    )
    max_images: _Count = Field(default=20, description="a whole number of images from 1, such as 20")
    max_image_bytes: _Size = Field(default=ByteSize(20 * _MIB), description="a number of bytes or a size such as 20MiB")
    max_request_image_bytes: _Size = Field(
        default=ByteSize(50 * _MIB), description="a number of bytes or a size such as 50MiB"
    )
    remote_urls: Literal["pass", "reject", "allowlist"] = Field(default="pass", description="pass, reject or allowlist")
    allowed_url_hosts: tuple[_Host, ...] = Field(
        default=(), description="a list of host names such as [images.example.com], used with remote_urls: allowlist"
    )
    billing: Literal["per_call"] = Field(default="per_call", description="per_call")

    @model_validator(mode="after")
    def _allowlist_has_hosts(self) -> ImageAnalysisConfig:
        if (self.remote_urls == "allowlist") != bool(self.allowed_url_hosts):
            raise ValueError("remote_urls: allowlist and allowed_url_hosts: [...] go together; set both or neither")
        return self

    @classmethod
    def from_settings(cls, settings: object, path: str = SETTINGS_PATH) -> ImageAnalysisConfig:
        """Build from parsed YAML.

        Args:
            settings: the mapping under ``path``; ``None`` (an empty YAML key) means all defaults.
            path: where the settings stand, for messages.

        Raises:
            ConfigError: one line a problem: the path, the value, what would be right.
        """
        if settings is None:
            settings = {}
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{path}: got {_shown(settings)}; it must be a mapping of settings")
        try:
            return cls(**{str(key): value for key, value in settings.items()})
        except ValidationError as error:
            problems = [_problem(path, dict(item)) for item in error.errors(include_url=False)]
            raise ConfigError("\n".join(["wrong settings for litellm-image-analysis:", *problems])) from None


def _problem(path: str, error: Mapping[str, object]) -> str:
    location = error["loc"]
    if not isinstance(location, tuple) or not location:
        return f"  {path}: {str(error['msg']).removeprefix('Value error, ')}"
    key = str(location[0])
    if error["type"] == "extra_forbidden":
        return f"  {path}.{key}: unknown setting; {_did_you_mean(key)}"
    wanted = ImageAnalysisConfig.model_fields[key].description
    return f"  {path}.{key}: got {_shown(error['input'])}; it must be {wanted}"


def _did_you_mean(key: str) -> str:
    known = list(ImageAnalysisConfig.model_fields)
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known settings: {', '.join(known)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
