"""Pictures of the drawn set through real RapidOCR. ``make bench-ocr`` measures all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rapidocr", reason="the extra local-ocr is not installed")
pytest.importorskip("onnxruntime", reason="the extra local-ocr is not installed")
pytest.importorskip("matplotlib", reason="the extra eval is not installed")

from benchmarks import ocr_measures
from benchmarks.local_ocr import local
from benchmarks.ocr_set import Picture, drawn
from litellm_image_analysis.vision.local_ocr import LocalOCR, tesseract

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[Picture], str]


@pytest.fixture(scope="module")
def read() -> Read:
    return local(LocalOCR())


@pytest.fixture(autouse=True)
def no_tesseract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tesseract, "packs", tuple)


@pytest.mark.parametrize(
    "name", ["columns-2", "table-wrapped", "code-dark", "small-8", "turned-180", "clear-white", "faint"]
)
def test_text_is_read_in_order(read: Read, name: str) -> None:
    picture = drawn(name)[0]
    answer = read(picture)
    assert ocr_measures.accuracy(picture, answer) >= 0.98
    assert ocr_measures.order(picture, answer) == 1
    rows = ocr_measures.rows_kept(picture, answer)
    assert rows is None or rows >= 0.8  # a row with a letter that was read wrongly counts as lost
    assert ocr_measures.indentation_kept(picture, answer) in (None, 1)
    assert not ocr_measures.says_other_script(answer)


def test_each_frame_has_its_number_and_text(read: Read) -> None:
    picture = drawn("frames")[0]
    answer = read(picture)
    assert ocr_measures.accuracy(picture, answer) >= 0.98
    assert answer.startswith("Image size: 3 frames of 420 x 130 pixels.\n")
    assert [line for line in answer.splitlines() if line.startswith("Frame")] == ["Frame 1:", "Frame 2:", "Frame 3:"]


def test_text_in_another_script_is_said_so(read: Read) -> None:
    assert ocr_measures.says_other_script(read(drawn("cyrillic")[0]))


def test_strokes_are_no_text(read: Read) -> None:
    assert "No text was found." in read(drawn("strokes")[0])
