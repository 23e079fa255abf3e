"""The parts of LiteLLM that are not its public interface, each with the versions that have it.

No other module uses a private name of LiteLLM or checks the features of the installed version.
``docs/litellm-internals.md`` lists what the plugin replaces or wraps in LiteLLM, and why.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import litellm
from litellm import constants
from litellm.types.utils import StandardCallbackDynamicParams

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.router import Router

ROUTING_TAGS: str = getattr(constants, "ROUTING_REQUEST_TAGS_METADATA_KEY", "_routing_request_tags")
"""Metadata key of the tags that choose a deployment. LiteLLM before 1.102 routes by all tags, and ignores this key."""

INTERNAL_CALL_ORIGIN: str | None = getattr(constants, "INTERNAL_CALL_ORIGIN_METADATA_KEY", None)
"""Metadata key that keeps a call's tokens out of its caller's limits. ``None`` before LiteLLM 1.96."""

LOGGING_PARAMETERS: tuple[str, ...] = (
    *StandardCallbackDynamicParams.__annotations__,
    "litellm_trusted_callback_vars",  # for teams and keys. LiteLLM 1.84 has only the names above
)
"""Keyword arguments of a call for loggers and redaction. A proxy sets them from team and key."""

MASTER_KEY_ALIAS: str | None = getattr(constants, "LITELLM_PROXY_MASTER_KEY_ALIAS", None)
"""The key of a caller that has the master key. ``None`` in versions of LiteLLM that use the master key itself."""

HIDDEN_PARAMS = "_hidden_params"
"""Attribute of a response with its cost, or key if the response is a mapping."""

POSITIONAL = {
    "acompletion": ("model", "messages"),
    "completion": ("model", "messages"),
    "aresponses": ("input", "model"),
    "responses": ("input", "model"),
}
"""The parameters that a Router of LiteLLM 1.110 accepts by position. The signatures of its methods do not name them."""

PARENT_SPAN = "litellm_parent_otel_span"
"""Metadata key of the OpenTelemetry span of a request, below which LiteLLM's spans of a call hang."""

_LIMITS = "parallel_request_limiter"
_OPENTELEMETRY = (
    ("litellm.integrations.opentelemetry", "OpenTelemetry"),
    ("litellm.integrations.otel.logger", "OpenTelemetryV2"),  # with LITELLM_OTEL_V2, newer than LiteLLM 1.84
)
_OPENTELEMETRY_CONTEXT = "litellm.integrations.otel.plumbing.context"
_DYNAMIC_CALLBACKS = (
    *("dynamic_input_callbacks", "dynamic_success_callbacks", "dynamic_async_success_callbacks"),
    *("dynamic_failure_callbacks", "dynamic_async_failure_callbacks"),
)


_PROXY_MODULE = "litellm.proxy.proxy_server"
_REQUEST_COUNTER = "litellm.proxy.middleware.in_flight_requests_middleware"


def is_proxy_loaded() -> bool:
    """Whether this process has imported LiteLLM's proxy. Programs that use LiteLLM as a library do not import it."""
    return _PROXY_MODULE in sys.modules


def proxy_global(name: str) -> object:
    """A global of LiteLLM's proxy module. ``None`` without a proxy, because importing the module has side effects."""
    return getattr(sys.modules.get(_PROXY_MODULE), name, None)


def proxy_config() -> Mapping[str, Any]:
    """The config of the proxy in this process, as it was read. Empty if it is not known."""
    read = getattr(proxy_global("proxy_config"), "get_config_state", None)
    found = read() if callable(read) else {}
    return found if isinstance(found, Mapping) else {}


async def load_model_from_database(name: str) -> bool:
    """Let the proxy load a model that another host has added to the database. ``False`` if there is none.

    Also ``False`` in versions of LiteLLM that do not load models during a request.
    """
    try:
        from litellm.proxy.common_utils.registry_read_through import model_registry_read_through
    except ImportError:
        return False
    return bool(await model_registry_read_through.attempt(name))


def hidden_params(response: Any) -> Mapping[str, Any]:
    """The hidden parameters of a response."""
    found = getattr(response, HIDDEN_PARAMS, None)
    return found if isinstance(found, Mapping) else {}


def is_from_response_cache(logging: Any) -> bool:
    """Whether LiteLLM's response cache answered the call of a logging object. Hooks do not get this information."""
    details = getattr(logging, "caching_details", None)
    return isinstance(details, Mapping) and details.get("cache_hit") is True


def share_callbacks(parent: Any, child: Any) -> None:
    """Give the call of a logging object the logging destinations of another one: those of a team, a key, or a call."""
    for name in _DYNAMIC_CALLBACKS:
        known = getattr(parent, name, None)
        if known:
            setattr(child, name, list(known))


