"""Decide whether a request asks for analysis, and by which vision model. Pure functions of names and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

PARAMETER = "ocr_model"
NOT_GIVEN = object()
"""Stands for the value of ``ocr_model`` if the request has none."""
_NAME_CHARACTERS = 256
_MOST_SUFFIXES = 100  # of one name. The time to remove them grows with the square of their number
_JSON_NAMES = {type(None): "null", bool: "true", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Inactive:
    """The request does not ask for analysis.

    Attributes:
        model: the model to call, without the suffix.
        is_refused: whether the request switches analysis off with ``ocr_model: false``.
    """

    model: Any
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Active:
    """The request asks for analysis.

    Attributes:
        model: the model to call, without the suffix.
        vision_model: the vision model.
        chosen_by_caller: whether the request names the vision model. The caller then needs access to it.
    """

    model: Any
    vision_model: str
    chosen_by_caller: bool


@dataclass(frozen=True, slots=True)
class Invalid:
    """``ocr_model`` is not a model name.

    Attributes:
        problem: the problem, as a sentence.
    """

    problem: str


Activation: TypeAlias = Active | Inactive | Invalid

Mode: TypeAlias = Literal["on_request", "auto"]
"""on_request: only requests that ask get image analysis. auto: also requests to deployments that accept no images."""

Policy: TypeAlias = Literal["always", "auto", "never"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
"""An operator's setting for a deployment: whether images are analysed if the request does not ask."""


def decide(
    model: object,
    parameter: object = NOT_GIVEN,
    *,
    suffix: str | None,
    vision_model: str,
    is_real_name: Callable[[str], bool],
    is_real_vision_model: Callable[[str], bool] | None = None,
) -> Activation:
    """Decide whether a request asks for analysis: by the suffix of its model name, or by ``ocr_model``.

    Args:
        model: the request's ``model``.
        parameter: the request's ``ocr_model``, if it has one.
        suffix: the suffix that asks for analysis. ``None`` for none.
        vision_model: the vision model for requests that name none.
        is_real_name: whether a model has exactly this name, suffix included. Such a name keeps its suffix.
        is_real_vision_model: the same for the name in ``ocr_model``. ``None`` for ``is_real_name``.

    Returns:
        The decision.
    """
    bare = _without_suffix(model, suffix, is_real_name)
    if parameter is NOT_GIVEN:
        return Inactive(bare) if bare == model else Active(bare, vision_model, chosen_by_caller=False)
    if parameter is False:
        return Inactive(bare, is_refused=True)
    got = _no_name(parameter)
    if got is not None or not isinstance(parameter, str):
        return Invalid(f"it must be the name of a vision model, or false for no image analysis; got {got}.")
    vision_model = _bare(parameter.strip(), suffix, is_real_vision_model or is_real_name)
    return Active(bare, vision_model, chosen_by_caller=True)


def _no_name(parameter: object) -> str | None:
    """Describe a value that cannot be a model's name. ``None`` for names, because a wildcard deployment accepts any.

    The name is part of headers, log lines and rows. PostgreSQL refuses all rows of a statement for one NUL character.
    """
    if not isinstance(parameter, str):
        return _JSON_NAMES.get(type(parameter), "no string")
    name = parameter.strip()
    if not name.isprintable():
        return "a name with invisible characters"
    if len(name) > _NAME_CHARACTERS:
        return f"a name of more than {_NAME_CHARACTERS} characters"
    return None if name else "an empty string"


def is_due(mode: Mode, policy: Policy | None, accepts_images: bool | None) -> bool | None:
    """Decide whether to analyse the images of a request that does not ask, for the deployment to be called.

    Args:
        mode: the mode in the settings.
        policy: the setting of the deployment itself. It takes precedence over the mode.
        accepts_images: whether the deployment accepts images. ``None`` if it is not known.

    Returns:
        ``None`` if the decision needs ``accepts_images`` and it is not known. The images then stay.
    """
    if policy is None:
        policy = "auto" if mode == "auto" else "never"
    if policy == "auto":
        return None if accepts_images is None else not accepts_images
    return policy == "always"


def _without_suffix(model: object, suffix: str | None, is_real_name: Callable[[str], bool]) -> object:
    """Remove the suffix. LiteLLM also accepts several models in one string, separated by commas."""
    if not isinstance(model, str) or suffix is None or suffix not in model or is_real_name(model):
        return model
    names = [name.strip() for name in model.split(",")]
    bare = [_bare(name, suffix, is_real_name) for name in names]
    return model if bare == names else ",".join(bare)


def _bare(name: str, suffix: str | None, is_real_name: Callable[[str], bool]) -> str:
    """Return a name without its suffix. A model's own name, and a name that is only the suffix, do not change."""
    for _ in range(_MOST_SUFFIXES):
        if not suffix or not name.endswith(suffix) or name == suffix or is_real_name(name):
            break
        name = name.removesuffix(suffix).rstrip()
    return name
