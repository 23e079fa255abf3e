"""Images that are decoded, and those that are refused."""

from __future__ import annotations

import contextlib
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.exceptions import BadRequestError
from support.pictures import blank, data_uri, encoded

from litellm_image_analysis.vision.local_ocr import decode as decoding
from litellm_image_analysis.vision.local_ocr.decode import FORMATS, MAX_FRAMES, decode

pytest.importorskip("PIL")

RECEIPT = Path(__file__).parents[3] / "examples" / "receipt.png"
SCAN, END = b"\xff\xda", b"\xff\xd9"  # markers of a JPEG


def repeat_last_scan(jpeg: bytes, times: int, before: bytes = b"") -> bytes:
    """Add copies of a JPEG's last scan, each after the bytes ``before``."""
    scan = jpeg[jpeg.rindex(SCAN) : -len(END)]
    return jpeg[: -len(END)] + (before + scan) * times + END


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG, with its size and without pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT"


def size(url: str) -> tuple[int, int]:
    return decode(url, "The image").size


def refusal(url: str) -> str:
    with pytest.raises(BadRequestError) as caught:
        decode(url, "The image")
    assert caught.value.status_code == 400
    assert caught.value.litellm_debug_info is None
    return caught.value.message


def numbers(url: str) -> list[int]:
    """The numbers of the frames that are decoded."""
    return [number for number, _ in decode(url, "The image").pictures]


@pytest.mark.parametrize("url", ["https://example.com/receipt.png", "HTTP://example.com/receipt.png"])
def test_a_url_is_refused(url: str) -> None:
    assert "local-ocr does not fetch URLs: send the image as a data: URI with base64" in refusal(url)


SECRET = "c2VjcmV0IHBpeGVscyBvZiBhIHNlY3JldCBpbWFnZQ=="
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><text>secret</text></svg>'


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not a data: URI with base64"),
        (SECRET, "not a data: URI with base64"),
        (f"data:image/png,{SECRET}", "not a data: URI with base64"),
        (f"file:///{SECRET}.png", "not a data: URI with base64"),
        (f"data:image/svg+xml;utf8,{SVG.decode()}", "not a data: URI with base64"),
        (f"data:image/png;base64,{SECRET[:-3]}", "malformed base64"),
        (f"data:image/png;base64,{SECRET[:-2]}\u00e9=", "malformed base64"),
        (f"data:image/png;base64,*{SECRET}", "malformed base64"),
        (
            "data:image/png;base64,",
            "not an intact image of a known format (PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF, ICO)",
        ),
        (f"data:image/png;base64,{SECRET}", "not an intact image of a known format"),
        (data_uri(SVG, "image/svg+xml"), "not an intact image of a known format"),
        (data_uri(RECEIPT.read_bytes()[:-3000]), "not an intact image of a known format"),
    ],
)
def test_what_is_no_image_is_refused_without_being_quoted(url: str, reason: str) -> None:
    message = refusal(url)
    assert reason in message
    assert not any(quote in message for quote in ("c2Vj", "secret", "iVBOR", "PHN2"))


@pytest.mark.parametrize("file_format", ["PPM", "TGA"])
def test_an_unknown_format_is_refused(file_format: str) -> None:
    assert "not an intact image of a known format" in refusal(data_uri(encoded(blank(), file_format)))


# Pillow has limits of its own: it warns above 89 million pixels and refuses above 179 million.
@pytest.mark.parametrize("size", [(8_001, 5_000), (10_000, 10_000), (60_000, 60_000)])
def test_an_image_with_too_many_pixels_is_refused_from_its_header(size: tuple[int, int]) -> None:
    assert "more than 40,000,000 pixels" in refusal(data_uri(png_header(*size)))


def test_an_image_at_the_limit_is_decoded() -> None:
    assert "not an intact image" in refusal(data_uri(png_header(8_000, 5_000)))


