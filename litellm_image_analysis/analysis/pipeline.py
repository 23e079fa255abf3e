"""The analysis of one request: plan the vision calls, make them, replace the images, and report.

All decisions are pure functions. The one effect, the vision call, is a function that is passed in. Changes are computed
after all calls have ended, so a request is rewritten completely or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from litellm_image_analysis.analysis.limits import check_pixels, check_sizes, is_large
from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.plan import Step, make_plan, within_limits
from litellm_image_analysis.analysis.prompt import VisionRequest
from litellm_image_analysis.analysis.render import analysis_text, failure_text, reference_text, repetition_text
from litellm_image_analysis.analysis.report import Report, make_report
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.event_loops import computed
from litellm_image_analysis.request.image import LARGE_CHARACTERS

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.ports import AnswerStore, AskVision
    from litellm_image_analysis.analysis.tenant import Tenant
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import Body, FoundImage, Path, WireFormat

_IMAGES_ON_AN_EVENT_LOOP = 30


@dataclass(frozen=True, slots=True)
class VisionTarget:
    """The vision model of a request, and how it is asked.

    Attributes:
        model: the vision model's name.
        ask: asks it.
        tenant: the callers that share its answers.
        answers: its earlier answers.
        file_providers: the providers of its deployments. A file that is kept at a provider can be analysed only there.
        withheld: why no image may be analysed. ``None`` if they may.
        label: its name in metrics. ``None`` if the name may be invented.
    """

    model: str
    ask: AskVision
    tenant: Tenant
    answers: AnswerStore
    file_providers: Collection[str] = ()
    withheld: FailureReason | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The result for one image.

    Attributes:
        image: the image.
        outcome: its outcome.
        key: the key of its vision request. ``None`` if a vision model cannot be asked about it.
    """

    image: FoundImage
    outcome: Outcome
    key: str | None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The result of an analysis.

    Attributes:
        changes: the values of the body that change.
        report: what was done, and what it cost.
        rejection: the error for the response if an image failed and ``on_failure: reject`` applies. Nothing changes.
        images: the result for each image, in their order.
    """

    changes: dict[str, Any]
    report: Report
    rejection: RequestError | None = None
    images: Sequence[ImageResult] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What an analysis would do if no answer is cached and every vision call succeeds.

    Attributes:
        steps: the images of each vision call, and images without a call.
        outcomes: the outcome of each step.
        calls: the vision calls.
        texts: the text in the place of each image. An image that stays has none.
        rejection: the error for the response if an image cannot be analysed and ``on_failure: reject`` applies.
    """

    steps: Sequence[Step]
    outcomes: Sequence[Outcome]
    calls: Sequence[VisionRequest]
    texts: Mapping[Path, str]
    rejection: RequestError | None


def preview(
    found: Sequence[FoundImage], config: ImageAnalysisConfig, target: VisionTarget, answer: str
) -> Preview | RequestError:
    """Make the decisions of ``rewrite`` for an empty cache. No vision call is made.

    Args:
        found: the images of a request.
        config: the settings.
        target: the vision model.
        answer: stands for the text of each analysis.

    Returns:
        The preview, or the error for the response if a limit is exceeded.
    """
    plan = _checked_plan(found, config, target)
    if not isinstance(plan, RequestError):
        changed = _changed_plan(found, plan, {}, config, target)
        plan = plan if changed is None else changed
    if isinstance(plan, RequestError):
        return plan
    calls, skipped = within_limits(_distinct(plan), config)
    outcomes = _outcomes(plan, {**{call.key: Analysed(answer) for call in calls}, **skipped})
    rejection = _rejection(_by_image(found, plan, outcomes)) if config.on_failure == "reject" else None
    return Preview(plan, outcomes, calls, _texts(plan, outcomes, config), rejection)


