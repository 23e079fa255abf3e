"""QR codes and barcodes."""

from __future__ import annotations

import pytest
from support.pictures import blank

pytest.importorskip("numpy")

import numpy as np

from litellm_image_analysis.vision.local_ocr import codes


def test_a_code_is_read() -> None:
    zxing = pytest.importorskip("zxingcpp")
    code = zxing.create_barcode("https://example.com/a?b=1\nline", zxing.BarcodeFormat.QRCode)
    picture = np.repeat(np.array(code.to_image(scale=6))[:, :, None], 3, axis=2)
    assert codes.read_codes(picture) == ["QR Code: https://example.com/a?b=1 line"]


def test_a_picture_without_codes_has_none() -> None:
    assert codes.read_codes(np.asarray(blank(200, 200))) == []


def test_without_the_extra_no_code_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "_reader", lambda: None)
    assert codes.read_codes(np.asarray(blank())) == []
