"""Suffixed model names (``<model>-ocr``) as aliases of the router, for LiteLLM's access checks and model lists.

When LiteLLM checks whether a caller may call a model, it looks up an unknown name in the router's aliases.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial, wraps
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import litellm

from litellm_image_analysis.compat import RouterView, view_of
from litellm_image_analysis.config import SETTINGS_PATH
from litellm_image_analysis.engine.routing import RouterNames, bears_name
from litellm_image_analysis.errors import ConfigError

if TYPE_CHECKING:
    from litellm.router import Router

_ADVERTISED = "_image_analysis_aliases"
"""Attribute of a router: the last mapping of aliases that the plugin gave it."""

_CHAT_MODES = {"chat", "completion", "responses"}
"""LiteLLM's ``mode`` of models that answer conversations."""

_MISSING = object()
_holds = dict.__contains__
_PROBE = "image-analysis-self-check"


def advertise(router: Router, suffix: str, vision_model: str | None = None) -> None:
    """Make every model name with the suffix an alias of the name without it, also for models that are added later.

    LiteLLM may replace the aliases by a copy that holds suffixed names as plain entries. An entry that equals an alias
    of the last advertised mapping is such a copy, not the router's own alias. It is dropped.

    Args:
        router: the router. Its mapping of aliases is replaced.
        suffix: the suffix, such as ``-ocr``.
        vision_model: the default vision model. Its name with the suffix is accepted, and not listed.

    Raises:
        ConfigError: this LiteLLM does not resolve suffixed names.
    """
    view = view_of(router)
    aliases, last = view.aliases(), vars(router).get(_ADVERTISED)
    if isinstance(aliases, SuffixedAliases) and aliases.serves(router, suffix, vision_model):
        return
    own = dict(dict.items(aliases))
    if last is not None:
        own = {name: target for name, target in own.items() if not last.advertises(name, target)}
    suffixed = SuffixedAliases(router, suffix, own, vision_model)
    view.replace_aliases(suffixed)
    if view.aliases() is not suffixed:
        raise _not_understood(suffix)
    vars(router)[_ADVERTISED] = suffixed
    if last is None:
        _keep_after_settings(router, view)
        _keep_out_of_settings(view)


def advertise_again(router: Router) -> None:
    """Advertise the last suffix again, in case LiteLLM replaced the aliases. Do nothing if none was advertised."""
    last = vars(router).get(_ADVERTISED)
    if last is not None:
        advertise(router, last.suffix, last.vision_model)


def withdraw(router: Router) -> None:
    """Remove the suffixed names from a router's aliases. Its own aliases stay."""
    if vars(router).pop(_ADVERTISED, None) is not None:
        view = view_of(router)
        view.replace_aliases(dict(dict.items(view.aliases())))


def check_suffix(suffix: str) -> None:
    """Check with a temporary router that this LiteLLM resolves a name with the suffix to the name without it.

    Args:
        suffix: the suffix, such as ``-ocr``.

    Raises:
        ConfigError: LiteLLM does not resolve it.
    """
    from litellm.router import Router

    params, info = {"model": f"openai/{_PROBE}", "api_key": "none"}, {"id": _PROBE}
    router = Router(model_list=[{"model_name": _PROBE, "litellm_params": params, "model_info": info}])
    try:
        advertise(router, suffix)
        name = f"{_PROBE}{suffix}"
        found = view_of(router).deployments(name)
        if bears_name(router, name) or [each["litellm_params"]["model"] for each in found] != [params["model"]]:
            raise _not_understood(suffix)
    finally:
        view_of(router).retire()
        for registered in (params["model"], info["id"]):
            litellm.model_cost.pop(registered, None)


def _not_understood(suffix: str) -> ConfigError:
    return ConfigError(
        f"{SETTINGS_PATH}.suffix: LiteLLM {version('litellm')} would not understand names that end in {suffix!r}, so"
        " requests for them would go out without image analysis. Install a version of LiteLLM that docs/versions.md"
        " lists, or ask for image analysis by ocr_model and set suffix: null."
    )


def _keep_after_settings(router: Router, view: RouterView) -> None:
    """Advertise again after each change of the router's settings, because LiteLLM then replaces the aliases."""
    for name in view.SETTERS:
        vars(router)[name] = _then(getattr(router, name), partial(advertise_again, router))


def _then(change: Callable[..., Any], follow: Callable[[], None]) -> Callable[..., Any]:
    """Wrap a method of LiteLLM's, asynchronous or not, so that ``follow`` is called after it."""

    @wraps(change)
    def changed(*args: Any, **kwargs: Any) -> Any:
        result = change(*args, **kwargs)
        follow()
        return result

    @wraps(change)
    async def changed_in_loop(*args: Any, **kwargs: Any) -> Any:
        result = await change(*args, **kwargs)
        follow()
        return result

    return changed_in_loop if inspect.iscoroutinefunction(change) else changed


def _keep_out_of_settings(view: RouterView) -> None:
    """Remove the suffixed names from the settings that the router returns.

    An operator may save the settings that LiteLLM shows. Suffixed names would then become the router's own aliases.
    """
    if view.alias_settings is None:
        return
    holder, name = view.alias_settings
    get = getattr(holder, name)

    @wraps(get)
    def own_settings() -> dict[str, Any]:
        settings: dict[str, Any] = get()
        if "model_group_alias" in settings:
            settings["model_group_alias"] = dict(dict.items(view.aliases()))
        return settings

    vars(holder)[name] = own_settings


