"""Is analysis asked for, by which model, for which target? Pure decisions on names and what is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

PARAMETER = "ocr_model"
_JSON_NAMES = {type(None): "null", bool: "true", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Inactive:
    """No analysis.

    Attributes:
        model: the model to call, its suffix removed if it had one.
        is_refused: whether the request said so, as against asking for nothing.
    """

    model: Any
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Active:
    """Analysis is asked for.

    Attributes:
        model: the model to call, its suffix removed if it had one.
        vision_model: the model that is to look at the images.
        chosen_by_caller: whether the caller named the vision model, who then has to be allowed to call it.
    """

    model: Any
    vision_model: str
    chosen_by_caller: bool


@dataclass(frozen=True, slots=True)
class Invalid:
    """``ocr_model`` is no model name.

    Attributes:
        problem: what is wrong with it, a sentence.
    """

    problem: str


Activation: TypeAlias = Active | Inactive | Invalid

Mode: TypeAlias = Literal["on_request", "auto"]
"""Whether only requests that ask for image analysis get it, or all whose deployment takes no images."""

Policy: TypeAlias = Literal["always", "auto", "never"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
"""What an operator may say of a model: whether it is analysed for without being asked."""


def decide(
    body: Mapping[str, Any], *, suffix: str | None, vision_model: str, is_real_name: Callable[[str], bool]
) -> Activation:
    """Read the two ways to ask: the model name's suffix and the ``ocr_model`` parameter.

    Args:
        body: the request; only ``model`` and ``ocr_model`` are looked at.
        suffix: the one that asks; ``None`` if there is none.
        vision_model: the model that looks at the images of a request that names none.
        is_real_name: whether a model really bears this name, suffix and all; such a name is left alone.

    Returns:
        The decision.
    """
    named = body.get("model")
    model = _without_suffix(named, suffix, is_real_name)
    if PARAMETER not in body:
        return Inactive(model) if model == named else Active(model, vision_model, chosen_by_caller=False)
    asked = body[PARAMETER]
    if asked is False:
        return Inactive(model, is_refused=True)
    if not isinstance(asked, str) or not asked.strip():
        got = "an empty string" if isinstance(asked, str) else _JSON_NAMES.get(type(asked), "no string")
        return Invalid(f"it must be the name of a vision model, or false for no image analysis; got {got}.")
    return Active(model, _bare(asked.strip(), suffix, is_real_name), chosen_by_caller=True)


def is_due(mode: Mode, policy: Policy | None, accepts_images: bool | None) -> bool | None:
    """Whether the images of a request that did not ask are analysed for the deployment that is about to be called.

    Args:
        mode: the settings'.
        policy: what is said of the deployment itself; it goes before the mode.
        accepts_images: whether the deployment takes images; ``None`` if nobody said.

    Returns:
        ``None`` if it depends on what nobody said: the images stay.
    """
    if policy is None:
        policy = "auto" if mode == "auto" else "never"
    if policy == "auto":
        return None if accepts_images is None else not accepts_images
    return policy == "always"


def _without_suffix(model: object, suffix: str | None, is_real_name: Callable[[str], bool]) -> object:
    """Remove the suffix; LiteLLM also takes several models in one string, separated by commas."""
    if not isinstance(model, str) or suffix is None or suffix not in model or is_real_name(model):
        return model
    names = [name.strip() for name in model.split(",")]
    bare = [_bare(name, suffix, is_real_name) for name in names]
    return model if bare == names else ",".join(bare)


def _bare(name: str, suffix: str | None, is_real_name: Callable[[str], bool]) -> str:
    """A name without its suffix, or as it is if it is real or nothing but the suffix."""
    while suffix and name.endswith(suffix) and name != suffix and not is_real_name(name):
        name = name.removesuffix(suffix).rstrip()
    return name
