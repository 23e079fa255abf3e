"""One request from its images to their texts: plan, call, replace, report.

Deciding is pure; the one effect, asking the vision model, is a function handed in. Edits are computed when every
outcome is in, so a request is rewritten as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from litellm_image_analysis.analysis.limits import check_count, check_pixels, check_sizes
from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.plan import Step, steps
from litellm_image_analysis.analysis.prompt import VisionRequest
from litellm_image_analysis.analysis.render import analysis_text, failure_text, reference_text
from litellm_image_analysis.analysis.report import Report, make_report
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request.image import LARGE_CHARACTERS

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.ports import AnswerStore, AskVision
    from litellm_image_analysis.analysis.tenant import Tenant
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import Body, FoundImage, Path, WireFormat


@dataclass(frozen=True, slots=True)
class VisionTarget:
    """The vision model of a request, and how it is asked.

    Attributes:
        model: the vision model's name.
        ask: asks it.
        tenant: the callers that share its answers.
        answers: its earlier answers.
        file_providers: the providers of its deployments. A file that is kept at a provider can be analysed only there.
    """

    model: str
    ask: AskVision
    tenant: Tenant
    answers: AnswerStore
    file_providers: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The body's values that change, and the report of how they came about."""

    changes: dict[str, Any]
    report: Report


async def rewrite(
    body: Body, found: Sequence[FoundImage], wire_format: WireFormat, config: ImageAnalysisConfig, target: VisionTarget
) -> Rewrite | RequestError:
    """Have a request's images analysed and compute what stands in their place.

    Args:
        body: the request, left as it is.
        found: its images.
        wire_format: its wire format.
        config: the settings.
        target: the vision model.

    Returns:
        The changes to make, or the error to answer with: a limit is exceeded, or ``on_failure: reject`` applies.
    """
    exceeded = await _check_limits(found, config)
    if exceeded is not None:
        return exceeded
    plan = steps(found, config, target.tenant, target.model, target.file_providers)
    started = anyio.current_time()
    outcomes = await _outcomes(plan, config, target)
    duration_ms = round((anyio.current_time() - started) * 1000)
    by_image = _by_image(found, plan, outcomes)
    if config.on_failure == "reject" and (rejection := _rejection(found, by_image)):
        return rejection
    texts = _texts(plan, outcomes, config)
    report = make_report(target.model, len(texts), outcomes, by_image, duration_ms)
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


async def _outcomes(plan: Sequence[Step], config: ImageAnalysisConfig, target: VisionTarget) -> list[Outcome]:
    """One outcome a step; what is asked twice in a request is asked once."""
    distinct = {step.ask.key: step.ask for step in plan if isinstance(step.ask, VisionRequest)}
    answered = await _ask_all(list(distinct.values()), config, target)
    outcomes: list[Outcome] = []
    for step in plan:
        if isinstance(step.ask, Failed):
            outcomes.append(step.ask)
        else:
            outcomes.append(answered[step.ask.key])
            answered[step.ask.key] = answered[step.ask.key].as_cached()
    return outcomes


async def _ask_all(
    requests: Sequence[VisionRequest], config: ImageAnalysisConfig, target: VisionTarget
) -> dict[str, Outcome]:
    """Recall what is known and ask the rest at once, up to ``max_concurrency``, within one deadline.

    Whoever has not answered by then failed.
    """
    outcomes: dict[str, Outcome] = {request.key: Failed(FailureReason.TIMEOUT) for request in requests}
    limiter = anyio.CapacityLimiter(config.max_concurrency)

    async def ask(request: VisionRequest) -> None:
        outcomes[request.key] = await target.answers.ask(request, target.ask, limiter)

    with anyio.move_on_after(config.timeout_seconds):
        known = await target.answers.recall(requests)
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
