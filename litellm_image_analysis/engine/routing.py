"""The router of a running proxy, and the models that a router serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import litellm
from litellm.exceptions import BadRequestError

from litellm_image_analysis.compat import RouterView, proxy_global, view_of
from litellm_image_analysis.request.activation import Activation, decide

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import FoundImage


def running_router() -> Router | None:
    """The router of the proxy in this process. ``None`` before it is up, and without a proxy."""
    return cast("Router | None", proxy_global("llm_router"))


def activation_of(body: Mapping[str, Any], config: ImageAnalysisConfig, router: Router | None) -> Activation:
    """What a request asks for; a suffix that belongs to the name of a model of the router's asks for nothing."""
    return decide(
        body,
        suffix=config.suffix,
        vision_model=config.vision_model,
        is_real_name=partial(bears_name, router),
    )


def bears_name(router: Router | None, name: str) -> bool:
    """Whether this is a model's own name: in the router's list or in LiteLLM's cost map."""
    if name in litellm.model_cost:
        return True
    if router is None:
        return False
    view = view_of(router)
    return _lists(view, name) or name in view.team_names()


def serves(router: Router, name: str, team_id: str | None) -> bool:
    """Whether the router can route a request for this model: by name, for a team, or by wildcard."""
    view = view_of(router)
    if _lists(view, name) or (team_id is not None and view.team_group(name, team_id) is not None):
        return True
    return view.serves_any_name() or view.matches_wildcard(name)


def _lists(view: RouterView, name: str) -> bool:
    # Only the router's own aliases are stored in the mapping. Suffixed names are computed, and are not models.
    if name in view.groups() or dict.__contains__(view.aliases(), name) or view.has_deployment(name):
        return True
    return name in view.routing_groups()


def vision_groups(router: Router, team_id: str | None) -> list[str]:
    """The sorted names of model groups that take images, without wildcards."""
    view = view_of(router)
    names = {
        name
        for name in view.listed_names(team_id)
        if "*" not in name and (bears_name(router, name) or name not in view.aliases())
    }
    return sorted(name for name in names if _takes_images(view.deployments(name, team_id)))


def file_providers(found: Iterable[FoundImage], router: Router | None, name: str) -> set[str]:
    """The providers behind a vision model, if an image is a file that one of them may keep; else nobody asks."""
    if not any(image.source is not None and image.source.kind == "held" for image in found):
        return set()
    if router is None:
        return {_provider(name)}
    models = (deployment["litellm_params"].get("model") for deployment in view_of(router).deployments(name))
    return {_provider(str(model or "")) for model in models}


def _provider(model: str) -> str:
    try:
        return str(litellm.get_llm_provider(model)[1])
    except BadRequestError:
        return ""


def _takes_images(deployments: Iterable[Any]) -> bool:
    for deployment in deployments:
        declared = (deployment.get("model_info") or {}).get("supports_vision")
        model = (deployment.get("litellm_params") or {}).get("model") or ""
        if declared is True or (declared is None and litellm.supports_vision(model=model)):
            return True
    return False


def models_in_database() -> bool:
    """Whether this proxy loads models from its database, which takes place a little after the router is up."""
    return proxy_global("store_model_in_db") is True
