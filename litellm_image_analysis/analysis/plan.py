"""Plan the vision calls for the images of a request, before any call. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from litellm_image_analysis.analysis.outcomes import Failed, FailureReason
from litellm_image_analysis.analysis.prompt import VisionRequest, vision_request
from litellm_image_analysis.request.urls import is_printable, plain_host, public_host

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.outcomes import Outcome
    from litellm_image_analysis.analysis.tenant import Tenant
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.request import FoundImage
    from litellm_image_analysis.request.image import ImageSource


@dataclass(frozen=True, slots=True)
class Step:
    """The images of one vision call, or an image without a call.

    Attributes:
        images: at least one image. With ``grouping: per_message``, the images of one message.
        ask: the vision call, or the reason why there is none.
    """

    images: tuple[FoundImage, ...]
    ask: VisionRequest | Failed


def make_plan(
    found: Sequence[FoundImage],
    config: ImageAnalysisConfig,
    tenant: Tenant,
    vision_model: str,
    file_providers: Collection[str] = (),
    damaged: Collection[str] = (),
) -> list[Step]:
    """Plan the vision calls for the images of a request.

    Whether the base64 of an image is whole is not checked here, because it takes long and a cached analysis proves it.

    Args:
        found: the images, in order.
        config: the settings.
        tenant: the callers that share the answers.
        vision_model: the name of the vision model.
        file_providers: the providers of the vision model's deployments. A file at a provider is readable only if all
            deployments are at this provider.
        damaged: the digests of images that are known to be damaged.
    """
    planned: list[Step] = []
    requests: dict[Hashable, VisionRequest] = {}
    for group in _groups(found, config):
        shown: list[FoundImage] = []
        for image in group:
            reason = _exclusion(image, config, file_providers, damaged)
            if reason is None:
                shown.append(image)
            else:
                planned.append(Step((image,), Failed(reason)))
        for images in _parts(shown, config):
            is_one, question = len(images) == 1, images[0].question
            # The number of a single image is not in its request, so that copies have one request.
            sources = [(1 if is_one else image.number, image.source) for image in images if image.source is not None]
            asked = (*((number, source.digest) for number, source in sources), question)
            if asked not in requests:
                requests[asked] = vision_request(
                    tenant, vision_model, sources, question, config.prompt, config.max_output_tokens
                )
            planned.append(Step(tuple(images), requests[asked]))
    return planned


def within_limits(
    requests: Sequence[VisionRequest], config: ImageAnalysisConfig
) -> tuple[Sequence[VisionRequest], dict[str, Outcome]]:
    """Return the latest vision calls that the limits of one request allow, and the outcomes of the others by key.

    The latest images of a conversation matter most. Earlier ones usually are cached, and need no call.

    Args:
        requests: the vision calls that are not cached, in the order of the images.
        config: the limits: calls, images, and their size.
    """
    sizes: dict[str, int] = {}
    for place in range(len(requests) - 1, -1, -1):
        sizes |= requests[place].sizes
        limit = _exceeded(len(requests) - place, sizes, config)
        if limit is not None:
            skipped = Failed(FailureReason.NOT_LOOKED_AT, limit=limit)
            return requests[place + 1 :], {request.key: skipped for request in requests[: place + 1]}
    return requests, {}


def _exceeded(calls: int, sizes: Mapping[str, int], config: ImageAnalysisConfig) -> str | None:
    if calls > config.max_vision_calls:
        return f"max_vision_calls is {config.max_vision_calls}"
    if len(sizes) > config.max_images:
        return f"max_images is {config.max_images}"
    if sum(sizes.values()) > config.max_request_image_bytes:
        return f"max_request_image_bytes is {config.max_request_image_bytes}"
    return None


def _groups(found: Sequence[FoundImage], config: ImageAnalysisConfig) -> list[list[FoundImage]]:
    """Return the images of each vision call: one image, or those of one message with the same question."""
    if config.grouping == "per_image":
        return [[image] for image in found]
    groups: dict[tuple[int, str], list[FoundImage]] = {}
    message = 0
    for image in found:
        message += image.number == 1
        groups.setdefault((message, image.question), []).append(image)
    return list(groups.values())


def _parts(images: Sequence[FoundImage], config: ImageAnalysisConfig) -> Iterator[list[FoundImage]]:
    """Divide the images of a call so that each part is within the limits of a request. Copies count once."""
    if len(images) == 1:
        yield [*images]
        return
    part: list[FoundImage] = []
    sizes: dict[str, int] = {}
    for image in images:
        size = {image.source.digest: image.source.encoded_bytes} if image.source is not None else {"": 0}
        together = sizes | size
        if part and (len(together) > config.max_images or sum(together.values()) > config.max_request_image_bytes):
            yield part
            part, together = [], size
        part.append(image)
        sizes = together
    if part:
        yield part


def _exclusion(
    image: FoundImage, config: ImageAnalysisConfig, file_providers: Collection[str], damaged: Collection[str]
) -> FailureReason | None:
    """Return the reason why there is no vision call for an image, or ``None`` if there is one."""
    source = image.source
    if source is None:
        return FailureReason.MALFORMED
    match source.kind:
        case "unsupported":
            return FailureReason.UNSUPPORTED_SOURCE
        case "inline":
            return _flaw(source, damaged)
        case "held":
            if not source.reference.isprintable():
                return FailureReason.MALFORMED
            if not _may_pass_files(config):
                return FailureReason.FILE_NOT_ALLOWED
            return None if set(file_providers) == {source.holder} else FailureReason.NOT_HELD
        case "remote":
            return _url_exclusion(source.url, config)


def _flaw(source: ImageSource, damaged: Collection[str]) -> FailureReason | None:
    if source.first_flaw is not None:
        return FailureReason[source.first_flaw.upper()]
    return FailureReason.DAMAGED if damaged and source.digest in damaged else None


def _may_pass_files(config: ImageAnalysisConfig) -> bool:
    """Return whether the vision provider may read a file with the gateway's own account."""
    return config.held_files == "pass" or (config.held_files is None and config.remote_urls == "pass")


def _url_exclusion(url: str, config: ImageAnalysisConfig) -> FailureReason | None:
    """Return the reason why the vision provider may not fetch a URL, or ``None``. The plugin itself fetches nothing."""
    if config.remote_urls == "reject":
        return FailureReason.URL_NOT_ALLOWED
    if not is_printable(url):
        return FailureReason.URL_HAS_BLANKS
    if config.allow_private_hosts and plain_host(url) in config.allowed_url_hosts:
        return None
    host = public_host(url)
    if host is None:
        return FailureReason.URL_NOT_PUBLIC
    is_allowed = config.remote_urls == "pass" or host in config.allowed_url_hosts
    return None if is_allowed else FailureReason.URL_NOT_ALLOWED
