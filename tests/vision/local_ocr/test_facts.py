"""The colours of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.pictures import blank

pytest.importorskip("numpy")

import numpy as np

from litellm_image_analysis.vision.local_ocr.facts import looks

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels


def picture(*parts: tuple[str, int]) -> Pixels:
    """Stripes of colours, each with its width."""
    return np.concatenate([np.asarray(blank(width, 50, colour=colour)) for colour, width in parts], axis=1)


@pytest.mark.parametrize("colour", ["white", "black", "red", "yellow", "blue", "grey"])
def test_a_flat_picture_is_said_to_be_flat(colour: str) -> None:
    assert looks(picture((colour, 64))) == f"The picture is one flat colour: {colour}."


def test_the_main_colours_are_named_by_their_areas() -> None:
    assert looks(picture(("blue", 64), ("white", 128), ("red", 40))) == (
        "Main colours, the largest area first: white, blue, red."
    )


def test_a_picture_of_one_pixel_has_a_colour() -> None:
    assert looks(picture(("green", 1)).copy()[:1]) == "The picture is one flat colour: dark green."
