"""One request from its images to their texts: plan, call, replace, report.

Deciding is pure; the one effect, asking the vision model, is a function handed in. Edits are computed when every
outcome is in, so a request is rewritten as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from typing_extensions import assert_never

from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.images import check_limits, may_be_fetched
from litellm_image_analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.prompt import VisionRequest, vision_request
from litellm_image_analysis.render import analysis_text, failure_text

if TYPE_CHECKING:
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.dialects import Body, Dialect, FoundImage, Path

Look: TypeAlias = Callable[[VisionRequest], Awaitable[Outcome]]
"""Ask a vision model. Returns failures, never raises them."""


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
    body: Body,
    found: Sequence[FoundImage],
    dialect: Dialect,
    vision_model: str,
    config: ImageAnalysisConfig,
    look: Look,
    holders: Collection[str] = (),
) -> Rewrite | RequestError:
    """Have a request's images analysed and compute what stands in their place.

    Args:
        body: the request, left as it is.
        found: its images.
        dialect: its wire format.
        vision_model: who looks.
        config: the settings.
        look: asks the vision model.
        holders: the providers that serve the vision model; one alone can look at the files it keeps.

    Returns:
        The changes to make, or the error to answer with: a limit is exceeded, or ``on_failure: reject`` applies.
    """
    exceeded = check_limits([(image.source, image.place) for image in found if image.source], config)
    if exceeded is not None:
        return exceeded
    plan = [_planned(image, vision_model, config, holders) for image in found]
    started = anyio.current_time()
    outcomes = await _outcomes(plan, config, look)
    duration_ms = round((anyio.current_time() - started) * 1000)
    if config.on_failure == "reject" and (rejection := _rejection(found, outcomes)):
        return rejection
    texts = _texts(found, plan, outcomes, config)
    report = _report(vision_model, len(texts), outcomes, duration_ms)
    return Rewrite(dialect.replace_images(body, texts), report)


def _planned(
    image: FoundImage, vision_model: str, config: ImageAnalysisConfig, holders: Collection[str]
) -> VisionRequest | Failed:
    """What to ask about one image, or why nobody is asked."""
    if image.source is None:
        return Failed(FailureReason.MALFORMED)
    if image.source.kind == "unsupported":
        return Failed(FailureReason.UNSUPPORTED_SOURCE)
    if image.source.kind == "held" and set(holders) != {image.source.holder}:
        return Failed(FailureReason.NOT_HELD)
    if image.source.kind == "remote" and not may_be_fetched(image.source, config):
        return Failed(FailureReason.URL_NOT_ALLOWED)
    return vision_request(vision_model, image.source, image.question, config.prompt, config.max_output_tokens)


async def _outcomes(plan: Sequence[VisionRequest | Failed], config: ImageAnalysisConfig, look: Look) -> list[Outcome]:
    """One outcome an image, in the images' order; what is asked twice in a request is asked once."""
    distinct = {step.key: step for step in plan if isinstance(step, VisionRequest)}
    looked = dict(zip(distinct, await _look_at_all(list(distinct.values()), config, look), strict=True))
    outcomes: list[Outcome] = []
    paid: set[str] = set()
    for step in plan:
        if isinstance(step, Failed):
            outcomes.append(step)
        else:
            outcomes.append(_shared(looked[step.key]) if step.key in paid else looked[step.key])
            paid.add(step.key)
    return outcomes


async def _look_at_all(requests: Sequence[VisionRequest], config: ImageAnalysisConfig, look: Look) -> list[Outcome]:
    """Ask all at once, up to ``max_concurrency``, within one deadline; whoever has not answered by then failed."""
    outcomes: list[Outcome] = [Failed(FailureReason.TIMEOUT)] * len(requests)
    limiter = anyio.CapacityLimiter(config.max_concurrency)

    async def look_at(index: int, request: VisionRequest) -> None:
        async with limiter:
            outcomes[index] = await look(request)

    with anyio.move_on_after(config.timeout_seconds):
        async with anyio.create_task_group() as group:
            for index, request in enumerate(requests):
                group.start_soon(look_at, index, request)
    return outcomes


def _shared(outcome: Outcome) -> Outcome:
    """The outcome of an image that stands in the request a second time: had for nothing."""
    match outcome:
        case Analysed():
            return replace(outcome, cost=Decimal(0), call_id=None, cached=True)
        case Failed():
            return replace(outcome, cost=Decimal(0), call_id=None)
        case _:
            assert_never(outcome)


def _rejection(found: Sequence[FoundImage], outcomes: Sequence[Outcome]) -> RequestError | None:
    for image, outcome in zip(found, outcomes, strict=True):
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


def _texts(
    found: Sequence[FoundImage],
    plan: Sequence[VisionRequest | Failed],
    outcomes: Sequence[Outcome],
    config: ImageAnalysisConfig,
) -> dict[Path, str]:
    """What stands in each image's place; an image that stays has no entry."""
    texts: dict[Path, str] = {}
    for image, step, outcome in zip(found, plan, outcomes, strict=True):
        if isinstance(outcome, Analysed) and isinstance(step, VisionRequest):
            texts[image.path] = analysis_text(image, outcome, step)
        elif isinstance(outcome, Failed) and config.on_failure != "keep":
            texts[image.path] = failure_text(image, outcome.reason)
    return texts


def _report(vision_model: str, replaced: int, outcomes: Sequence[Outcome], duration_ms: int) -> Report:
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    costs = [outcome.cost for outcome in outcomes]
    return Report(
        vision_model=vision_model,
        images=replaced,
        cached=sum(isinstance(outcome, Analysed) and outcome.cached for outcome in outcomes),
        failed=len(failures),
        cost=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        duration_ms=duration_ms,
        call_ids=tuple(outcome.call_id for outcome in outcomes if outcome.call_id is not None),
        reasons=tuple(failure.reason.code for failure in failures),
    )
