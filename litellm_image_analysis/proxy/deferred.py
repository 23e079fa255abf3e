"""Deferred image analysis of a proxy's request that did not ask for it: the called deployment decides.

A ``DeferredAnalysis`` is saved in the request's metadata before LiteLLM routes the request. All attempts share it:
retries, fallbacks to a model that takes images, and fallbacks to a text-only one.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.request_state import load_state, update_state
from litellm_image_analysis.cache.per_request import RequestOutcomes
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.vision.caller_rules import read_rules

if TYPE_CHECKING:
    from litellm_image_analysis.engine.context import ProxyContext


@dataclass(slots=True, repr=False, eq=False)  # not frozen: that takes twice as long to make
class DeferredAnalysis:
    """The values for analysing the images of a request, in case a deployment needs it.

    LiteLLM copies and prints metadata. This object is therefore not copied, and its text shows nothing of a request.

    Attributes:
        context: the values that hold for it, with the settings of the caller's key and team, without its rules.
        home: the metadata of the request itself. An attempt at a fallback has a copy of them.
        request: the request without its conversation. It has the rules, which are read if analysis is needed.
        problem: the error in the settings of the key or the team. It is raised only if analysis is needed.
        outcomes: the outcomes of the request's images, for its next attempts.
        is_settled: whether the decision was made before routing, so that its deployments need not decide.
    """

    context: ProxyContext
    home: MutableMapping[str, Any]
    request: Mapping[str, Any] = field(default_factory=dict)
    problem: RequestError | None = None
    outcomes: RequestOutcomes = field(default_factory=RequestOutcomes)
    is_settled: bool = False

    def context_with_rules(self) -> ProxyContext:
        """Return the context with the rules of the request."""
        return replace(self.context, rules=read_rules(self.request, self.context.caller))

    def remember(self, data: Mapping[str, Any]) -> None:
        """Save this object in the metadata of the request, unless they already hold one."""
        if deferred_analysis(data) is None:
            update_state(self.home, deferred=self)

    def settle(self) -> None:
        """Note that the decision was made."""
        self.is_settled = True

    def __deepcopy__(self, memo: dict[int, Any]) -> DeferredAnalysis:
        """Itself."""
        return self


def deferred_analysis(data: Mapping[str, Any]) -> DeferredAnalysis | None:
    """Return the deferred analysis of a request, or ``None``."""
    found = load_state(data).deferred
    return found if isinstance(found, DeferredAnalysis) else None