def tracer_provider() -> Any:
    """The tracer provider of LiteLLM's OpenTelemetry callback. ``None`` if the callback is not on.

    If there are several such callbacks, it is that of the one that makes the spans of a proxy's requests.
    """
    kinds = tuple(getattr(sys.modules.get(module), name, ()) for module, name in _OPENTELEMETRY)
    lists: tuple[list[Any], ...] = (litellm.callbacks, litellm.success_callback, litellm._async_success_callback)  # noqa: SLF001
    loggers = [callback for callbacks in lists for callback in callbacks if isinstance(callback, kinds)]
    if not loggers:
        return None
    main = proxy_global("open_telemetry_logger")
    logger = main if any(each is main for each in loggers) else loggers[0]
    return getattr(logger, "tracer_provider", None) or getattr(logger, "_tracer_provider", None)


def enter_span(span: Any) -> None:
    """Let LiteLLM's spans of the running task hang below a span."""
    from opentelemetry import context, trace

    context.attach(trace.set_span_in_context(span))
    anchor = getattr(sys.modules.get(_OPENTELEMETRY_CONTEXT), "set_request_root_span", None)
    if anchor is not None:
        anchor(span)


def is_routed(kwargs: Mapping[str, Any]) -> bool:
    """Whether a Router makes the call to a deployment, rather than LiteLLM's functions alone."""
    return isinstance(kwargs.get("model_info"), Mapping)


def are_fallbacks_disabled(kwargs: Mapping[str, Any]) -> bool:
    """Whether a Router's call has ``disable_fallbacks``, which newer versions of LiteLLM move to its metadata."""
    try:
        from litellm.router_utils.fallback_event_handlers import fallbacks_disabled_for_request
    except ImportError:
        return False
    return bool(fallbacks_disabled_for_request(kwargs))


def credential_overrides(model: str, caller: UserAPIKeyAuth, router: Router | None) -> dict[str, Any]:
    """The credentials that a caller's team or project has for a model. LiteLLM has no public function for it."""
    from litellm.proxy import litellm_pre_call_utils

    apply = litellm_pre_call_utils._apply_credential_overrides_from_model_config  # noqa: SLF001
    data: dict[str, Any] = {"model": model}
    options: dict[str, Any] = {"llm_router": router} if _has_parameter(apply, "llm_router") else {}
    apply(data=data, user_api_key_dict=caller, **options)
    return {name: value for name, value in data.items() if name != "model"}


def cost_calculator(logging: Any) -> Callable[..., Any] | None:
    """The cost calculator of a logging object. Its name has a leading underscore in LiteLLM 1.84."""
    found: Callable[..., Any] | None = getattr(logging, "response_cost_calculator", None)
    return found or getattr(logging, "_response_cost_calculator", None)


def auth_check(name: str) -> Callable[..., Any]:
    """One of LiteLLM's authorization checks. Some names have a leading underscore in LiteLLM 1.84."""
    from litellm.proxy.auth import auth_checks

    found: Callable[..., Any] = getattr(auth_checks, name, None) or getattr(auth_checks, f"_{name}")
    return found


def resolved_model_check() -> Callable[..., Awaitable[Any]] | None:
    """The one check of key, team, project and end user for a model. ``None`` before LiteLLM 1.90."""
    from litellm.proxy.auth import auth_checks

    return getattr(auth_checks, "can_key_call_resolved_model", None)


def user_check_options(caller: UserAPIKeyAuth) -> dict[str, Any]:
    """Options of ``can_user_call_model`` for a key's own aliases. Empty before LiteLLM 1.104."""
    from litellm.proxy.auth.auth_checks import can_user_call_model

    has_aliases = _has_parameter(can_user_call_model, "key_model_aliases")
    return {"key_model_aliases": caller.aliases or None} if has_aliases else {}


def apply_model_aliases(model: str, caller: UserAPIKeyAuth) -> str:
    """The target of a model name by the aliases of team, key and gateway. LiteLLM has no public function for it."""
    from litellm.proxy import litellm_pre_call_utils

    data: dict[str, Any] = {"model": model}
    litellm_pre_call_utils._update_model_if_team_alias_exists(data, caller)  # noqa: SLF001
    litellm_pre_call_utils._update_model_if_key_alias_exists(data, caller)  # noqa: SLF001
    target: str = data["model"]
    return litellm.model_alias_map.get(target, target)


def budget_fallback() -> Callable[..., Awaitable[str | None]] | None:
    """A function that returns the fallback if a key's budget for a model is used up. ``None`` before LiteLLM 1.92."""
    return getattr(proxy_global("model_max_budget_limiter"), "get_fallback_model_within_budget", None)


def model_budget_check(scope: str) -> Callable[..., Awaitable[Any]]:
    """The check of a budget for one model, of a team, a user or an end user."""
    found: Callable[..., Awaitable[Any]] = getattr(
        proxy_global("model_max_budget_limiter"), f"is_{scope}_within_model_budget"
    )
    return found


def budget_exceeded_status() -> int:
    """HTTP status of an exceeded budget. 400 before LiteLLM 1.104."""
    status: int = getattr(litellm, "budget_exceeded_status_code", 400)
    return status


