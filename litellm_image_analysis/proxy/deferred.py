"""Image analysis that a proxy's request did not ask for: it depends on the deployment that is about to be called.

What stands by is noted in the request's metadata before LiteLLM routes it, and shared by all its attempts: retries and
fallbacks, to a model that sees and to one that does not.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from litellm_image_analysis.billing.request_state import load_state, update_state
from litellm_image_analysis.cache.per_request import RequestOutcomes
from litellm_image_analysis.errors import RequestError

if TYPE_CHECKING:
    from litellm_image_analysis.engine.context import ProxyContext


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class DeferredAnalysis:
    """What holds for a request, should it come to need analysis.

    LiteLLM copies and prints metadata: it is never copied, and shows nothing of a request.

    Attributes:
        context: the values that hold for it, with the caller's own settings.
        home: the metadata of the request itself; those of a fallback are a copy.
        problem: what is wrong with the caller's own settings, told only if they are needed.
        outcomes: what came of its images, for its next attempts.
    """

    context: ProxyContext
    home: MutableMapping[str, Any]
    problem: RequestError | None = None
    outcomes: RequestOutcomes = field(default_factory=RequestOutcomes)

    def remember(self, data: Mapping[str, Any]) -> None:
        """Be noted in the request, unless something stands by already."""
        if deferred_analysis(data) is None:
            update_state(self.home, deferred=self)

    def __deepcopy__(self, memo: dict[int, Any]) -> DeferredAnalysis:
        """Itself."""
        return self


def deferred_analysis(data: Mapping[str, Any]) -> DeferredAnalysis | None:
    """What stands by for a request, or ``None``."""
    found = load_state(data).deferred
    return found if isinstance(found, DeferredAnalysis) else None
