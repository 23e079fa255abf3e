"""Files in a request that are not images: PDF and office documents, audio, video and others, in all wire formats.

They are content parts of the four wire formats, of the Model Context Protocol and of the AI SDK. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from litellm_image_analysis.request import Path, values
from litellm_image_analysis.request.file_types import Base64
from litellm_image_analysis.request.values import Json

FileKind = Literal["document", "audio", "video"]
"""The kinds of files. Models differ in the kinds that they accept. ``document`` is any file that is neither audio nor
video."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The known properties of a file.

    Attributes:
        media_type: its MIME type in lower case. ``""`` if it is not known.
        size_bytes: its size. ``None`` if it is not in the request.
        content: the file as it is in the request, base64 or a ``data:`` URI.
        reference: its URL or id.
    """

    media_type: str
    size_bytes: int | None
    content: str | None = field(default=None, compare=False, repr=False)
    reference: str | None = field(default=None, compare=False, repr=False)

    @property
    def kind(self) -> FileKind:
        """The kind of the file."""
        top = self.media_type.partition("/")[0]
        return "audio" if top == "audio" else "video" if top == "video" else "document"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a request.

    Attributes:
        path: the path of its content part in the body.
        facts: its known properties.
    """

    path: Path
    facts: FileFacts


_DEFAULT_TYPES: Mapping[str, str] = {
    "file": "",
    "file-data": "",
    "file-url": "",
    "file-id": "",
    "input_file": "",
    "media": "",
    "document": "",
    "resource": "",
    "input_audio": "audio/*",
    "audio": "audio/*",
    "audio_url": "audio/*",
    "input_video": "video/*",
    "video": "video/*",
    "video_url": "video/*",
    "image": "",
    "image-data": "",
    "image-url": "",
    "image_url": "",
    "input_image": "",
    "computer_screenshot": "",
    "document_url": "",
    "inline_data": "",
    "file_data": "",
}
"""The types of content parts with a file, and the default kind of the file. Images are found before."""

_HOLDERS = (
    *("file", "source", "resource", "input_audio", "audio_url", "input_video", "video", "video_url", "image_url"),
    *("inlineData", "inline_data", "fileData", "file_data", "audio"),
)
_GOOGLE_S = frozenset(("inlineData", "inline_data", "fileData", "file_data"))
_CONTENTS = ("file_data", "data", "blob", "base64", "image")
_REFERENCES = ("url", "file_url", "document_url", "fileUri", "file_uri", "uri", "file_id", *_HOLDERS)
_TYPES = ("mimeType", "mime_type", "mediaType", "media_type", "format")
_NAMES = ("filename", "file_name", "name", "title", "displayName", "display_name")
_WITHOUT_FILE = {"text", "content"}  # sources of Anthropic's documents whose text is in the request

_HEAD_CHARACTERS = 1200
_UNKNOWN = {"", "*/*", "application/octet-stream", "binary/octet-stream"}
_OFFICE = "application/vnd.openxmlformats-officedocument"
_BY_ENDING: Mapping[str, str] = {
    "pdf": "application/pdf",
    "doc": "application/msword",
    "docx": f"{_OFFICE}.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": f"{_OFFICE}.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "rtf": "application/rtf",
    "epub": "application/epub+zip",
    "zip": "application/zip",
    "json": "application/json",
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "md": "text/markdown",
    "txt": "text/plain",
    "xml": "text/xml",
    **{ending: f"image/{ending}" for ending in ("avif", "bmp", "gif", "heic", "heif", "png", "tiff", "webp")},
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "tif": "image/tiff",
    "svg": "image/svg+xml",
    **{ending: f"audio/{ending}" for ending in ("aac", "aiff", "flac", "m4a", "mp3", "ogg", "opus", "pcm16", "wav")},
    **{ending: f"video/{ending}" for ending in ("avi", "mkv", "mov", "mp4", "mpeg", "mpg", "webm", "wmv")},
}
_FILE_TYPES = (
    *("audio/", "video/", "text/", "application/vnd."),
    *("application/pdf", "application/zip", "application/json", "application/msword", "application/rtf"),
    "application/epub+zip",
)
_BY_SIGNATURE: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\xd0\xcf\x11\xe0", "application/x-ole-storage"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)


def file_facts(part: Json) -> FileFacts | None:
    """Return the known properties of the file in a content part without an image. ``None`` if there is no file."""
    default = _DEFAULT_TYPES.get(values.kind(part))
    if default is None and (
        part.keys().isdisjoint(_GOOGLE_S) or not any(values.is_object(part.get(name)) for name in _GOOGLE_S)
    ):
        return None
    holders = [part, *(values.mapping(part.get(name)) for name in _HOLDERS)]
    source = values.mapping(part.get("source"))
    if values.text(source.get("type")) in _WITHOUT_FILE or "content" in source or _first(holders, ("text", "content")):
        return None
    content = _first(holders, _CONTENTS)
    reference = _first(holders, _REFERENCES)
    if content is None and (reference is None or _data_head(reference) is not None):
        content, reference = reference, None
    if content is None and reference is None:
        return None
    head_type, start = (None if content is None else _data_head(content)) or ("", 0)
    data = None if content is None else Base64(content, start)
    declared = (_first(holders, _TYPES) or head_type).partition(";")[0].strip().lower()
    name = _first(holders, _NAMES) or reference or ""
    media_type = _media_type(declared, name, data) or default or ""
    return FileFacts(media_type, None if data is None else _size_bytes(data), content, reference)


def is_other_file(media_type: str, data: Base64) -> bool:
    """Return whether the data of an image part is known to be another file.

    Args:
        media_type: its MIME type in lower case, without parameters.
        data: the file.
    """
    if media_type in _UNKNOWN:
        return _by_signature(data) is not None
    return media_type.startswith(_FILE_TYPES)


def _data_head(text: str) -> tuple[str, int] | None:
    """Return the type in the head of a ``data:`` URI and the start of its data. ``None`` for other texts."""
    head, comma, _ = text[:_HEAD_CHARACTERS].partition(",")
    return (head.lstrip()[5:], len(head) + 1) if comma and head.lstrip()[:5].lower() == "data:" else None


def _first(holders: list[Json], names: tuple[str, ...]) -> str | None:
    return next((found for holder in holders for name in names if (found := values.text(holder.get(name)))), None)


def _media_type(declared: str, name: str, data: Base64 | None) -> str | None:
    """Return the declared MIME type, else the type by the file's first bytes, else by the ending of its name."""
    if declared in _BY_ENDING:  # such as "wav"
        return _BY_ENDING[declared]
    if declared not in _UNKNOWN:
        return declared
    by_name = _BY_ENDING.get(name.partition("?")[0].rpartition(".")[2].lower())
    return by_name or (None if data is None else _by_signature(data)) or declared or None


def _by_signature(data: Base64) -> str | None:
    head = data.read(0, 16)
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "):
        return "audio/wav" if head[8:12] == b"WAVE" else "video/avi"
    return next((media_type for signature, media_type in _BY_SIGNATURE if head.startswith(signature)), None)


def _size_bytes(data: Base64) -> int:
    characters = len(data.text) - data.start - data.text[-2:].count("=")
    return characters * 3 // 4
