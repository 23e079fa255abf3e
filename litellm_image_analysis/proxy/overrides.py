"""Settings of image analysis in the metadata of a key or a team. They override the operator's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.config import Flag, ImageAnalysisConfig, Name, Words, problems
from litellm_image_analysis.engine.context import ProxyContext
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request.activation import Mode
from litellm_image_analysis.vision.caller_rules import NO_RULES, CallerRules

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.router import Router

METADATA_KEY = "image_analysis"
_NO_OBJECT = f'{METADATA_KEY}: it must be an object such as {{"enabled": false}}'


class Overrides(BaseModel):
    """The settings that a key or a team may override. A field that is missing or null overrides nothing.

    The error message for a wrong value ends in *it must be* and the field's description.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    vision_model: Name | None = Field(default=None, description="the name of a model that accepts images")
    mode: Mode | None = Field(default=None, description="on_request or auto")
    enabled: Flag | None = Field(default=None, description="true or false")
    prompt: Words | None = Field(default=None, description="instructions for the vision model")


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """The settings that apply to a caller.

    Attributes:
        config: the operator's settings with the changes of the team and the key.
        enabled: whether the caller's images are analysed.
    """

    config: ImageAnalysisConfig
    enabled: bool = True

    def context(self, router: Router | None, caller: UserAPIKeyAuth, rules: CallerRules = NO_RULES) -> ProxyContext:
        """Return the values that hold for a request of the caller.

        Args:
            router: the router of the proxy.
            caller: the virtual key of the request.
            rules: the rules of the request.
        """
        return ProxyContext(
            config=self.config,
            vision_model=self.config.vision_model,
            router=router,
            caller=caller,
            rules=rules,
            withheld=None if self.enabled else FailureReason.DISABLED,
        )


def has_own_settings(caller: UserAPIKeyAuth) -> bool:
    """Return whether the metadata of a key or its team hold settings. Most do not."""
    return _has_own(caller.metadata) or _has_own(caller.team_metadata)


def _has_own(metadata: object) -> bool:
    return bool(metadata) and isinstance(metadata, Mapping) and metadata.get(METADATA_KEY) is not None


def effective_settings(config: ImageAnalysisConfig, caller: UserAPIKeyAuth) -> EffectiveSettings | RequestError:
    """Return the settings of a caller: the key's take precedence over the team's, the team's over the operator's.

    If analysis is switched off for a team, it is off for all keys of the team.

    Args:
        config: the operator's settings.
        caller: the virtual key of the request, with the metadata of the key and of its team.

    Returns:
        The settings. If the metadata is wrong, the error for the response, whose message names the wrong fields and
        valid values.
    """
    if not has_own_settings(caller):
        return EffectiveSettings(config)
    changes: dict[str, object] = {}
    enabled = True
    for owner, metadata in (("team", caller.team_metadata), ("key", caller.metadata)):
        settings = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
        if settings is None:
            continue
        try:
            overrides = Overrides.model_validate(settings).model_dump(exclude_none=True)
        except ValidationError as error:
            wrong = problems(error, Overrides, METADATA_KEY) if isinstance(settings, Mapping) else [_NO_OBJECT]
            return RequestError(
                f"{owner} metadata: {'; '.join(wrong)} (the gateway's operator can correct it)",
                code="invalid_image_analysis_metadata",
            )
        enabled = overrides.pop("enabled", True) and enabled
        changes |= overrides
    return EffectiveSettings(config.model_copy(update=changes), enabled)
