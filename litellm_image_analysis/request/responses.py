"""OpenAI Responses: images in ``input``, in message items, tool outputs and screenshots.

Format: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from litellm_image_analysis.request import Attachments, Body, Path, places, values
from litellm_image_analysis.request.context_blocks import TAGS
from litellm_image_analysis.request.conversation import Conversation, Once, results_before, tool_call
from litellm_image_analysis.request.embedded import replacement, said_in
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.other_formats import image_part
from litellm_image_analysis.request.places import Place
from litellm_image_analysis.request.plain_text import PlainText
from litellm_image_analysis.request.values import Json

CONTENT: tuple[str, ...] = ("input",)
PLAIN = PlainText("content", "input_text", is_result=("output",))
_IMAGE_PARTS = {"input_image", "image_url", "computer_screenshot"}
_TEXT_PARTS = {"input_text", "output_text", "text"}
_CALLS = {"function_call", "custom_tool_call", "computer_call"}


def find(body: Body, context_tags: Sequence[str] = TAGS) -> Attachments:
    """Return all images and other files of ``body["input"]``, in order. If it is a string, there are none."""
    return places.attachments_in(_messages(body, context_tags), _image)


def is_plain_text(body: Body) -> bool:
    """Return whether ``body["input"]`` is plain text, without images and files."""
    return PLAIN.all_match(body.get("input"))


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """Return ``{"input": [...]}`` with the image at each path replaced by a text part, or ``{}`` for no change."""
    items = body.get("input")
    edits = {path: partial(_text_parts, items=items, path=path, words=words) for path, words in texts.items()}
    return values.changed(body, edits)


def _messages(body: Body, context_tags: Sequence[str]) -> Iterator[Iterator[Place]]:
    """Yield the places of each item."""
    conversation = _conversation(body, context_tags)
    yield from (_places(conversation, index) for index, item in conversation.items.items() if not PLAIN.matches(item))


def _conversation(body: Body, context_tags: Sequence[str]) -> Conversation:
    return Conversation(
        dict(values.objects(body.get("input"))),
        lambda item: _texts(item.get("content")),
        _ends_turn,
        _calls,
        _call_text,
        _is_said,
        _results,
        _has_image,
        context_tags,
    )


def _places(conversation: Conversation, index: int) -> Iterator[Place]:
    item = conversation.items[index]
    key = "output" if item.get("output") else "content"
    content, here = item.get(key), ("input", index, key)
    # One string for all images, because it may be long.
    is_result = key == "output"
    ask = partial(_output_question, conversation) if is_result else conversation.question
    question = Once(ask, index, is_result=is_result)
    if key == "content":
        yield from (((*here, place), part, question) for place, part in values.objects(content))
    else:  # a list of parts, a text, or the screenshot of a computer call
        yield from places.result(content, here, question)


def _image(part: Json) -> tuple[ImageSource | None] | None:
    """Return ``(image,)`` for an image part, ``(None,)`` if its image is not readable, ``None`` for another part."""
    data = values.text(part.get("file_data")) or ""
    if values.kind(part) == "input_file":
        source = ImageSource.encoded("", data)
        return (source,) if source.is_image else None
    if values.kind(part) not in _IMAGE_PARTS:
        return image_part(part)
    image = part.get("image_url")
    url = values.text(image if isinstance(image, str) else values.mapping(image).get("url"))
    detail = values.text(part.get("detail")) or values.text(values.mapping(image).get("detail"))
    if url is not None:
        return (ImageSource.referenced(url, detail),)
    file_id = values.text(part.get("file_id"))
    return (ImageSource.referenced(file_id, detail, holder="openai") if file_id else None,)


def _output_question(conversation: Conversation, index: int) -> str:
    output = conversation.items[index]
    call_text = conversation.call_text_before(index, values.text(output.get("call_id")))
    texts = (said_in(text) for text in _texts(output.get("output")))
    return conversation.result_question(index, call_text, texts)


def _results(items: Mapping[int, Json], index: int) -> list[str | None]:
    return results_before(items, index, lambda item: values.kind(item).endswith("call_output"), "call_id")


def _calls(items: Mapping[int, Json]) -> Iterator[tuple[int, str | None, Json]]:
    """Yield all tool calls of the request. With ``previous_response_id``, the provider may store further calls."""
    for index, item in items.items():
        if values.kind(item) in _CALLS:
            yield index, values.text(item.get("call_id")), item


def _call_text(call: Json) -> str:
    name = "computer" if values.kind(call) == "computer_call" else call.get("name")
    arguments: object = next((call[key] for key in ("arguments", "input", "action") if key in call), {})
    return tool_call(name, arguments)


def _texts(content: object) -> list[str | None]:
    if isinstance(content, str):
        return [content]
    return [values.text(part.get("text")) for _, part in values.objects(content) if values.kind(part) in _TEXT_PARTS]


def _is_said(items: Mapping[int, Json], index: int) -> bool:
    """Return whether an item is a message, but not a message of the assistant directly before a tool call."""
    item = items[index]
    return "role" in item and not (_ends_turn(item) and values.kind(items.get(index + 1, {})) in _CALLS)


def _has_image(item: Json) -> bool:
    return any(places.image_in(part, _image) is not None for _, part in values.objects(item.get("content")))


def _ends_turn(item: Json) -> bool:
    """Return whether a message is from the assistant."""
    return item.get("role") == "assistant"


def _text_parts(image: Any, items: Any, path: Path, words: str) -> str | dict[str, Any] | list[dict[str, Any]]:
    """Return a text part, or a list with it in place of a screenshot that is not in a list."""
    if isinstance(image, str):
        return replacement(image, words)
    kind = "output_text" if items[path[1]].get("role") == "assistant" else "input_text"
    part = values.text_part(image, words, kind)
    return [part] if path[2:] == ("output",) else part
