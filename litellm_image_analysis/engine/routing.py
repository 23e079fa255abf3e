"""The router of a running proxy, and the models that a router serves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import litellm
from litellm.exceptions import BadRequestError

from litellm_image_analysis.compat import RouterView, proxy_global, view_of
from litellm_image_analysis.errors import ConfigError
from litellm_image_analysis.request.activation import NOT_GIVEN, Activation, Active, Inactive, decide
from litellm_image_analysis.vision.gate import ModelGroup

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import FoundImage


def check_router(router: object) -> None:
    """Check that this is a Router.

    Raises:
        ConfigError: it is something else.
    """
    from litellm.router import Router

    if not isinstance(router, Router):
        raise ConfigError(f"ImageAnalysis: got a {type(router).__name__} as router; it must be a litellm.Router")


def running_router() -> Router | None:
    """The router of the proxy in this process. ``None`` before it is up, and without a proxy."""
    router: Any = proxy_global("llm_router")
    return router  # type: ignore[no-any-return]


def activation_of(
    model: object, config: ImageAnalysisConfig, router: Router | None, parameter: object = NOT_GIVEN
) -> Activation:
    """Decide whether a request asks for analysis, by its ``model`` and ``ocr_model``.

    If a model's own name ends in the suffix, calling the model by this name does not ask for analysis. If the target of
    an alias ends in the suffix, calling the alias asks for analysis.
    """
    read = partial(
        decide,
        suffix=config.suffix,
        vision_model=config.vision_model,
        is_real_name=partial(bears_name, router),
        is_real_vision_model=partial(_bears_vision_name, router, config.suffix or ""),
    )
    activation = read(model, parameter)
    if not isinstance(activation, Inactive) or activation.is_refused or router is None:
        return activation
    by_alias = isinstance(read(_alias_target(view_of(router), model)), Active)
    return Active(model, config.vision_model, chosen_by_caller=False) if by_alias else activation


def _alias_target(view: RouterView, name: object) -> object:
    """The target of one of the operator's aliases, as in the config. ``None`` for another name."""
    target: Any = dict.get(view.aliases(), name) if isinstance(name, str) else None
    return target.get("model") if isinstance(target, dict) else target


def may_ask(name: object, suffix: str | None, router: Router | None) -> bool:
    """Whether a model's name may ask for analysis: the name, or the target of an alias, contains the suffix.

    Most names do not. This check takes a fraction of the time of ``activation_of``.
    """
    if suffix is None or not isinstance(name, str):
        return False
    if suffix in name:
        return True
    target = None if router is None else _alias_target(view_of(router), name)
    return isinstance(target, str) and suffix in target


class RouterNames:
    """The names that a router has at the moment. Each of its lists is read once, on first use.

    Args:
        router: the router.
    """

    def __init__(self, router: Router) -> None:
        self.view = view_of(router)

    def lists(self, name: str) -> bool:
        """Whether the router lists the name: as a model group, its own alias, a deployment, or a routing group."""
        if name in self._groups or name in self._aliases or self.view.has_deployment(name):
            return True
        return name in self._routing_groups

    def bears(self, name: str) -> bool:
        """Whether this is a model's own name: in the router's list, of a team, or in LiteLLM's cost map."""
        return name in litellm.model_cost or self.lists(name) or name in self._team_names

    @cached_property
    def _groups(self) -> Collection[str]:
        return self.view.groups()

    @cached_property
    def _aliases(self) -> Collection[str]:
        # The mapping stores only the router's own aliases. Suffixed names are computed, and are not models.
        return dict.keys(self.view.aliases())

    @cached_property
    def _routing_groups(self) -> Collection[str]:
        return self.view.routing_groups()

    @cached_property
    def _team_names(self) -> Collection[str]:
        return self.view.team_names()


def bears_name(router: Router | None, name: str) -> bool:
    """Whether this is a model's own name: in the router's list or in LiteLLM's cost map."""
    return name in litellm.model_cost if router is None else RouterNames(router).bears(name)


