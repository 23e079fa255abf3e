"""Google generateContent: images in ``contents``, ``systemInstruction`` and function responses.

Format: https://ai.google.dev/api/generate-content, in camelCase and in snake_case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from litellm_image_analysis.request import Attachments, Body, Path, places, values
from litellm_image_analysis.request.context_blocks import TAGS
from litellm_image_analysis.request.conversation import Conversation, Once, tool_call, written
from litellm_image_analysis.request.embedded import replacement, without_images
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.other_formats import image_part
from litellm_image_analysis.request.places import Place
from litellm_image_analysis.request.plain_text import PlainText
from litellm_image_analysis.request.values import Edit, Json

_SYSTEM = ("systemInstruction", "system_instruction")
CONTENT: tuple[str, ...] = (*_SYSTEM, "contents")
PLAIN = PlainText("parts", None)
_FUNCTION_RESPONSE = ("functionResponse", "function_response")
_FUNCTION_CALL = ("functionCall", "function_call")
_THOUGHT = ("thought", "thoughtSignature", "thought_signature")
RESPONSE_KEY = "image_analysis"
"""Key in a function response for the texts of its images, because function responses have no text parts."""


def find(body: Body, context_tags: Sequence[str] = TAGS) -> Attachments:
    """Return all images and other files of the system instruction and of ``body["contents"]``, in order."""
    return places.attachments_in(_contents(body, context_tags), _image)


def is_plain_text(body: Body) -> bool:
    """Return whether the system instruction and the contents are plain text, without images and files."""
    systems = [body[key] for key in _SYSTEM if body.get(key) is not None]
    return all(map(PLAIN.matches, systems)) and PLAIN.all_match(body.get("contents"))


def replace_images(body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
    """Return the body's values that change, with the image at each path replaced by a text part.

    Function responses have no text parts: the image is removed, and its text is added to the ``response`` object. The
    same is done with an image beside a function response, because LiteLLM would put its text before the tool message
    for the response, and providers refuse that order.
    """
    edits: dict[Path, Edit] = {}
    told: dict[Path, dict[int, str]] = {}
    beside: dict[Path, dict[int, str]] = {}
    for path, words in texts.items():
        if path[-2] == "parts" and path[-3] in _FUNCTION_RESPONSE:
            told.setdefault(path[:-2], {})[int(path[-1])] = words
        elif any(name in path for name in _FUNCTION_RESPONSE):
            edits[path] = partial(replacement, words=words)
        else:
            beside.setdefault(path[:-1], {})[int(path[-1])] = words
    responses: dict[Path, Edit] = {path: partial(_told, texts=inside) for path, inside in told.items()}
    contents: dict[Path, Edit] = {path: partial(_with_texts, texts=inside) for path, inside in beside.items()}
    changed: dict[str, Any] = {}
    for step in (edits, responses, contents):  # the innermost first, because a change of an outer one moves them
        changed |= values.changed({**body, **changed}, step)
    return changed


def _contents(body: Body, context_tags: Sequence[str]) -> Iterator[Iterator[Place]]:
    """Yield the places of the system instruction, and of each content."""
    for key in _SYSTEM:
        yield _places((key,), _conversation({0: values.mapping(body.get(key))}, context_tags), 0)
    contents = body.get("contents")
    if isinstance(contents, Mapping):
        yield _places(("contents",), _conversation({0: contents}, context_tags), 0)
        return
    turns = _conversation(dict(values.objects(contents)), context_tags)
    for index, content in turns.items.items():
        if not PLAIN.matches(content):
            yield _places(("contents", index), turns, index)


def _places(here: Path, conversation: Conversation, index: int) -> Iterator[Place]:
    question = Once(conversation.question, index)  # one string for all images, because it may be long
    for place, part in values.objects(conversation.items[index].get("parts")):
        path = (*here, "parts", place)
        key, response = _either(part, _FUNCTION_RESPONSE)
        if not response:
            yield path, part, question
            continue
        response_question = Once(_function_question, conversation, index, response, is_result=True)
        for inner, image in values.objects(response.get("parts")):
            yield (*path, key, "parts", inner), image, response_question
        yield (*path, key, "response"), places.ResultPart(response.get("response")), response_question


def _image(part: Json) -> tuple[ImageSource | None] | None:
    """Return ``(image,)`` for an image part, ``(None,)`` if its image is not readable, ``None`` for another part."""
    _, inline = _either(part, ("inlineData", "inline_data"))
    _, file = _either(part, ("fileData", "file_data"))
    media_type = values.text(_either_value(inline or file, ("mimeType", "mime_type"))) or ""
    if inline and (data := values.text(inline.get("data"))) is not None:
        source = ImageSource.encoded(media_type, data)
        return (source,) if source.is_image else None
    if not media_type.lower().startswith("image/"):
        return None if inline or file else image_part(part)
    if inline:
        return (None,)
    uri = values.text(_either_value(file, ("fileUri", "file_uri")))
    return (ImageSource.referenced(uri, format=media_type) if uri else None,)


def _either(part: Json, names: tuple[str, ...]) -> tuple[str, Json]:
    """Return the spelling of a name that the part uses, and the object under this name."""
    name = next((name for name in names if isinstance(part.get(name), Mapping)), names[0])
    return name, values.mapping(part.get(name))


def _either_value(value: Json, names: tuple[str, ...]) -> object:
    return next((value[name] for name in names if name in value), None)


def _conversation(turns: Mapping[int, Json], context_tags: Sequence[str]) -> Conversation:
    return Conversation(
        turns, _texts, _ends_turn, _calls, _call_text, results=_results, has_image=_has_image, context_tags=context_tags
    )


def _function_question(conversation: Conversation, index: int, response: Json) -> str:
    """Return the question: the function's name, the arguments of its latest call, and its response without images."""
    name, answer = response.get("name"), response.get("response")
    call_text = conversation.call_text_before(index, (values.text(name), values.text(response.get("id"))))
    words = written(without_images(answer)) if answer else ""
    return conversation.result_question(index, call_text or tool_call(name, {}), [words])


