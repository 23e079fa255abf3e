"""What a LiteLLM Router tells of itself, read alike from every supported version of LiteLLM.

LiteLLM 1.109 moved it behind ``Router.registry()`` and ``Router.settings()``. The attributes of before are deprecated
there, warn at each use, and hand out copies.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from litellm.router import Router


class RouterView(Protocol):
    """A Router's names, deployments and aliases."""

    SETTERS: ClassVar[tuple[str, ...]]
    """Methods of the Router that may replace its aliases."""

    def groups(self) -> Collection[str]:
        """The names of its model groups."""

    def routing_groups(self) -> Collection[str]:
        """The names of its routing groups."""

    def team_names(self) -> Collection[str]:
        """The names that teams have for models of their own."""

    def listed_names(self, team_id: str | None) -> list[str]:
        """Every name it lists: model groups, aliases, and a team's own if one is given."""

    def has_deployment(self, model_id: str) -> bool:
        """Whether a deployment has this id."""

    def deployments(self, name: str | None = None, team_id: str | None = None) -> list[Any]:
        """The deployments behind a name, or all of them, as entries of a model list."""

    def team_group(self, name: str, team_id: str) -> str | None:
        """What a team's own name is routed by; ``None``: the team has no such name."""

    def serves_any_name(self) -> bool:
        """Whether it routes names that it does not list: to a default deployment, or as they are."""

    def matches_wildcard(self, name: str) -> bool:
        """Whether a wildcard deployment serves this name."""

    def aliases(self) -> dict[str, Any]:
        """The mapping in which LiteLLM looks names up (``model_group_alias``), itself and no copy."""

    def replace_aliases(self, aliases: dict[str, Any]) -> None:
        """Have LiteLLM look names up in this very object from now on, which need not hold what it answers for."""

    @property
    def alias_settings(self) -> tuple[Any, str] | None:
        """The object, and its method, that tells the mapping in use as a setting; ``None`` if LiteLLM keeps another."""

    def retire(self) -> None:
        """Take it out of LiteLLM's lists of callbacks."""


def view_of(router: Router) -> RouterView:
    """How to read this Router."""
    return _Registry(router) if hasattr(router, "registry") else _Attributes(router)


class _Attributes:
    """A Router of LiteLLM before 1.109."""

    __slots__ = ("_router",)
    SETTERS: ClassVar[tuple[str, ...]] = ("update_settings",)

    def __init__(self, router: Any) -> None:
        self._router = router

    def groups(self) -> Collection[str]:
        names: set[str] = self._router.model_names
        return names

    def routing_groups(self) -> Collection[str]:
        if not hasattr(self._router, "get_routing_group"):  # LiteLLM before 1.98 cannot call one by its name
            return ()
        groups = getattr(self._router, "routing_groups", None)
        named: dict[str, Any] = self._router._routing_groups if groups is None else groups  # noqa: SLF001 - before 1.106
        return named

    def team_names(self) -> Collection[str]:
        return getattr(self._router, "team_public_model_names", ())  # newer than LiteLLM 1.84

    def listed_names(self, team_id: str | None) -> list[str]:
        names: list[str] = self._router.get_model_names(team_id=team_id)
        return names

    def has_deployment(self, model_id: str) -> bool:
        return bool(self._router.has_model_id(model_id))

    def deployments(self, name: str | None = None, team_id: str | None = None) -> list[Any]:
        if name is None:
            return self._router.model_list or []
        return self._router.get_model_list(model_name=name, team_id=team_id) or []

    def team_group(self, name: str, team_id: str) -> str | None:
        group: str | None = self._router.map_team_model(name, team_id)
        return group

    def serves_any_name(self) -> bool:
        return bool(
            self._router.router_general_settings.pass_through_all_models or self._router.default_deployment is not None
        )

    def matches_wildcard(self, name: str) -> bool:
        patterns = self._router.pattern_router
        return bool(patterns.patterns and patterns.route(name))

    def aliases(self) -> dict[str, Any]:
        return _or_empty(self._router.model_group_alias)

    def replace_aliases(self, aliases: dict[str, Any]) -> None:
        self._router.model_group_alias = aliases

    @property
    def alias_settings(self) -> tuple[Any, str] | None:
        return self._router, "get_settings"

    def retire(self) -> None:
        self._router.discard()


class _Registry:
    """A Router of LiteLLM 1.109 or newer."""

    __slots__ = ("_registry", "_router")
    SETTERS: ClassVar[tuple[str, ...]] = ("apply", "aapply")

    def __init__(self, router: Any) -> None:
        self._router = router
        self._registry = router.registry()

    def groups(self) -> Collection[str]:
        names: set[str] = self._registry.names(kind="group_set")
        return names

    def routing_groups(self) -> Collection[str]:
        groups: dict[str, Any] = self._registry.routing_groups()
        return groups

    def team_names(self) -> Collection[str]:
        names: frozenset[str] = self._registry.names(kind="team_public")
        return names

    def listed_names(self, team_id: str | None) -> list[str]:
        names: list[str] = self._registry.names(team_id=team_id)
        return names

    def has_deployment(self, model_id: str) -> bool:
        return bool(self._registry.has_deployment(model_id))

    def deployments(self, name: str | None = None, team_id: str | None = None) -> list[Any]:
        if name is None:
            return self._registry.all() or []
        return self._registry.deployments(name, team_id=team_id) or []

    def team_group(self, name: str, team_id: str) -> str | None:
        group: str | None = self._registry.resolve(name, kind="team_model", team_id=team_id)
        return group

    def serves_any_name(self) -> bool:
        settings = self._router.settings()
        return bool(settings.router_general_settings.pass_through_all_models or settings.default_deployment is not None)

    def matches_wildcard(self, name: str) -> bool:
        patterns = self._registry.patterns()
        return bool(patterns.patterns and patterns.route(name))

    def aliases(self) -> dict[str, Any]:
        return _or_empty(self._registry.aliases())

    def replace_aliases(self, aliases: dict[str, Any]) -> None:
        # What LiteLLM is given to assign is copied. This is where its own code reads aliases, also in 1.110, whose
        # routing itself knows the operator's aliases alone.
        self._registry._router._core_model_group_alias = aliases  # noqa: SLF001

    @property
    def alias_settings(self) -> tuple[Any, str] | None:
        core = self._registry._router  # noqa: SLF001
        return (core, "_core_get_settings") if hasattr(core, "_core_get_settings") else None

    def retire(self) -> None:
        self._router.retire()


def _or_empty(aliases: dict[str, Any] | None) -> dict[str, Any]:
    return {} if aliases is None else aliases  # a mapping that is empty at the moment may answer later