def is_admin_only(error: Exception) -> bool:
    """Whether an error of LiteLLM's auth says that the caller is known, but is no admin. Its status is 401."""
    return "Only proxy admin" in f"{error} {getattr(error, 'message', '')} {getattr(error, 'detail', '')}"


def has_own_limits() -> bool:
    """Whether the proxy has registered its own limits. It does so after it has created its router."""
    return _LIMITS in (getattr(proxy_global("proxy_logging_obj"), "proxy_hook_mapping", None) or {})


def guardrails_only() -> Callable[..., Awaitable[dict[str, Any]]] | None:
    """LiteLLM's function that runs pre-call hooks, if it can be limited to guardrails. ``None`` before LiteLLM 1.99."""
    pre_call_hook: Any = getattr(proxy_global("proxy_logging_obj"), "pre_call_hook", None)
    if pre_call_hook is None or not _has_parameter(
        getattr(pre_call_hook, "__func__", pre_call_hook), "guardrails_only"
    ):
        return None
    run: Callable[..., Awaitable[dict[str, Any]]] = pre_call_hook
    return run


@lru_cache(maxsize=8)
def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def grace_seconds() -> float | None:
    """Seconds that a proxy gives its requests when it is stopped. ``None`` in versions of LiteLLM that do not wait."""
    try:
        from litellm.proxy.shutdown.graceful_shutdown_manager import GracefulShutdownManager
    except ImportError:
        return None
    return GracefulShutdownManager.get_timeout()


@contextmanager
def counted_as_request() -> Iterator[None]:
    """Count a block as a request in flight, for which a proxy that is stopped waits. A program counts nothing."""
    counter: Any = getattr(sys.modules.get(_REQUEST_COUNTER), "InFlightRequestsMiddleware", None)
    if not hasattr(counter, "_in_flight"):
        yield
        return
    counter._in_flight += 1  # noqa: SLF001
    try:
        yield
    finally:
        counter._in_flight -= 1  # noqa: SLF001


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
        """The model group for a team's own name. ``None`` if the team has no such name."""

    def serves_any_name(self) -> bool:
        """Whether it routes names that it does not list, to a default deployment or as the names of models."""

    def matches_wildcard(self, name: str) -> bool:
        """Whether a wildcard deployment serves this name."""

    def fallbacks(self) -> list[Mapping[str, Any]]:
        """Its fallbacks by model group. Those of ``*`` apply to all groups."""

    def all_fallbacks(self) -> list[Mapping[str, Any]]:
        """Its fallbacks of every kind, by model group: after errors, too long requests, and content policies."""

    def aliases(self) -> dict[str, Any]:
        """The mapping in which LiteLLM looks up names (``model_group_alias``), and not a copy of it."""

    def replace_aliases(self, aliases: dict[str, Any]) -> None:
        """Let LiteLLM look up names in this object from now on. The object may compute its values."""

    @property
    def alias_settings(self) -> tuple[Any, str] | None:
        """The object and the name of its method that shows this mapping. ``None`` without such a method."""

    def retire(self) -> None:
        """Remove it from LiteLLM's lists of callbacks."""


def view_of(router: Router) -> RouterView:
    """The view of this Router."""
    return _Registry(router) if hasattr(router, "registry") else _Attributes(router)


FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
"""The names of fallbacks: of a Router's settings, and of a request's own parameters."""


def _fallbacks_of(settings: Any, names: Sequence[str] = FALLBACKS) -> list[Mapping[str, Any]]:
    lists = (getattr(settings, name, None) for name in names)
    return [each for found in lists for each in found or () if isinstance(each, Mapping)]


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

    def fallbacks(self) -> list[Mapping[str, Any]]:
        return _fallbacks_of(self._router, FALLBACKS[:1])

    def all_fallbacks(self) -> list[Mapping[str, Any]]:
        return _fallbacks_of(self._router)

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

    def fallbacks(self) -> list[Mapping[str, Any]]:
        return _fallbacks_of(self._router.settings(), FALLBACKS[:1])

    def all_fallbacks(self) -> list[Mapping[str, Any]]:
        return _fallbacks_of(self._router.settings())

    def aliases(self) -> dict[str, Any]:
        return _or_empty(self._registry.aliases())

    def replace_aliases(self, aliases: dict[str, Any]) -> None:
        # LiteLLM copies assigned aliases. Its own code reads this object, also in 1.110, whose routing knows only the
        # operator's aliases.
        self._registry._router._core_model_group_alias = aliases  # noqa: SLF001

    @property
    def alias_settings(self) -> tuple[Any, str] | None:
        core = self._registry._router  # noqa: SLF001
        return (core, "_core_get_settings") if hasattr(core, "_core_get_settings") else None

    def retire(self) -> None:
        self._router.retire()


def _or_empty(aliases: dict[str, Any] | None) -> dict[str, Any]:
    return {} if aliases is None else aliases  # an empty mapping may compute values later
