"""Tesseract as an engine. Its command is replaced, but for one test that needs it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("PIL")

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from litellm_image_analysis.vision.local_ocr import tesseract
from litellm_image_analysis.vision.local_ocr.engine import Fragment

HEAD = "level page_num block_num par_num line_num word_num left top width height conf text".replace(" ", "\t")
PICTURE = np.full((60, 400, 3), 255, np.uint8)
WEAK = [Fragment("", 0.0, 0, 10, 200, 30)]


def row(text: str, left: int, confidence: float, line: int = 1) -> str:
    return "\t".join(map(str, [5, 1, 1, 1, line, 1, left, 20 * line, 40, 16, confidence, text]))


def table(*words: str) -> str:
    return "\n".join([HEAD, "1\t1\t0\t0\t0\t0\t0\t0\t400\t60\t-1\t", *words])


class Command:
    """Answers like the command: with a table for each language pack."""

    def __init__(self, tables: dict[str, str]) -> None:
        self.tables = tables
        self.asked: list[str] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        if "--list-langs" in command:
            listed = "\n".join(["List of available languages (9):", *self.tables, "osd", "script/Latin"])
            return subprocess.CompletedProcess(command, 0, stdout=listed)
        pack = command[command.index("-l") + 1]
        self.asked.append(pack)
        if pack not in self.tables:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0, stdout=self.tables[pack].encode())


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    def installed(tables: dict[str, str]) -> Command:
        command = Command(tables)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(subprocess, "run", command)
        tesseract.packs.cache_clear()
        return command

    yield installed
    tesseract.packs.cache_clear()


def read() -> list[str]:
    return [line.text for line in tesseract.read(PICTURE, WEAK, lambda: None)]


def test_words_are_joined_to_lines() -> None:
    words = table(row("Дата", 0, 95), row("отправки", 46, 90), row("12", 0, 80, line=2))
    first, second = tesseract.lines_of(words)
    assert (first.text, first.left, first.top, first.right, first.bottom) == ("Дата отправки", 0, 20, 86, 36)
    assert first.score == pytest.approx((4 * 95 + 8 * 90) / 1200)
    assert second.text == "12"


def test_words_without_a_gap_are_one_as_in_thai() -> None:
    assert tesseract.lines_of(table(row("สวัส", 0, 95), row("ดี", 41, 95)))[0].text == "สวัสดี"


def test_words_from_right_to_left_are_separated() -> None:
    assert tesseract.lines_of(table(row("مرحبا", 100, 95), row("بكم", 50, 95)))[0].text == "مرحبا بكم"


def test_the_surest_pack_is_kept(install: Any) -> None:
    install({"rus": table(row("привет мир", 0, 95)), "tha": table(row("ข้อความผิด", 0, 60))})
    assert tesseract.packs() == ("rus", "tha")
    assert read() == ["привет мир"]


def test_the_best_packs_are_tried_with_latin_letters_too(install: Any) -> None:
    tables = {"eng": table(row("noise noise", 0, 30)), "rus": table(row("цена в cafe", 0, 80))}
    command = install({**tables, "rus+eng": table(row("цена в café", 0, 96))})
    monkeypatched = tesseract.packs()
    assert "rus" in monkeypatched
    assert read() == ["цена в café"]
    assert "rus+eng" in command.asked


@pytest.mark.parametrize("words", [[row("неясно что", 0, 60)], [row("да", 0, 99)], []])
def test_a_pack_that_is_not_sure_or_finds_little_is_not_believed(words: list[str], install: Any) -> None:
    install({"rus": table(*words)})
    assert read() == []


def test_a_command_that_fails_reads_nothing(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install({"rus": ""})

    def fail(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("tesseract", 30)

    assert tesseract.packs() == ("rus",)
    monkeypatch.setattr(subprocess, "run", fail)
    assert read() == []


def test_without_the_command_there_are_no_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    tesseract.packs.cache_clear()
    assert tesseract.packs() == ()
    tesseract.packs.cache_clear()


def test_no_pack_is_tried_after_a_request_was_cancelled(install: Any) -> None:
    class CancelledError(Exception):
        pass

    def go_on() -> None:
        raise CancelledError

    command = install({"rus": table(row("привет мир", 0, 95))})
    with pytest.raises(CancelledError):
        tesseract.read(PICTURE, WEAK, go_on)
    assert command.asked == []


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="the command tesseract is not installed")
def test_the_real_command_reads() -> None:
    picture = Image.new("RGB", (500, 80), "white")
    ImageDraw.Draw(picture).text((20, 20), "Invoice number 4711 of May", "black", ImageFont.load_default(30))
    lines = tesseract.read(np.asarray(picture), [Fragment("", 0.0, 20, 20, 400, 50)], lambda: None)
    assert [line.text for line in lines] == ["Invoice number 4711 of May"]