class SuffixedAliases(dict[str, Any]):
    """The router's own aliases, and a computed alias for each name with the suffix.

    Only the router's own aliases are stored. A lookup of another name that ends in the suffix returns the name without
    it, unless a model has that name, suffix included. Iteration also yields the suffixed names of the models and the
    visible aliases that the router has at the moment. A suffix gives access to no model: LiteLLM checks the name
    without it, as it does for every alias.

    Args:
        router: the router that the aliases belong to.
        suffix: the suffix, such as ``-ocr``.
        own: the router's own aliases.
        vision_model: the default vision model.
    """

    def __init__(self, router: Router, suffix: str, own: dict[str, Any], vision_model: str | None = None) -> None:
        super().__init__(own)
        self.suffix = suffix
        self.vision_model = vision_model
        self._router = router

    def serves(self, router: Router, suffix: str, vision_model: str | None) -> bool:
        """Return whether these are the aliases of this router, with these settings."""
        return self._router is router and (self.suffix, self.vision_model) == (suffix, vision_model)

    def advertises(self, name: str, target: object) -> bool:
        """Return whether an alias with this name and target comes from the suffix and is not the router's own."""
        stem = name.removesuffix(self.suffix)
        return stem not in ("", name) and not super().__contains__(name) and target in (stem, self._target(stem))

    def __getitem__(self, name: str) -> Any:
        found = self.get(name, _MISSING)
        if found is _MISSING:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        if _holds(self, name):
            return True
        return isinstance(name, str) and name.endswith(self.suffix) and self.stem(name) is not None

    def get(self, name: Any, default: Any = None) -> Any:
        """Return the target of a name, or ``default`` if there is none. LiteLLM asks some twenty times a request."""
        if _holds(self, name):
            return self._resolved(dict.__getitem__(self, name))
        if not isinstance(name, str) or not name.endswith(self.suffix):
            return default
        stands_for = self.stem(name)
        return default if stands_for is None else stands_for

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield from self._listed()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> Any:
        """Return all names: the router's own aliases and the listed suffixed names."""
        return dict.fromkeys(self).keys()

    def values(self) -> Any:
        """Return the targets of all names."""
        return self.copy().values()

    def items(self) -> Any:
        """Return all names with their targets."""
        return self.copy().items()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict of the names and targets of the moment.

        LiteLLM follows one alias, not two. The suffixed name of an alias therefore gets the target of that alias.
        """
        own = {name: self._resolved(alias) for name, alias in dict.items(self)}
        return {**own, **{name: self._target(stem) for name, stem in self._listed().items()}}

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(dict(dict.items(self)), memo)

    def _target(self, alias: Any) -> Any:
        return dict.get(self, alias, alias) if isinstance(alias, str) else alias

    def _resolved(self, alias: Any) -> Any:
        """Return the target of one of the router's own aliases, without a suffix. LiteLLM follows one alias only."""
        if isinstance(alias, dict):
            return {**alias, "model": self._resolved(alias.get("model"))}
        stands_for = self.stem(alias)
        return alias if stands_for is None else self._target(stands_for)

    def stem(self, name: object, names: RouterNames | None = None) -> str | None:
        """Return a suffixed name without the suffix. ``None`` for a model's own name, and for others.

        Args:
            name: the name.
            names: the router's names, if they were read for several lookups.
        """
        if not isinstance(name, str) or not name.endswith(self.suffix):
            return None
        if (names or RouterNames(self._router)).bears(name):
            return None
        return name.removesuffix(self.suffix) or None

    def _listed(self) -> dict[str, str]:
        """Return suffixed names, each with the name without it: chat models of no team, visible aliases, no wildcards.

        A name that a model bears and the default vision model's are left out. The router is asked once for all names,
        because it may have thousands.
        """
        names = RouterNames(self._router)
        stems = dict.fromkeys(
            str(deployment["model_name"])
            for deployment in names.view.deployments()
            if not (deployment.get("model_info") or {}).get("team_id") and _may_chat(deployment)
        )
        stems |= dict.fromkeys(name for name, alias in dict.items(self) if not _is_hidden(alias))
        suffixed = {
            f"{stem}{self.suffix}": stem
            for stem in stems
            if stem not in ("", self.vision_model) and "*" not in stem and not stem.endswith(self.suffix)
        }
        return {name: stem for name, stem in suffixed.items() if not names.bears(name)}


def _may_chat(deployment: Any) -> bool:
    """Return whether a deployment is for conversations, by its ``model_info``, else LiteLLM's cost map."""
    info, model = deployment.get("model_info") or {}, deployment["litellm_params"]["model"]
    known = (litellm.model_cost.get(str(name)) for name in (info.get("base_model"), model, model.partition("/")[2]))
    mode = info.get("mode") or next((entry.get("mode") for entry in known if entry is not None), None)
    return mode is None or mode in _CHAT_MODES


def _is_hidden(alias: object) -> bool:
    return isinstance(alias, dict) and alias.get("hidden") is True
