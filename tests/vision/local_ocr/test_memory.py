from __future__ import annotations

import ctypes

import pytest

from litellm_image_analysis.vision.local_ocr.memory import release


def test_memory_is_released() -> None:
    release()


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    release()
