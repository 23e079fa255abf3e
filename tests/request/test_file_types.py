"""Types and sizes by the headers of files, compared with files of Pillow, and false headers."""

from __future__ import annotations

import base64
import io
import re
import struct
from typing import Any

import imagesize
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.images import png_header
from support.strategies import thorough

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


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


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
        (HEIC + box(b"meta", ispe(512, 512), ispe(4032, 3024), ispe(320, 240)), "HEIF", (4032, 3024)),
        (HEIC + box(b"meta", ispe(5, 7)) + box(b"meta", ispe(50, 70)), "HEIF", (50, 70)),
        (HEIC + b"\0\0\0\1mdat" + struct.pack(">Q", 90_000) + bytes(89_984) + box(b"meta", ispe(5, 7)), "HEIF", (5, 7)),
        (HEIC + box(b"free", ispe(80, 90), bytes(20_000)) + box(b"meta", ispe(5, 7)), "HEIF", (5, 7)),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif" + box(b"meta", ispe(5, 7)), "AVIF", (5, 7)),
        (b"BM" + bytes(12) + struct.pack("<IHH", 12, 5, 7), "BMP", (5, 7)),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 5, -7), "BMP", (5, 7)),
        (tiff("<", (256, 3, 5), (257, 4, 7)), "TIFF", (5, 7)),
        (tiff(">", (254, 4, 0), (256, 4, 5), (257, 3, 7)), "TIFF", (5, 7)),
        (tiff("<", (256, 1, 5), (257, 9, 7)), "TIFF", (5, 7)),
        (tiff("<", (256, 3, 5), (256, 3, 1), (257, 3, 1), (257, 3, 7)), "TIFF", (5, 7)),
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
        (b"\xff\xd8" + start_of_frame(5, 7) + b"junk" + start_of_frame(80, 90), "JPEG", (80, 90)),
        (b"\xff\xd8\xff\xd0" + start_of_frame(80, 90) + bytes(0xFFC0 - 19) + start_of_frame(5, 7), "JPEG", (80, 90)),
        (b"\xff\xd8\xff\xe0\0\x04abjunk\xff\0\xff" + start_of_frame(5, 7), "JPEG", (5, 7)),
        (b"\xff\xd8\xff\xe0\0\0\xff\xe1\0\1" + start_of_frame(5, 7), "JPEG", (5, 7)),
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
        (b"\xff\xd8\xff\xe0\0\x04ab" + bytes(1024) + start_of_frame(5, 7), "JPEG"),
        (b"\xff\xd8" + b"\xff\xfe\0\x02" * 300 + b"\xff\xc0\0\x11\x08\0\x07\0\x05", "JPEG"),
        (b"\xff\xd8\xff\xe0\0\0" + bytes(20), "JPEG"),
        (tiff("<", (256, 3, 5)), "TIFF"),
        (tiff("<", (256, 5, 5), (257, 5, 7)), "TIFF"),
        (tiff("<", (256, 3, 5), (257, 16, 7)), "TIFF"),
        (tiff("<", (256, 3, 5), (257, 4, 7)).replace(b"\1\1\4\0\1", b"\1\1\4\0\2"), "TIFF"),
        (b"II*\0\xff\xff\xff\xff", "TIFF"),
        (HEIC, "HEIF"),
        (HEIC + bytes(1024) + box(b"meta", ispe(5, 7)), "HEIF"),
        (HEIC + box(b"free") * 100 + box(b"meta", ispe(5, 7)), "HEIF"),
        (HEIC + box(b"meta", ispe(5, 7), bytes(64 * 1024)), "HEIF"),
        (HEIC + ispe(5, 7), "HEIF"),
        (HEIC + box(b"meta", b"ispe\0\0"), "HEIF"),
        (HEIC + b"\0\0\0\1mdat", "HEIF"),
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


def in_imagesize(content: bytes) -> tuple[int, int] | None:
    """The size by another reader of headers, without rotation by EXIF data, which keeps the number of pixels."""
    try:
        width, height = imagesize.get(io.BytesIO(content), exif_rotation=False)
    except ValueError:
        return None
    return (width, height) if width > 0 else None


