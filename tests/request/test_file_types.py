"""Types and sizes that files' headers tell, against Pillow's own files, and headers that lie."""

from __future__ import annotations

import base64
import io
import re
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.images import png_header

from litellm_image_analysis.request.file_types import MEDIA_TYPES, Base64, Format, format_of, is_base64, size_of

WRITTEN: list[tuple[Format, str, dict[str, Any]]] = [
    ("PNG", "PNG", {}),
    ("JPEG", "JPEG", {}),
    ("JPEG", "JPEG", {"progressive": True, "exif": b"Exif\0\0" + b"x" * 60_000, "icc_profile": b"y" * 200_000}),
    ("WEBP", "WEBP", {}),
    ("WEBP", "WEBP", {"lossless": True}),
    ("WEBP", "WEBP", {"exif": b"Exif\0\0" + b"x" * 100}),
    ("GIF", "GIF", {}),
    ("BMP", "BMP", {}),
    ("TIFF", "TIFF", {}),
    ("TIFF", "TIFF", {"big_endian": True}),
    ("AVIF", "AVIF", {}),
]
HEIC = bytes.fromhex("00000018667479706865696300000000") + b"mif1heic"


def encoded(content: bytes, before: str = "") -> Base64:
    return Base64(before + base64.b64encode(content).decode(), len(before))


def read(content: bytes) -> tuple[Format | None, tuple[int, int] | None]:
    file = encoded(content, "data:image/png;base64,")
    name = format_of(file)
    return name, None if name is None else size_of(file, name)


def ispe(width: int, height: int) -> bytes:
    return struct.pack(">I4sIII", 20, b"ispe", 0, width, height)


def gif(*blocks: bytes, size: tuple[int, int] = (5, 7), flags: int = 0) -> bytes:
    colors = b"," * 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else b""
    return b"GIF89a" + struct.pack("<HHBxx", *size, flags) + colors + b"".join(blocks)


def frame(width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    return struct.pack("<cHHHHB", b",", left, top, width, height, 0)


def start_of_frame(width: int, height: int, kind: int = 0) -> bytes:
    return struct.pack(">BBHBHHB9x", 0xFF, 0xC0 + kind, 17, 8, height, width, 3)


CONTROL = b"!\xf9\4\0\0\0\0\0"
COMMENT = b"!\xfe\3a,!\2;,\0"


def tiff(order: str, *entries: tuple[int, int, int]) -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    raw = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(f"{order}I" if kind == 4 else f"{order}Hxx", value)
        for tag, kind, value in entries
    )
    return head + struct.pack(f"{order}IH", 8, len(entries)) + raw


