"""What the metadata of a key or a team says about image analysis: its own settings, within the operator's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from litellm_image_analysis.config import Flag, ImageAnalysisConfig, Name, Words, problems
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request.activation import Mode

METADATA_KEY = "image_analysis"
_NO_OBJECT = f'{METADATA_KEY}: it must be an object such as {{"enabled": false}}'


class Overrides(BaseModel):
    """The settings a key or a team may have of its own; what is left out or null is not overridden.

    A field's description is what a wrong value's message says would be right.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    vision_model: Name | None = Field(default=None, description="the name of a model that can see")
    mode: Mode | None = Field(default=None, description="on_request or auto")
    enabled: Flag | None = Field(default=None, description="true or false")
    prompt: Words | None = Field(default=None, description="instructions for the vision model")


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """How a caller's images are analysed.

    Attributes:
        config: the settings that hold for the caller.
        enabled: whether they are analysed at all.
    """

    config: ImageAnalysisConfig
    enabled: bool = True


def effective_settings(config: ImageAnalysisConfig, team: object, key: object) -> EffectiveSettings | RequestError:
    """Settle what holds for a caller: the key's word goes before the team's, and the team's before the operator's.

    What is switched off for a team is off for its keys.

    Args:
        config: the operator's settings.
        team: metadata of the caller's team, ``None`` without one.
        key: metadata of its key.

    Returns:
        The terms, or the error to answer with if the metadata are wrong: their path and what would be right.
    """
    changes: dict[str, object] = {}
    enabled = True
    for owner, metadata in (("team", team), ("key", key)):
        settings = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
        if settings is None:
            continue
        try:
            overrides = Overrides.model_validate(settings).model_dump(exclude_none=True)
        except ValidationError as error:
            wrong = problems(error, Overrides, METADATA_KEY) if isinstance(settings, Mapping) else [_NO_OBJECT]
            return RequestError(f"{owner} metadata: {'; '.join(wrong)}", code="invalid_image_analysis_metadata")
        enabled = overrides.pop("enabled", True) and enabled
        changes |= overrides
    return EffectiveSettings(config.model_copy(update=changes), enabled)