# Pillow writes 6 scans for a progressive JPEG in shades of grey.
@pytest.mark.parametrize(("size", "most"), [((40, 30), 50), ((4_000, 5_000), 25), ((8_000, 5_000), 12)])
def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded(
    size: tuple[int, int], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg = encoded(blank(*size, mode="L"), "JPEG", progressive=True)
    assert decode(data_uri(repeat_last_scan(jpeg, most - 6)), "The image").size == size
    monkeypatch.setattr(pytest.importorskip("PIL.ImageFile").ImageFile, "load", None)
    assert refusal(data_uri(repeat_last_scan(jpeg, most - 5))).endswith(
        f"The image is a JPEG of {most + 1} scans. At this size, at most {most} are decoded. Send a JPEG that is not"
        " progressive."
    )


def test_the_scans_of_any_jpeg_are_counted() -> None:
    first = encoded(blank(), "JPEG")
    assert "JPEG of 101 scans" in refusal(data_uri(repeat_last_scan(first, 100)))
    several = encoded(blank(), "MPO", save_all=True, append_images=[blank()])
    end = several.index(END) + len(END)
    assert "JPEG of 101 scans" in refusal(data_uri(repeat_last_scan(several[:end], 100) + several[end:]))


# libjpeg skips all of these between scans.
@pytest.mark.parametrize("before", [b"\xff", b"\xff\xff", b"\xff\x00", b"\xff\x01", b"\xff\xd3", b"x", b"\xff\xfe\0\0"])
def test_scans_are_not_hidden_by_what_stands_before_them(before: bytes) -> None:
    jpeg = encoded(blank(), "JPEG", progressive=True)
    assert "JPEG of 110 scans" in refusal(data_uri(repeat_last_scan(jpeg, 100, before)))
    assert size(data_uri(repeat_last_scan(jpeg, 1, before))) == (40, 30)


def test_what_looks_like_a_scan_in_metadata_or_after_the_image_is_not_counted() -> None:
    """A preview in the metadata, or the film of a motion photo."""
    jpeg = encoded(blank(), "JPEG", progressive=True, comment=SCAN * 100)
    assert size(data_uri(jpeg + SCAN * 100)) == (40, 30)


def test_a_jpeg_of_very_many_segments_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow takes 2 s for 4 MB of empty segments."""
    jpeg = encoded(blank(), "JPEG")
    assert size(data_uri(jpeg[:2] + b"\xff\xfe\0\2" * 900 + jpeg[2:])) == (40, 30)
    monkeypatch.setattr(pytest.importorskip("PIL.Image"), "open", None)
    for place in (2, -2):
        content = jpeg[:place] + b"\xff\xfe\0\2" * 1_001 + jpeg[place:]
        assert "The image is a JPEG of more than 1,000 segments" in refusal(data_uri(content))


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_jpeg_that_ends_within_a_scan_s_header_is_read_or_refused(cut: int) -> None:
    with contextlib.suppress(BadRequestError):
        size(data_uri(encoded(blank(), "JPEG", progressive=True)[:-cut]))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's warning about broken metadata
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    st.integers(1, 10_000),
)
def test_a_damaged_image_is_read_or_refused(file_format: str, damage: list[tuple[int, int]], length: int) -> None:
    content = bytearray(encoded(blank(), file_format))
    for place, value in damage:
        content[place % len(content)] = value
    with contextlib.suppress(BadRequestError):
        numbers(data_uri(bytes(content[:length])))


def test_heic_is_refused_by_its_name() -> None:
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    assert refusal(data_uri(content)).endswith("The image is a HEIC or HEIF image. Send it as a JPEG or PNG.")


def test_an_icon_with_a_large_picture_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An icon's directory says 256 x 256 at most, and Pillow decodes the PNG in it without a look at its size."""
    png = png_header(30_000, 3_000)
    directory = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(png), 22)
    monkeypatch.setattr(pytest.importorskip("PIL.Image"), "open", None)
    assert "more than 40,000,000 pixels" in refusal(data_uri(directory + png))


def test_a_tiff_of_many_scans_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    tiff = encoded(blank(64, 64), "TIFF", compression="jpeg")
    assert size(data_uri(tiff)) == (64, 64)
    monkeypatch.setattr(pytest.importorskip("PIL.ImageFile").ImageFile, "load", None)
    assert "TIFF with too many scans" in refusal(data_uri(tiff + SCAN * 60))


def animation(frames: int, file_format: str, width: int = 40, height: int = 30) -> str:
    """Frames of different colours."""
    colours = [(20 * number % 255, number % 255, 0) for number in range(frames)]
    first, *others = (blank(width, height, colour=colour) for colour in colours)
    return data_uri(encoded(first, file_format, save_all=True, append_images=others, lossless=True))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_all_frames_of_a_short_file_are_decoded(file_format: str) -> None:
    url = animation(3, file_format)
    assert (decode(url, "").frames, numbers(url)) == (3, [1, 2, 3])


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF"])
def test_frames_of_a_long_animation_are_decoded_at_even_distances(file_format: str) -> None:
    url = animation(30, file_format)
    assert decode(url, "").frames == 30
    assert len(numbers(url)) == MAX_FRAMES
    assert numbers(url) == [1, 5, 9, 13, 18, 22, 26, 30]


def test_the_first_pages_of_a_long_document_are_decoded() -> None:
    url = animation(20, "TIFF")
    assert (decode(url, "").kind, decode(url, "").frames) == ("page", 20)
    assert numbers(url) == list(range(1, MAX_FRAMES + 1))


def test_the_pixels_of_all_frames_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_MAX_PIXELS_READ", 3 * 40 * 30)
    assert numbers(animation(6, "GIF")) == [1, 3, 6]


def test_frames_are_counted_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_MAX_PIXELS_COUNTED", 5 * 40 * 30)
    assert decode(animation(12, "GIF"), "").frames == 5


def test_a_damaged_frame_ends_the_file() -> None:
    noise = pytest.importorskip("PIL.Image").frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3))
    content = encoded(blank(64, 64, colour="red"), "TIFF", save_all=True, append_images=[noise, noise])
    damaged = bytearray(content)
    damaged[-64 * 64 * 3 :] = b""
    assert numbers(data_uri(bytes(damaged))) == [1, 2]


def test_a_page_that_is_too_large_is_not_decoded() -> None:
    small, large = blank(mode="1", colour=0), blank(8_001, 5_000, mode="1", colour=0)
    assert numbers(data_uri(encoded(small, "TIFF", save_all=True, append_images=[large, small]))) == [1]


def test_a_picture_behind_a_jpeg_is_not_decoded() -> None:
    content = encoded(blank(), "MPO", save_all=True, append_images=[blank(80, 60)])
    assert numbers(data_uri(content)) == [1]


def test_an_image_is_turned_upright() -> None:
    exif = pytest.importorskip("PIL.Image").Exif()
    exif[0x0112] = 6
    assert size(data_uri(encoded(blank(40, 30), "JPEG", exif=exif))) == (30, 40)


def test_an_image_with_odd_metadata_is_turned_upright_all_the_same() -> None:
    orientation = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    resolution_unit = struct.pack(">HHII", 0x0128, 4, 1, 100_000)  # more than this tag can contain
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + orientation + resolution_unit + bytes(4)
    assert size(data_uri(encoded(blank(40, 30), "JPEG", exif=exif))) == (30, 40)