_upto = {bits: st.integers(1, 2**bits - 1) for bits in (14, 15, 16, 24, 31)}
_data = st.binary(max_size=40) | st.sampled_from([start_of_frame(1, 1), frame(1, 1), ispe(1, 1), bytes(5000)])
"""Contents of other parts of a file. Some of them look like headers."""


def png(width: int, height: int, chunks: list[tuple[bytes, bytes]]) -> bytes:
    after = (struct.pack(">I4s", len(data), kind) + data + bytes(4) for kind, data in chunks)
    return png_header(width, height) + b"".join(after)


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join((b"\xff\xe0\0\4ab", *segments, b"\xff\xda\0\x08", bytes(20)))


def segment(fill: bytes, marker: int, data: bytes) -> bytes:
    return fill + struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data


def riff(kind: bytes, head: bytes, after: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + kind + struct.pack("<I", len(head + after)) + head + after


def bmp(length: int, width: int, height: int, after: bytes) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<Iii", length, width, height) + bytes(16) + after


_chunks = st.tuples(st.sampled_from([b"tEXt", b"pHYs", b"eXIf", b"IDAT"]), _data)
_pngs = st.builds(png, _upto[31], _upto[31], st.lists(_chunks, max_size=4))

_fill = st.sampled_from([b"", b"", b"\xff", b"\xff\xff\xff"])
_segments = st.builds(segment, _fill, st.sampled_from([0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE]), _data)
_without_length = st.sampled_from([b"\xff\x01", *(bytes((0xFF, marker)) for marker in range(0xD0, 0xD8))])
# Decoders skip it. They also skip \xff\0 and read lengths below two as two. imagesize then finds no size.
_junk = st.binary(max_size=20).map(lambda junk: junk.replace(b"\xff", b""))
_other_segments = st.lists(_segments | _without_length | _junk, max_size=6).map(b"".join)
_frames = st.builds(start_of_frame, _upto[16], _upto[16], st.sampled_from([0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15]))
_jpegs = st.builds(jpeg, _other_segments, _frames, _other_segments)

_blocks = st.lists(st.sampled_from([CONTROL, COMMENT, b"\0"]), max_size=4).map(b"".join)
_screens = st.tuples(_upto[15], _upto[15])  # imagesize reads signed numbers
_gifs = st.builds(lambda size, *blocks: gif(*blocks, size=size), _screens, _blocks, st.just(frame(1, 1)) | _blocks)

_webps = st.one_of(
    st.builds(  # without the two bits for scaling, which imagesize reads as a part of the number
        lambda width, height, after: riff(b"VP8 ", struct.pack("<3x3sHH", b"\x9d\x01\x2a", width, height), after),
        *(_upto[14], _upto[14], _data),
    ),
    st.builds(
        lambda width, height, after: riff(b"VP8L", struct.pack("<BI", 0x2F, width - 1 | height - 1 << 14), after),
        *(_upto[14], _upto[14], _data),
    ),
    st.builds(
        lambda width, height, after: riff(
            b"VP8X", struct.pack("<4xI", width - 1)[:-1] + struct.pack("<I", height - 1)[:-1], after
        ),
        *(_upto[24], _upto[24], _data),
    ),
)

_heights = st.integers(1 - 2**31, 2**31 - 1).filter(bool)
_bmps = st.builds(
    bmp, st.integers(40, 124), _upto[31], _heights, _data
)  # not the short header, which imagesize does not read

_entries = st.tuples(st.integers(258, 60_000) | st.sampled_from([254, 255]), st.sampled_from([3, 4]), _upto[16])
_tiffs = st.builds(
    lambda order, kind, width, height, before, between, after: tiff(
        order, *before, (256, kind, width), *between, (257, kind, height), *after
    ),
    *(st.sampled_from("<>"), st.sampled_from([3, 4]), _upto[16], _upto[16]),
    *(st.lists(_entries, max_size=3) for _ in range(3)),
)


@thorough
@given(_pngs | _jpegs | _gifs | _webps | _bmps | _tiffs)
def test_imagesize_reads_the_same_size(content: bytes) -> None:
    _, size = read(content)
    assert size is not None
    assert size == in_imagesize(content)


@st.composite
def files_of_pillow(draw: st.DrawFn) -> tuple[Format, tuple[int, int], bytes]:
    """A file of Pillow with random options, with its type and size."""
    image = pytest.importorskip("PIL.Image", reason="needs the extra local-ocr")
    name: Format = draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]))
    size = draw(st.tuples(st.integers(1, 80), st.integers(1, 80)))
    exif = image.Exif()
    # The orientation. In AVIF it is also a box of one byte, for which imagesize reads five bytes
    exif[0x0112] = 1 if name == "AVIF" else draw(st.integers(1, 8))
    exif[0x010E] = draw(st.text("a\xff", max_size=300))  # the description
    first, *others = (image.new("RGB", size, colour) for colour in draw(st.sampled_from([("red",), ("red", "blue")])))
    switches = dict.fromkeys(("progressive", "optimize", "lossless", "big_endian"), st.booleans())
    texts = dict.fromkeys(("icc_profile", "comment"), st.binary(min_size=1, max_size=100))
    options: dict[str, Any] = draw(
        st.fixed_dictionaries({}, optional={**switches, **texts, "exif": st.just(exif), "dpi": st.just((300, 300))})
    )
    buffer = io.BytesIO()
    first.save(buffer, name, save_all=name in ("PNG", "WEBP", "GIF", "TIFF"), append_images=others, **options)
    return name, size, buffer.getvalue()


