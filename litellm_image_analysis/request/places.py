"""The places of a request that may hold an image or another file, and what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from litellm_image_analysis.request import Path, Question
from litellm_image_analysis.request.conversation import Spot
from litellm_image_analysis.request.files import FoundFile, file_facts
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.values import Json

Place: TypeAlias = "tuple[Path, Json | ImageSource, Question]"
"""The path of a content part or of an image within a text, the part or the image, and the question for it."""

ReadImage: TypeAlias = "Callable[[Json], tuple[ImageSource | None] | None]"
"""Returns ``(image,)`` for an image part, ``(None,)`` if its image is not readable, ``None`` for another part."""


def spots(places: Iterable[Place], read: ReadImage) -> list[Spot]:
    """Return the places with an image.

    Args:
        places: the places of a message.
        read: reads a content part of the wire format.
    """
    found = ((path, image_in(part, read), question) for path, part, question in places)
    return [(path, image[0], question) for path, image, question in found if image is not None]


def files(places: Iterable[Place], read: ReadImage) -> Iterator[FoundFile]:
    """Yield the places with a file that is no image.

    Args:
        places: the places of a message.
        read: reads a content part of the wire format.
    """
    for path, part, _ in places:
        facts = None if isinstance(part, ImageSource) else file_facts(part)
        if facts is not None and image_in(part, read) is None:
            yield FoundFile(path, facts)


def image_in(part: Json | ImageSource, read: ReadImage) -> tuple[ImageSource | None] | None:
    """Return the image of a content part as ``read`` does. An image part with another file holds none."""
    found = (part,) if isinstance(part, ImageSource) else read(part)
    return None if found is None or (found[0] is not None and found[0].is_other_file) else found
