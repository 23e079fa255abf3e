"""The analysis of one request's images: cache, vision call, billing and log together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, cast

import litellm

from litellm_image_analysis.analysis.limits import check_count, check_shape, is_large
from litellm_image_analysis.analysis.outcomes import Failed, FailureReason
from litellm_image_analysis.analysis.pipeline import Preview, VisionTarget, preview, rewrite
from litellm_image_analysis.analysis.render import file_text
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import identity, metadata, summary
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.cache.per_request import RequestCache
from litellm_image_analysis.cache.redis_store import RedisStore
from litellm_image_analysis.compat import credential_overrides
from litellm_image_analysis.engine import containment, redis_settings, routing, tenancy, tracing
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.event_loops import computed
from litellm_image_analysis.log import LOGGER
from litellm_image_analysis.request import NO_ATTACHMENTS, plain_text
from litellm_image_analysis.vision import local_ocr, monitoring
from litellm_image_analysis.vision.call import make_ask
from litellm_image_analysis.vision.gate import Gate, ModelGroup

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from litellm_image_analysis.analysis.outcomes import Outcome
    from litellm_image_analysis.analysis.ports import AskVision, ReportObserver
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.cache.per_request import RequestOutcomes
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.engine.context import RequestContext
    from litellm_image_analysis.request import Attachments, WireFormat
    from litellm_image_analysis.request.files import FileKind
    from litellm_image_analysis.vision.call import CompletionApi

_REGIONS = ("eu", "us")
"""LiteLLM's values of ``allowed_model_region``."""


