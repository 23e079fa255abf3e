"""Whether a deployment takes images, and whether its images are analysed without being asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import litellm
from cachetools import LRUCache
from litellm.exceptions import BadRequestError

from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request.activation import POLICIES, Mode, Policy, is_due

POLICY = "image_analysis"
"""Key of a deployment's ``model_info``."""

_told: LRUCache[tuple[str, str], bool] = LRUCache(1000)
"""Messages that were logged for a model. Each is logged once."""


def is_ruled_out(kwargs: Mapping[str, Any], mode: Mode) -> bool:
    """Whether a call that does not ask for analysis keeps its images in any case, without a search for them.

    Args:
        kwargs: the call's keyword arguments, with the deployment's ``model_info`` if a Router makes it.
        mode: the settings'.
    """
    said = _model_info(kwargs).get(POLICY)
    return said == "never" or (said is None and mode == "on_request")


def should_analyze(kwargs: Mapping[str, Any], mode: Mode) -> bool:
    """Whether the images of a request that does not ask for analysis are analysed, given the deployment to be called.

    Args:
        kwargs: the call's keyword arguments, with the deployment's ``model_info`` if a Router makes it.
        mode: the settings'.
    """
    model = str(kwargs.get("model") or "")
    model_info = _model_info(kwargs)
    due = is_due(mode, _policy(model, model_info), accepts_images(model, model_info))
    if due is None:
        _tell_once(
            model,
            "nobody has said whether model %s takes images, so they are passed on to it. Say so in its model_info:"
            " supports_vision: true or false; or image_analysis: always or never",
        )
    return due is True


def accepts_images(model: str, model_info: Mapping[str, Any]) -> bool | None:
    """Whether a deployment takes images, by its ``model_info``, else LiteLLM's cost map. ``None`` if neither says."""
    declared = model_info.get("supports_vision")
    if isinstance(declared, bool):
        return declared
    entries = (litellm.model_cost.get(name) for name in _listed_names(str(model_info.get("base_model") or model)))
    entry: Mapping[str, Any] = next((entry for entry in entries if entry is not None), {})
    known = entry.get("supports_vision")
    return known if isinstance(known, bool) else None


def _listed_names(model: str) -> list[str]:
    """The names that a model may have in LiteLLM's cost map, the most precise first."""
    try:
        name, provider, *_ = litellm.get_llm_provider(model)
    except BadRequestError:  # no provider that LiteLLM knows
        return [model]
    return [f"{provider}/{name}", model, name]


def _policy(model: str, model_info: Mapping[str, Any]) -> Policy | None:
    said = model_info.get(POLICY)
    if said is None or said in POLICIES:
        return said
    _tell_once(model, f"model_info.{POLICY} of model %s: it must be one of {', '.join(POLICIES)}; it is ignored")
    return None


def _model_info(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    buckets = [kwargs, kwargs.get("litellm_metadata"), kwargs.get("metadata")]
    found = (bucket.get("model_info") for bucket in buckets if isinstance(bucket, Mapping))
    return next((info for info in found if isinstance(info, Mapping)), {})


def _tell_once(model: str, message: str) -> None:
    if (model, message) not in _told:
        _told[model, message] = True
        LOGGER.info(f"image analysis: {message}", model)
