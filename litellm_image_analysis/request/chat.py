"""OpenAI chat completions: images in ``messages`` of every role.

Format: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from litellm_image_analysis.request import Attachments, Body, Path, places, values
from litellm_image_analysis.request.context_blocks import TAGS
from litellm_image_analysis.request.conversation import Conversation, Once, results_before, tool_call
from litellm_image_analysis.request.embedded import replacement, said_in
from litellm_image_analysis.request.image import ImageSource, stored_image
from litellm_image_analysis.request.other_formats import image_part
from litellm_image_analysis.request.places import Place
from litellm_image_analysis.request.plain_text import PlainText
from litellm_image_analysis.request.values import Edit, Json

CONTENT: tuple[str, ...] = ("messages",)
PLAIN = PlainText("content", "text", results=("tool", "function"), is_result=("images",))
_RESULT_ROLES = ("tool", "function")
_TEXT_PARTS = {"text", "input_text"}  # the latter is a part of the Responses API. Some clients send it by mistake


def find(body: Body, context_tags: Sequence[str] = TAGS) -> Attachments:
    """Return all images and other files of ``body["messages"]``, in order."""
    return places.attachments_in(_messages(body, context_tags), _image)


def is_plain_text(body: Body) -> bool:
    """Return whether ``body["messages"]`` are plain text, without images and files."""
    return PLAIN.all_match(body.get("messages"))


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """Return ``{"messages": [...]}`` with the image at each path replaced by a text part, or ``{}`` for no change.

    Text parts of the Responses API become text parts of chat completions, because LiteLLM refuses the former. A
    message's ``images`` have no text parts: the image is removed, and its text is added to the content.
    """
    if not texts:
        return {}
    beside = {path for path in texts if path[2] == "images"}
    edits: dict[Path, Edit] = {
        path: partial(replacement, words=words) for path, words in texts.items() if path not in beside
    }
    edits |= dict.fromkeys(_misnamed_texts(body), lambda part: {**part, "type": "text"})
    messages: Any = values.changed(body, edits)["messages"] if edits else list(body["messages"])
    for index in {path[1] for path in texts}:
        moved = {int(path[3]): words for path, words in texts.items() if path in beside and path[1] == index}
        message = messages[index] = _moved(messages[index], moved) if moved else {**messages[index]}
        if isinstance(message["content"], list):
            message["content"] = _simplest(message["content"])
    return {"messages": messages}


def _messages(body: Body, context_tags: Sequence[str]) -> Iterator[Iterator[Place]]:
    """Yield the places of each message."""
    conversation = _conversation(body, context_tags)
    yield from (_places(conversation, index) for index, item in conversation.items.items() if not PLAIN.matches(item))


def _conversation(body: Body, context_tags: Sequence[str]) -> Conversation:
    return Conversation(
        dict(values.objects(body.get("messages"))),
        _texts,
        _ends_turn,
        _calls,
        _call_text,
        results=_results,
        has_image=_has_image,
        context_tags=context_tags,
    )


def _moved(message: Json, texts: Mapping[int, str]) -> dict[str, Any]:
    """Return a message without these items of its ``images``, and with their texts in its content."""
    content = message.get("content") or []
    content = [{"type": "text", "text": content}] if isinstance(content, str) else content
    said = content if isinstance(content, list) else [content]
    images = [image for place, image in enumerate(message["images"]) if place not in texts]
    return {
        **{key: value for key, value in message.items() if key != "images"},
        "content": [*said, *({"type": "text", "text": texts[place]} for place in sorted(texts))],
        **({"images": images} if images else {}),
    }


def _misnamed_texts(body: Body) -> Iterator[Path]:
    for index, message in values.objects(body["messages"]):
        for place, part in values.objects(message.get("content")):
            if values.kind(part) == "input_text":
                yield "messages", index, "content", place


def _places(conversation: Conversation, index: int) -> Iterator[Place]:
    message = conversation.items[index]
    # One string for all images, because it may be long.
    question = Once(_question, conversation, index, is_result=message.get("role") in _RESULT_ROLES)
    content, here = message.get("content"), ("messages", index, "content")
    if message.get("role") not in _RESULT_ROLES:
        yield from (((*here, place), part, question) for place, part in values.objects(content))
    else:
        yield from places.result(content, here, question)
    for place, image in _beside(message):
        yield ("messages", index, "images", place), image, question


def _beside(message: Json) -> Iterator[tuple[int, Json]]:
    """Yield the image parts beside a message's content. Ollama's are base64."""
    images = message.get("images")
    for place, image in enumerate(images if isinstance(images, list) else ()):
        if isinstance(image, str):
            yield place, {"type": "image", "data": image}
        elif isinstance(image, Mapping):
            yield place, {"type": "image", **image}


def _image(part: Json) -> tuple[ImageSource | None] | None:
    """Return ``(image,)`` for an image part, ``(None,)`` if its image is not readable, ``None`` for another part."""
    match values.kind(part):
        case "image_url":
            return (_named(part.get("image_url"), part),)
        case "input_image":  # a part of the Responses API. Some clients send it by mistake
            return (_named(part.get("image_url"), part) or _kept(part.get("file_id"), _text(part, "detail")),)
        case "file":
            return _file(values.mapping(part.get("file")))
        case _:
            return image_part(part)


def _named(image: object, part: Json) -> ImageSource | None:
    """Read ``image_url``, which is an object, or a string from some clients."""
    url = values.text(image if isinstance(image, str) else values.mapping(image).get("url"))
    if url is None:
        return None
    hints = part if isinstance(image, str) else values.mapping(image)
    return ImageSource.referenced(url, _text(hints, "detail"), _text(hints, "format"))


def _file(file: Json) -> tuple[ImageSource | None] | None:
    """Read LiteLLM's ``file`` part. The type of its data, its ``format`` or its bytes show whether it is an image."""
    data, media_type = values.text(file.get("file_data")), _text(file, "format") or ""
    if data is not None:
        source = ImageSource.encoded(media_type, data)
        return (source,) if source.is_image else None
    return (_kept(file.get("file_id"), None, media_type),) if media_type.lower().startswith("image/") else None


