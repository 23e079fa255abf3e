"""The explanation of a request, made by the code that a proxy runs, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from litellm.proxy._types import UserAPIKeyAuth

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason
from litellm_image_analysis.analysis.prompt import VisionRequest
from litellm_image_analysis.analysis.render import failure_text, file_text
from litellm_image_analysis.cli import gateway
from litellm_image_analysis.cli.explain.decision import Decision, decide
from litellm_image_analysis.compat import MASTER_KEY_ALIAS
from litellm_image_analysis.engine import vision_support
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.engine.context import ProxyContext
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request import NO_ATTACHMENTS, Attachments
from litellm_image_analysis.request.activation import PARAMETER
from litellm_image_analysis.vision.caller_rules import read_rules

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.analysis.outcomes import Outcome
    from litellm_image_analysis.analysis.pipeline import Preview
    from litellm_image_analysis.cli.explain.request import Request
    from litellm_image_analysis.cli.gateway_config import GatewayConfig
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import FoundImage
    from litellm_image_analysis.request.files import FoundFile

ANSWER = "(the analysis)"
"""Stands for the text of an analysis that was not made."""

METADATA = ("metadata", "litellm_metadata")


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What is decided for an image.

    Attributes:
        image: the image.
        ask: the vision call that it is part of. ``None`` if there is none.
        outcome: ``Analysed`` if the call succeeds, or the reason why there is no call. ``None`` if the image is not
            to be analysed.
        same_as: an earlier image with the same vision call.
        text: the text in its place if the call succeeds. ``None`` if the image stays.
        failure_text: the text in its place if the call fails, with ``on_failure: placeholder``.
    """

    image: FoundImage
    ask: VisionRequest | None = None
    outcome: Outcome | None = None
    same_as: FoundImage | None = None
    text: str | None = None
    failure_text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What image analysis would do with a request.

    Attributes:
        decision: what is decided before the images are read.
        images: its images, in order.
        files: its files that are no images. Each with the note in its place, or ``None`` if it stays.
        calls: the vision calls with an empty cache.
        rejection: the error for the response, if the request is refused.
        data: the request without suffix and ``ocr_model``, for the analysis.
        found: the images and files to replace.
        context: the values that hold for the analysis.
        analyzer: makes the analysis.
    """

    decision: Decision
    images: Sequence[ImagePlan] = ()
    files: Sequence[tuple[FoundFile, str | None]] = ()
    calls: Sequence[VisionRequest] = ()
    rejection: RequestError | None = None
    data: dict[str, Any] = field(repr=False)
    found: Attachments = NO_ATTACHMENTS
    context: ProxyContext = field(repr=False)
    analyzer: Analyzer = field(repr=False)


async def explain(
    request: Request, config: GatewayConfig, settings: ImageAnalysisConfig, router: Router, team_id: str | None
) -> Explanation:
    """Make the decisions that a proxy makes for a request. The cache counts as empty.

    Args:
        request: the request.
        config: the proxy's config.
        settings: the settings of image analysis, with the secret of cache keys.
        router: a Router with the models of the config.
        team_id: the team of the caller, who otherwise has the master key.
    """
    decision = decide(request.body, settings, router)
    data = {key: value for key, value in request.body.items() if key not in (PARAMETER, *METADATA)}
    data |= {"model": decision.model, "metadata": {}}
    caller = UserAPIKeyAuth(api_key=MASTER_KEY_ALIAS or gateway.master_key(config), team_id=team_id)
    context = ProxyContext(
        config=settings,
        vision_model=decision.vision_model,
        router=router,
        caller=caller,
        rules=read_rules(data, caller),
        withheld=decision.withheld,
    )
    made = partial(Explanation, decision=decision, data=data, context=context, analyzer=Analyzer(settings))
    if decision.refusal is not None:
        return made(rejection=decision.refusal)
    accepted = partial(vision_support.accepted_files_of_group, router, decision.model, team_id)
    try:
        every = await Analyzer.find(data, request.wire_format, settings, checks_shape=decision.analysed)
        found = await Analyzer.find(data, request.wire_format, settings, accepted, checks_shape=decision.analysed)
    except RequestError as error:
        return made(rejection=error)
    if not decision.analysed:
        return made(images=[ImagePlan(image) for image in every.images], files=[(file, None) for file in every.files])
    replaced = {file.path for file in found.files}
    files = [(file, file_text(file.facts) if file.path in replaced else None) for file in every.files]
    return _with_plan(made, files, found, data, context)


def _with_plan(
    made: partial[Explanation],
    files: Sequence[tuple[FoundFile, str | None]],
    found: Attachments,
    data: dict[str, Any],
    context: ProxyContext,
) -> Explanation:
    made = partial(made, files=files, found=found)
    if not found.images:
        return made()
    analyzer: Analyzer = made.keywords["analyzer"]
    preview = analyzer.preview(data, found, context, ANSWER)
    if isinstance(preview, RequestError):
        return made(images=[ImagePlan(image) for image in found.images], rejection=preview)
    return made(images=_plans(found, preview), calls=preview.calls, rejection=preview.rejection)


def _plans(found: Attachments, preview: Preview) -> list[ImagePlan]:
    plans: dict[object, ImagePlan] = {}
    first: dict[str, FoundImage] = {}
    for step, outcome in zip(preview.steps, preview.outcomes, strict=True):
        ask = step.ask if isinstance(step.ask, VisionRequest) else None
        for image in step.images:
            same_as = first.get(ask.key) if ask is not None and image is step.images[0] else None
            plans[image.path] = ImagePlan(
                image, ask, outcome, same_as, preview.texts.get(image.path), _failure_text(image, outcome)
            )
        if ask is not None:
            first.setdefault(ask.key, step.images[0])
    return [plans[image.path] for image in found.images]


def _failure_text(image: FoundImage, outcome: Outcome) -> str | None:
    """Return the note that replaces an image whose vision call takes too long. ``None`` if there is no call."""
    return failure_text(image, Failed(FailureReason.TIMEOUT)) if isinstance(outcome, Analysed) else None


def media_type_of(image: FoundImage) -> str | None:
    """Return the MIME type that the vision model gets for an image in the request."""
    if image.source is None or image.source.kind != "inline":
        return None
    return image.source.url[:_HEAD_CHARACTERS].partition(";")[0].removeprefix("data:") or None


_HEAD_CHARACTERS = 100

KINDS: Mapping[str, str] = {"inline": "data", "remote": "url", "held": "file id", "unsupported": "unreadable"}


def kind_of(image: FoundImage) -> str:
    """Return whether an image is data in the request, a URL, a file id, or unreadable."""
    return "unreadable" if image.source is None else KINDS[image.source.kind]
