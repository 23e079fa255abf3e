"""Image file types by the first bytes of a file, and sizes in pixels by its header.

Only the base64 characters of the header are decoded, and no image data.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Format = Literal["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"]
Size: TypeAlias = "tuple[int, int] | None"

MEDIA_TYPES: Mapping[str, Format] = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/jpg": "JPEG",  # not registered, but common
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/x-ms-bmp": "BMP",
    "image/tiff": "TIFF",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
    "image/avif": "AVIF",
}
"""The MIME types of images. SVG is not accepted: it is a document that can load others and run scripts."""

_STANDARD_BASE64 = str.maketrans("-_", "+/")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PIECE = 64 * 1024

_MOST_SEGMENTS = 200  # number of segments of a JPEG that are searched for its sizes. Cameras write about ten
_BETWEEN_SEGMENTS = 1024  # number of bytes after a segment that are searched for the next one
_MOST_BLOCKS = 1000  # number of blocks and parts of blocks of a GIF before its first frame
_MOST_ENTRIES = 200  # number of entries in a TIFF's first directory
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}  # the types of TIFF
_MOST_BOXES = 100  # number of boxes at the top level of a HEIF file. Phones write fewer than ten
_META_BYTES = 64 * 1024  # number of bytes of a box that are searched for a HEIF file's size. Phones write about 4 KiB
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_MARKER = re.compile(rb"\xff([^\0\xff])")
_START_OF_FRAME = {marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC)}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # markers without a segment


@dataclass(frozen=True, slots=True)
class Base64:
    """A base64 file within a text, for reading single bytes.

    Attributes:
        text: from ``start`` on, base64 in the standard or the URL-safe alphabet.
        start: index of its first character.
    """

    text: str
    start: int = 0

    def read(self, place: int, count: int) -> bytes:
        """Return ``count`` bytes from ``place`` on: fewer at the end of the file, none if the text is not base64."""
        first, beyond = place // 3, -(-(place + count) // 3)
        window = self.text[self.start + 4 * first : self.start + 4 * beyond]
        if "-" in window or "_" in window:
            window = window.translate(_STANDARD_BASE64)
        try:
            return base64.b64decode(window, validate=True)[place - 3 * first :][:count]
        except ValueError:
            return b""


def is_base64(file: Base64) -> bool:
    """Return whether a file is standard base64 with padding and nothing else."""
    text, start = file.text, file.start
    if (len(text) - start) % 4 or len(text) == start:
        return False
    end = len(text) - text[-2:].count("=")
    return not any(
        text[piece : min(piece + _PIECE, end)].encode("utf-8", "surrogatepass").translate(None, _ALPHABET)
        for piece in range(start, end, _PIECE)
    )


def format_of(file: Base64) -> Format | None:
    """Return the file type by the first bytes of the file."""
    head = file.read(0, 64)
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return _by_brands(head) if head[4:8] == b"ftyp" else None


def size_of(file: Base64, name: Format) -> Size:
    """Return width and height in pixels from the header of the file, or ``None`` if they cannot be read."""
    try:
        size = _SIZES[name](file)
    except struct.error:
        return None
    return size if size is not None and min(size) > 0 else None


_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)


def _by_brands(head: bytes) -> Format | None:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _png_size(file: Base64) -> Size:
    head = file.read(8, 16)
    width, height = struct.unpack_from(">II", head, 8)
    return (width, height) if head.startswith(b"\0\0\0\x0dIHDR") else None


def _largest(sizes: Iterator[tuple[int, int]]) -> Size:
    """Return the largest size by area, or the first of equal ones. The data after a size may be unreadable."""
    largest = None
    try:
        for width, height in sizes:
            if largest is None or width * height > largest[0] * largest[1]:
                largest = width, height
    except struct.error:
        pass
    return largest


def _gif_size(file: Base64) -> Size:
    return _largest(_gif_sizes(file))


def _gif_sizes(file: Base64) -> Iterator[tuple[int, int]]:
    """Yield the size of the screen, and the one that the first frame needs, which decoders make it."""
    width, height = struct.unpack("<HH", file.read(6, 4))
    yield width, height
    (flags,) = struct.unpack("B", file.read(10, 1))
    place = 13 + (6 << (flags & 7) if flags & 0x80 else 0)  # after the colour table
    in_extension = False
    for _ in range(_MOST_BLOCKS):
        (first,) = struct.unpack("B", file.read(place, 1))
        if in_extension:  # the length of a part, or zero at the end
            in_extension = first > 0
            place += 1 + first
        elif first == 0x2C:
            left, top, frame_width, frame_height = struct.unpack("<HHHH", file.read(place + 1, 8))
            yield max(width, left + frame_width), max(height, top + frame_height)
            return
        elif first == 0x3B:
            return
        else:  # decoders skip a byte that does not begin a block
            in_extension = first == 0x21
            place += 2 if in_extension else 1


def _bmp_size(file: Base64) -> Size:
    head = file.read(14, 12)
    (length,) = struct.unpack_from("<I", head)
    if length < 40:
        width, height = struct.unpack_from("<HH", head, 4)
        return (width, height) if length == 12 else None
    width, height = struct.unpack_from("<ii", head, 4)
    return (width, abs(height)) if length <= 124 else None  # the height is negative if rows begin at the top


def _webp_size(file: Base64) -> Size:
    head = file.read(12, 18)
    match head[:4]:
        case b"VP8 " if head[11:14] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", head, 14)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if head[8:9] == b"\x2f":
            (bits,) = struct.unpack_from("<I", head, 9)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X" if len(head) == 18:
            return int.from_bytes(head[12:15], "little") + 1, int.from_bytes(head[15:18], "little") + 1
        case _:
            return None


def _jpeg_size(file: Base64) -> Size:
    return _largest(_jpeg_sizes(file))


def _jpeg_sizes(file: Base64) -> Iterator[tuple[int, int]]:
    """Yield the sizes of all frames before the first scan. Decoders differ in which one they use.

    Like decoders, skip the bytes between a segment and the next marker. Some markers have no length.
    """
    place = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(file.read(place, _BETWEEN_SEGMENTS))
        if found is None:
            return
        marker = found[1][0]
        place += found.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker < 0xC0 or marker in (0xD9, 0xDA):
            return
        (length,) = struct.unpack(">H", file.read(place, 2))
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", file.read(place + 3, 4))
            yield width, height
        place += max(length, 2)


def _tiff_size(file: Base64) -> Size:
    order = "<" if file.read(0, 1) == b"I" else ">"
    (directory,) = struct.unpack(f"{order}I", file.read(4, 4))
    (count,) = struct.unpack(f"{order}H", file.read(directory, 2))
    sides = {256: 0, 257: 0}
    for entry in range(min(count, _MOST_ENTRIES)):
        raw = file.read(directory + 2 + 12 * entry, 12)
        tag, kind, length = struct.unpack_from(f"{order}HHI", raw)
        if tag not in sides:
            continue
        if kind not in _INTEGERS or length != 1:
            return None
        (side,) = struct.unpack_from(f"{order}{_INTEGERS[kind]}", raw, 8)
        sides[tag] = max(sides[tag], side)  # decoders differ in which of repeated entries they use
    return sides[256], sides[257]


def _heif_size(file: Base64) -> Size:
    """Return the largest size in the ``meta`` boxes. Tiles and the preview declare their own, smaller sizes."""
    sizes: list[tuple[int, int]] = []
    place = 0
    for _ in range(_MOST_BOXES):
        head = file.read(place, 16)
        if len(head) < 8:  # the end of the file
            break
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, 8)
        if kind == b"meta":
            if length > _META_BYTES:
                return None
            sizes += _declared_sizes(file.read(place, length))
        if length < 8:
            break
        place += length
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _declared_sizes(boxes: bytes) -> Iterator[tuple[int, int]]:
    place = boxes.find(b"ispe")
    while place >= 0:
        width, height = struct.unpack_from(">II", boxes, place + 8)
        yield width, height
        place = boxes.find(b"ispe", place + 4)


_SIZES: Mapping[Format, Callable[[Base64], Size]] = {
    "PNG": _png_size,
    "JPEG": _jpeg_size,
    "WEBP": _webp_size,
    "GIF": _gif_size,
    "BMP": _bmp_size,
    "TIFF": _tiff_size,
    "HEIF": _heif_size,
    "AVIF": _heif_size,
}
