"""Anthropic messages: images in ``messages``, in tool results, and in ``system``.

Format: https://docs.claude.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from litellm_image_analysis.request import Body, FoundImage, Path, values
from litellm_image_analysis.request.conversation import Conversation, Spot, numbered, once, tool_question
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

CONTENT: tuple[str, ...] = ("system", "messages")


def find_images(body: Body) -> list[FoundImage]:
    """All images of ``body["system"]`` and ``body["messages"]``, in order."""
    system = body.get("system")
    words = once(_words, system)
    spots: list[Spot] = [(("system", place), source, words()) for place, source in _images(system)]
    messages = dict(values.objects(body.get("messages")))
    conversation = Conversation(messages, lambda message: _words(message.get("content")), _ends_turn, _calls)
    return numbered(spots) + [image for index in messages for image in numbered(list(_spots(conversation, index)))]


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """``system`` and ``messages``, as far as they change, with each path's image replaced by a text block."""
    return values.changed(body, {path: values.text_part(values.at(body, path), words) for path, words in texts.items()})


def _spots(conversation: Conversation, index: int) -> Iterator[Spot]:
    content = conversation.items[index].get("content")
    here: Path = ("messages", index, "content")
    question = once(conversation.question, index)  # one string for all images: it may be long
    for place, block in values.objects(content):
        if _is_tool_result(block):
            result_question = once(_tool_result_question, conversation, index, block)
            for inner, source in _images(block.get("content")):
                yield (*here, place, "content", inner), source, result_question()
        elif (found := _image(block)) is not None:
            yield (*here, place), found[0], question()
        elif values.kind(block) == "document":  # one that is made of blocks
            for inner, source in _images(values.mapping(block.get("source")).get("content")):
                yield (*here, place, "source", "content", inner), source, question()


def _images(blocks: object) -> Iterator[tuple[int, ImageSource | None]]:
    for place, block in values.objects(blocks):
        if (found := _image(block)) is not None:
            yield place, found[0]


def _image(block: Json) -> tuple[ImageSource | None] | None:
    """The block's image in a tuple, with ``None`` for one that cannot be made out; ``None`` if it is no image block."""
    source = values.mapping(block.get("source"))
    media_type = values.text(source.get("media_type"))
    match values.kind(block):
        case "image":
            return (_source(source, media_type),)
        case "document" if (media_type or "").lower().startswith("image/"):
            return (_source(source, media_type),)
        case _:
            return None


def _source(source: Json, media_type: str | None) -> ImageSource | None:
    data, url, file_id = (values.text(source.get(key)) for key in ("data", "url", "file_id"))
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
    return values.kind(block).endswith("tool_result")


def _is_tool_use(block: Json) -> bool:
    return values.kind(block).endswith("tool_use")


def _tool_result_question(conversation: Conversation, index: int, result: Json) -> str:
    # Up to this message: the uses of server tools stand beside their results.
    call = conversation.call_before(index + 1, values.text(result.get("tool_use_id")))
    return tool_question(call.get("name"), call.get("input"), _words(result.get("content")))


def _calls(messages: Mapping[int, Json]) -> Iterator[tuple[int, str | None, Json]]:
    for index, message in messages.items():
        for _, block in values.objects(message.get("content")):
            if _is_tool_use(block):
                yield index, values.text(block.get("id")), block


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    return values.joined(
        values.text(block.get("text")) for _, block in values.objects(content) if values.kind(block) == "text"
    )


def _ends_turn(message: Json) -> bool:
    """An assistant's answer ends a turn, provider-run tools or not; a call of the client's tools does not."""
    calls = any(values.kind(block) == "tool_use" for _, block in values.objects(message.get("content")))
    return message.get("role") == "assistant" and not calls