class Analyzer:
    """Replaces images by analyses of a vision model, and caches them.

    Args:
        config: the settings, with those of the cache.

    Raises:
        ConfigError: the settings need a package or a LiteLLM that is not installed.
    """

    def __init__(self, config: ImageAnalysisConfig) -> None:
        identity.check_supported(config)
        redis_settings.check_client_library(config.cache)
        in_redis = config.cache.backend == "redis"
        store = RedisStore(partial(redis_settings.connect, config.cache), LOGGER.warning) if in_redis else None
        metrics, contained = monitoring.metrics(), containment.contained
        self.cache = Cache(
            config.cache,
            config.timeout_seconds,
            store,
            on_join=contained(metrics.count_joined, "counting a shared vision call"),
            on_change=contained(metrics.show_cache, "measuring the cache"),
        )
        self.gate = Gate(
            config,
            contained(metrics.show_status, "measuring vision calls"),
            monitoring.log_circuit,
            observe_call=contained(metrics.count_call, "counting a vision call"),
        )
        self._count_request = contained(metrics.count_request, "counting the images of a request")
        self._observers: list[ReportObserver] = []
        local_ocr.register()

    def observe(self, observer: ReportObserver) -> None:
        """Call a function with the report of each further request that has images or files."""
        self._observers.append(containment.contained(observer, "telling an observer what was done"))

    @staticmethod
    async def find(
        data: dict[str, Any],
        wire_format: WireFormat,
        config: ImageAnalysisConfig,
        accepted_files: Callable[[], Collection[FileKind]] = tuple,
        *,
        checks_shape: bool = True,
    ) -> Attachments:
        """Find the images of a request, and the files that its model does not take. Large requests use a thread.

        Args:
            data: the request.
            wire_format: its wire format.
            config: the settings that hold for it.
            accepted_files: returns the kinds of files that the model takes. It is called only if there are files.
            checks_shape: whether the limits of the request are checked.

        Raises:
            RequestError: the request has too many messages or is nested too deeply.
        """
        if config.max_nesting_depth >= plain_text.DEPTH and wire_format.is_plain_text(data):
            exceeded = check_count(data, wire_format, config) if checks_shape else None
            if exceeded is not None:
                raise exceeded
            return NO_ATTACHMENTS

        def search() -> Attachments | RequestError:
            exceeded = check_shape(data, wire_format, config) if checks_shape else None
            return exceeded or wire_format.find(data, config.context_tags)

        found = await computed(search, in_thread=is_large(data, wire_format))
        if isinstance(found, RequestError):
            raise found
        if not found.files:
            return found
        accepted = accepted_files()
        return replace(found, files=[file for file in found.files if file.facts.kind not in accepted])

    @staticmethod
    async def check_shape(data: dict[str, Any], wire_format: WireFormat, config: ImageAnalysisConfig) -> None:
        """Check a request whose images were found without limits. Large requests are checked in a thread.

        Args:
            data: the request.
            wire_format: its wire format.
            config: the settings that hold for it.

        Raises:
            RequestError: the request has too many messages or is nested too deeply.
        """
        check = partial(check_shape, data, wire_format, config)
        exceeded = await computed(check, in_thread=is_large(data, wire_format))
        if exceeded is not None:
            raise exceeded

    async def replace(
        self,
        data: dict[str, Any],
        found: Attachments,
        wire_format: WireFormat,
        context: RequestContext,
        earlier: RequestOutcomes | None = None,
        check_budget: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Replace the images of a request by texts and its files by notes, and save the report in its metadata.

        Args:
            data: the request. Its values are replaced and never changed in place.
            found: its images and files.
            wire_format: its wire format.
            context: the values that hold for it.
            earlier: the outcomes of earlier attempts at the same request. The new ones are added.
            check_budget: raises ``RequestError`` if the caller has no budget for a further vision call.

        Raises:
            RequestError: a limit is exceeded, ``on_failure: reject`` applies, or ``cache`` is no object.
        """
        notes = {file.path: file_text(file.facts) for file in found.files}
        if not found.images:
            data.update(wire_format.replace_images(data, notes))
            self._report(data, Report(context.vision_model, files=len(notes)), is_logged=bool(notes))
            return
        if not isinstance(data.get("cache"), (Mapping, NoneType)):  # LiteLLM would fail, after the vision call is paid
            raise RequestError('cache: it must be an object such as {"no-cache": true}.', param="cache")
        local_ocr.register()  # a custom_provider_map in a proxy's config may have removed it
        config = context.config
        if context.rules.timeout_seconds < config.timeout_seconds:
            config = config.model_copy(update={"timeout_seconds": context.rules.timeout_seconds})
        is_first_attempt = earlier is None or not earlier.by_key
        with tracing.traced_analysis(data, context.vision_model) as trace:
            target = self._target(data, found, context, earlier, check_budget, trace)
            result = await rewrite(data, found.images, wire_format, config, target, notes)
            if isinstance(result, RequestError):
                raise result
            trace.show(result)
            data.update(result.changes)
            if result.report.failed and cast("object", litellm.cache) is not None:
                # the answer to images that were not analysed
                data["cache"] = {**(data.get("cache") or {}), "no-store": True}
            if is_first_attempt:  # later ones have the same images
                self._count_request(target.label, result.report)
            self._report(data, replace(result.report, files=0 if result.rejection else len(notes)), is_logged=True)
            if result.rejection is not None:
                raise result.rejection

    def preview(
        self, data: dict[str, Any], found: Attachments, context: RequestContext, answer: str
    ) -> Preview | RequestError:
        """Return what ``replace`` would do with an empty cache, without any vision call or other I/O.

        Args:
            data: the request. It is not changed.
            found: its images and files.
            context: the values that hold for it.
            answer: stands for the text of each analysis.

        Returns:
            The preview, or the error for the response if a limit is exceeded.
        """
        return preview(found.images, context.config, self._target(data, found, context), answer)

    def _target(
        self,
        data: dict[str, Any],
        found: Attachments,
        context: RequestContext,
        earlier: RequestOutcomes | None = None,
        check_budget: Callable[[], Awaitable[None]] | None = None,
        trace: tracing.AnalysisTrace = tracing.NO_TRACE,
    ) -> VisionTarget:
        credentials, rules = _credentials(context), context.rules
        group = _called_group(context, has_credentials=bool(credentials))
        return VisionTarget(
            model=context.vision_model,
            ask=trace.traced(_once_needed(partial(self._make_ask, data, context, credentials, group, check_budget))),
            tenant=tenancy.tenant(context.config.cache, context.caller, owns_model=group.is_teams),
            answers=RequestCache(self.cache, earlier, no_cache=rules.no_cache, no_store=rules.no_store),
            file_providers=routing.file_providers(found.images, context.router, context.vision_model),
            withheld=context.withheld,
            label=group.label,
        )

    def _make_ask(
        self,
        data: dict[str, Any],
        context: RequestContext,
        credentials: dict[str, Any],
        group: ModelGroup,
        check_budget: Callable[[], Awaitable[None]] | None,
    ) -> AskVision:
        """Make the function that asks the vision model for a request: billed to its caller, through the gate."""
        callee = cast("CompletionApi", litellm if context.router is None else context.router)
        payer = identity.child_identity(data, count_tokens=context.config.count_vision_tokens)
        ask = make_ask(callee, {**credentials, **payer}, context.rules)
        ask = self.gate.guarded(ask, tenancy.payer(context.caller), group, tenancy.owner(context.caller))
        return ask if check_budget is None else _within_budget(ask, check_budget)

    def _report(self, data: dict[str, Any], report: Report, *, is_logged: bool) -> None:
        with containment.log_and_continue("reporting what was done"):
            metadata.save_report(data, report)
            if is_logged:
                summary.log_request(data.get("litellm_call_id"), report)
        if is_logged:
            for observer in self._observers:
                observer(data, report)


def _once_needed(make_ask: Callable[[], AskVision]) -> AskVision:
    """Make a function that asks a vision model on its first use, because cached answers need none."""
    made: list[AskVision] = []

    async def ask(request: VisionRequest) -> Outcome:
        if not made:
            made.append(make_ask())
        return await made[0](request)

    return ask


def _within_budget(ask: AskVision, check_budget: Callable[[], Awaitable[None]]) -> AskVision:
    """Check the budget again before each vision call but the first, whose budget was checked with the request."""
    calls = 0

    async def ask_within_budget(request: VisionRequest) -> Outcome:
        nonlocal calls
        calls += 1
        if calls > 1:
            try:
                await check_budget()
            except RequestError:
                return Failed(FailureReason.BUDGET_EXCEEDED)
        return await ask(request)

    return ask_within_budget


def _called_group(context: RequestContext, *, has_credentials: bool) -> ModelGroup:
    """Return the model group that the router calls.

    The deployments of a region, and a team's own credentials, may fail where others do not. They are a group of their
    own. What a team's own account says is that team's, like the words of a model of its own.
    """
    caller, region = context.caller, context.rules.region
    group = routing.called_group(context.router, context.vision_model, None if caller is None else caller.team_id)
    if region is not None:
        is_known = region in _REGIONS  # a caller may invent others
        group = replace(group, name=f"{group.name} in {region}", is_listed=group.is_listed and is_known)
    if caller is not None and has_credentials:
        owner = "_".join(filter(None, (caller.team_id, caller.project_id)))
        group = replace(group, name=f"{group.name}_{owner}", is_listed=False, is_teams=True)
    return group


def _credentials(context: RequestContext) -> dict[str, Any]:
    """Return the credentials that the caller's team or project has for the vision model."""
    if context.caller is None:
        return {}
    return credential_overrides(context.vision_model, context.caller, context.router)
