"""The places of a request that may contain an image or another file, and their content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from litellm_image_analysis.request import Attachments, FoundImage, Path, Question, values
from litellm_image_analysis.request.conversation import Spot, numbered
from litellm_image_analysis.request.embedded import embedded_images
from litellm_image_analysis.request.files import FileFacts, FoundFile, file_facts
from litellm_image_analysis.request.image import ImageSource, stored_image
from litellm_image_analysis.request.values import Json


@dataclass(frozen=True, slots=True)
class ResultPart:
    """A part of a tool's result. It may be a content part, a text, or any JSON, with images in its texts.

    Attributes:
        value: the part.
    """

    value: object


Place: TypeAlias = "tuple[Path, Json | ResultPart, Question]"
"""The path of a content part or of a part of a tool's result, the part, and the question for its images."""

ReadImage: TypeAlias = "Callable[[Json], tuple[ImageSource | None] | None]"
"""Returns ``(image,)`` for an image part, ``(None,)`` if its image is not readable, ``None`` for another part."""


def attachments_in(messages: Iterable[Iterable[Place]], read: ReadImage) -> Attachments:
    """Return the images and other files of all messages, in order.

    Args:
        messages: the places of each message.
        read: reads a content part of the wire format.
    """
    images: list[FoundImage] = []
    files: list[FoundFile] = []
    for places in messages:
        spots: list[Spot] = []
        for path, part, question in places:
            held = _held_in(content_of(part), read)
            if isinstance(held, tuple):
                spots.append((path, held[0], question))
            elif held is not None:
                files.append(FoundFile(path, held))
            elif isinstance(part, ResultPart):
                spots += ((within, source, question) for within, source in embedded_images(part.value, path))
        images += numbered(spots)
    return Attachments(images, files)


def result(value: object, here: Path, question: Question) -> Iterator[Place]:
    """Yield the places of a tool's result.

    Args:
        value: the result: a list of parts, or one part.
        here: its path.
        question: the question for its images.
    """
    if not isinstance(value, list):
        yield here, ResultPart(value), question
        return
    for place, part in enumerate(value):
        yield (*here, place), ResultPart(part), question


def content_of(part: Json | ResultPart) -> Json:
    """Return the content part in a place, or an empty object if there is none."""
    return values.mapping(part.value) if isinstance(part, ResultPart) else part


def image_in(part: Json, read: ReadImage) -> tuple[ImageSource | None] | None:
    """Return the image of a content part, as ``read`` does. This includes a file that is an image."""
    held = _held_in(part, read)
    return held if isinstance(held, tuple) else None


def _held_in(part: Json, read: ReadImage) -> tuple[ImageSource | None] | FileFacts | None:
    """Return the image of a content part as ``read`` does, else the known properties of its file, else ``None``."""
    found = read(part)
    if found is not None and not (found[0] is not None and found[0].is_other_file):
        return found
    facts = file_facts(part)
    source = None if facts is None else _image_of(facts)
    return facts if source is None else (source,)


def _image_of(file: FileFacts) -> ImageSource | None:
    """Return a file as an image if its type or its first bytes show that it is one."""
    if file.content is not None:
        source = ImageSource.encoded(file.media_type, file.content)
        return source if source.is_image else None
    if file.reference is None or not file.media_type.startswith("image/"):
        return None
    return stored_image(file.reference, format=file.media_type)
