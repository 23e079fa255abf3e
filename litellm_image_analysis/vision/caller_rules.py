"""The rules of a request that also apply to its vision calls: region, logging, fallbacks, time and cache control."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.compat import LOGGING_PARAMETERS, are_fallbacks_disabled

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth

_NO_LOG = "no-log"
_FALLBACKS = "disable_fallbacks"
_TIMEOUTS = ("timeout", "request_timeout")


@dataclass(frozen=True, slots=True, repr=False)
class CallerRules:
    """The rules of one request. ``repr`` shows none of them, because the arguments may contain credentials of loggers.

    Attributes:
        region: the region of the deployments that may be called, such as ``eu``. ``None`` for any.
        timeout_seconds: the caller's time limit for a call. Infinite if there is none.
        no_cache: whether cached analyses are not used.
        no_store: whether analyses are not cached.
        arguments: further keyword arguments of the vision call, for loggers and fallbacks.
        logging: LiteLLM's logging object of the request, with the logging destinations of its team or key.
    """

    region: str | None = None
    timeout_seconds: float = math.inf
    no_cache: bool = False
    no_store: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    logging: Any = None

    @property
    def choose_deployments(self) -> bool:
        """Whether these rules exclude deployments that other callers may reach."""
        return self.region is not None or _FALLBACKS in self.arguments

    def __deepcopy__(self, memo: dict[int, Any]) -> CallerRules:
        """Itself."""
        return self


NO_RULES = CallerRules()


def read_rules(data: Mapping[str, Any], caller: UserAPIKeyAuth | None = None) -> CallerRules:
    """Read the rules of a request.

    Args:
        data: the request, or the keyword arguments of a call.
        caller: the virtual key of the request. ``None`` without a proxy. The key's region takes precedence.
    """
    control = data.get("cache")
    cache: Mapping[str, Any] = control if isinstance(control, Mapping) else {}
    return CallerRules(
        region=getattr(caller, "allowed_model_region", None) or data.get("allowed_model_region"),
        timeout_seconds=min((_seconds(data.get(name)) for name in _timeouts(data)), default=math.inf),
        no_cache=cache.get("no-cache") is True,
        no_store=cache.get("no-store") is True,
        arguments=_arguments(data),
        logging=data.get("litellm_logging_obj"),
    )


def _timeouts(data: Mapping[str, Any]) -> tuple[str, ...]:
    return (*_TIMEOUTS, "stream_timeout") if data.get("stream") else _TIMEOUTS


def _seconds(value: object) -> float:
    """Return a timeout in seconds. LiteLLM accepts a number, a text, or an ``httpx.Timeout``."""
    value = getattr(value, "read", value)
    try:
        seconds = float(value) if isinstance(value, (int, float, str)) else math.inf
    except (ValueError, OverflowError):
        return math.inf
    return seconds if seconds > 0 else math.inf


def _arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    dynamic = getattr(data.get("litellm_logging_obj"), "standard_callback_dynamic_params", None)
    known = {**(dynamic if isinstance(dynamic, Mapping) else {}), **data}
    found = {name: known[name] for name in LOGGING_PARAMETERS if known.get(name) is not None}
    if data.get(_NO_LOG) is True:
        found[_NO_LOG] = True
    if data.get(_FALLBACKS) is True or are_fallbacks_disabled(data):
        found[_FALLBACKS] = True
    return found
