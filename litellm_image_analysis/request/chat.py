"""OpenAI chat completions: images in ``messages`` of every role.

Format: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from litellm_image_analysis.request import Body, FoundImage, Path, values
from litellm_image_analysis.request.conversation import Conversation, Spot, numbered, once, tool_question
from litellm_image_analysis.request.image import Holder, ImageSource
from litellm_image_analysis.request.values import Json

CONTENT: tuple[str, ...] = ("messages",)


def find_images(body: Body) -> list[FoundImage]:
    """All images of ``body["messages"]``, in order."""
    messages = dict(values.objects(body.get("messages")))
    conversation = Conversation(messages, _words, _ends_turn, _calls)
    return [image for index in messages for image in numbered(list(_spots(conversation, index)))]


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """``{"messages": [...]}`` with each path's image replaced by a text part, or ``{}`` if nothing changes."""
    changed = values.changed(
        body, {path: values.text_part(values.at(body, path), words) for path, words in texts.items()}
    )
    for message in (changed["messages"][index] for index in {path[1] for path in texts}):
        message["content"] = _simplest(message["content"])
    return changed


def _spots(conversation: Conversation, index: int) -> Iterator[Spot]:
    question = once(_question, conversation, index)  # one string for all images: it may be long
    for place, part in values.objects(conversation.items[index].get("content")):
        if (found := _image(part)) is not None:
            yield ("messages", index, "content", place), found[0], question()


def _image(part: Json) -> tuple[ImageSource | None] | None:
    """The part's image in a tuple, with ``None`` for one that cannot be made out; ``None`` if it is no image part."""
    match values.kind(part):
        case "image_url":
            return (_named(part.get("image_url"), part),)
        case "input_image":  # the Responses API's part, which clients send by mistake
            return (_named(part.get("image_url"), part) or _kept(part.get("file_id"), _text(part, "detail")),)
        case "file":
            return _file(values.mapping(part.get("file")))
        case _:
            return None


def _named(image: object, part: Json) -> ImageSource | None:
    """Read ``image_url`` as an object or, as some clients send it, as a plain string."""
    url = values.text(image if isinstance(image, str) else values.mapping(image).get("url"))
    if url is None:
        return None
    hints = part if isinstance(image, str) else values.mapping(image)
    return ImageSource.referenced(url, _text(hints, "detail"), _text(hints, "format"))


def _file(file: Json) -> tuple[ImageSource | None] | None:
    """LiteLLM's ``file`` part, if it holds an image by its data's type or by its ``format``."""
    data, media_type = values.text(file.get("file_data")), _text(file, "format") or ""
    if data is not None and data[:11].lower() == "data:image/":
        return (ImageSource(data),)
    if not media_type.lower().startswith("image/"):
        return None
    if data is not None and not data.startswith("data:"):
        return (ImageSource.encoded(media_type, data),)
    return (_kept(file.get("file_id"), None, media_type),)


def _kept(file_id: object, detail: str | None, media_type: str | None = None) -> ImageSource | None:
    """A file kept at a provider; Anthropic's ids tell themselves from OpenAI's."""
    if (name := values.text(file_id)) is None:
        return None
    holder: Holder | None = "anthropic" if name.startswith("file_") else "openai" if name.startswith("file-") else None
    return ImageSource.referenced(name, detail, media_type, holder)


def _text(part: Json, key: str) -> str | None:
    return values.text(part.get(key))


def _question(conversation: Conversation, index: int) -> str:
    message = conversation.items[index]
    if message.get("role") != "tool":
        return conversation.question(index)
    call = values.mapping(conversation.call_before(index, values.text(message.get("tool_call_id"))).get("function"))
    return tool_question(call.get("name"), call.get("arguments"), _words(message))


def _words(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return values.joined(
        values.text(part.get("text")) for _, part in values.objects(content) if values.kind(part) == "text"
    )


def _calls(messages: Mapping[int, Json]) -> Iterator[tuple[int, str | None, Json]]:
    for index, message in messages.items():
        for _, call in values.objects(message.get("tool_calls")):
            yield index, values.text(call.get("id")), call


def _ends_turn(message: Json) -> bool:
    """An assistant's answer ends a turn; its tool calls do not."""
    return message.get("role") == "assistant" and not message.get("tool_calls")


def _simplest(parts: list[Any]) -> list[Any] | str:
    """One string where only plain text is left: some providers refuse a list that says the same."""
    plain = [
        part["text"]
        for _, part in values.objects(parts)
        if values.kind(part) == "text" and part.keys() == {"type", "text"}
    ]
    strings = [words for words in plain if isinstance(words, str)]
    return "\n\n".join(filter(None, strings)) if len(strings) == len(parts) else parts