def _kept(file_id: object, detail: str | None, media_type: str | None = None) -> ImageSource | None:
    name = values.text(file_id)
    return None if name is None else stored_image(name, detail, media_type)


def _text(part: Json, key: str) -> str | None:
    return values.text(part.get(key))


def _question(conversation: Conversation, index: int) -> str:
    message = conversation.items[index]
    if message.get("role") != "tool":
        return conversation.question(index)
    call_text = conversation.call_text_before(index, values.text(message.get("tool_call_id")))
    return conversation.result_question(index, call_text, _texts(message))


def _texts(message: Json) -> list[str | None]:
    content = message.get("content")
    parts = (part for _, part in values.objects(content) if values.kind(part) in _TEXT_PARTS)
    texts: list[str | None] = (
        [content] if isinstance(content, str) else [values.text(part.get("text")) for part in parts]
    )
    is_result = message.get("role") in _RESULT_ROLES
    return [said_in(text) for text in texts] if is_result else texts


def _results(messages: Mapping[int, Json], index: int) -> list[str | None]:
    return results_before(messages, index, lambda message: message.get("role") == "tool", "tool_call_id")


def _has_image(message: Json) -> bool:
    return any(places.image_in(part, _image) is not None for _, part in values.objects(message.get("content")))


def _calls(messages: Mapping[int, Json]) -> Iterator[tuple[int, str | None, Json]]:
    for index, message in messages.items():
        for _, call in values.objects(message.get("tool_calls")):
            yield index, values.text(call.get("id")), call


def _call_text(call: Json) -> str:
    function = values.mapping(call.get("function"))
    return tool_call(function.get("name"), function.get("arguments"))


def _ends_turn(message: Json) -> bool:
    """Return whether a message is an answer of the assistant. A message with tool calls does not end a turn."""
    return message.get("role") == "assistant" and not message.get("tool_calls")


def _simplest(parts: list[Any]) -> list[Any] | str:
    """Return one string if all parts are plain text, because some providers refuse a list of text parts."""
    texts = values.plain_texts(parts)
    return "\n\n".join(texts) if texts else parts