async def rewrite(
    body: Body,
    found: Sequence[FoundImage],
    wire_format: WireFormat,
    config: ImageAnalysisConfig,
    target: VisionTarget,
    notes: Mapping[Path, str] = {},
) -> Rewrite | RequestError:
    """Analyse the images of a request and compute the texts that replace them.

    Args:
        body: the request. It is not changed.
        found: its images.
        wire_format: its wire format.
        config: the settings.
        target: the vision model.
        notes: the texts in place of other parts of the request.

    Returns:
        The result, or the error for the response if a limit is exceeded.
    """
    takes_long = _takes_long(body, found, wire_format)
    plan = await computed(partial(_checked_plan, found, config, target), in_thread=takes_long)
    if isinstance(plan, RequestError):
        return plan
    requests, started = _distinct(plan), anyio.current_time()
    known: Mapping[str, Outcome] = {}
    with anyio.move_on_after(config.timeout_seconds) as time_limit:
        known = await target.answers.recall(requests)
        if len(known) < len(requests):
            changed = await computed(partial(_changed_plan, found, plan, known, config, target), in_thread=takes_long)
            if isinstance(changed, RequestError):
                return changed
            if changed is not None:
                plan, requests = changed, _distinct(changed)
                known = await target.answers.recall(requests)
    answered = await _ask_all(requests, known, config, target, time_limit.deadline)
    duration_ms = round((anyio.current_time() - started) * 1000)

    report_on = partial(make_report, target.model, with_texts=config.page.show_texts)

    def result() -> Rewrite:
        outcomes = _outcomes(plan, answered)
        images = _by_image(found, plan, outcomes)
        by_image = [each.outcome for each in images]
        if config.on_failure == "reject" and (rejection := _rejection(images)):
            return Rewrite({}, report_on(0, outcomes, by_image, duration_ms), rejection, images)
        texts = _texts(plan, outcomes, config)
        report = report_on(len(texts), outcomes, by_image, duration_ms)
        return Rewrite(wire_format.replace_images(body, {**notes, **texts}), report, images=images)

    return await computed(result, in_thread=takes_long)


def _takes_long(body: Body, found: Sequence[FoundImage], wire_format: WireFormat) -> bool:
    """Return whether reading the images or writing their texts takes more than a few milliseconds."""
    if len(found) > _IMAGES_ON_AN_EVENT_LOOP:
        return True
    characters = sum(len(image.source.reference) for image in found if image.source is not None)
    return characters > LARGE_CHARACTERS or is_large(body, wire_format)


def _checked_plan(
    found: Sequence[FoundImage], config: ImageAnalysisConfig, target: VisionTarget, damaged: Collection[str] = ()
) -> list[Step] | RequestError:
    """Return the plan, or the error if a limit is exceeded. What is cheap to check is checked first."""
    if target.withheld is not None:
        return [Step((image,), Failed(target.withheld)) for image in found]
    exceeded = check_sizes(found, config) or check_pixels(found, config)
    return exceeded or make_plan(found, config, target.tenant, target.model, target.file_providers, damaged)


def _changed_plan(
    found: Sequence[FoundImage],
    plan: Sequence[Step],
    known: Mapping[str, Outcome],
    config: ImageAnalysisConfig,
    target: VisionTarget,
) -> list[Step] | RequestError | None:
    """Read every character of the images that a vision model is about to get. Those of a known answer were read for it.

    Returns:
        The plan without damaged images and with all others in standard base64, or the error if a limit is exceeded.
        ``None`` if nothing changes.
    """
    steps = (step for step in plan if isinstance(step.ask, VisionRequest) and step.ask.key not in known)
    images = (image for step in steps for image in step.images)
    other = {image.path: image.source.standard() for image in images if image.source and not image.source.is_whole}
    if not other:
        return None
    damaged = {source.digest for source in other.values() if not source.is_whole}
    standard = [replace(image, source=other.get(image.path, image.source)) for image in found]
    return _checked_plan(standard, config, target, damaged)


