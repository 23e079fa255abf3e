"""Proxy: automatic image analysis before each call of a deployment (``mode: auto``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cachetools import TTLCache

from litellm_image_analysis.billing import metadata, total
from litellm_image_analysis.billing.request_state import metadata_buckets, metadata_of
from litellm_image_analysis.compat import FALLBACKS
from litellm_image_analysis.engine import containment, routing, vision_support
from litellm_image_analysis.proxy import admission, budgets
from litellm_image_analysis.proxy.admission import RequestedAnalysis
from litellm_image_analysis.proxy.late_hook import rerun_guardrails
from litellm_image_analysis.request.activation import Active

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.engine.analyzer import Analyzer
    from litellm_image_analysis.proxy.deferred import DeferredAnalysis
    from litellm_image_analysis.request import Attachments, WireFormat


class Attempt(NamedTuple):
    """The changes for one call of a deployment.

    Attributes:
        request: the keyword arguments to call with. ``None`` for no change.
        run_guardrails: runs the gateway's guardrails on ``request`` and raises their refusal. ``None`` if there is
            nothing to run.
    """

    request: dict[str, Any] | None
    run_guardrails: Callable[[], Awaitable[None]] | None


NOTHING_TO_DO = Attempt(None, None)

_OTHER_ROUTES = frozenset((*FALLBACKS, "router_settings_override", "user_config"))
"""Parameters of a request that may lead it to other models than its name says."""

_CURRENT_SECONDS = 1.0
"""Seconds until a change of the router's models is noticed."""


@dataclass(frozen=True, slots=True)
class AutoMode:
    """Automatic image analysis on a proxy.

    Attributes:
        config: the operator's settings.
        analyzer: analyses the images.
        check_alone: raises ``RequestError`` if several instances of ``ImageAnalysis`` are registered.
    """

    config: ImageAnalysisConfig
    analyzer: Analyzer
    check_alone: Callable[[], None]
    _analysed_everywhere: TTLCache[tuple[Router, str, str | None], bool] = field(
        default_factory=lambda: TTLCache(1000, _CURRENT_SECONDS), init=False
    )

    def before_routing(
        self, data: dict[str, Any], wire_format: WireFormat, deferred: DeferredAnalysis
    ) -> RequestedAnalysis | None:
        """Decide for all deployments that may serve a request, if the images of all of them are analysed.

        LiteLLM copies and writes down a request before it calls a deployment, which takes long if it has images.

        Args:
            data: the request.
            wire_format: its wire format.
            deferred: its deferred analysis.

        Returns:
            The analysis that the request needs, if it has images. ``None`` if it needs none, or a deployment decides.
        """
        if deferred.is_settled or deferred.mode != "auto" or not self._is_analysed_everywhere(data, deferred):
            return None
        deferred.settle()
        if wire_format.is_plain_text(data):
            return None
        return RequestedAnalysis(deferred.context_with_rules(), chosen_by_caller=False, is_asked=False)

    def _is_analysed_everywhere(self, data: dict[str, Any], deferred: DeferredAnalysis) -> bool:
        context, name = deferred.context, data.get("model")
        may_be = context.withheld is None and deferred.problem is None
        if not may_be or context.router is None or not isinstance(name, str) or not _OTHER_ROUTES.isdisjoint(data):
            return False
        asked = context.router, name, context.caller.team_id
        known = self._analysed_everywhere.get(asked)
        if known is None:
            known = vision_support.is_analysed_everywhere(*asked, context.config.mode)
            self._analysed_everywhere[asked] = known
        return known

    def may_apply(self, kwargs: dict[str, Any], deferred: DeferredAnalysis) -> bool:
        """Return whether the images of a call may have to be replaced. Those of most calls need not.

        Args:
            kwargs: the call's keyword arguments.
            deferred: the deferred analysis of the request.
        """
        is_open = not deferred.is_settled and vision_support.may_be_due(kwargs, deferred.mode)
        return is_open or self._asks(kwargs, deferred)

    async def before_call(
        self, kwargs: dict[str, Any], call_type: str, wire_format: WireFormat, deferred: DeferredAnalysis
    ) -> Attempt:
        """Replace the images of a call that needs or asks for analysis.

        A call needs analysis if its deployment accepts no images, or is set to ``image_analysis: always``. It asks for
        analysis if it is a fallback to a name with the suffix.

        Args:
            kwargs: the keyword arguments of a call that this may apply to. The messages are not changed, because the
                next attempt needs them.
            call_type: LiteLLM's name for the call.
            wire_format: the wire format of the call.
            deferred: the deferred analysis of the request.

        Returns:
            The keyword arguments to call with and the guardrails to run. ``NOTHING_TO_DO`` if nothing changes.

        Raises:
            RequestError: the call cannot be served.
        """
        context, asks = deferred.context, self._asks(kwargs, deferred)
        if not asks and context.withheld is not None:
            return NOTHING_TO_DO
        accepted = partial(vision_support.accepted_files, kwargs)
        found = await self.analyzer.find(kwargs, wire_format, context.config, accepted, checks_shape=False)
        if not found:
            return NOTHING_TO_DO
        if not asks and not vision_support.should_analyze(kwargs, deferred.mode):
            return NOTHING_TO_DO
        self.check_alone()
        request, run_guardrails = dict(kwargs), None
        with containment.contained_analysis(request, wire_format, context):
            await self._analyse(request, found, wire_format, deferred)
            run_guardrails = rerun_guardrails(request, deferred.caller, call_type)
        with containment.log_and_continue("attaching the cost"):
            total.attach_cost(metadata_of(request), call_type, is_shown=False)
            metadata.share_notes(request, deferred.home)
        return Attempt(request, run_guardrails)

    @staticmethod
    def _asks(kwargs: dict[str, Any], deferred: DeferredAnalysis) -> bool:
        """Return whether the name of a fallback has the suffix."""
        config, router = deferred.config, routing.running_router()
        own = deferred.request.get("model")  # which does not ask
        for bucket in metadata_buckets(kwargs):
            name = bucket.get("model_group")
            if name != own and routing.may_ask(name, config.suffix, router):
                return isinstance(routing.activation_of(metadata.called_group(kwargs), config, router), Active)
        return False  # most calls: without finding out which of the names the Router wrote

    async def _analyse(
        self,
        request: dict[str, Any],
        found: Attachments,
        wire_format: WireFormat,
        deferred: DeferredAnalysis,
    ) -> None:
        if deferred.problem is not None:
            raise deferred.problem
        context = deferred.context_with_rules()
        await self.analyzer.check_shape(request, wire_format, context.config)
        as_sent = {**request, "model": metadata.called_group(request)}  # the name of the group, not the deployment's
        if found.images:
            requested = RequestedAnalysis(context, chosen_by_caller=False)
            context = await admission.check_vision(requested, as_sent, self.config)
        check_budget = partial(budgets.check_vision, context, as_sent, again=True)
        await self.analyzer.replace(
            request, found, wire_format, context, earlier=deferred.outcomes, check_budget=check_budget
        )
