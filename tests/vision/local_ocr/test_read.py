"""The transcript of an image."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pictures import FakeEngine, blank, data_uri, encoded, fragments, pixel, sizes

pytest.importorskip("rapidocr")

from litellm_image_analysis.vision.local_ocr import codes, read, tesseract
from litellm_image_analysis.vision.local_ocr.engine import Fragment, Reading
from litellm_image_analysis.vision.local_ocr.rapid import RapidEngine

RECEIPT = Path(__file__).parents[3] / "examples" / "receipt.png"
NO_TEXT = "No text was found. This engine reads text; it does not describe pictures."
OTHER_SCRIPT = "The image has text in a script that this engine does not read. What it made of it is uncertain:"
UNREADABLE = Fragment("", 0.0, 0, 0, 300, 20)


@pytest.fixture(autouse=True)
def _no_other_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tesseract, "packs", lambda: ())
    monkeypatch.setattr(codes, "read_codes", lambda picture: [])


def answer(engine: FakeEngine, url: str) -> str:
    return read.transcribe(url, "The image", engine, lambda: None)


def one(engine: FakeEngine, width: int = 40, height: int = 30) -> str:
    """The transcript of one empty picture, without the line about its size."""
    return answer(engine, data_uri(encoded(blank(width, height)))).split("\n\n", 1)[1]


def animation(*colours: str, file_format: str = "GIF") -> str:
    first, *others = (blank(colour=colour) for colour in colours)
    return data_uri(encoded(first, file_format, save_all=True, append_images=others, lossless=True))


class ColourEngine(FakeEngine):
    """An engine that reads the colour of the first pixel."""

    def read(self, picture: object, go_on: object) -> Reading:
        return Reading(fragments(f"first pixel is {pixel(picture)}"))  # type: ignore[arg-type]


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO"])
def test_a_known_format_is_read_whatever_its_uri_says(file_format: str) -> None:
    url = data_uri(encoded(blank(41, 31), file_format, sizes=[(41, 31)]), "application/octet-stream")
    assert answer(FakeEngine(), url).startswith("Image size: 41 x 31 pixels.\n\n")


def test_an_answer_is_the_size_and_the_rows() -> None:
    engine = FakeEngine(
        Fragment("42.80", 0.99, 300, 100, 380, 120),
        Fragment("TOTAL", 0.99, 10, 100, 80, 120),
        Fragment("RECEIPT", 0.99, 10, 10, 80, 30),
    )
    assert answer(engine, data_uri(encoded(blank(800, 600)))) == (
        "Image size: 800 x 600 pixels.\n\nRECEIPT\nTOTAL  42.80"
    )


def test_a_fragment_read_with_low_confidence_is_marked() -> None:
    lines = [Fragment(f"a line of text {at}", 1.0, 0, 30 * at, 150, 30 * at + 20) for at in range(9)]
    engine = FakeEngine(*lines, Fragment("T0TAL", 0.6, 10, 400, 80, 420), Fragment("42.80", 0.8, 300, 400, 380, 420))
    assert one(engine).endswith("\nT0TAL [uncertain]  42.80")


def test_a_picture_without_text_is_described_by_its_colours() -> None:
    assert one(FakeEngine()) == f"{NO_TEXT}\nThe picture is one flat colour: white."


def test_all_frames_are_read() -> None:
    assert answer(ColourEngine(), animation("red", "blue", file_format="PNG")) == (
        "Image size: 2 frames of 40 x 30 pixels.\n\n"
        "Frame 1:\nfirst pixel is (255, 0, 0)\nFrame 2:\nfirst pixel is (0, 0, 255)"
    )


def test_a_frame_with_the_text_of_another_says_which() -> None:
    assert answer(ColourEngine(), animation("red", "blue", "red", file_format="PNG")).endswith(
        "\nFrame 3: the same as frame 1."
    )


def test_frames_that_are_not_read_are_counted() -> None:
    colours = [f"#{number:02}0000" for number in range(12)]
    assert answer(ColourEngine(), animation(*colours, file_format="TIFF")).endswith("\n4 other pages were not read.")


def test_a_small_image_is_shown_as_it_is() -> None:
    engine = FakeEngine()
    answer(engine, data_uri(RECEIPT.read_bytes()))
    assert engine.pictures[0].tobytes() == pytest.importorskip("PIL.Image").open(RECEIPT).convert("RGB").tobytes()


def test_a_large_image_is_shrunk_and_the_answer_says_so() -> None:
    engine = FakeEngine()
    text = answer(engine, data_uri(encoded(blank(8_000, 2_000, mode="L"))))
    assert text.startswith("Image size: 8000 x 2000, read at 6000 x 1500 pixels.\n\n")
    assert sizes(engine) == [(6_000, 1_500)]


def test_lines_that_were_not_read_are_counted() -> None:
    assert one(FakeEngine(*fragments("first line"), unread=7)) == "first line\n... 7 more lines were not read."
    assert one(FakeEngine(unread=7)) == "... 7 more lines were not read."


def test_text_in_another_script_is_said_to_be_there() -> None:
    assert one(FakeEngine(UNREADABLE)) == OTHER_SCRIPT


def test_what_was_made_of_another_script_is_uncertain() -> None:
    engine = FakeEngine(UNREADABLE, Fragment("Co6aka", 0.85, 0, 40, 100, 60), Fragment("cat", 0.99, 0, 80, 30, 100))
    assert one(engine) == f"{OTHER_SCRIPT}\nCo6aka [uncertain]\ncat"


def test_another_script_is_read_by_tesseract_if_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def read_other(picture: object, weak: list[Fragment], go_on: object) -> list[Fragment]:
        asked.append(len(weak))
        return list(fragments("a dog", "in another script"))

    monkeypatch.setattr(tesseract, "packs", lambda: ("rus",))
    monkeypatch.setattr(tesseract, "read", read_other)
    assert one(FakeEngine(UNREADABLE)) == "a dog\nin another script"
    assert one(FakeEngine(*fragments("a line that was read"))) == "a line that was read"
    assert asked == [1]
    monkeypatch.setattr(tesseract, "read", lambda *_: [])
    assert one(FakeEngine(UNREADABLE)) == OTHER_SCRIPT


def test_codes_follow_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "read_codes", lambda picture: ["QR Code: https://example.com"])
    assert one(FakeEngine(*fragments("Scan me"))) == "Scan me\nQR Code: https://example.com"
    assert one(FakeEngine()) == "QR Code: https://example.com"


def test_no_frame_is_read_after_a_request_was_cancelled() -> None:
    class CancelledError(Exception):
        pass

    def go_on() -> None:
        if len(engine.pictures) == 1:
            raise CancelledError

    engine = FakeEngine()
    with pytest.raises(CancelledError):
        read.transcribe(animation("red", "green", "blue"), "The image", engine, go_on)
    assert len(engine.pictures) == 1


@pytest.mark.parametrize("size", [(3_000_000, 1), (1, 3_000_000), (1, 1), (1_000_001, 2)])
def test_a_picture_of_any_shape_is_read_by_the_real_engine(size: tuple[int, int]) -> None:
    url = data_uri(encoded(blank(*size, mode="L", colour=200)))
    assert NO_TEXT in read.transcribe(url, "The image", RapidEngine(), lambda: None)
