"""An image read plainly: the whole text is cleaned, copied and decoded for each answer.

The package reads as little as it can, and later what it needs later. Its answers have to be these.
"""

from __future__ import annotations

import base64
import hashlib

from litellm_image_analysis.request.file_types import MEDIA_TYPES, Base64, Format, format_of, size_of
from litellm_image_analysis.request.image import Flaw, ImageSource

_BLANKS = str.maketrans("", "", "\t\n\r ")
_STANDARD = str.maketrans("-_", "+/")
_USUAL = {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp"}
_ANY_TYPE = {"", "*/*", "application/octet-stream", "binary/octet-stream"}


def text_of(source: ImageSource) -> str:
    """The image as one string: a ``data:`` URI in its usual spelling, or a URL or file id as it was sent."""
    if source.kind != "inline":
        return source.reference
    return f"data:{_type_of(source)};base64,{_payload_of(source)}"


def digest_of(source: ImageSource) -> str:
    """SHA-256 of the image as one string and of its hints: of the base64 first, if it is in the request."""
    hints = f"{source.detail!r} {source.format!r} {source.holder!r}"
    if source.kind == "inline":
        identity = f"{_payload_of(source)} data:{_type_of(source)};base64, {hints}"
    else:
        identity = f"{hints} {source.reference}"
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def flaw_of(source: ImageSource) -> Flaw | None:
    """The flaw: a type that is none of images, else text that is no base64, else bytes that are no image."""
    if source.kind != "inline":
        return None
    declared, payload, found = _declared_in(source), _payload_of(source), _format_of(source)
    is_image = declared.startswith("image/") or f"image/{declared}" in MEDIA_TYPES
    if not (is_image or declared in _ANY_TYPE):
        return "unsupported_type"
    if not _is_base64(payload):
        return "damaged"
    if found is None:
        return "mislabelled" if declared in MEDIA_TYPES else "unsupported_type"
    return None if size_of(Base64(payload), found) else "damaged"


def _is_base64(payload: str) -> bool:
    try:  # Python takes a sign of padding too many
        return len(payload) % 4 == 0 and base64.b64decode(payload, validate=True) != b""
    except ValueError:
        return False


def _payload_of(source: ImageSource) -> str:
    """The base64 in the standard alphabet, without blanks, and with the padding that it lacks."""
    written = source.reference if source.media_type is not None else source.reference.partition(",")[2]
    payload = written.translate(_BLANKS).translate(_STANDARD)
    last = payload[len(payload) - len(payload) % 4 :]
    for padding in ("=", "=="):
        if len(last + padding) == 4 and _is_base64(last + padding):
            is_cut = base64.b64encode(base64.b64decode(last + padding)).decode() != last + padding
            return payload if is_cut else payload + padding
    return payload


def _declared_in(source: ImageSource) -> str:
    if source.media_type is not None:
        return source.media_type.partition(";")[0].strip().lower()
    return source.reference.partition(",")[0].lstrip()[len("data:") :].partition(";")[0].lower()


def _format_of(source: ImageSource) -> Format | None:
    return format_of(Base64(_payload_of(source)))


def _type_of(source: ImageSource) -> str:
    """The declared type, unless the bytes are those of another one."""
    declared, found = _declared_in(source), _format_of(source)
    usual = _USUAL.get(declared, declared)
    if found is None or MEDIA_TYPES.get(usual) == found:
        return usual
    return "image/heic" if found == "HEIF" else f"image/{found.lower()}"
