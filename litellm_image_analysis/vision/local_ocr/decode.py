"""Decode an image to upright RGB pictures, one for each frame, in bounded time and memory.

Errors are LiteLLM's own exceptions, and quote nothing of the image.
"""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from litellm.exceptions import BadRequestError

if TYPE_CHECKING:
    from PIL import Image

PROVIDER = "local-ocr"
FULL_NAME = f"{PROVIDER}/rapidocr"
MAX_PIXELS = 40_000_000
MAX_FRAMES = 8
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "ICO")

_DAMAGED = (OSError, SyntaxError, ValueError, struct.error, RuntimeError)  # Pillow's exceptions for damaged files
_MAX_PIXELS_READ = 80_000_000  # of all frames that are read
_MAX_PIXELS_COUNTED = 400_000_000  # of all frames that are decoded to count them
_MAX_COUNTED = 100
_HAS_COUNT = ("PNG", "WEBP", "AVIF")  # formats whose headers tell the number of frames
_HAS_FRAMES = ("GIF", "TIFF")
_PAGES = "TIFF"
_ROWS_OF_A_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323  # tags of TIFF

# libjpeg decodes each scan of a JPEG over the whole picture, however few bytes the scan has. With Pillow 13 on one
# core of a small server, a scan of a few bytes takes 0.1 to 0.6 ms per megapixel with Huffman coding and 0.1 to 3 ms
# with arithmetic coding. The rest of the work is 20 ms per megapixel. Usual progressive files have 10 scans, with CMYK
# 18. At these limits, an image takes about 2 s (2.6 s with arithmetic coding), and 50 ms more for each MB of the file.
MAX_SCANS = 50
MAX_SCANNED_PIXELS = 500_000_000  # number of scans times pixels: 12 scans at MAX_PIXELS
MAX_SEGMENTS = 1_000  # of a JPEG: enough for 64 MB of metadata. Pillow takes 2 s for 4 MB of empty segments

