"""What to ask about a request's images, decided before anything is asked. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason
from litellm_image_analysis.analysis.prompt import VisionRequest, vision_request
from litellm_image_analysis.request.urls import public_host

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.tenant import Tenant
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import FoundImage


@dataclass(frozen=True, slots=True)
class Step:
    """Images that are looked at in one call, or an image nobody is asked about.

    Attributes:
        images: one image, or those of one message that are looked at together; never none.
        ask: the call, or why there is none.
    """

    images: tuple[FoundImage, ...]
    ask: VisionRequest | Failed


def steps(
    found: Sequence[FoundImage],
    config: ImageAnalysisConfig,
    tenant: Tenant,
    vision_model: str,
    file_providers: Collection[str] = (),
) -> list[Step]:
    """Decide for every image who is asked what.

    Args:
        found: a request's images, in order.
        config: the settings.
        tenant: who asks.
        vision_model: who is asked.
        file_providers: the providers that serve the vision model; one alone can look at the files it keeps.
    """
    planned: list[Step] = []
    for group in _groups(found, config):
        shown: list[FoundImage] = []
        for image in group:
            reason = _exclusion(image, config, file_providers)
            if reason is None:
                shown.append(image)
            else:
                planned.append(Step((image,), Failed(reason)))
        if shown:
            sources = [(image.number, image.source) for image in shown if image.source is not None]
            question = shown[0].question
            request = vision_request(tenant, vision_model, sources, question, config.prompt, config.max_output_tokens)
            planned.append(Step(tuple(shown), request))
    return planned


def _groups(found: Sequence[FoundImage], config: ImageAnalysisConfig) -> list[list[FoundImage]]:
    """The images to look at together: each by itself, or those that came in one message with one question."""
    if config.grouping == "per_image":
        return [[image] for image in found]
    groups: dict[tuple[int, str], list[FoundImage]] = {}
    message = 0
    for image in found:
        message += image.number == 1
        groups.setdefault((message, image.question), []).append(image)
    return list(groups.values())


def _exclusion(image: FoundImage, config: ImageAnalysisConfig, file_providers: Collection[str]) -> FailureReason | None:
    """Why nobody is asked about an image, if nobody is."""
    source = image.source
    if source is None:
        return FailureReason.MALFORMED
    match source.kind:
        case "unsupported":
            return FailureReason.UNSUPPORTED_SOURCE
        case "inline":
            return None if source.flaw is None else FailureReason[source.flaw.upper()]
        case "held":
            return None if set(file_providers) == {source.holder} else FailureReason.NOT_HELD
        case "remote":
            return _url_exclusion(source.url, config)


def _url_exclusion(url: str, config: ImageAnalysisConfig) -> FailureReason | None:
    """Why the vision provider may not fetch an image. The plugin itself never fetches."""
    if config.remote_urls == "reject":
        return FailureReason.URL_NOT_ALLOWED
    host = public_host(url)
    if host is None:
        return FailureReason.URL_NOT_PUBLIC
    is_allowed = config.remote_urls == "pass" or host in config.allowed_url_hosts
    return None if is_allowed else FailureReason.URL_NOT_ALLOWED
