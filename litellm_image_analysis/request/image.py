"""One image of a request: its kind, its size, and its flaws.

No I/O. Only file headers are decoded. A base64 payload is checked as text and forwarded as the same text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from litellm_image_analysis.request import files
from litellm_image_analysis.request.file_types import MEDIA_TYPES, Base64, Format, format_of, is_base64, size_of

SourceKind = Literal["inline", "remote", "held", "unsupported"]
Holder = Literal["anthropic", "gemini", "openai", "vertex_ai"]
"""LiteLLM's name of a provider that stores files for its own models."""
Flaw = Literal["unsupported_type", "damaged", "mislabelled"]
"""A flaw of an image whose bytes are in the request."""

_HEAD = re.compile(r"\s*data:([^,;\s]{0,80})((?:;[^,;]{0,200}){0,5}?);base64,", re.IGNORECASE | re.ASCII)
"""The head of a ``data:`` URI with base64. Its parameters, such as ``charset``, do not matter for an image."""

_ALIASES = {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp"}
_TYPES: Mapping[Format, str] = {
    **{name: f"image/{name.lower()}" for name in MEDIA_TYPES.values()},
    "HEIF": "image/heic",  # as most of these files are called
}
_ANY_TYPE = {"", "*/*", "application/octet-stream", "binary/octet-stream"}
"""Types that say nothing about the bytes."""

_DETAILS = {"low", "high", "original"}
"""The values of ``detail`` except ``auto``, which is the provider's default."""
_BLANKS = "\t\n\r "
_OTHER_SIGNS = f"{_BLANKS}-_"
"""Signs that standard base64 does not have, and other spellings of it have."""
_STANDARD_BASE64 = str.maketrans("-_", "+/", _BLANKS)
_HEAD_CHARACTERS = 512
_SIZED_AT_THE_BEGINNING: tuple[Format, ...] = ("PNG", "WEBP", "BMP")
"""The formats that say their size within the first thirty bytes, and nowhere else."""
LARGE_CHARACTERS = 1024 * 1024
_PIECE = 64 * 1024
_GEMINI_FILES = re.compile(r"https?://generativelanguage\.googleapis\.com(:\d*)?(?![^/?#])", re.IGNORECASE | re.ASCII)
"""The start of a file of the Gemini API, in every spelling of the host that a URL may have."""


@dataclass(frozen=True)
class ImageSource:
    """The bytes of an image, or a reference to them.

    Attributes:
        reference: ``data:`` URI, http(s) URL, or id of a file at a provider, as the client sent it. Base64 without a
            header if there is a ``media_type``.
        detail: OpenAI's resolution hint (``low``, ``high``). ``None`` if the client sent none, or ``auto``, which is
            the provider's default.
        format: MIME type, if sent.
        holder: the provider that stores the file, if ``reference`` is a file id.
        media_type: MIME type of ``reference``, if that is base64 without a header.
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
        """Return an image given as a URL or file id. Some of them are readable by one provider's models only.

        A ``detail`` or ``format`` that no provider knows is left out, because it would only make the call fail.
        """
        if reference.startswith("gs://"):
            holder = "vertex_ai"
        elif _GEMINI_FILES.match(reference):
            holder = "gemini"
        elif holder is not None and ("://" in reference or reference.startswith("data:")):
            holder = None
        media_type = _canonical_type(format or "")
        return cls(
            reference,
            detail if detail in _DETAILS else None,
            media_type if media_type in MEDIA_TYPES else None,
            holder,
        )

    @classmethod
    def encoded(cls, media_type: str, payload: str) -> ImageSource:
        """Return an image given as base64 and a MIME type. If the base64 is a ``data:`` URI, its type counts."""
        return cls(payload) if _HEAD.match(payload) else cls(payload, media_type=media_type)

    @cached_property
    def url(self) -> str:
        """The image as one string, as the vision model gets it."""
        head, file = self._spelling
        return file.text if file.text[: file.start] == head else f"{head}{file.text[file.start :]}"

    @cached_property
    def _spelling(self) -> tuple[str, Base64]:
        """The header and the base64 as the vision model gets them. Nothing is copied if the client spells them so.

        The header has its usual spelling and the type of the bytes, because providers and LiteLLM compare it as text.
        The base64 has the standard alphabet, padding, and no line breaks. A URL or file id has no header.
        """
        if self._declared is None:
            return "", Base64(self.reference)
        return f"data:{self._type};base64,", self._file

    @property
    def _type(self) -> str:
        """The MIME type of the bytes if it is known, else the declared one."""
        declared = _canonical_type(self._declared or "")
        if self._format is None or MEDIA_TYPES.get(declared) == self._format:
            return declared
        return _TYPES[self._format]

    @cached_property
    def _head(self) -> re.Match[str] | None:
        return _HEAD.match(self.reference) if self.media_type is None else None

    @property
    def _start(self) -> int:
        """The index of the first character of the base64."""
        return 0 if self._head is None else self._head.end()

    @cached_property
    def _declared(self) -> str | None:
        """The declared MIME type in lower case, without parameters. ``None`` if the bytes are not in the request."""
        if self.media_type is not None:
            return self.media_type.partition(";")[0].strip().lower()
        return None if self._head is None or self.holder is not None else self._head[1].lower()

    @cached_property
    def kind(self) -> SourceKind:
        """Whether the bytes are in the request, behind a URL, at a provider, or not available."""
        if self.holder is not None:
            return "held"
        if self._declared is not None:
            return "inline"
        return "remote" if self.reference[:8].lower().startswith(("http://", "https://")) else "unsupported"

    @property
    def known_type(self) -> str | None:
        """The MIME type that the bytes in the request begin like, or that was sent with a reference, if it is known."""
        if self.kind != "inline":
            return self.format
        return None if self._format is None else self._type

    @property
    def is_image(self) -> bool:
        """Whether the bytes in the request are an image, by the declared type, or if it says nothing, by themselves."""
        declared = self._declared
        return declared is not None and (
            _is_image_type(declared) or (declared in _ANY_TYPE and self._format is not None)
        )

    @property
    def is_recognised(self) -> bool:
        """Whether the bytes in the request begin as those of an image do."""
        return self.kind == "inline" and self._format is not None

    @property
    def is_other_file(self) -> bool:
        """Whether the bytes in the request are known to be no image, but another file, such as a PDF document."""
        declared = self._declared
        if declared is None or _is_image_type(declared) or self._format is not None:
            return False
        return files.is_other_file(declared, Base64(self.reference, self._start))

    @property
    def may_change(self) -> bool:
        """Whether the reference may later lead to other bytes. The files of file ids do not change."""
        return self.kind == "remote" or self.reference.startswith("gs://")

    @property
    def encoded_bytes(self) -> int:
        """Size of the image within the request, in bytes. 0 for a URL or file id."""
        if self.kind in ("remote", "held"):
            return 0
        return len(self.reference) + (0 if self.media_type is None else len(f"data:{self.media_type};base64,"))

    @property
    def name_characters(self) -> int:
        """Length of the URL or file id. 0 if the bytes are in the request."""
        return len(self.reference) if self.kind in ("remote", "held") else 0

    @cached_property
    def _file(self) -> Base64:
        """The file in the request, with padding. In standard base64, if the beginning is spelled in another way."""
        file = Base64(self.reference, self._start)
        if _has_other_signs(self.reference[file.start : file.start + _HEAD_CHARACTERS]):
            file = Base64(self.reference[file.start :].translate(_STANDARD_BASE64))
        padding = _missing_padding(file)
        return Base64(f"{file.text[file.start :]}{padding}") if padding else file

    def standard(self) -> ImageSource:
        """Return the same image in standard base64. Itself if it is so already, or its bytes are not in the request.

        Most other spellings are known by the beginning, and need no such copy. To know them all, every character is
        read. Equal images in standard base64 have equal digests.
        """
        if self.is_whole:
            return self
        start = self._start
        payload = self.reference[start:].translate(_STANDARD_BASE64)
        return self if self.reference[start:] == payload else replace(self, reference=self.reference[:start] + payload)

    @cached_property
    def _beginning(self) -> Base64:
        """The beginning of the file, or all of a short one. It is read before anything is known of the rest."""
        start = self._start
        beginning = self.reference[start : start + _HEAD_CHARACTERS]
        if _has_other_signs(beginning):
            beginning = beginning.translate(_STANDARD_BASE64)
        is_all = len(self.reference) - start <= _HEAD_CHARACTERS
        return Base64(beginning + _missing_padding(Base64(beginning)) if is_all else beginning)

    @cached_property
    def _format(self) -> Format | None:
        return format_of(self._beginning)

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels of an image in the request. ``None`` if its header does not have them."""
        if self.kind != "inline" or self._format is None:
            return None
        return size_of(self._beginning if self._format in _SIZED_AT_THE_BEGINNING else self._file, self._format)

    @property
    def flaw(self) -> Flaw | None:
        """The flaw of an image in the request, or ``None``."""
        image = self.standard()
        return image.first_flaw or (None if image.is_whole else "damaged")

    @cached_property
    def first_flaw(self) -> Flaw | None:
        """The flaw that is found without reading every character of an image without flaws, or ``None``."""
        declared = self._declared
        if declared is None or (self._format is not None and self.size is not None and _may_be_image(declared)):
            return None
        if not _may_be_image(declared):
            return "unsupported_type"
        image = self.standard()
        if image is not self:
            return image.first_flaw
        if self._format is not None or not self.is_whole:
            return "damaged"
        return "mislabelled" if declared in MEDIA_TYPES else "unsupported_type"

    @cached_property
    def is_whole(self) -> bool:
        """Whether an image in the request is base64 from its first character to its last. Reads each of them once."""
        return self._declared is None or is_base64(Base64(self.reference, self._start)) or is_base64(self._file)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all values that identify the image, in hex. Computed once.

        All spellings of an image have the digest of its standard base64, except a spelling whose first sign of another
        alphabet, or first blank, is behind the first ``_HEAD_CHARACTERS``: see ``standard``. Above
        ``LARGE_CHARACTERS`` it takes milliseconds, too long for an event loop.
        """
        hints = f"{self.detail!r} {self.format!r} {self.holder!r}"
        if self._declared is None:
            return hashlib.sha256(f"{hints} {self.reference}".encode("utf-8", "surrogatepass")).hexdigest()
        sha256 = _hash_of(self._file)
        sha256.update(f" {self._spelling[0]} {hints}".encode("utf-8", "surrogatepass"))
        return str(sha256.hexdigest())


def stored_image(
    name: str,
    detail: str | None = None,
    format: str | None = None,  # noqa: A002
) -> ImageSource:
    """Return an image behind a URL or at a provider. The prefix of a file id distinguishes Anthropic and OpenAI."""
    holder: Holder | None = "anthropic" if name.startswith("file_") else "openai" if name.startswith("file-") else None
    return ImageSource.referenced(name, detail, format, holder)


def _canonical_type(media_type: str) -> str:
    """Return the usual spelling of a MIME type."""
    media_type = media_type.lower()
    return _ALIASES.get(media_type, media_type)


def _is_image_type(media_type: str) -> bool:
    """Return whether a MIME type, or the second half of one, is that of images."""
    return media_type.startswith("image/") or f"image/{media_type}" in MEDIA_TYPES


def _has_other_signs(text: str) -> bool:
    for sign in _OTHER_SIGNS:  # noqa: SIM110 - any() takes three times as long
        if sign in text:
            return True
    return False


def _may_be_image(declared: str) -> bool:
    return _is_image_type(declared) or declared in _ANY_TYPE


def _hash_of(file: Base64) -> Any:
    """Return SHA-256 of a file's characters. A piece at a time is copied."""
    sha256 = hashlib.sha256()
    for start in range(file.start, len(file.text), _PIECE):
        sha256.update(file.text[start : start + _PIECE].encode("utf-8", "surrogatepass"))
    return sha256


def _missing_padding(file: Base64) -> str:
    """Return the padding that base64 lacks at its end. None if the end is cut, so that decoders may differ."""
    count = (len(file.text) - file.start) % 4
    if count < 2:
        return ""
    last, padding = file.text[-count:], "=" * (4 - count)
    try:
        whole = base64.b64encode(base64.b64decode(last + padding, validate=True)).decode()
    except ValueError:
        return ""
    return padding if whole == last + padding else ""
