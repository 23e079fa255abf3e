"""Attempts of a proxy's router at answering a request that did not ask for image analysis, and may need it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from litellm_image_analysis.billing import metadata, total
from litellm_image_analysis.engine import containment, vision_support
from litellm_image_analysis.proxy import admission
from litellm_image_analysis.proxy.admission import Asked
from litellm_image_analysis.proxy.late_hook import rerun_guardrails

if TYPE_CHECKING:
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.engine.analyzer import Analyzer
    from litellm_image_analysis.proxy.deferred import DeferredAnalysis
    from litellm_image_analysis.request import WireFormat


class Attempt(NamedTuple):
    """What one attempt is made with.

    Attributes:
        request: keyword arguments of the call; ``None``: as they are.
        run_guardrails: runs the gateway's guardrails on ``request``, and raises their refusal; ``None``: none to run.
    """

    request: dict[str, Any] | None
    run_guardrails: Callable[[], Awaitable[None]] | None


NOTHING_TO_DO = Attempt(None, None)


@dataclass(frozen=True, slots=True)
class AutoMode:
    """What an operator set up.

    Attributes:
        config: the settings.
        analyst: analyses.
        check_alone: raises if another instance would serve the same calls.
    """

    config: ImageAnalysisConfig
    analyzer: Analyzer
    check_alone: Callable[[], None]

    async def before_call(
        self, kwargs: dict[str, Any], call_type: str, wire_format: WireFormat, deferred: DeferredAnalysis
    ) -> Attempt:
        """Replace the images of a call whose deployment cannot see them, or whose operator always wants that.

        Args:
            kwargs: the call's keyword arguments; the messages in them stay as they are, for the next attempt.
            call_type: LiteLLM's name for it.
            wire_format: its wire format.
            deferred: what holds for the request.

        Returns:
            Those to call with instead, or ``None`` for no change, and what runs the guardrails on them.

        Raises:
            RequestError: the call cannot be served.
        """
        mode = deferred.context.config.mode
        may_be_due = not vision_support.is_ruled_out(kwargs, mode) and wire_format.find_images(kwargs)
        if not may_be_due or not vision_support.should_analyze(kwargs, mode):
            return NOTHING_TO_DO
        self.check_alone()
        request, run_guardrails = dict(kwargs), None
        with containment.contained_analysis(request, wire_format, deferred.context):
            await self._analyse(request, wire_format, deferred)
            run_guardrails = rerun_guardrails(request, deferred.context.caller, call_type)
        with containment.log_and_continue("attaching the cost"):
            total.attach_cost(request, call_type, is_shown=False)
            metadata.share_notes(request, deferred.home)
        return Attempt(request, run_guardrails)

    async def _analyse(self, request: dict[str, Any], wire_format: WireFormat, deferred: DeferredAnalysis) -> None:
        if deferred.problem is not None:
            raise deferred.problem
        context = deferred.context
        found = self.analyzer.find_images(request, wire_format, context.config)
        as_sent = {**request, "model": metadata.get_note(request, "model_group")}  # not the deployment's own name
        await admission.check_vision(Asked(context, chosen_by_caller=False), as_sent, self.config)
        await self.analyzer.replace(request, found, wire_format, context, earlier=deferred.outcomes)