@given(files_of_pillow())
def test_imagesize_reads_the_same_size_in_files_of_pillow(written: tuple[Format, tuple[int, int], bytes]) -> None:
    name, size, content = written
    assert read(content) == (name, size)
    assert in_imagesize(content) == size


def heif(brand: bytes, before: bytes, sizes: list[tuple[int, int]], main: int) -> bytes:
    """A file whose main picture has one of the sizes."""
    properties = box(b"ipco", *(ispe(*size) for size in sizes))
    association = box(b"ipma", struct.pack(">4xIHBB", 1, 1, 1, 1 + main % len(sizes)))
    meta = box(b"meta", bytes(4), box(b"pitm", struct.pack(">4xH", 1)), box(b"iprp", properties, association))
    return box(b"ftyp", brand, bytes(4), brand) + before + meta


_two_frames = st.builds(jpeg, _other_segments, _frames, _other_segments, _frames)
_gif_frames = st.builds(frame, _upto[16], _upto[16], _upto[15], _upto[15])
_gifs_with_frames = st.builds(lambda size, *blocks: gif(*blocks, size=size), _screens, _blocks, _gif_frames)
_sides = st.tuples(st.sampled_from([256, 257]), st.sampled_from([3, 4]), _upto[16])
_tiffs_with_repeated_sides = st.builds(tiff, st.sampled_from("<>"), _sides, _sides, _sides, _sides)
_heifs = st.builds(
    heif,
    st.sampled_from([b"heic", b"mif1", b"avif"]),
    st.sampled_from([b"", box(b"free", ispe(1, 1)), box(b"free", ispe(1, 1), bytes(20_000))]),
    st.lists(st.tuples(_upto[31], _upto[31]), min_size=1, max_size=4),
    st.integers(0, 3),
)


def pixels(size: tuple[int, int] | None) -> int:
    return 0 if size is None else size[0] * size[1]


@thorough
@given(_two_frames | _gifs_with_frames | _tiffs_with_repeated_sides | _heifs)
def test_of_several_sizes_none_is_larger_in_imagesize(content: bytes) -> None:
    """A decoder may use any of them, so the largest one counts."""
    assert pixels(read(content)[1]) >= pixels(in_imagesize(content))


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
@example("0000=")  # too much padding, which Python's decoder accepts
@example("AAAAAAAA\n")
def test_what_is_base64_is_what_its_standard_says_and_a_decoder_reads(text: str) -> None:
    assert is_base64(Base64(text)) is (_RFC_4648.fullmatch(text) is not None)
    if is_base64(Base64(text)):
        assert base64.b64decode(text, validate=True)
