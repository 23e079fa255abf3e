"""Image parts of other formats than the request's own. Clients and tools put them where they do not belong.

They are those of OpenAI's two APIs, of Anthropic, of the Model Context Protocol (``data`` and ``mimeType``) and of the
AI SDK (``data`` or ``image`` and ``mediaType``).
"""

from __future__ import annotations

from collections.abc import Mapping

from litellm_image_analysis.request import values
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

_KINDS = {"image", "image_url", "input_image", "image-data", "image-url"}
_TYPES = ("mimeType", "mediaType", "mime_type", "media_type")
_DATA = ("data", "image", "base64")
_URLS = ("url", "image_url", "imageUrl")
_HOLDERS = ("source", "inlineData", "inline_data")


def image_part(part: Json) -> tuple[ImageSource | None] | None:
    """Return ``(image,)`` for an image part, ``(None,)`` if its image is not readable, ``None`` for another part."""
    if values.kind(part) not in _KINDS:
        return None
    source = values.mapping(part.get("source"))
    return (_source(part) or _source(source),)


def inline_image(part: Json) -> ImageSource | None:
    """Return the image of any JSON object if its bytes are there: an image part, or data with an image's type."""
    is_part = values.kind(part) in _KINDS
    for holder in (part, *(values.mapping(part.get(key)) for key in _HOLDERS)):
        source = _source(holder)
        if source is not None and source.is_image and (is_part or source.media_type != ""):
            return source
    return None


def holds_image(value: object) -> bool:
    """Return whether there is an image part, or data with an image's type, anywhere in a JSON value."""
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, Mapping):
            if image_part(inner) is not None or inline_image(inner) is not None:
                return True
            left += inner.values()
        elif isinstance(inner, list):
            left += inner
    return False


def _source(holder: Json) -> ImageSource | None:
    media_type = next(filter(None, (values.text(holder.get(key)) for key in _TYPES)), "")
    if (data := next(filter(None, (values.text(holder.get(key)) for key in _DATA)), None)) is not None:
        if data[:8].lower().startswith(("http://", "https://")):
            return ImageSource.referenced(data)
        return ImageSource.encoded(media_type, data)
    for key in _URLS:
        named = holder.get(key)
        if (url := values.text(named) or values.text(values.mapping(named).get("url"))) is not None:
            return ImageSource.referenced(url)
    return None
