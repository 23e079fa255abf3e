"""Whether a deployment accepts images and other files, and whether its images are analysed automatically."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import litellm
from cachetools import LRUCache
from litellm.exceptions import BadRequestError

from litellm_image_analysis.billing.request_state import metadata_buckets
from litellm_image_analysis.compat import view_of
from litellm_image_analysis.engine import routing
from litellm_image_analysis.log import LOGGER, quoted
from litellm_image_analysis.request.activation import POLICIES, Mode, Policy, is_due

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.request.files import FileKind

POLICY = "image_analysis"
"""Key of a deployment's ``model_info``."""

_FILE_FLAGS: Mapping[FileKind, str] = {
    "document": "supports_pdf_input",
    "audio": "supports_audio_input",
    "video": "supports_video_input",
}
"""LiteLLM's flags in ``model_info`` and in its cost map."""

_told: LRUCache[tuple[str, str], bool] = LRUCache(1000)
"""Messages that were logged. Each is logged once for a model."""


def may_be_due(kwargs: Mapping[str, Any], mode: Mode) -> bool:
    """Whether images of a call that does not ask may need analysis. This needs no search for images.

    Args:
        kwargs: the call's keyword arguments, with the deployment's ``model_info`` if a Router makes it.
        mode: the mode in the settings.
    """
    if mode == "on_request" and _model_info(kwargs).get(POLICY) is None:
        return False  # most calls
    return _due(kwargs, mode) is not False


def should_analyze(kwargs: Mapping[str, Any], mode: Mode) -> bool:
    """Whether the images of a request that does not ask for analysis are analysed, given the deployment to be called.

    Args:
        kwargs: the call's keyword arguments, with the deployment's ``model_info`` if a Router makes it.
        mode: the mode in the settings.
    """
    due = _due(kwargs, mode)
    if due is None:
        _tell_once(
            str(kwargs.get("model") or ""),
            "it is not known whether model %s takes images, so it gets them unchanged. Set supports_vision: true or"
            " false, or image_analysis: always or never, in its model_info",
        )
    return due is True


def is_analysed(model: str, model_info: Mapping[str, Any], mode: Mode) -> bool:
    """Whether the images of a deployment are analysed automatically.

    Args:
        model: LiteLLM's name of its model.
        model_info: its ``model_info``.
        mode: the mode in the settings.
    """
    return analysis_due(model, model_info, mode) is True


def _due(kwargs: Mapping[str, Any], mode: Mode) -> bool | None:
    return analysis_due(str(kwargs.get("model") or ""), _model_info(kwargs), mode)


def analysis_due(model: str, model_info: Mapping[str, Any], mode: Mode) -> bool | None:
    """Whether the images of a deployment are analysed automatically. ``None`` if it is not known.

    Args:
        model: LiteLLM's name of its model.
        model_info: its ``model_info``.
        mode: the mode in the settings.
    """
    policy = _policy(model, model_info)
    if policy is None and mode == "on_request":
        return False
    return is_due(mode, policy, accepts_images(model, model_info))


def is_analysed_everywhere(router: Router, name: str, team_id: str | None, mode: Mode) -> bool:
    """Whether the images of all deployments that may serve a name are analysed without being asked for.

    These are the deployments of the model group and of its fallbacks, and of their fallbacks. ``False`` if they are not
    known.

    Args:
        router: the router.
        name: the name of the model group.
        team_id: the caller's team.
        mode: the settings'.
    """
    fallbacks = view_of(router).all_fallbacks()
    known, left = {name}, [name]
    while left:
        group = left.pop()
        deployments = routing.known_deployments(router, group, team_id)
        if not deployments or not all(is_analysed(model, info, mode) for model, info in deployments):
            return False
        for targets in (each[key] for each in fallbacks for key in (group, "*") if key in each):
            if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
                return False
            left += {*targets} - known
            known |= {*targets}
    return True


def accepts_images(model: str, model_info: Mapping[str, Any]) -> bool | None:
    """Whether a deployment accepts images, by its ``model_info``, else LiteLLM's cost map. ``None`` if unknown."""
    return _accepts("supports_vision", model, model_info)


def accepted_files(kwargs: Mapping[str, Any]) -> Collection[FileKind]:
    """The kinds of files that the deployment of a call is known to accept.

    Args:
        kwargs: the call's keyword arguments, with the deployment's ``model_info`` if a Router makes it.
    """
    return _accepted_files([(str(kwargs.get("model") or ""), _model_info(kwargs))])


def accepted_files_of_group(router: Router | None, name: object, team_id: str | None) -> Collection[FileKind]:
    """The kinds of files that all deployments of a model group are known to accept.

    Args:
        router: the router.
        name: the name of the group.
        team_id: the caller's team.
    """
    return _accepted_files(routing.deployments(router, name, team_id))


def _accepted_files(deployments: Sequence[tuple[str, Mapping[str, Any]]]) -> Collection[FileKind]:
    return [
        kind
        for kind, flag in _FILE_FLAGS.items()
        if deployments and all(_accepts(flag, model, model_info) for model, model_info in deployments)
    ]


def _accepts(flag: str, model: str, model_info: Mapping[str, Any]) -> bool | None:
    declared = model_info.get(flag)
    if isinstance(declared, bool):
        return declared
    known = cost_map_entry(model, model_info).get(flag)
    return known if isinstance(known, bool) else None


def cost_map_entry(model: str, model_info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of a deployment's model in LiteLLM's cost map. Empty if there is none.

    Args:
        model: LiteLLM's name of its model.
        model_info: its ``model_info``.
    """
    entries = (litellm.model_cost.get(name) for name in _listed_names(str(model_info.get("base_model") or model)))
    return next((entry for entry in entries if entry is not None), {})


def _listed_names(model: str) -> list[str]:
    """The names that a model may have in LiteLLM's cost map, the most precise first."""
    try:
        name, provider, *_ = litellm.get_llm_provider(model)
    except BadRequestError:  # LiteLLM does not know the provider
        return [model]
    return [f"{provider}/{name}", model, name, name.removeprefix("responses/")]


def _policy(model: str, model_info: Mapping[str, Any]) -> Policy | None:
    said = model_info.get(POLICY)
    if said is None or said in POLICIES:
        return said
    _tell_once(model, f"model_info.{POLICY} of model %s: it must be one of {', '.join(POLICIES)}; it is ignored")
    return None


def _model_info(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    own = kwargs.get("model_info")
    if type(own) is dict or isinstance(own, Mapping):  # the second check alone takes several times as long
        return own
    found = (bucket.get("model_info") for bucket in metadata_buckets(kwargs))
    return next((info for info in found if isinstance(info, Mapping)), {})


def _tell_once(model: str, message: str) -> None:
    if (model, message) not in _told:
        _told[model, message] = True
        LOGGER.info(f"image analysis: {message}", quoted(model))
