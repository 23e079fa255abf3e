"""One image as a request names it: what it is, how large, and whether it may be sent on.

No I/O and no decoding: a base64 payload is looked at as text and forwarded as that same text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from litellm_image_analysis.errors import RequestError

if TYPE_CHECKING:
    from litellm_image_analysis.config import ImageAnalysisConfig

SourceKind = Literal["inline", "remote", "unsupported"]


@dataclass(frozen=True)
class ImageSource:
    """Where an image's bytes are.

    Attributes:
        url: ``data:`` URI or http(s) URL, exactly as the client sent it.
        detail: OpenAI's resolution hint (``low``, ``high``, ``auto``), if sent.
        format: LiteLLM's MIME type hint, if sent.
    """

    url: str
    detail: str | None = None
    format: str | None = None

    @property
    def kind(self) -> SourceKind:
        """Whether the bytes are in the request, behind a URL, or neither."""
        head = self.url[:11].lower()
        if head.startswith("data:image/"):
            return "inline"
        return "remote" if head.startswith(("http://", "https://")) else "unsupported"

    @property
    def encoded_bytes(self) -> int:
        """Size of the image within the request, in bytes; a remote one weighs nothing."""
        return len(self.url) if self.kind == "inline" else 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that tells this image from another, in hex; computed once."""
        head = f"{self.detail!r} {self.format!r} "
        return hashlib.sha256((head + self.url).encode("utf-8", "surrogatepass")).hexdigest()


def may_be_fetched(source: ImageSource, config: ImageAnalysisConfig) -> bool:
    """Whether policy lets the vision provider fetch this remote image. The plugin itself never fetches."""
    if config.remote_urls != "allowlist":
        return config.remote_urls == "pass"
    if "\\" in source.url or any(character <= " " for character in source.url):
        return False  # parsers disagree on where such a URL's host ends
    try:
        host = urlsplit(source.url).hostname
    except ValueError:
        return False
    return host is not None and host in {allowed.lower() for allowed in config.allowed_url_hosts}


def check_limits(images: Sequence[tuple[ImageSource, str]], config: ImageAnalysisConfig) -> RequestError | None:
    """Compare a request's images with the configured limits, before anything is hashed or called.

    Args:
        images: each image with the place it stands at, such as ``messages[2].content[1]``.
        config: the limits.

    Returns:
        The error to answer with, naming the limit, its setting and the value seen; ``None`` if all is well.
    """
    for source, place in images:
        if source.encoded_bytes > config.max_image_bytes:
            return _too_large(
                f"{place}: the image is {source.encoded_bytes:,} bytes encoded, the limit is"
                f" {config.max_image_bytes:,} (setting max_image_bytes). Send a smaller image.",
                place,
            )
    total = sum(source.encoded_bytes for source, _ in images)
    if total > config.max_request_image_bytes:
        return _too_large(
            f"The request's images are {total:,} bytes encoded, the limit is {config.max_request_image_bytes:,}"
            " (setting max_request_image_bytes). Send fewer or smaller images.",
            None,
        )
    if len(images) <= config.max_images:
        return None
    distinct = len({source.digest for source, _ in images})
    if distinct <= config.max_images:
        return None
    return RequestError(
        f"The request holds {distinct} different images, the limit is {config.max_images}"
        " (setting max_images). Send fewer images.",
        code="too_many_images",
    )


def _too_large(message: str, param: str | None) -> RequestError:
    return RequestError(message, status_code=413, param=param, code="image_too_large")
