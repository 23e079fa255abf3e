"""``<model>-ocr`` as a name that LiteLLM itself knows, for its access checks and its lists of models.

LiteLLM asks the router's aliases what an unknown name stands for when it checks a key, its team and all others.
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
from litellm_image_analysis.engine.routing import bears_name
from litellm_image_analysis.errors import ConfigError

if TYPE_CHECKING:
    from litellm.router import Router

_ADVERTISED = "_image_analysis_aliases"
"""Attribute of a router: the aliases that were given to it last."""

_PROBE = "image-analysis-self-check"


def advertise(router: Router, suffix: str) -> None:
    """Let every name with the suffix stand for the name without it, also of models that are yet to come.

    An alias that says the same as one that was advertised before was read from there: it is not the router's own.

    Raises:
        ConfigError: this LiteLLM would not understand such names.
    """
    view = view_of(router)
    aliases, last = view.aliases(), vars(router).get(_ADVERTISED)
    if isinstance(aliases, SuffixedAliases) and aliases.serves(router, suffix):
        return
    own = dict(dict.items(aliases))
    if last is not None:
        own = {name: target for name, target in own.items() if not last.advertises(name, target)}
    suffixed = SuffixedAliases(router, suffix, own)
    view.replace_aliases(suffixed)
    if view.aliases() is not suffixed:
        raise _not_understood(suffix)
    vars(router)[_ADVERTISED] = suffixed
    if last is None:
        _keep_after_settings(router, view)
        _keep_out_of_settings(view)


def advertise_again(router: Router) -> None:
    """Do so with the suffix of before, should something else have replaced the aliases; without one, nothing."""
    last = vars(router).get(_ADVERTISED)
    if last is not None:
        advertise(router, last.suffix)


def withdraw(router: Router) -> None:
    """Leave a router the aliases of its own."""
    if vars(router).pop(_ADVERTISED, None) is not None:
        view = view_of(router)
        view.replace_aliases(dict(dict.items(view.aliases())))


def check_suffix(suffix: str) -> None:
    """See on a router of our own whether this LiteLLM understands a name with the suffix as the name without it.

    Raises:
        ConfigError: it does not.
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
    """Advertise again after each change of the router's settings, with which LiteLLM replaces the aliases."""
    for name in view.SETTERS:
        vars(router)[name] = _then(getattr(router, name), partial(advertise_again, router))


def _then(change: Callable[..., Any], follow: Callable[[], None]) -> Callable[..., Any]:
    """A method of LiteLLM's, asynchronous or not, with something to do behind it."""

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
    """Show the router's settings as an operator wrote them: what is shown to one may come back as his own."""
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
    """The aliases a router has of its own, and one for every model's name with the suffix.

    Only the router's own ones are stored. The others follow from the models it has at the moment, so models may come
    and go, and a suffix opens none: LiteLLM checks the name without it, as it does with every alias.

    Args:
        router: whose aliases they are.
        suffix: what stands behind a model's name.
        own: the router's own aliases.
    """

    def __init__(self, router: Router, suffix: str, own: dict[str, Any]) -> None:
        super().__init__(own)
        self.suffix = suffix
        self._router = router

    def serves(self, router: Router, suffix: str) -> bool:
        """Whether these are that router's aliases, for that suffix."""
        return self._router is router and self.suffix == suffix

    def advertises(self, name: str, target: object) -> bool:
        """Whether a name is not the router's own alias, and has a suffix that makes it stand for this target."""
        stem = name.removesuffix(self.suffix)
        return stem not in ("", name) and not super().__contains__(name) and target in (stem, self._target(stem))

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or self._stands_for(name) is not None

    def __missing__(self, name: str) -> str:
        stands_for = self._stands_for(name)
        if stands_for is None:
            raise KeyError(name)
        return stands_for

    def get(self, name: str, default: Any = None) -> Any:
        """What a name stands for."""
        try:
            return self[name]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield from self._listed()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> Any:
        """All names, with those that are listed for the suffix."""
        return dict.fromkeys(self).keys()

    def values(self) -> Any:
        """What they stand for."""
        return self.copy().values()

    def items(self) -> Any:
        """Names, and what they stand for."""
        return self.copy().items()

    def copy(self) -> dict[str, Any]:
        """A plain dict of what there is at the moment.

        LiteLLM follows an alias once: what stands for another alias is given as that one's target.
        """
        return {**dict(dict.items(self)), **{name: self._target(self[name]) for name in self._listed()}}

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(dict(dict.items(self)), memo)

    def _target(self, alias: Any) -> Any:
        return dict.get(self, alias, alias) if isinstance(alias, str) else alias

    def _stands_for(self, name: object) -> str | None:
        if not isinstance(name, str) or not name.endswith(self.suffix) or bears_name(self._router, name):
            return None
        return name.removesuffix(self.suffix) or None

    def _listed(self) -> Iterator[str]:
        """The names of models and of visible aliases that can be called with the suffix."""
        names = dict.fromkeys(
            str(deployment["model_name"])
            for deployment in view_of(self._router).deployments()
            if not (deployment.get("model_info") or {}).get("team_id")
        )
        names |= dict.fromkeys(name for name, alias in dict.items(self) if not _is_hidden(alias))
        for name in names:
            suffixed = f"{name}{self.suffix}"
            if "*" not in name and not name.endswith(self.suffix) and self._stands_for(suffixed) is not None:
                yield suffixed


def _is_hidden(alias: object) -> bool:
    return isinstance(alias, dict) and alias.get("hidden") is True