def _distinct(plan: Sequence[Step]) -> list[VisionRequest]:
    """Return the vision requests of a plan in the order of their last places. Equal ones are one call."""
    latest_first = {step.ask.key: step.ask for step in reversed(plan) if isinstance(step.ask, VisionRequest)}
    return list(latest_first.values())[::-1]


async def _ask_all(
    requests: Sequence[VisionRequest],
    known: Mapping[str, Outcome],
    config: ImageAnalysisConfig,
    target: VisionTarget,
    deadline: float,
) -> dict[str, Outcome]:
    """Take the known answers and make the other calls concurrently, up to ``max_concurrency``.

    A call without an answer at the deadline has failed. Calls beyond the limits of a request are not made.
    """
    unknown = [request for request in requests if request.key not in known]
    if not unknown:
        return dict(known)
    outcomes = {**known, **{request.key: Failed(FailureReason.TIMEOUT) for request in unknown}}
    latest, skipped = within_limits(unknown, config)
    target.answers.skip(skipped)
    outcomes |= skipped
    limiter = anyio.CapacityLimiter(config.max_concurrency)

    async def ask(request: VisionRequest) -> None:
        outcomes[request.key] = await target.answers.ask(request, target.ask, limiter)

    with anyio.CancelScope(deadline=deadline):
        if len(latest) == 1:
            await ask(latest[0])
            return outcomes
        async with anyio.create_task_group() as group:
            for request in latest:
                group.start_soon(ask, request)
    return outcomes


def _outcomes(plan: Sequence[Step], answered: Mapping[str, Outcome]) -> list[Outcome]:
    """Return the outcome of each step. The first of equal vision requests made the call."""
    seen: set[str] = set()
    outcomes: list[Outcome] = []
    for step in plan:
        if isinstance(step.ask, Failed):
            outcomes.append(step.ask)
            continue
        outcome = answered[step.ask.key]
        outcomes.append(outcome.as_cached() if step.ask.key in seen else outcome)
        seen.add(step.ask.key)
    return outcomes


def _by_image(
    found: Sequence[FoundImage], plan: Sequence[Step], outcomes: Sequence[Outcome]
) -> tuple[ImageResult, ...]:
    """Return the result for each image, in the order of the images."""
    at: dict[Path, ImageResult] = {}
    for step, outcome in zip(plan, outcomes, strict=True):
        key = step.ask.key if isinstance(step.ask, VisionRequest) else None
        at.update({image.path: ImageResult(image, outcome, key) for image in step.images})
    return tuple(at[image.path] for image in found)


def _rejection(images: Sequence[ImageResult]) -> RequestError | None:
    for each in images:
        image, outcome = each.image, each.outcome
        if isinstance(outcome, Failed) and not outcome.is_left_out:
            reason = outcome.reason
            return RequestError(
                f"{image.place} (image {image.number} of {image.count}): {outcome.clause}. {reason.advice}",
                status_code=reason.status_code,
                param=image.place,
                code=reason.error_code,
                retry_after_seconds=outcome.retry_after_seconds,
            )
    return None


def _texts(plan: Sequence[Step], outcomes: Sequence[Outcome], config: ImageAnalysisConfig) -> dict[Path, str]:
    """Return the text for each image. An image that stays has none. An analysis is written once, at its first image."""
    texts: dict[Path, str] = {}
    written: set[str] = set()
    for step, outcome in zip(plan, outcomes, strict=True):
        first, *others = step.images
        if isinstance(outcome, Analysed) and isinstance(step.ask, VisionRequest):
            if step.ask.key in written:
                texts |= {image.path: repetition_text(image, step.ask) for image in step.images}
                continue
            written.add(step.ask.key)
            texts[first.path] = analysis_text(step.images, outcome, step.ask)
            texts |= {image.path: reference_text(image, first) for image in others}
        elif isinstance(outcome, Failed) and (config.on_failure != "keep" or outcome.is_left_out):
            texts |= {image.path: failure_text(image, outcome) for image in step.images}
    return texts
