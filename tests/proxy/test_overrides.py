"""Settings in the metadata of a key or team, and errors for wrong metadata."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.proxy._types import UserAPIKeyAuth

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy.overrides import EffectiveSettings, Overrides, effective_settings

OPERATOR = ImageAnalysisConfig(vision_model="operator-eyes", prompt="Look.", max_images=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(list(Overrides.model_fields)), inner),
)


def owned(team: object, key: object) -> UserAPIKeyAuth:
    """A caller with this metadata, of any type."""
    return UserAPIKeyAuth.model_construct(metadata=key, team_metadata=team)


def decisions(team: dict[str, Any] | None = None, key: dict[str, Any] | None = None) -> EffectiveSettings:
    found = effective_settings(OPERATOR, owned({"image_analysis": team}, {"image_analysis": key}))
    assert isinstance(found, EffectiveSettings)
    return found


def refusal_of(key: object) -> RequestError:
    found = effective_settings(OPERATOR, owned(None, {"image_analysis": key}))
    assert isinstance(found, RequestError)
    return found


@pytest.mark.parametrize("metadata", [None, {}, {"image_analysis": None}, {"image_analysis": {}}, {"else": 1}, "text"])
def test_without_settings_of_their_own_the_operator_s_hold(metadata: object) -> None:
    assert effective_settings(OPERATOR, owned(metadata, metadata)) == EffectiveSettings(OPERATOR)


@pytest.mark.parametrize("owner", ["team", "key"])
def test_a_team_or_a_key_has_its_own_vision_model_and_prompt(owner: str) -> None:
    found = decisions(**{owner: {"vision_model": "own-eyes", "prompt": "Read.", "mode": "on_request", "enabled": True}})
    assert found == EffectiveSettings(OPERATOR.model_copy(update={"vision_model": "own-eyes", "prompt": "Read."}))


def test_the_key_s_word_goes_before_the_team_s_one_setting_at_a_time() -> None:
    found = decisions({"vision_model": "team-eyes", "prompt": "Read."}, {"vision_model": "key-eyes", "prompt": None})
    assert (found.config.vision_model, found.config.prompt) == ("key-eyes", "Read.")


@pytest.mark.parametrize(
    ("team", "key", "enabled"),
    [(False, None, False), (None, False, False), (False, True, False), (True, False, False), (True, True, True)],
)
def test_what_is_switched_off_for_a_team_is_off_for_its_keys(
    team: bool | None, key: bool | None, enabled: bool
) -> None:
    assert decisions({"enabled": team}, {"enabled": key}).enabled is enabled


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vison_model": "x"}, "image_analysis.vison_model: unknown setting; did you mean vision_model?"),
        ({"max_images": 99}, "image_analysis.max_images: unknown setting; known settings: vision_model, mode,"),
        (
            {"vision_model": " "},
            "image_analysis.vision_model: got ' '; it must be the name of a model that accepts images",
        ),
        ({"mode": "always"}, "image_analysis.mode: got 'always'; it must be on_request or auto"),
        ({"enabled": "no"}, "image_analysis.enabled: got 'no'; it must be true or false"),
        ({"prompt": ""}, "image_analysis.prompt: got ''; it must be instructions for the vision model"),
        ("off", 'image_analysis: it must be an object such as {"enabled": false}'),
        ([], 'image_analysis: it must be an object such as {"enabled": false}'),
    ],
)
def test_wrong_metadata_are_told_with_their_path_and_what_would_be_right(settings: object, message: str) -> None:
    error = refusal_of(settings)
    assert error.message.startswith(f"key metadata: {message}")
    assert (error.status_code, error.code) == (400, "invalid_image_analysis_metadata")


def test_the_team_s_are_told_as_the_team_s() -> None:
    error = effective_settings(OPERATOR, owned({"image_analysis": {"enabled": 1, "prompt": 2}}, {}))
    assert isinstance(error, RequestError)
    assert error.message == (
        "team metadata: image_analysis.enabled: got 1; it must be true or false;"
        " image_analysis.prompt: got 2; it must be instructions for the vision model"
        " (the gateway's operator can correct it)"
    )


@given(JSON, JSON)
def test_nothing_in_metadata_changes_what_only_the_operator_sets(team: object, key: object) -> None:
    found = effective_settings(OPERATOR, owned({"image_analysis": team}, {"image_analysis": key}))
    if isinstance(found, EffectiveSettings):
        own = {"vision_model", "prompt", "mode"}
        assert found.config.model_dump(exclude=own) == OPERATOR.model_dump(exclude=own)
