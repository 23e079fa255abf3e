"""``<model>-ocr`` as a name that LiteLLM itself knows, for its access checks and its lists of models.

LiteLLM asks ``router.model_group_alias`` what an unknown name stands for when it checks a key, its team and all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.gateway import bears_name

if TYPE_CHECKING:
    from litellm.router import Router


def advertise(router: Router, suffix: str) -> None:
    """Let every name with the suffix stand for the name without it, also of models that are yet to come."""
    aliases = router.model_group_alias
    if isinstance(aliases, SuffixedAliases) and aliases.router is router:
        return
    first = not isinstance(vars(router).get("update_settings"), partial)
    router.model_group_alias = SuffixedAliases(router, suffix)
    if first:  # LiteLLM replaces the aliases with its settings, and hands them out with its settings
        vars(router)["update_settings"] = partial(_update_settings, router, router.update_settings, suffix)
        vars(router)["get_settings"] = partial(_own_settings, router, router.get_settings)


def _update_settings(router: Router, update: Callable[..., Any], suffix: str, /, **settings: Any) -> Any:
    updated = update(**settings)
    advertise(router, suffix)
    return updated


def _own_settings(router: Router, get: Callable[[], dict[str, Any]], /) -> dict[str, Any]:
    """The router's settings as an operator wrote them: what is shown to one may come back as his own."""
    settings = get()
    if "model_group_alias" in settings:
        settings["model_group_alias"] = dict(dict.items(router.model_group_alias))
    return settings


class SuffixedAliases(dict[str, Any]):
    """The aliases a router has of its own, and one for every model's name with the suffix.

    Only the router's own ones are stored. The others follow from the models it has at the moment, so models may come
    and go, and a suffix opens none: LiteLLM checks the name without it, as it does with every alias.

    Args:
        router: whose aliases they are.
        suffix: what stands behind a model's name.
    """

    def __init__(self, router: Router, suffix: str) -> None:
        super().__init__(dict.items(router.model_group_alias or {}))
        self.router = router
        self._suffix = suffix

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
        if not isinstance(name, str) or not name.endswith(self._suffix) or bears_name(self.router, name):
            return None
        return name.removesuffix(self._suffix) or None

    def _listed(self) -> Iterator[str]:
        """The names of models and of visible aliases that can be called with the suffix."""
        names = dict.fromkeys(
            str(deployment["model_name"])
            for deployment in self.router.model_list
            if not (deployment.get("model_info") or {}).get("team_id")
        )
        names |= dict.fromkeys(name for name, alias in dict.items(self) if not _is_hidden(alias))
        for name in names:
            suffixed = f"{name}{self._suffix}"
            if "*" not in name and not name.endswith(self._suffix) and self._stands_for(suffixed) is not None:
                yield suffixed


def _is_hidden(alias: object) -> bool:
    return isinstance(alias, dict) and alias.get("hidden") is True
