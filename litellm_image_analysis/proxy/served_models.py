"""Whether the proxy serves a model. No vision call is made for a request that LiteLLM will refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litellm_image_analysis.compat import load_model_from_database
from litellm_image_analysis.engine import routing
from litellm_image_analysis.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litellm.router import Router

_OWN_ROUTE = ("api_key", "api_base", "user_config", "router_settings_override", "fallbacks")
"""Parameters of a request with its own deployments or fallbacks. The router then need not serve its model. LiteLLM sets
``router_settings_override`` from the settings of a key or a team."""

_AGENTS = "a2a/"
"""The start of the names of agents, which LiteLLM keeps in a separate registry."""


async def is_served(name: str, router: Router, team_id: str | None) -> bool:
    """Return whether the router serves a model. It may be a model that another host has just added to the database.

    Args:
        name: the model's name, without the suffix.
        router: the proxy's router.
        team_id: the caller's team.
    """
    if routing.serves(router, name, team_id):
        return True
    return await load_model_from_database(name) and routing.serves(router, name, team_id)


async def check_base_model(data: Mapping[str, Any], router: Router | None, team_id: str | None) -> None:
    """Check that LiteLLM may have a deployment for the model of a request.

    It accepts a name that LiteLLM may serve in another way: by fallbacks, or as the name of a team's model.

    Args:
        data: the request, with the suffix of its model removed.
        router: the proxy's router. ``None`` before it is up.
        team_id: the caller's team.

    Raises:
        RequestError: it has none. Message and status are LiteLLM's own.
    """
    model = data.get("model")
    if router is None or not isinstance(model, str) or any(data.get(key) is not None for key in _OWN_ROUTE):
        return
    for name in map(str.strip, model.split(",")):
        if may_be_served(name, router, team_id) or await is_served(name, router, team_id):
            return
    raise unknown_model(model)


def may_be_served(name: str, router: Router, team_id: str | None) -> bool:
    """Return whether a proxy with this router may accept a model's name, without a look at its database.

    Args:
        name: the model's name, without the suffix.
        router: the proxy's router.
        team_id: the caller's team.
    """
    # The quick lookup comes first. The other reads every deployment.
    return routing.serves(router, name, team_id) or name.startswith(_AGENTS) or routing.is_known_otherwise(router, name)


def unknown_model(model: str) -> RequestError:
    """Return the error for a request whose model no deployment serves, in LiteLLM's words."""
    return RequestError(
        f"Invalid model name passed in model={model}. Call `/v1/models` to view available models for your key.",
        param="model",
        code="model_not_found",
    )
