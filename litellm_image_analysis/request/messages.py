"""Anthropic messages: images in ``messages``, in tool results, and in ``system``.

Format: https://docs.claude.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from litellm_image_analysis.request import Attachments, Body, Path, Question, places, values
from litellm_image_analysis.request.context_blocks import TAGS
from litellm_image_analysis.request.conversation import INSTRUCTIONS, Conversation, Once, tool_call
from litellm_image_analysis.request.embedded import replacement, said_in
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.other_formats import image_part
from litellm_image_analysis.request.places import Place
from litellm_image_analysis.request.plain_text import PlainText
from litellm_image_analysis.request.values import Json

CONTENT: tuple[str, ...] = ("system", "messages")
PLAIN = PlainText("content", "text")


def find(body: Body, context_tags: Sequence[str] = TAGS) -> Attachments:
    """Return all images and other files of ``body["system"]`` and ``body["messages"]``, in order."""
    return places.attachments_in(_messages(body, context_tags), _image)


def is_plain_text(body: Body) -> bool:
    """Return whether ``system`` and ``messages`` are plain text, without images and files."""
    return PLAIN.matches({"content": body.get("system")}) and PLAIN.all_match(body.get("messages"))


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """Return the changed ones of ``system`` and ``messages``, with the image at each path replaced by a text block."""
    return values.changed(body, {path: partial(replacement, words=words) for path, words in texts.items()})


def _messages(body: Body, context_tags: Sequence[str]) -> Iterator[Iterator[Place]]:
    """Yield the places of the system prompt, and of each message."""
    system = body.get("system")
    question = Once(_conversation({0: {"content": system}}, context_tags).question, 0)
    yield ((path, block, question) for path, block in _blocks(system, ("system",)))
    messages = dict(values.objects(body.get("messages")))
    conversation = _conversation(messages, context_tags)
    for index, message in messages.items():
        if not PLAIN.matches(message):
            yield _places(conversation, index)


def _conversation(messages: Mapping[int, Json], context_tags: Sequence[str]) -> Conversation:
    return Conversation(
        messages,
        lambda message: _texts(message.get("content")),
        _ends_turn,
        _calls,
        _call_text,
        results=_results,
        context_tags=context_tags,
    )


def _places(conversation: Conversation, index: int) -> Iterator[Place]:
    content = conversation.items[index].get("content")
    here: Path = ("messages", index, "content")
    question = Once(conversation.question, index)  # one string for all images, because it may be long
    for place, block in values.objects(content):
        path = (*here, place)
        if _is_tool_result(block):
            result_question = Once(_tool_result_question, conversation, index, block, is_result=True)
            yield from _result(block.get("content"), (*path, "content"), result_question)
        else:
            for inner, found in _block(block, path):
                yield inner, found, question


def _result(content: object, here: Path, question: Question, levels: int = 3) -> Iterator[Place]:
    """Yield the places of a tool result, and those of the blocks within its blocks."""
    for path, part, _ in places.result(content, here, question):
        block = places.content_of(part)
        if values.kind(block) == "document":
            yield from ((inner_path, inner, question) for inner_path, inner in _block(block, path))
        elif levels and isinstance(block.get("content"), list):
            yield from _result(block["content"], (*path, "content"), question, levels - 1)
        else:
            yield path, part, question


def _blocks(blocks: object, here: Path) -> Iterator[tuple[Path, Json]]:
    for place, block in values.objects(blocks):
        yield from _block(block, (*here, place))


def _block(block: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    """Yield a block. If it is a document that consists of blocks, also yield these."""
    yield path, block
    if values.kind(block) == "document":
        inner = values.mapping(block.get("source")).get("content")
        yield from (((*path, "source", "content", place), each) for place, each in values.objects(inner))


def _image(block: Json) -> tuple[ImageSource | None] | None:
    """Return ``(image,)`` for an image block, ``(None,)`` if its image is not readable, ``None`` for another block."""
    source = values.mapping(block.get("source"))
    media_type = values.text(source.get("media_type"))
    match values.kind(block):
        case "image" if source:
            return (_source(source, media_type),)
        case "document" if (media_type or "").lower().startswith("image/"):
            return (_source(source, media_type),)
        case "document" if source.get("type") == "base64" and (data := values.text(source.get("data"))) is not None:
            document = ImageSource.encoded(media_type or "", data)
            return (document,) if document.is_image else None
        case _:
            return image_part(block)


def _source(source: Json, media_type: str | None) -> ImageSource | None:
    data, url, file_id = (values.text(source.get(key)) for key in ("data", "url", "file_id"))
    match source.get("type"):
        case "base64" if data is not None:
            return ImageSource.encoded(media_type or "", data)
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
    # Including this message, because uses of server tools are in the same message as their results.
    call_text = conversation.call_text_before(index + 1, values.text(result.get("tool_use_id")))
    texts = (said_in(text) for text in _texts(result.get("content")))
    return conversation.result_question(index, call_text, texts)


def _results(messages: Mapping[int, Json], index: int) -> list[str | None]:
    """Return the ids of the tool results in a message of the user, else of those right before it."""
    if (ids := _result_ids(messages, index)) or messages[index].get("role") != "user":
        return ids
    at = index - 1
    while values.mapping(messages.get(at)).get("role") in INSTRUCTIONS:
        at -= 1
    return _result_ids(messages, at)


def _result_ids(messages: Mapping[int, Json], index: int) -> list[str | None]:
    """Return the ids of the tool results in a message of the user. Other messages have none."""
    message = values.mapping(messages.get(index))
    blocks = (block for _, block in values.objects(message.get("content")) if message.get("role") == "user")
    return [values.text(block.get("tool_use_id")) for block in blocks if _is_tool_result(block)]


def _calls(messages: Mapping[int, Json]) -> Iterator[tuple[int, str | None, Json]]:
    for index, message in messages.items():
        for _, block in values.objects(message.get("content")):
            if _is_tool_use(block):
                yield index, values.text(block.get("id")), block


def _call_text(use: Json) -> str:
    return tool_call(use.get("name"), use.get("input"))


def _texts(content: object) -> list[str | None]:
    if isinstance(content, str):
        return [content]
    return [values.text(block.get("text")) for _, block in values.objects(content) if values.kind(block) == "text"]


def _ends_turn(message: Json) -> bool:
    """Return whether a message is an answer of the assistant. It may use server tools, but no tools of the client."""
    calls = any(values.kind(block) == "tool_use" for _, block in values.objects(message.get("content")))
    return message.get("role") == "assistant" and not calls