def _results(turns: Mapping[int, Json], index: int) -> list[tuple[str | None, str | None]]:
    """Return the names and ids of the function responses beside the images of a content, else of those before it."""
    for at in (index, index - 1):
        content = values.mapping(turns.get(at))
        found = (_either(part, _FUNCTION_RESPONSE)[1] for _, part in values.objects(content.get("parts")))
        ids = [(values.text(each.get("name")), values.text(each.get("id"))) for each in found if each]
        if ids or content.get("role") == "model":
            return ids
    return []


def _has_image(content: Json) -> bool:
    return any(places.image_in(part, _image) is not None for _, part in values.objects(content.get("parts")))


def _calls(turns: Mapping[int, Json]) -> Iterator[tuple[int, tuple[str | None, str | None], Json]]:
    """Yield each call by its function's name and id, and by the name alone, because not all clients send ids."""
    for index, content in turns.items():
        for _, part in reversed(list(values.objects(content.get("parts")))):
            _, call = _either(part, _FUNCTION_CALL)
            if (name := values.text(call.get("name"))) is not None:
                yield index, (name, values.text(call.get("id"))), call
                yield index, (name, None), call


def _call_text(call: Json) -> str:
    return tool_call(call.get("name"), call.get("args", {}))


def _texts(content: Json) -> list[str | None]:
    return [values.text(part.get("text")) for _, part in values.objects(content.get("parts"))]


def _ends_turn(content: Json) -> bool:
    """Return whether a content is an answer of the model. One with function calls does not end a turn."""
    calls = any(_either(part, _FUNCTION_CALL)[1] for _, part in values.objects(content.get("parts")))
    return content.get("role") == "model" and not calls


def _text_part(image: Json, words: str) -> dict[str, Any]:
    """Return a text part in place of ``image``. It keeps the thought signature of a model."""
    return {"text": words, **{key: image[key] for key in _THOUGHT if key in image}}


def _with_texts(parts: list[Any], texts: Mapping[int, str]) -> list[Any]:
    """Return parts with texts in place of these images, or in the function responses beside them."""
    responses = [place for place, part in enumerate(parts) if _response_in(part)[1]]
    if not responses:
        return [_text_part(part, texts[place]) if place in texts else part for place, part in enumerate(parts)]
    told: dict[int, list[str]] = {}
    for place in sorted(texts):
        earlier = [response for response in responses if response < place]
        told.setdefault(earlier[-1] if earlier else responses[0], []).append(texts[place])
    written = [_answered(part, told[place]) if place in told else part for place, part in enumerate(parts)]
    return [part for place, part in enumerate(written) if place not in texts]


def _answered(part: Json, texts: Sequence[str]) -> dict[str, Any]:
    key, response = _response_in(part)
    return {**part, key: _with_answer(response, texts)}


def _response_in(part: object) -> tuple[str, Json]:
    return _either(values.mapping(part), _FUNCTION_RESPONSE)


def _told(function_response: Json, texts: Mapping[int, str]) -> dict[str, Any]:
    """Return a function response without these images, and with their texts in its ``response``."""
    parts = [part for place, part in enumerate(function_response["parts"]) if place not in texts]
    told = _with_answer(function_response, [texts[place] for place in sorted(texts)])
    return {**told, "parts": parts} if parts else {key: value for key, value in told.items() if key != "parts"}


def _with_answer(function_response: Json, texts: Sequence[str]) -> dict[str, Any]:
    response = function_response.get("response")
    answered = dict(response) if isinstance(response, Mapping) else {} if response is None else {"output": response}
    key = RESPONSE_KEY
    while key in answered:
        key += "_"
    return {**function_response, "response": {**answered, key: "\n\n".join(texts)}}
