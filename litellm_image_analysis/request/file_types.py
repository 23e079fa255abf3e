"""Image file types: a file's first bytes tell which it is, its header how many pixels it has. Nothing is decoded.

Of the base64 a file is sent as, only those few characters are decoded that a header stands in.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Format = Literal["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"]
Size: TypeAlias = "tuple[int, int] | None"

MEDIA_TYPES: Mapping[str, Format] = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/jpg": "JPEG",  # no registered name, but a common one
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/x-ms-bmp": "BMP",
    "image/tiff": "TIFF",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
    "image/avif": "AVIF",
}
"""What images may be declared as. SVG is not among them: it is a document that refers to others and runs scripts."""

_STANDARD_BASE64 = str.maketrans("-_", "+/")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PIECE = 1024 * 1024

_MOST_SEGMENTS = 200  # of a JPEG before its size; cameras write about ten
_MOST_ENTRIES = 200  # of a TIFF's first directory
_BOXES_BYTES = 16 * 1024  # of a HEIF file, in which its size stands
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_START_OF_FRAME = {marker for marker in range(0xFFC0, 0xFFD0) if marker not in (0xFFC4, 0xFFC8, 0xFFCC)}


@dataclass(frozen=True, slots=True)
class Base64:
    """A file within a text, of which single bytes can be read.

    Attributes:
        text: base64 of either alphabet, from ``start`` to its end.
        start: where in the text it begins.
    """

    text: str
    start: int = 0

    def read(self, place: int, count: int) -> bytes:
        """Bytes of the file; fewer at its end, none where the text is no base64."""
        first, beyond = place // 3, -(-(place + count) // 3)
        window = self.text[self.start + 4 * first : self.start + 4 * beyond]
        try:
            return base64.b64decode(window.translate(_STANDARD_BASE64), validate=True)[place - 3 * first :][:count]
        except ValueError:
            return b""


def is_base64(text: str, start: int) -> bool:
    """Whether a text from ``start`` is base64 with ``+``, ``/`` and padding, and nothing else."""
    if not text.isascii() or (len(text) - start) % 4 or len(text) == start:
        return False
    end = len(text) - text[-2:].count("=")
    return not any(
        text[piece : min(piece + _PIECE, end)].encode().translate(None, _ALPHABET)
        for piece in range(start, end, _PIECE)
    )


def format_of(file: Base64) -> Format | None:
    """The type that a file's first bytes tell."""
    head = file.read(0, 64)
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return _by_brands(head) if head[4:8] == b"ftyp" else None


def size_of(file: Base64, name: Format) -> Size:
    """Width and height in pixels as the file's header has them; ``None`` if it has none or hides them."""
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


def _gif_size(file: Base64) -> Size:
    width, height = struct.unpack("<HH", file.read(6, 4))
    return width, height


def _bmp_size(file: Base64) -> Size:
    head = file.read(14, 12)
    (length,) = struct.unpack_from("<I", head)
    if length < 40:
        width, height = struct.unpack_from("<HH", head, 4)
        return (width, height) if length == 12 else None
    width, height = struct.unpack_from("<ii", head, 4)
    return (width, abs(height)) if length <= 124 else None  # rows from the top have a negative height


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
    place = 2
    for _ in range(_MOST_SEGMENTS):
        marker, length = struct.unpack(">HH", file.read(place, 4))
        if marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", file.read(place + 5, 4))
            return width, height
        if marker == 0xFFFF:  # a filling byte
            place += 1
        elif marker in (0xFFD9, 0xFFDA) or marker < 0xFFC0 or length < 2:
            return None
        else:
            place += 2 + length
    return None


def _tiff_size(file: Base64) -> Size:
    order = "<" if file.read(0, 1) == b"I" else ">"
    (directory,) = struct.unpack(f"{order}I", file.read(4, 4))
    (count,) = struct.unpack(f"{order}H", file.read(directory, 2))
    size = {}
    for entry in range(min(count, _MOST_ENTRIES)):
        raw = file.read(directory + 2 + 12 * entry, 12)
        tag, kind = struct.unpack_from(f"{order}HH", raw)
        if tag in (256, 257) and kind in (3, 4):
            (size[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", raw, 8)
    return (size[256], size[257]) if len(size) == 2 else None


def _heif_size(file: Base64) -> Size:
    """The largest of the sizes it declares: those of its tiles and of its preview stand beside the image's own."""
    boxes = file.read(0, _BOXES_BYTES)
    sizes = []
    place = boxes.find(b"ispe")
    while place >= 0:
        sizes.append(struct.unpack_from(">II", boxes, place + 8))
        place = boxes.find(b"ispe", place + 4)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


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
