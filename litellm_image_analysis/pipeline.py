"""One request from its images to their texts: plan, call, replace, report.

Deciding is pure; the one effect, asking the vision model, is a function handed in. Edits are computed when every
outcome is in, so a request is rewritten as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio

from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.limits import check_count, check_pixels, check_sizes
from litellm_image_analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.plan import Step, steps
from litellm_image_analysis.prompt import VisionRequest
from litellm_image_analysis.render import analysis_text, failure_text, reference_text
from litellm_image_analysis.request.image import LARGE_CHARACTERS

if TYPE_CHECKING:
    from litellm_image_analysis.cache import Cache, Look
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.memo import Memo
    from litellm_image_analysis.request import Body, FoundImage, Path, WireFormat
    from litellm_image_analysis.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a request's images, and for whom.

    Attributes:
        model: the vision model.
        look: asks it.
        tenant: those who share what it says.
        cache: what it said before.
        holders: the providers that serve it; one alone can look at the files it keeps.
    """

    model: str
    look: Look
    tenant: Tenant
    cache: Cache | Memo
    holders: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What analysis did to one request.

    Attributes:
        vision_model: the model that was to look.
        images: image parts that gave way to a text, be it an analysis or a note.
        cached: images with an analysis that took no vision call of their own.
        failed: images without an analysis.
        cost: USD of all vision calls; ``None`` if LiteLLM knows no price for one of them.
        duration_ms: wall time from the first look to the last outcome.
        call_ids: ids of the vision calls' spend-log rows.
        reasons: code of each failure, in the images' order.
    """

    vision_model: str
    images: int = 0
    cached: int = 0
    failed: int = 0
    cost: Decimal | None = Decimal(0)
    duration_ms: int = 0
    call_ids: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The body's values that change, and the report of how they came about."""

    changes: dict[str, Any]
    report: Report


async def rewrite(
    body: Body, found: Sequence[FoundImage], wire_format: WireFormat, config: ImageAnalysisConfig, viewer: Viewer
) -> Rewrite | RequestError:
    """Have a request's images analysed and compute what stands in their place.

    Args:
        body: the request, left as it is.
        found: its images.
        wire_format: its wire format.
        config: the settings.
        viewer: who looks.

    Returns:
        The changes to make, or the error to answer with: a limit is exceeded, or ``on_failure: reject`` applies.
    """
    exceeded = await _check_limits(found, config)
    if exceeded is not None:
        return exceeded
    plan = steps(found, config, viewer.tenant, viewer.model, viewer.holders)
    started = anyio.current_time()
    outcomes = await _outcomes(plan, config, viewer)
    duration_ms = round((anyio.current_time() - started) * 1000)
    by_image = _by_image(found, plan, outcomes)
    if config.on_failure == "reject" and (rejection := _rejection(found, by_image)):
        return rejection
    texts = _texts(plan, outcomes, config)
    report = _report(viewer.model, len(texts), outcomes, by_image, duration_ms)
    return Rewrite(wire_format.replace_images(body, texts), report)


async def _check_limits(found: Sequence[FoundImage], config: ImageAnalysisConfig) -> RequestError | None:
    """Hold the images to the limits; in a thread if they are large."""
    exceeded = check_sizes(found, config)
    if exceeded is not None:
        return exceeded
    if sum(len(image.source.reference) for image in found if image.source is not None) > LARGE_CHARACTERS:
        return await anyio.to_thread.run_sync(_go_over, found, config)
    return check_pixels(found, config) or check_count(found, config)


def _go_over(found: Sequence[FoundImage], config: ImageAnalysisConfig) -> RequestError | None:
    """Do all that looks at every character: what is found is kept by each source."""
    exceeded = check_pixels(found, config)
    if exceeded is not None:
        return exceeded
    for image in found:
        if image.source is not None and image.source.flaw is None:
            image.source.digest  # noqa: B018 - kept
    return check_count(found, config)


async def _outcomes(plan: Sequence[Step], config: ImageAnalysisConfig, viewer: Viewer) -> list[Outcome]:
    """One outcome a step; what is asked twice in a request is asked once."""
    distinct = {step.ask.key: step.ask for step in plan if isinstance(step.ask, VisionRequest)}
    looked = await _look_at_all(list(distinct.values()), config, viewer)
    outcomes: list[Outcome] = []
    for step in plan:
        if isinstance(step.ask, Failed):
            outcomes.append(step.ask)
        else:
            outcomes.append(looked[step.ask.key])
            looked[step.ask.key] = looked[step.ask.key].had_for_nothing()
    return outcomes


async def _look_at_all(
    requests: Sequence[VisionRequest], config: ImageAnalysisConfig, viewer: Viewer
) -> dict[str, Outcome]:
    """Recall what is known and ask the rest at once, up to ``max_concurrency``, within one deadline.

    Whoever has not answered by then failed.
    """
    outcomes: dict[str, Outcome] = {request.key: Failed(FailureReason.TIMEOUT) for request in requests}
    limiter = anyio.CapacityLimiter(config.max_concurrency)

    async def ask(request: VisionRequest) -> None:
        outcomes[request.key] = await viewer.cache.ask(request, viewer.look, limiter)

    with anyio.move_on_after(config.timeout_seconds):
        known = await viewer.cache.recall(requests)
        outcomes |= known
        async with anyio.create_task_group() as group:
            for request in requests:
                if request.key not in known:
                    group.start_soon(ask, request)
    return outcomes


def _by_image(found: Sequence[FoundImage], plan: Sequence[Step], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome an image, in the images' order."""
    at = {image.path: outcome for step, outcome in zip(plan, outcomes, strict=True) for image in step.images}
    return [at[image.path] for image in found]


def _rejection(found: Sequence[FoundImage], by_image: Sequence[Outcome]) -> RequestError | None:
    for image, outcome in zip(found, by_image, strict=True):
        if isinstance(outcome, Failed):
            reason = outcome.reason
            return RequestError(
                f"{image.place} (image {image.number} of {image.count}): {reason.clause}.",
                status_code=reason.status_code,
                param=image.place,
                code=f"image_analysis_{reason.code}",
                retry_after_seconds=outcome.retry_after_seconds,
            )
    return None


def _texts(plan: Sequence[Step], outcomes: Sequence[Outcome], config: ImageAnalysisConfig) -> dict[Path, str]:
    """What stands in each image's place; an image that stays has no entry."""
    texts: dict[Path, str] = {}
    for step, outcome in zip(plan, outcomes, strict=True):
        first, *others = step.images
        if isinstance(outcome, Analysed) and isinstance(step.ask, VisionRequest):
            texts[first.path] = analysis_text(step.images, outcome, step.ask)
            texts |= {image.path: reference_text(image, first) for image in others}
        elif isinstance(outcome, Failed) and config.on_failure != "keep":
            texts |= {image.path: failure_text(image, outcome.reason) for image in step.images}
    return texts


def _report(
    vision_model: str,
    replaced: int,
    outcomes: Sequence[Outcome],
    by_image: Sequence[Outcome],
    duration_ms: int,
) -> Report:
    costs = [outcome.cost for outcome in outcomes]
    failures = [outcome for outcome in by_image if isinstance(outcome, Failed)]
    return Report(
        vision_model=vision_model,
        images=replaced,
        cached=sum(isinstance(outcome, Analysed) and outcome.cached for outcome in by_image),
        failed=len(failures),
        cost=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        duration_ms=duration_ms,
        call_ids=tuple(outcome.call_id for outcome in outcomes if outcome.call_id is not None),
        reasons=tuple(failure.reason.code for failure in failures),
    )
