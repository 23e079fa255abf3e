"""The set of pictures: drawn anew each time, the same on every machine with the same Pillow and fonts."""

from __future__ import annotations

from functools import cache

from litellm_image_analysis.cli.evaluate.picture import Picture
from litellm_image_analysis.cli.evaluate.pictures_of_text import pictures_of_text
from litellm_image_analysis.cli.evaluate.pictures_of_things import pictures_of_things


@cache
def all_pictures() -> tuple[Picture, ...]:
    """Return all pictures, group by group."""
    return (*pictures_of_text(), *pictures_of_things())
