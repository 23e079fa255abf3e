"""Google generateContent: images in ``contents``, ``systemInstruction`` and function responses.

Format: https://ai.google.dev/api/generate-content, in its camelCase and in its snake_case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from litellm_image_analysis.request import Body, FoundImage, Path, values
from litellm_image_analysis.request.conversation import Conversation, Spot, numbered, once, tool_question, written
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

_SYSTEM = ("systemInstruction", "system_instruction")
CONTENT: tuple[str, ...] = (*_SYSTEM, "contents")
_FUNCTION_RESPONSE = ("functionResponse", "function_response")
_FUNCTION_CALL = ("functionCall", "function_call")
_THOUGHT = ("thought", "thoughtSignature", "thought_signature")
RESPONSE_KEY = "image_analysis"
"""Where a function response, which has no text parts, holds what its images show."""


def find_images(body: Body) -> list[FoundImage]:
    """All images of the system instruction and of ``body["contents"]``, in order."""
    found: list[FoundImage] = []
    for key in _SYSTEM:
        found += numbered(list(_spots((key,), _conversation({0: values.mapping(body.get(key))}), 0)))
    contents = body.get("contents")
    if isinstance(contents, Mapping):
        return found + numbered(list(_spots(("contents",), _conversation({0: contents}), 0)))
    turns = _conversation(dict(values.objects(contents)))
    return found + [
        image for index in turns.items for image in numbered(list(_spots(("contents", index), turns, index)))
    ]


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """The body's values that change, with a text part in each image's place.

    Function responses have no text parts: there the image goes, and its text joins the ``response`` object.
    """
    edits: dict[Path, Any] = {
        path: _text_part(values.at(body, path), words)
        for path, words in texts.items()
        if path[-3] not in _FUNCTION_RESPONSE
    }
    told: dict[Path, dict[str | int, str]] = {}
    for path, words in texts.items():
        if path[-3] in _FUNCTION_RESPONSE:
            told.setdefault(path[:-2], {})[path[-1]] = words
    edits |= {path: _told(values.at(body, path), inside) for path, inside in told.items()}
    return values.changed(body, edits)


def _spots(here: Path, conversation: Conversation, index: int) -> Iterator[Spot]:
    question = once(conversation.question, index)  # one string for all images: it may be long
    for place, part in values.objects(conversation.items[index].get("parts")):
        key, response = _either(part, _FUNCTION_RESPONSE)
        if response:
            response_question = once(_function_question, conversation, index, response)
            for inner, image in values.objects(response.get("parts")):
                if (found := _image(image)) is not None:
                    path = (*here, "parts", place, key, "parts", inner)
                    yield path, found[0], response_question()
        elif (found := _image(part)) is not None:
            yield (*here, "parts", place), found[0], question()


def _image(part: Json) -> tuple[ImageSource | None] | None:
    """The part's image in a tuple, with ``None`` for one that cannot be made out; ``None`` if it is no image part."""
    _, inline = _either(part, ("inlineData", "inline_data"))
    _, file = _either(part, ("fileData", "file_data"))
    media_type = values.text(_either_value(inline or file, ("mimeType", "mime_type"))) or ""
    if not media_type.lower().startswith("image/"):
        return None
    if inline:
        data = values.text(inline.get("data"))
        return (ImageSource.encoded(media_type, data) if data else None,)
    uri = values.text(_either_value(file, ("fileUri", "file_uri")))
    return (ImageSource.referenced(uri, format=media_type) if uri else None,)


def _either(part: Json, names: tuple[str, ...]) -> tuple[str, Json]:
    """The name in use, of two spellings of the same, and the object under it."""
    name = next((name for name in names if isinstance(part.get(name), Mapping)), names[0])
    return name, values.mapping(part.get(name))


def _either_value(value: Json, names: tuple[str, ...]) -> object:
    return next((value[name] for name in names if name in value), None)


def _conversation(turns: Mapping[int, Json]) -> Conversation:
    return Conversation(turns, _words, _ends_turn, _calls)


def _function_question(conversation: Conversation, index: int, response: Json) -> str:
    """The function's name, its arguments in the latest earlier call, and what it answered beside the image."""
    name, answer = response.get("name"), response.get("response")
    call = conversation.call_before(index, (values.text(name), values.text(response.get("id"))))
    return tool_question(name, call.get("args", {}), written(answer) if answer else "")


def _calls(turns: Mapping[int, Json]) -> Iterator[tuple[int, tuple[str | None, str | None], Json]]:
    """Every call under its function's name and its id, and under the name alone: not all clients send ids."""
    for index, content in turns.items():
        for _, part in reversed(list(values.objects(content.get("parts")))):
            _, call = _either(part, _FUNCTION_CALL)
            if (name := values.text(call.get("name"))) is not None:
                yield index, (name, values.text(call.get("id"))), call
                yield index, (name, None), call


def _words(content: Json) -> str:
    return values.joined(values.text(part.get("text")) for _, part in values.objects(content.get("parts")))


def _ends_turn(content: Json) -> bool:
    """A model's answer ends a turn; its function calls do not."""
    calls = any(_either(part, _FUNCTION_CALL)[1] for _, part in values.objects(content.get("parts")))
    return content.get("role") == "model" and not calls


def _text_part(image: Json, words: str) -> dict[str, Any]:
    """A text part that stands where ``image`` stood and keeps a model's thought signature."""
    return {"text": words, **{key: image[key] for key in _THOUGHT if key in image}}


def _told(function_response: Json, texts: Mapping[str | int, str]) -> dict[str, Any]:
    """A function response that tells in its ``response`` what its images show, without those images."""
    parts = [part for place, part in enumerate(function_response["parts"]) if place not in texts]
    response = function_response.get("response")
    answered = dict(response) if isinstance(response, Mapping) else {} if response is None else {"output": response}
    key = RESPONSE_KEY
    while key in answered:
        key += "_"
    shown = "\n\n".join(texts[place] for place in range(len(function_response["parts"])) if place in texts)
    told = {**function_response, "response": {**answered, key: shown}}
    return {**told, "parts": parts} if parts else {key: value for key, value in told.items() if key != "parts"}
