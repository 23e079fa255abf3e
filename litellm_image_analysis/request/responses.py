"""OpenAI Responses: images in ``input``, in message items, tool outputs and screenshots.

Format: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from litellm_image_analysis.request import Body, FoundImage, Path, values
from litellm_image_analysis.request.conversation import Conversation, Spot, numbered, once, tool_question
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

CONTENT: tuple[str, ...] = ("input",)
_IMAGE_PARTS = {"input_image", "image_url", "computer_screenshot"}
_TEXT_PARTS = {"input_text", "output_text", "text"}
_CALLS = {"function_call", "custom_tool_call", "computer_call"}


def find_images(body: Body) -> list[FoundImage]:
    """All images of ``body["input"]``, in order; a string has none."""
    items = dict(values.objects(body.get("input")))
    conversation = Conversation(items, lambda item: _words(item.get("content")), _ends_turn, _calls, _is_said)
    return [image for index in items for image in numbered(list(_spots(conversation, index)))]


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """``{"input": [...]}`` with each path's image replaced by a text part, or ``{}`` if nothing changes."""
    return values.changed(body, {path: _text_parts(body, path, words) for path, words in texts.items()})


def _spots(conversation: Conversation, index: int) -> Iterator[Spot]:
    item = conversation.items[index]
    place = "output" if "output" in item else "content"
    parts, here = item.get(place), ("input", index, place)
    if place == "output" and isinstance(parts, Mapping):  # a computer's screenshot stands there by itself
        candidates: list[tuple[Path, Json]] = [(here, parts)]
    else:
        candidates = [((*here, inner), part) for inner, part in values.objects(parts)]
    ask = partial(_output_question, conversation) if place == "output" else conversation.question
    question = once(ask, index)  # one string for all images: it may be long
    for path, part in candidates:
        if (found := _image(part)) is not None:
            yield path, found[0], question()


def _image(part: Json) -> tuple[ImageSource | None] | None:
    """The part's image in a tuple, with ``None`` for one that cannot be made out; ``None`` if it is no image part."""
    data = values.text(part.get("file_data")) or ""
    if values.kind(part) == "input_file" and data[:11].lower() == "data:image/":
        return (ImageSource(data),)
    if values.kind(part) not in _IMAGE_PARTS:
        return None
    image = part.get("image_url")
    url = values.text(image if isinstance(image, str) else values.mapping(image).get("url"))
    detail = values.text(part.get("detail")) or values.text(values.mapping(image).get("detail"))
    if url is not None:
        return (ImageSource.referenced(url, detail),)
    file_id = values.text(part.get("file_id"))
    return (ImageSource.referenced(file_id, detail, holder="openai") if file_id else None,)


def _output_question(conversation: Conversation, index: int) -> str:
    output = conversation.items[index]
    call = conversation.call_before(index, values.text(output.get("call_id")))
    name = "computer" if values.kind(call) == "computer_call" else call.get("name")
    arguments: object = next((call[key] for key in ("arguments", "input", "action") if key in call), {})
    return tool_question(name, arguments, _words(output.get("output")))


def _calls(items: Mapping[int, Json]) -> Iterator[tuple[int, str | None, Json]]:
    """All calls; with ``previous_response_id`` one may be kept at the provider instead."""
    for index, item in items.items():
        if values.kind(item) in _CALLS:
            yield index, values.text(item.get("call_id")), item


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    return values.joined(
        values.text(part.get("text")) for _, part in values.objects(content) if values.kind(part) in _TEXT_PARTS
    )


def _is_said(items: Mapping[int, Json], index: int) -> bool:
    """Whether an item is a message, and not one that comes with a call."""
    return "role" in items[index] and values.kind(items.get(index + 1, {})) not in _CALLS


def _ends_turn(item: Json) -> bool:
    """An assistant's last message ends a turn."""
    return item.get("role") == "assistant"


def _text_parts(body: Body, path: Path, words: str) -> dict[str, Any] | list[dict[str, Any]]:
    """A text part; in place of a screenshot, which stands by itself, a list of one."""
    item = values.at(body, path[:2])
    part = {"type": "output_text" if item.get("role") == "assistant" else "input_text", "text": words}
    return [part] if path[2:] == ("output",) else part
