"""What is read from a running proxy: its router, and what it serves."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import litellm
from litellm.exceptions import BadRequestError

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.dialects import FoundImage


def running_router() -> Router | None:
    """The router of the proxy in this process; ``None`` before it is up and where there is none."""
    return cast("Router | None", proxy_global("llm_router"))


def bears_name(router: Router | None, name: str) -> bool:
    """Whether a model really is called this: in the router's list or in LiteLLM's cost map."""
    if name in litellm.model_cost:
        return True
    if router is None:
        return False
    return _lists(router, name) or name in getattr(router, "team_public_model_names", ())  # newer than LiteLLM 1.84


def serves(router: Router, name: str, team_id: str | None) -> bool:
    """Whether the router can route a request for this model: by name, for a team, or by wildcard."""
    if _lists(router, name) or (team_id is not None and router.map_team_model(name, team_id) is not None):
        return True
    if router.router_general_settings.pass_through_all_models or cast("object", router.default_deployment):
        return True
    return bool(router.pattern_router.patterns and router.pattern_router.route(name))


def _lists(router: Router, name: str) -> bool:
    model_names = cast("set[str]", router.model_names)  # LiteLLM declares it as always empty
    # Its own aliases: those that ``advertise`` adds are no models.
    if name in model_names or dict.__contains__(router.model_group_alias, name) or router.has_model_id(name):
        return True
    return name in (getattr(router, "routing_groups", None) or {})  # newer than LiteLLM 1.84


def vision_groups(router: Router, team_id: str | None) -> list[str]:
    """Model groups known to take images, sorted; wildcards are no names to call."""
    names = {
        name
        for name in router.get_model_names(team_id=team_id)
        if "*" not in name and (bears_name(router, name) or name not in router.model_group_alias)
    }
    return sorted(
        name for name in names if _takes_images(router.get_model_list(model_name=name, team_id=team_id) or [])
    )


def holders(found: Iterable[FoundImage], router: Router | None, name: str) -> set[str]:
    """The providers behind a vision model, if an image is a file that one of them may keep; else nobody asks."""
    if not any(image.source is not None and image.source.kind == "held" for image in found):
        return set()
    if router is None:
        return {_provider(name)}
    deployments = router.get_model_list(model_name=name) or []
    return {_provider(str(deployment["litellm_params"].get("model") or "")) for deployment in deployments}


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
    """Whether this proxy also has models that its database names; they arrive a little later than the router."""
    return proxy_global("store_model_in_db") is True


def proxy_global(name: str) -> object:
    """A global of LiteLLM's proxy module, if this process runs a proxy; importing it would start half of one."""
    return getattr(sys.modules.get("litellm.proxy.proxy_server"), name, None)
