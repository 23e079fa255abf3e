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

SourceKind = Literal["inline", "remote", "held", "unsupported"]
Holder = Literal["anthropic", "gemini", "openai", "vertex_ai"]
"""A provider, as LiteLLM calls it, that keeps files its own models may look at."""

_STANDARD_BASE64 = str.maketrans("-_", "+/")
LARGE_CHARACTERS = 1024 * 1024
_GEMINI_FILES = "https://generativelanguage.googleapis.com/"


@dataclass(frozen=True)
class ImageSource:
    """Where an image's bytes are.

    Attributes:
        url: ``data:`` URI, http(s) URL, or the id of a file kept at a provider, as the client sent it.
        detail: OpenAI's resolution hint (``low``, ``high``, ``auto``), if sent.
        format: MIME type, if sent.
        holder: the provider that keeps the file ``url`` is the id of.
    """

    url: str
    detail: str | None = None
    format: str | None = None
    holder: Holder | None = None

    @classmethod
    def referenced(
        cls,
        reference: str,
        detail: str | None = None,
        format: str | None = None,  # noqa: A002
        holder: Holder | None = None,
    ) -> ImageSource:
        """An image that is named by URL or file id; some of these only one provider's models can look at."""
        if reference.startswith("gs://"):
            holder = "vertex_ai"
        elif reference.startswith(_GEMINI_FILES):
            holder = "gemini"
        elif "://" in reference or reference.startswith("data:"):
            holder = None
        return cls(reference, detail, format, holder)

    @classmethod
    def encoded(cls, media_type: str, payload: str) -> ImageSource:
        """An image that is sent as base64 beside its MIME type.

        Google's clients write base64 with ``-`` and ``_``; a ``data:`` URI has ``+`` and ``/`` for the same bits.
        """
        if "-" in payload or "_" in payload:
            payload = payload.translate(_STANDARD_BASE64)
        return cls(f"data:{media_type};base64,{payload}")

    @property
    def kind(self) -> SourceKind:
        """Where the bytes are: in the request, behind a URL, at a provider, or nowhere to be had."""
        if self.holder is not None:
            return "held"
        head = self.url[:11].lower()
        if head.startswith("data:image/"):
            return "inline"
        return "remote" if head.startswith(("http://", "https://")) else "unsupported"

    @property
    def may_change(self) -> bool:
        """Whether other bytes may stand behind the same name tomorrow; a provider's file ids are for good."""
        return self.kind == "remote" or self.url.startswith("gs://")

    @property
    def encoded_bytes(self) -> int:
        """Size of the image within the request, in bytes; a remote one weighs nothing."""
        return len(self.url) if self.kind == "inline" else 0

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that tells this image from another, in hex; computed once.

        Above ``LARGE_CHARACTERS`` that takes milliseconds: longer than an event loop should be held up.
        """
        sha256 = hashlib.sha256(f"{self.detail!r} {self.format!r} {self.holder!r} ".encode("utf-8", "surrogatepass"))
        for start in range(0, len(self.url), LARGE_CHARACTERS):  # in pieces: a copy of 20 MiB is not needed
            sha256.update(self.url[start : start + LARGE_CHARACTERS].encode("utf-8", "surrogatepass"))
        return sha256.hexdigest()


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


def check_sizes(images: Sequence[tuple[ImageSource, str]], config: ImageAnalysisConfig) -> RequestError | None:
    """Compare the sizes of a request's images with the configured limits, before anything is hashed or called.

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
    return None


def check_count(images: Sequence[ImageSource], config: ImageAnalysisConfig) -> RequestError | None:
    """Compare the number of different images in a request with the configured limit.

    Returns:
        The error to answer with, naming the limit, its setting and the value seen; ``None`` if all is well.
    """
    if len(images) <= config.max_images:
        return None
    distinct = len({source.digest for source in images})
    if distinct <= config.max_images:
        return None
    return RequestError(
        f"The request holds {distinct} different images, the limit is {config.max_images}"
        " (setting max_images). Send fewer images.",
        code="too_many_images",
    )


def _too_large(message: str, param: str | None) -> RequestError:
    return RequestError(message, status_code=413, param=param, code="image_too_large")
