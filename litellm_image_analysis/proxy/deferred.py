"""Deferred image analysis of a proxy's request that did not ask for it: the called deployment decides.

A ``DeferredAnalysis`` is saved in the request's metadata before LiteLLM routes the request. All attempts share it:
retries, fallbacks to a model that takes images, and fallbacks to a text-only one.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.request_state import load_state, state_in, update_state
from litellm_image_analysis.cache.per_request import RequestOutcomes
from litellm_image_analysis.engine import routing
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.proxy.overrides import EffectiveSettings, effective_settings, has_own_settings
from litellm_image_analysis.vision.caller_rules import read_rules

if TYPE_CHECKING:
    from litellm.proxy._types import UserAPIKeyAuth

    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.engine.context import ProxyContext
    from litellm_image_analysis.request.activation import Mode


@dataclass(slots=True, repr=False, eq=False)  # not frozen: that takes twice as long to make
class DeferredAnalysis:
    """The values for analysing the images of a request, in case a deployment needs it.

    Every request that does not ask has one, and few need it. What takes time is made on first use. LiteLLM copies and
    prints metadata. This object is therefore not copied, and its text shows nothing of a request.

    Attributes:
        config: the operator's settings.
        caller: the virtual key of the request.
        home: the metadata of the request itself. An attempt at a fallback has a copy of them.
        request: the request without its conversation. It has the rules, which are read if analysis is needed.
        is_settled: whether the decision was made before routing, so that its deployments need not decide.
    """

    config: ImageAnalysisConfig
    caller: UserAPIKeyAuth
    home: MutableMapping[str, Any]
    request: Mapping[str, Any] = field(default_factory=dict)
    is_settled: bool = False
    _mode: Mode | None = None
    _settings: EffectiveSettings | RequestError | None = None
    _outcomes: RequestOutcomes | None = None

    @property
    def mode(self) -> Mode:
        """The mode that applies to the caller."""
        if self._mode is None:
            self._mode = self._effective().config.mode if has_own_settings(self.caller) else self.config.mode
        return self._mode

    @property
    def problem(self) -> RequestError | None:
        """The error in the settings of the key or the team. It is raised only if analysis is needed."""
        applied = self._applied()
        return applied if isinstance(applied, RequestError) else None

    @property
    def context(self) -> ProxyContext:
        """The values that hold for the request, with the settings of the caller's key and team, without its rules."""
        return self._effective().context(routing.running_router(), self.caller)

    @property
    def outcomes(self) -> RequestOutcomes:
        """The outcomes of the request's images, for its next attempts."""
        if self._outcomes is None:
            self._outcomes = RequestOutcomes()
        return self._outcomes

    def context_with_rules(self) -> ProxyContext:
        """Return the context with the rules of the request."""
        return replace(self.context, rules=read_rules(self.request, self.caller))

    def remember(self) -> None:
        """Save this object in the metadata of the request, unless they already hold one."""
        if state_in(self.home).deferred is None:
            update_state(self.home, deferred=self)

    def settle(self) -> None:
        """Note that the decision was made."""
        self.is_settled = True

    def _effective(self) -> EffectiveSettings:
        applied = self._applied()
        return EffectiveSettings(self.config) if isinstance(applied, RequestError) else applied

    def _applied(self) -> EffectiveSettings | RequestError:
        if self._settings is None:
            self._settings = effective_settings(self.config, self.caller)
        return self._settings

    def __deepcopy__(self, memo: dict[int, Any]) -> DeferredAnalysis:
        """Itself."""
        return self


def deferred_analysis(data: Mapping[str, Any]) -> DeferredAnalysis | None:
    """Return the deferred analysis of a request, or ``None``."""
    found = load_state(data).deferred
    return found if isinstance(found, DeferredAnalysis) else None
