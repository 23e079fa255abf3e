"""OpenAI chat completions: images in ``messages`` of every role.

Format: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from litellm_image_analysis.dialects import Body, FoundImage, Path
from litellm_image_analysis.images import ImageSource

_Part = Mapping[str, Any]


def find_images(body: Body) -> list[FoundImage]:
    """All images of ``body["messages"]``, in order."""
    return [image for index, message in _messages(body) for image in _images_of(index, message)]


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """``{"messages": [...]}`` with each path's image replaced by a text part, or ``{}`` if nothing changes."""
    if not texts:
        return {}
    messages = list(body["messages"])
    for index, message in _messages(body):
        if any(path[1] == index for path in texts):
            messages[index] = {**message, "content": _rewritten(index, message["content"], texts)}
    return {"messages": messages}


def _messages(body: Body) -> Iterator[tuple[int, Mapping[str, Any]]]:
    messages = body.get("messages")
    if isinstance(messages, list):
        yield from ((index, message) for index, message in enumerate(messages) if isinstance(message, Mapping))


def _images_of(index: int, message: Mapping[str, Any]) -> list[FoundImage]:
    content = message.get("content")
    if not isinstance(content, list):
        return []
    places = [place for place, part in enumerate(content) if _is_image(part)]
    if not places:
        return []
    question = "\n".join(text for part in content if (text := _text_of(part)))
    return [
        FoundImage(
            path=("messages", index, "content", place),
            source=_source_of(content[place]),
            number=number,
            count=len(places),
            question=question,
        )
        for number, place in enumerate(places, start=1)
    ]


def _is_image(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image_url"


def _text_of(part: object) -> str | None:
    if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    return None


def _source_of(part: _Part) -> ImageSource | None:
    """Read ``image_url`` as an object or, as some clients send it, as a plain string."""
    image = part.get("image_url")
    named: Mapping[str, Any] = {"url": image} if isinstance(image, str) else image if isinstance(image, Mapping) else {}
    url = named.get("url")
    if not isinstance(url, str) or not url:
        return None
    return ImageSource(url, detail=_optional_text(named.get("detail")), format=_optional_text(named.get("format")))


def _optional_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _rewritten(index: int, content: list[Any], texts: Mapping[Path, str]) -> list[Any] | str:
    parts = [
        part if (text := texts.get(("messages", index, "content", place))) is None else _text_part(part, text)
        for place, part in enumerate(content)
    ]
    words = [_text_of(part) if part.keys() == {"type", "text"} else None for part in parts if isinstance(part, Mapping)]
    if len(words) < len(parts) or None in words:
        return parts
    # Some providers refuse a list of parts where a string says the same.
    return "\n\n".join(filter(None, words))


def _text_part(image: _Part, text: str) -> dict[str, Any]:
    """A text part that stands where ``image`` stood and keeps its prompt-cache breakpoint."""
    part: dict[str, Any] = {"type": "text", "text": text}
    return {**part, "cache_control": image["cache_control"]} if "cache_control" in image else part