@pytest.mark.parametrize("size", [(1, 1), (321, 123), (123, 4321)])
@pytest.mark.parametrize(("name", "written_as", "options"), WRITTEN)
def test_a_real_file(name: Format, written_as: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs the extra local-ocr")
    buffer = io.BytesIO()
    image.new("RGB", size, "red").save(buffer, written_as, **options)
    assert read(buffer.getvalue()) == (name, size)


@pytest.mark.parametrize(
    ("content", "name", "size"),
    [
        (png_header(5, 7), "PNG", (5, 7)),
        (HEIC + ispe(512, 512) + ispe(4032, 3024) + ispe(320, 240), "HEIF", (4032, 3024)),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif" + ispe(5, 7), "AVIF", (5, 7)),
        (b"BM" + bytes(12) + struct.pack("<IHH", 12, 5, 7), "BMP", (5, 7)),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 5, -7), "BMP", (5, 7)),
        (tiff("<", (256, 3, 5), (257, 4, 7)), "TIFF", (5, 7)),
        (tiff(">", (254, 4, 0), (256, 4, 5), (257, 3, 7)), "TIFF", (5, 7)),
        (b"\xff\xd8\xff\xff\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\x07\0\x05", "JPEG", (5, 7)),
        (gif()[:10], "GIF", (5, 7)),
        (gif(), "GIF", (5, 7)),
        (gif(frame(5, 7), frame(900, 900)), "GIF", (5, 7)),
        (gif(frame(3, 2)), "GIF", (5, 7)),
        (gif(frame(20_000, 30_000), size=(1, 1)), "GIF", (20_000, 30_000)),
        (gif(frame(20_000, 30_000), size=(0, 0)), "GIF", (20_000, 30_000)),
        (gif(frame(0, 60_000)), "GIF", (5, 60_000)),
        (gif(frame(6, 6)), "GIF", (6, 7)),
        (gif(frame(1, 1, 40_000, 50_000)), "GIF", (40_001, 50_001)),
        (gif(frame(9, 0), size=(0, 7)), "GIF", (9, 7)),
        (gif(CONTROL, COMMENT, frame(80, 90), flags=0x80), "GIF", (80, 90)),
        (gif(COMMENT, b"\0", CONTROL, frame(80, 90), flags=0xF7), "GIF", (80, 90)),
        (gif(COMMENT * 200, frame(80, 90)), "GIF", (80, 90)),
        (gif(frame(80, 90)[:8]), "GIF", (5, 7)),
        (gif(COMMENT[:4]), "GIF", (5, 7)),
        (gif(b";", frame(80, 90)), "GIF", (5, 7)),
        (gif(COMMENT * 1000, frame(80, 90)), "GIF", (5, 7)),
        (gif(flags=0xF7)[:40], "GIF", (5, 7)),
        (b"\xff\xd8" + start_of_frame(5, 7) + start_of_frame(80, 90, 2), "JPEG", (80, 90)),
        (b"\xff\xd8" + start_of_frame(5, 7, 1) + b"\xff\xfe\0\2" + start_of_frame(6, 5), "JPEG", (5, 7)),
        (b"\xff\xd8" + start_of_frame(0, 7) + start_of_frame(6, 5), "JPEG", (6, 5)),
        (b"\xff\xd8" + start_of_frame(5, 7) + b"\xff\xda\0\2" + start_of_frame(80, 90), "JPEG", (5, 7)),
        (b"\xff\xd8" + start_of_frame(5, 7) + b"junk" + start_of_frame(80, 90), "JPEG", (5, 7)),
        (b"\xff\xd8" + start_of_frame(5, 7) + start_of_frame(80, 90)[:7], "JPEG", (5, 7)),
        (b"\xff\xd8\xff\xc0\0\0\x08\0\7\0\5" + bytes(9), "JPEG", (5, 7)),
        (b"\xff\xd8" + start_of_frame(5, 7) + b"\xff\xfe\0\2" * 300 + start_of_frame(80, 90), "JPEG", (5, 7)),
    ],
)
def test_a_header(content: bytes, name: Format, size: tuple[int, int]) -> None:
    assert read(content) == (name, size)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (png_header()[:20], "PNG"),
        (png_header(0, 5), "PNG"),
        (png_header()[:8] + b"\0\0\0\x04tEXtabcd1234" + png_header()[8:], "PNG"),
        (b"GIF89a\1", "GIF"),
        (gif(size=(0, 7)), "GIF"),
        (gif(frame(0, 9), size=(0, 7)), "GIF"),
        (b"BM, said the letter to the other letter", "BMP"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(20), "WEBP"),
        (b"RIFF\0\0\0\0WEBPALPH" + bytes(20), "WEBP"),
        (b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0", "WEBP"),
        (b"\xff\xd8\xff\xd9", "JPEG"),
        (b"\xff\xd8\xff\xda\0\x08", "JPEG"),
        (b"\xff\xd8\xff\xe0\0\x04abjunk\xff\xc0\0\x11\x08\0\x07\0\x05", "JPEG"),
        (b"\xff\xd8" + b"\xff\xfe\0\x02" * 300 + b"\xff\xc0\0\x11\x08\0\x07\0\x05", "JPEG"),
        (b"\xff\xd8\xff\xe0\0\0" + bytes(20), "JPEG"),
        (tiff("<", (256, 3, 5)), "TIFF"),
        (tiff("<", (256, 5, 5), (257, 5, 7)), "TIFF"),
        (b"II*\0\xff\xff\xff\xff", "TIFF"),
        (HEIC, "HEIF"),
        (HEIC + bytes(16 * 1024) + ispe(5, 7), "HEIF"),
        (HEIC + b"ispe\0\0", "HEIF"),
    ],
)
def test_a_header_that_tells_no_size(content: bytes, name: Format) -> None:
    assert read(content) == (name, None)


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"\x89PNG",
            b"<svg xmlns=",
            b"<!doctype html>",
            b"%PDF-1.4",
            b"PK\3\4",
            b"\0\0\1\0",
            b"8BPS",
            b"\x1a\x45",
        ),
        *(b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", b"\xff\xfb\x90", b"GIF88a", b" \xff\xd8\xff"),
    ],
)
def test_what_is_no_image(content: bytes) -> None:
    assert read(content) == (None, None)


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", gif(), b"II*\0", b"MM\0*\0\0\0\x08", b"BM", HEIC])
)
def test_no_file_is_too_odd(content: bytes, head: bytes) -> None:
    name, size = read(head + content)
    assert name in {None, *MEDIA_TYPES.values()}
    assert size is None or min(size) > 0


@given(st.binary(max_size=40), st.integers(0, 50), st.integers(0, 50), st.sampled_from(["", "data:,", "xy"]))
def test_bytes_are_read_from_anywhere(content: bytes, place: int, count: int, before: str) -> None:
    for text in (base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode()):
        assert Base64(before + text, len(before)).read(place, count) == content[place : place + count]


@given(st.text(max_size=20), st.integers(0, 20), st.integers(0, 20))
def test_no_text_is_too_odd_to_be_read(text: str, place: int, count: int) -> None:
    assert len(Base64(text).read(place, count)) <= count


@given(st.binary(min_size=1, max_size=40), st.text("a:;,=", max_size=5))
def test_base64_is_base64(content: bytes, before: str) -> None:
    assert is_base64(Base64(before + base64.b64encode(content).decode(), len(before)))


_RFC_4648 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)", re.ASCII)


@given(st.text("AZaz09+/=-_ \n%é", min_size=1, max_size=12))
@example("0000=")  # surplus padding, which Python's decoder takes
@example("AAAAAAAA\n")
def test_what_is_base64_is_what_its_standard_says_and_a_decoder_reads(text: str) -> None:
    assert is_base64(Base64(text)) is (_RFC_4648.fullmatch(text) is not None)
    if is_base64(Base64(text)):
        assert base64.b64decode(text, validate=True)
