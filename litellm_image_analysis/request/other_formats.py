"""Image parts in a format other than the request's own, as some clients and tools send them.

They are those of OpenAI's two APIs, of Anthropic, of the Model Context Protocol (``data`` and ``mimeType``) and of the
AI SDK (``data`` or ``image`` and ``mediaType``).
"""

from __future__ import annotations

from litellm_image_analysis.request import values
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

_KINDS = {"image", "image_url", "input_image", "image-data", "image-url"}
_TYPES = ("mimeType", "mediaType", "mime_type", "media_type")
_DATA = ("data", "image", "base64")
_URLS = ("url", "image_url", "imageUrl")


def image_part(part: Json) -> tuple[ImageSource | None] | None:
    """Return ``(image,)`` for an image part, ``(None,)`` if its image is not readable, ``None`` for another part."""
    if values.kind(part) not in _KINDS:
        return None
    source = values.mapping(part.get("source"))
    return (_source(part) or _source(source),)


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
