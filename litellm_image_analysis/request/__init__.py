"""Wire formats: where a request's images stand, and how text is put in their place. No I/O.

Each wire format is a module with the functions of ``WireFormat``. No other module knows which of them serves a
request. A wire format never changes the objects it is given: what has to change is copied, the rest is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from litellm_image_analysis.request.image import ImageSource

Path: TypeAlias = tuple[str | int, ...]
"""Where a part stands in the request body, such as ``("messages", 2, "content", 1)``."""

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image of a request, with what surrounds it.

    Attributes:
        path: where it stands in the body.
        source: the image; ``None`` if the part names none that can be made out.
        number: its place among the images of its message, from 1.
        count: how many images its message holds.
        question: what its message asks, ``""`` if it asks nothing.
    """

    path: Path
    source: ImageSource | None
    number: int
    count: int
    question: str

    @property
    def place(self) -> str:
        """The path as people write it: ``messages[2].content[1]``."""
        head, *rest = self.path
        return str(head) + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in rest)


class WireFormat(Protocol):
    """What a wire format's module offers."""

    CONTENT: tuple[str, ...]
    """The body's keys that hold what is said; the messages stand under the last one."""

    def find_images(self, body: Body) -> list[FoundImage]:
        """All images of the request, in the order they stand in it."""

    def replace_images(self, body: Body, texts: Mapping[Path, str]) -> dict[str, Any]:
        """The body's top-level values that change when each path's image gives way to its text.

        An image whose path is not in ``texts`` stays.
        """