def called_group(router: Router | None, name: str, team_id: str | None) -> ModelGroup:
    """The model group that the router calls for a name: a team's model, the target of an alias, or the name itself."""
    if router is None:
        return ModelGroup(name)
    names = RouterNames(router)
    view = names.view
    own = view.team_group(name, team_id) if team_id is not None else None
    if own is not None:
        return ModelGroup(own if own != name else f"{name}_{team_id}", is_teams=True)
    target = _alias_target(view, name)
    group = target if isinstance(target, str) else name
    return ModelGroup(group, is_listed=names.lists(group))


def _bears_vision_name(router: Router | None, suffix: str, name: str) -> bool:
    """Whether this is a model's own name. A name that only a wildcard serves counts, such as ``x/got-ocr``."""
    if bears_name(router, name):
        return True
    is_wild = router is not None and view_of(router).matches_wildcard(name)
    return is_wild and not bears_name(router, name.removesuffix(suffix))


def serves(router: Router, name: str, team_id: str | None) -> bool:
    """Whether the router can route a request for this model: by name, for a team, or by wildcard."""
    names = RouterNames(router)
    view = names.view
    if names.lists(name) or (team_id is not None and view.team_group(name, team_id) is not None):
        return True
    return view.serves_any_name() or view.matches_wildcard(name)


def is_known_otherwise(router: Router, name: str) -> bool:
    """Whether a proxy may accept a name that its router does not serve.

    Such a name is LiteLLM's name of a deployment's model, such as ``openai/gpt-4o``, the name of a team's model, or a
    name with fallbacks.
    """
    view = view_of(router)
    if name in view.team_names() or any(name in each or "*" in each for each in view.fallbacks()):
        return True
    return any((each.get("litellm_params") or {}).get("model") == name for each in view.deployments())


def vision_groups(router: Router, team_id: str | None) -> list[str]:
    """The sorted names of model groups that accept images, without wildcards."""
    view = view_of(router)
    names = {
        name
        for name in view.listed_names(team_id)
        if "*" not in name and (bears_name(router, name) or name not in view.aliases())
    }
    return sorted(name for name in names if _takes_images(view.deployments(name, team_id)))


def deployments(router: Router | None, name: object, team_id: str | None) -> list[tuple[str, Mapping[str, Any]]]:
    """Return LiteLLM's model and the ``model_info`` of each deployment behind a name, or behind several with commas.

    A name that the router does not know counts as LiteLLM's name of a model.
    """
    if not isinstance(name, str):
        return []
    found: list[tuple[str, Mapping[str, Any]]] = []
    for each in name.split(","):
        found += known_deployments(router, each.strip(), team_id) or [(each.strip(), {})]
    return found


def known_deployments(router: Router | None, name: str, team_id: str | None) -> list[tuple[str, Mapping[str, Any]]]:
    """Return LiteLLM's model and the ``model_info`` of each deployment behind one name. None if it is not known."""
    return [
        (str((one.get("litellm_params") or {}).get("model") or ""), one.get("model_info") or {})
        for one in _deployments(router, name, team_id)
    ]


def _deployments(router: Router | None, name: str, team_id: str | None) -> list[Any]:
    if router is None:
        return []
    view = view_of(router)
    found = view.deployments(name, team_id)
    target = _alias_target(view, name)  # LiteLLM 1.84 does not list hidden aliases
    return found or (view.deployments(target, team_id) if isinstance(target, str) else [])


def file_providers(found: Iterable[FoundImage], router: Router | None, name: str) -> set[str]:
    """Return the providers of a vision model if an image is a file that a provider stores. Otherwise return none."""
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


def has_provider(request: Mapping[str, Any]) -> bool:
    """Whether LiteLLM knows a provider for the model of a call without a Router. LiteLLM refuses other calls at once.

    Args:
        request: the call's keyword arguments.
    """
    options = {key: request.get(key) for key in ("custom_llm_provider", "api_base", "api_key")}
    try:
        litellm.get_llm_provider(model=request.get("model"), **options)
    except BadRequestError:
        return False
    return True


def _takes_images(deployments: Iterable[Any]) -> bool:
    for deployment in deployments:
        declared = (deployment.get("model_info") or {}).get("supports_vision")
        model = (deployment.get("litellm_params") or {}).get("model") or ""
        if declared is True or (declared is None and litellm.supports_vision(model=model)):
            return True
    return False


def models_in_database() -> bool:
    """Whether this proxy loads models from its database. It does so shortly after the router is up."""
    return proxy_global("store_model_in_db") is True
