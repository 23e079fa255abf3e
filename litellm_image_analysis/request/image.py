"""One image as a request names it: what it is, how large, and what is wrong with it.

No I/O and no decoding but of headers: a base64 payload is looked at as text and forwarded as that same text.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from litellm_image_analysis.request.file_types import MEDIA_TYPES, Base64, Format, format_of, is_base64, size_of

SourceKind = Literal["inline", "remote", "held", "unsupported"]
Holder = Literal["anthropic", "gemini", "openai", "vertex_ai"]
"""A provider, as LiteLLM calls it, that keeps files its own models may look at."""
Flaw = Literal["unsupported_type", "damaged", "mislabelled"]
"""What is wrong with an image that is sent along."""

_HEAD = re.compile(r"data:(image/[a-z0-9.+-]{1,80});base64,", re.IGNORECASE | re.ASCII)
_STANDARD_BASE64 = str.maketrans("-_", "+/")
LARGE_CHARACTERS = 1024 * 1024
_GEMINI_FILES = "https://generativelanguage.googleapis.com/"


@dataclass(frozen=True)
class ImageSource:
    """Where an image's bytes are.

    Attributes:
        reference: ``data:`` URI, http(s) URL, or the id of a file kept at a provider, as the client sent it; base64
            if there is a ``media_type``.
        detail: OpenAI's resolution hint (``low``, ``high``, ``auto``), if sent.
        format: MIME type, if sent.
        holder: the provider that keeps the file ``reference`` is the id of.
        media_type: MIME type of ``reference``, if that is bare base64.
    """

    reference: str
    detail: str | None = None
    format: str | None = None
    holder: Holder | None = None
    media_type: str | None = None

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
        """An image that is sent as base64 beside its MIME type."""
        return cls(payload, media_type=media_type)

    @cached_property
    def url(self) -> str:
        """The image in one string, as it is sent on.

        Some clients, Google's among them, write base64 with ``-`` and ``_``; what is sent on has ``+`` and ``/`` for
        the same bits.
        """
        if self._declared is None and self.media_type is None:
            return self.reference
        start = self._file.start
        if self.reference.find("-", start) < 0 and self.reference.find("_", start) < 0:
            return self.reference if self.media_type is None else f"{self._head}{self.reference}"
        head = self.reference[:start] if self.media_type is None else self._head
        return f"{head}{self.reference[start:].translate(_STANDARD_BASE64)}"

    @property
    def _head(self) -> str:
        """What stands before the payload, or the whole of what has none."""
        return self.reference if self.media_type is None else f"data:{self.media_type};base64,"

    @cached_property
    def _declared(self) -> re.Match[str] | None:
        return _HEAD.match(self._head) if self.media_type is None else _HEAD.fullmatch(self._head)

    @property
    def kind(self) -> SourceKind:
        """Where the bytes are: in the request, behind a URL, at a provider, or nowhere to be had."""
        if self.holder is not None:
            return "held"
        if self._declared is not None:
            return "inline"
        return "remote" if self._head[:8].lower().startswith(("http://", "https://")) else "unsupported"

    @property
    def may_change(self) -> bool:
        """Whether other bytes may stand behind the same name tomorrow; a provider's file ids are for good."""
        return self.kind == "remote" or self.reference.startswith("gs://")

    @property
    def encoded_bytes(self) -> int:
        """Size of the image within the request, in bytes; one that is only named weighs nothing."""
        if self.kind in ("remote", "held"):
            return 0
        return len(self.reference) + (0 if self.media_type is None else len(self._head))

    @property
    def name_characters(self) -> int:
        """Length of the URL or file id, 0 for an image that is sent along."""
        return len(self.reference) if self.kind in ("remote", "held") else 0

    @cached_property
    def _file(self) -> Base64:
        """The file that is sent along."""
        start = 0 if self.media_type is not None or self._declared is None else self._declared.end()
        return Base64(self.reference, start)

    @cached_property
    def _format(self) -> Format | None:
        return format_of(self._file)

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels of an image that is sent along, if its header tells."""
        if self.kind != "inline" or self._format is None:
            return None
        return size_of(self._file, self._format)

    @cached_property
    def flaw(self) -> Flaw | None:
        """What is wrong with an image that is sent along; looks at every character of it once."""
        if self._declared is None:
            return None
        declared = MEDIA_TYPES.get(self._declared[1].lower())
        if declared is None:
            return "unsupported_type"
        if not is_base64(self.url, self._declared.end()):
            return "damaged"
        if declared != self._format:
            return "mislabelled"
        return "damaged" if self.size is None else None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that tells this image from another, in hex; computed once.

        Above ``LARGE_CHARACTERS`` that takes milliseconds: longer than an event loop should be held up.
        """
        sha256 = hashlib.sha256(f"{self.detail!r} {self.format!r} {self.holder!r} ".encode("utf-8", "surrogatepass"))
        for start in range(0, len(self.url), LARGE_CHARACTERS):  # in pieces: a copy of 20 MiB is not needed
            sha256.update(self.url[start : start + LARGE_CHARACTERS].encode("utf-8", "surrogatepass"))
        return sha256.hexdigest()
