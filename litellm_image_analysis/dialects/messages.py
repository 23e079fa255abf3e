"""Anthropic messages: images in ``messages``, in tool results, and in ``system``.

Format: https://docs.claude.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from litellm_image_analysis.dialects import Body, FoundImage, Path, walk
from litellm_image_analysis.dialects.walk import Json, Spot
from litellm_image_analysis.images import ImageSource


def find_images(body: Body) -> list[FoundImage]:
    """All images of ``body["system"]`` and ``body["messages"]``, in order."""
    system = body.get("system")
    spots: list[Spot] = [(("system", place), source, _words(system)) for place, source in _images(system)]
    messages = dict(walk.objects(body.get("messages")))
    return walk.numbered(spots) + [
        image for index in messages for image in walk.numbered(list(_spots(messages, index)))
    ]


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """``system`` and ``messages``, as far as they change, with each path's image replaced by a text block."""
    return walk.changed(body, {path: walk.text_part(walk.at(body, path), words) for path, words in texts.items()})


def _spots(messages: Mapping[int, Json], index: int) -> Iterator[Spot]:
    content = messages[index].get("content")
    here: Path = ("messages", index, "content")
    for place, block in walk.objects(content):
        if _is_tool_result(block):
            for inner, source in _images(block.get("content")):
                yield (*here, place, "content", inner), source, _tool_result_question(messages, index, block)
        elif (found := _image(block)) is not None:
            yield (*here, place), found[0], _question(messages, index)
        elif walk.kind(block) == "document":  # one that is made of blocks
            for inner, source in _images(walk.mapping(block.get("source")).get("content")):
                yield (*here, place, "source", "content", inner), source, _question(messages, index)


def _images(blocks: object) -> Iterator[tuple[int, ImageSource | None]]:
    for place, block in walk.objects(blocks):
        if (found := _image(block)) is not None:
            yield place, found[0]


def _image(block: Json) -> tuple[ImageSource | None] | None:
    """The block's image in a tuple, with ``None`` for one that cannot be made out; ``None`` if it is no image block."""
    source = walk.mapping(block.get("source"))
    media_type = walk.text(source.get("media_type"))
    match walk.kind(block):
        case "image":
            return (_source(source, media_type),)
        case "document" if (media_type or "").lower().startswith("image/"):
            return (_source(source, media_type),)
        case _:
            return None


def _source(source: Json, media_type: str | None) -> ImageSource | None:
    data, url, file_id = (walk.text(source.get(key)) for key in ("data", "url", "file_id"))
    match source.get("type"):
        case "base64" if data is not None:
            return ImageSource.encoded(media_type or "application/octet-stream", data)
        case "url" if url is not None:
            return ImageSource.referenced(url)
        case "file" if file_id is not None:
            return ImageSource.referenced(file_id, format=media_type, holder="anthropic")
        case _:
            return None


def _is_tool_result(block: Json) -> bool:
    return walk.kind(block).endswith("tool_result")


def _is_tool_use(block: Json) -> bool:
    return walk.kind(block).endswith("tool_use")


def _tool_result_question(messages: Mapping[int, Json], index: int, result: Json) -> str:
    call = _tool_use(messages, index, result.get("tool_use_id"))
    return walk.tool_question(call.get("name"), call.get("input"), _words(result.get("content")))


def _tool_use(messages: Mapping[int, Json], index: int, use_id: object) -> Json:
    """The latest tool use with this id, up to this message: server tools' stand beside their results."""
    for message in walk.earlier(messages, index + 1):
        for _, block in walk.objects(message.get("content")):
            if _is_tool_use(block) and block.get("id") == use_id:
                return block
    return {}


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    return walk.joined(walk.text(block.get("text")) for _, block in walk.objects(content) if walk.kind(block) == "text")


def _question(messages: Mapping[int, Json], index: int) -> str:
    own = _words(messages[index].get("content"))
    earlier = walk.earlier(messages, index)
    return own or walk.words_in_turn(earlier, lambda message: _words(message.get("content")), _ends_turn)


def _ends_turn(message: Json) -> bool:
    """An assistant's answer ends a turn, provider-run tools or not; a call of the client's tools does not."""
    calls = any(walk.kind(block) == "tool_use" for _, block in walk.objects(message.get("content")))
    return message.get("role") == "assistant" and not calls