# A marker as libjpeg finds it: filling bytes, stuffed bytes (FF 00), restart markers and unknown ones are skipped.
_JPEG_START = b"\xff\xd8"
_JPEG_MARKER = re.compile(rb"\xff([^\x00-\xbf\xd0-\xd7\xff])")
_JPEG_END, _JPEG_SCAN = b"\xd9", b"\xda"
_SCAN_MARKER = b"\xff" + _JPEG_SCAN
_ICON_START = b"\0\0\1\0"
_BRANDS = 64  # bytes at the beginning, with the names of the formats
_HEIF = re.compile(rb"^....ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image.

    Attributes:
        size: width and height in pixels, upright.
        frames: number of frames or pages. Beyond 100, some formats are not counted further.
        kind: what the frames are called.
        pictures: decodes up to ``MAX_FRAMES`` of them, each with its number from 1.
    """

    size: tuple[int, int]
    frames: int
    kind: str
    pictures: Iterator[tuple[int, Image.Image]]


def decode(url: str, name: str) -> Decoded:
    """Check an image, decode its first frame, and return its frames.

    Args:
        url: a ``data:`` URI with base64.
        name: name of the image for error messages, which do not quote it.

    Raises:
        BadRequestError: it is not an image of a known format with at most ``MAX_PIXELS`` pixels, or it is a JPEG of
            too many scans or segments.
    """
    from PIL import Image

    encoded = _encoded_image(url, name)
    scans = _scans(encoded, name)
    _check_format(encoded, name)
    try:
        for size in _embedded_sizes(encoded):
            _check_pixels(size, name)
        file: Image.Image = Image.open(io.BytesIO(encoded), formats=FORMATS)
        _check_pixels(file.size, name)
        _check_scans(file, scans, encoded, name)
        first = _upright(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        refuse(_too_large(name))
    except _DAMAGED:
        refuse(f"{name} is not an intact image of a known format ({', '.join(FORMATS)}).")
    frames = _count(file)
    kind = "page" if file.format == _PAGES else "frame"

    def pictures() -> Iterator[tuple[int, Image.Image]]:
        yield 1, first
        for number in _chosen(file, frames):
            picture = _frame(file, number)
            if picture is None:
                return
            yield number + 1, picture

    return Decoded(first.size, frames, kind, pictures())


def refuse(message: str) -> NoReturn:
    """Raise the error of a request that cannot be served.

    Raises:
        BadRequestError: always.
    """
    raise BadRequestError(message, model=FULL_NAME, llm_provider=PROVIDER) from None


def _upright(file: Image.Image) -> Image.Image:
    """Decode the current frame."""
    from PIL import ImageOps

    file.load()
    picture = file.copy()
    with suppress(*_DAMAGED):  # damaged metadata does not make the pixels unreadable
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _strips(file: Image.Image) -> int:
    """Return how many strips or tiles a TIFF has. Each may be a JPEG of its own."""
    tags: Mapping[int, Any] = getattr(file, "tag_v2", {})
    width, height = tags.get(_TILE_WIDTH, file.width), tags.get(_TILE_HEIGHT, tags.get(_ROWS_OF_A_STRIP, file.height))
    return -(-file.width // max(1, int(width))) * -(-file.height // max(1, int(height)))


def _count(file: Image.Image) -> int:
    """Return the number of frames. Where only decoding tells it, count within limits."""
    if file.format in _HAS_COUNT:
        return int(getattr(file, "n_frames", 1))
    if file.format not in _HAS_FRAMES:  # such as a JPEG with a preview behind it, whose scans were not counted
        return 1
    most = min(_MAX_COUNTED, _MAX_PIXELS_COUNTED // (file.width * file.height))
    for number in range(1, most):
        try:
            file.seek(number)
        except (EOFError, *_DAMAGED):
            return number
    return max(1, most)


def _chosen(file: Image.Image, frames: int) -> list[int]:
    """Return the numbers from 0 of the frames to read after the first: the first pages, or frames at even distances."""
    most = min(MAX_FRAMES, _MAX_PIXELS_READ // (file.width * file.height), frames) - 1
    if most < 1:
        return []
    last = most if file.format == _PAGES else frames - 1
    return [round(last * number / most) for number in range(1, most + 1)]


def _frame(file: Image.Image, number: int) -> Image.Image | None:
    """Return a frame, or ``None`` if it is damaged or too large."""
    try:
        file.seek(number)
        return _upright(file) if file.width * file.height <= MAX_PIXELS else None
    except (EOFError, *_DAMAGED):
        return None


def _check_format(encoded: bytes, name: str) -> None:
    """Check for formats whose name helps their sender."""
    if _HEIF.match(encoded) and b"avif" not in encoded[:_BRANDS]:
        refuse(f"{name} is a HEIC or HEIF image. Send it as a JPEG or PNG.")


def _check_pixels(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        refuse(_too_large(name))


def _check_scans(file: Image.Image, scans: int, encoded: bytes, name: str) -> None:
    most = min(MAX_SCANS, MAX_SCANNED_PIXELS // (file.width * file.height))
    if scans > most:
        refuse(
            f"{name} is a JPEG of {scans} scans. At this size, at most {most} are decoded. Send a JPEG that is not"
            " progressive."
        )
    if file.format == _PAGES and encoded.count(_SCAN_MARKER) > most + _strips(file):
        refuse(f"{name} is a TIFF with too many scans of JPEG. Send a JPEG or PNG.")


def _too_large(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS:,} pixels. Send a smaller one."


def _embedded_sizes(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yield the sizes of the PNGs in an icon, which Pillow decodes without a look at them."""
    if encoded.startswith(_ICON_START):
        for header in re.finditer(rb"IHDR(.{4})(.{4})", encoded, re.DOTALL):
            yield int.from_bytes(header[1], "big"), int.from_bytes(header[2], "big")


def _scans(encoded: bytes, name: str) -> int:
    """Return how many scans of a JPEG libjpeg would decode. 0 for other formats.

    The contents of segments and the bytes after the end of the image are skipped: a preview in the metadata and the
    film of a motion photo contain markers, too.

    Raises:
        BadRequestError: the JPEG has more than ``MAX_SEGMENTS`` segments.
    """
    if not encoded.startswith(_JPEG_START):
        return 0
    segments, scans, place = 0, 0, len(_JPEG_START)
    while (marker := _JPEG_MARKER.search(encoded, place)) and marker[1] != _JPEG_END:
        segments += 1
        if segments > MAX_SEGMENTS:
            refuse(f"{name} is a JPEG of more than {MAX_SEGMENTS:,} segments.")
        scans += marker[1] == _JPEG_SCAN
        length = int.from_bytes(encoded[marker.end() : marker.end() + 2], "big")
        place = marker.end() + max(2, length)
    return scans


def _encoded_image(url: str, name: str) -> bytes:
    if url[:8].lower().startswith(("http://", "https://")):
        refuse(f"{name} is a URL. {PROVIDER} does not fetch URLs: send the image as a data: URI with base64.")
    header, _, payload = url.partition(",")
    if not (header[:5].lower() == "data:" and header[-7:].lower() == ";base64"):
        refuse(f"{name} is not a data: URI with base64.")
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError:
        refuse(f"{name} has malformed base64.")
