"""The real engine on pictures that are drawn here."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.pictures import blank

pytest.importorskip("rapidocr")

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from litellm_image_analysis.vision.local_ocr import lines, rapid
from litellm_image_analysis.vision.local_ocr.layout import text_of
from litellm_image_analysis.vision.local_ocr.rapid import RapidEngine

if TYPE_CHECKING:
    from litellm_image_analysis.vision.local_ocr.engine import Pixels, Reading

RECEIPT = Path(__file__).parents[3] / "examples" / "receipt.png"
NOTICE = ["Shipping notice 88231", "Your parcel left Rotterdam on 12 May", "and will arrive in Oslo on 15 May."]


@pytest.fixture(scope="module")
def engine() -> RapidEngine:
    return RapidEngine()


def drawn(texts: list[str], size: int = 24, width: int = 640) -> Pixels:
    picture = Image.new("RGB", (width, 40 + 2 * size * len(texts)), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    for at, line in enumerate(texts):
        draw.text((20, 20 + 2 * size * at), line, "black", font)
    return np.asarray(picture)


def read(engine: RapidEngine, picture: Pixels) -> Reading:
    return engine.read(picture, lambda: None)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_page_is_read_whichever_way_it_lies(quarters: int, engine: RapidEngine) -> None:
    reading = read(engine, np.ascontiguousarray(np.rot90(drawn(NOTICE), quarters)))
    assert text_of(reading.fragments) == NOTICE
    assert (reading.quarters + quarters) % 4 == 0


def test_a_line_that_is_upside_down_is_read_where_it_stands(engine: RapidEngine) -> None:
    picture = drawn([*NOTICE, *NOTICE, *NOTICE])
    band = slice(20 + 2 * 24, 20 + 4 * 24 - 12)
    picture = picture.copy()
    picture[band] = picture[band][::-1, ::-1]
    assert sorted(each.text for each in read(engine, picture).fragments) == sorted(NOTICE * 3)


def test_small_text_in_a_large_picture_is_read(engine: RapidEngine) -> None:
    picture = np.full((1_500, 2_000, 3), 255, np.uint8)
    small = drawn(NOTICE, size=11)
    picture[900 : 900 + small.shape[0], 1_200 : 1_200 + small.shape[1]] = small
    assert text_of(read(engine, picture).fragments) == NOTICE


def test_large_letters_are_not_divided(engine: RapidEngine) -> None:
    picture = Image.new("RGB", (1_280, 720), "white")
    ImageDraw.Draw(picture).text((270, 280), "Thank you!", "black", ImageFont.load_default(120))
    assert text_of(read(engine, np.asarray(picture)).fragments) == ["Thank you!"]


def test_lines_are_read_without_the_space_around_them(engine: RapidEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "tightened", lambda crop: np.full_like(crop, 255))
    assert [each.text for each in read(engine, drawn(NOTICE)).fragments] == ["", "", ""]


def test_lines_beyond_the_budget_are_counted(engine: RapidEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapid, "_SECONDS", 0.0)
    monkeypatch.setattr(rapid, "_LEAST_SECONDS", 0.2)
    reading = read(engine, drawn(NOTICE * 3))
    assert 0 < len(reading.fragments) < 9
    assert len(reading.fragments) + reading.unread == 9
    assert [each.text for each in reading.fragments] == (NOTICE * 3)[: len(reading.fragments)]


# RapidOCR would enlarge these to hundreds of megapixels.
@pytest.mark.parametrize("size", [(2000, 1), (1, 2000), (1, 1), (300, 200)])
def test_an_empty_picture_of_any_shape_has_no_text(size: tuple[int, int], engine: RapidEngine) -> None:
    assert read(engine, np.asarray(blank(*size))).fragments == ()


def test_pictures_read_side_by_side_are_read_as_if_alone(engine: RapidEngine) -> None:
    receipt = Image.open(RECEIPT).convert("RGB")
    crops = [receipt.crop((0, 0, 480, 260)), receipt.crop((0, 400, 480, 600)), blank(200, 100)]
    pictures = [np.asarray(crop) for crop in crops]
    alone = [read(engine, picture) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda picture: read(engine, picture), pictures * 2)) == alone * 2


def test_nothing_is_read_after_a_request_was_cancelled(engine: RapidEngine) -> None:
    calls = 0

    class CancelledError(Exception):
        pass

    def go_on() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        engine.read(drawn(NOTICE), go_on)
    assert calls == 2


@pytest.mark.usefixtures("engine")
def test_the_engine_logs_errors_only() -> None:
    assert not logging.getLogger("RapidOCR").isEnabledFor(logging.WARNING)
