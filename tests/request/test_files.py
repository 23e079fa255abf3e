"""Files that are not images: their known properties, and their places in each wire format."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.images import PNG_URI

from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.file_types import Base64
from litellm_image_analysis.request.files import FileFacts, file_facts, is_other_file

PDF = base64.b64encode(b"%PDF-1.4\n" + bytes(1000)).decode()
PDF_URI = f"data:application/pdf;base64,{PDF}"
PDF_FACTS = FileFacts("application/pdf", 1009)
WAV = base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode()
UNKNOWN = base64.b64encode(b"hello, world").decode()
URL = "https://files.example.com/report.pdf?x=1"


def encoded(head: bytes) -> str:
    return base64.b64encode(head).decode()


@pytest.mark.parametrize(
    ("part", "facts"),
    [
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URI}}, PDF_FACTS),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}, PDF_FACTS),
        ({"type": "file", "file": {"file_id": "file-1"}}, FileFacts("", None)),
        (
            {"type": "file", "file": {"file_id": "file-1", "format": "application/pdf"}},
            FileFacts("application/pdf", None),
        ),
        ({"type": "file", "mediaType": "application/pdf", "data": PDF}, PDF_FACTS),
        ({"type": "file-data", "mediaType": "application/pdf", "data": PDF}, PDF_FACTS),
        ({"type": "input_file", "filename": "a.PDF", "file_data": PDF_URI}, PDF_FACTS),
        ({"type": "input_file", "file_url": URL}, FileFacts("application/pdf", None)),
        (
            {"type": "input_file", "file_id": "file-1", "filename": "a.xlsx"},
            FileFacts("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", None),
        ),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}, PDF_FACTS),
        ({"type": "document", "source": {"type": "url", "url": URL}}, FileFacts("application/pdf", None)),
        (
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "title": "a.docx"},
            FileFacts("application/vnd.openxmlformats-officedocument.wordprocessingml.document", None),
        ),
        ({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}, FileFacts("audio/wav", 16)),
        ({"type": "input_audio", "input_audio": {"data": UNKNOWN}}, FileFacts("audio/*", 12)),
        ({"type": "audio", "data": UNKNOWN, "mimeType": "audio/mpeg"}, FileFacts("audio/mpeg", 12)),
        ({"type": "audio_url", "audio_url": {"url": "https://x.example.com/a"}}, FileFacts("audio/*", None)),
        ({"type": "video_url", "video_url": {"url": "https://x.example.com/a.mp4"}}, FileFacts("video/mp4", None)),
        ({"type": "video_url", "video_url": "data:video/mp4;base64,AAAA"}, FileFacts("video/mp4", 3)),
        ({"type": "input_video", "video_url": "https://x.example.com/a"}, FileFacts("video/*", None)),
        ({"type": "image_url", "image_url": {"url": PDF_URI}}, PDF_FACTS),
        ({"type": "input_image", "image_url": PDF_URI}, PDF_FACTS),
        ({"type": "image", "image": PDF_URI}, PDF_FACTS),
        ({"type": "image-url", "url": PDF_URI}, PDF_FACTS),
        ({"type": "document_url", "document_url": URL}, FileFacts("application/pdf", None)),
        ({"type": "resource", "resource": {"uri": "file:///a", "mimeType": "application/pdf", "blob": PDF}}, PDF_FACTS),
        ({"inlineData": {"mimeType": "application/pdf", "data": PDF}}, PDF_FACTS),
        ({"inline_data": {"mime_type": "Audio/WAV; rate=1", "data": WAV}}, FileFacts("audio/wav", 16)),
        ({"inlineData": {"data": PDF}}, PDF_FACTS),
        (
            {"inlineData": {"mimeType": "application/octet-stream", "data": encoded(b"PK\3\4abcd")}},
            FileFacts("application/zip", 8),
        ),
        (
            {"inlineData": {"mimeType": "application/octet-stream", "data": UNKNOWN}},
            FileFacts("application/octet-stream", 12),
        ),
        ({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/a"}}, FileFacts("video/mp4", None)),
        ({"file_data": {"file_uri": "https://x.example.com/a.webm"}}, FileFacts("video/webm", None)),
    ],
)
def test_it_is_known_by_its_type_its_name_or_its_first_bytes(part: dict[str, Any], facts: FileFacts) -> None:
    assert file_facts(part) == facts


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"type": "text", "text": PDF_URI},
        {"type": "thinking", "data": PDF},
        {"type": "file"},
        {"type": "file", "file": 5},
        {"type": ["file"], "data": PDF},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "content", "content": []}},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "words"}},
        {"type": "resource", "uri": "file:///a", "text": "words"},
        {"type": "document", "source": "https://a", "text": "words"},
        {"type": "document", "url": "https://a", "content": "words"},
        {"type": "document", "source": {"content": [{"type": "text", "text": "words"}], "url": "https://a"}},
        {"inlineData": {}},
        {"inlineData": 5},
        {"functionCall": {"name": "file", "args": {"data": PDF}}},
    ],
)
def test_what_holds_no_file_is_none(part: dict[str, Any]) -> None:
    assert file_facts(part) is None


@pytest.mark.parametrize(
    ("head", "media_type"),
    [(b"ID3", "audio/mpeg"), (b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"), (b"\x1aE\xdf\xa3", "video/webm"),
     (b"RIFF\0\0\0\0AVI ", "video/avi"), (b"\xd0\xcf\x11\xe0", "application/x-ole-storage")],
)  # fmt: skip
def test_first_bytes_tell_what_nothing_else_does(head: bytes, media_type: str) -> None:
    facts = file_facts({"type": "input_file", "file_data": encoded(head + bytes(20))})
    assert facts is not None
    assert facts.media_type == media_type


@pytest.mark.parametrize(
    ("media_type", "kind"), [("audio/*", "audio"), ("video/mp4", "video"), ("", "document"), ("text/csv", "document")]
)
def test_models_differ_in_three_kinds(media_type: str, kind: str) -> None:
    assert FileFacts(media_type, None).kind == kind


@pytest.mark.parametrize(("media_type", "data", "is_other"), [
    ("application/pdf", "", True), ("text/html", "", True), ("video/mp4", "", True), ("application/vnd.ms-x", "", True),
    ("application/octet-stream", PDF, True), ("", PDF, True), ("application/x-sh", PDF, False), ("", UNKNOWN, False),
])  # fmt: skip
def test_an_image_part_may_hold_another_file(media_type: str, data: str, *, is_other: bool) -> None:
    assert is_other_file(media_type, Base64(data)) is is_other


IMAGE_URL = {"type": "image_url", "image_url": {"url": PDF_URI}}
DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
INPUT_FILE = {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URI}
INLINE = {"inlineData": {"mimeType": "application/pdf", "data": PDF}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": [DOCUMENT]}
OUTPUT = {"type": "function_call_output", "call_id": "a", "output": [INPUT_FILE]}
FUNCTION = {"functionResponse": {"name": "f", "response": {"output": "ok"}, "parts": [INLINE]}}
PLACES: dict[str, tuple[WireFormat, dict[str, Any]]] = {
    "chat": (chat, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": PDF_URI}}]}]}),
    "chat, as an image": (chat, {"messages": [{"role": "user", "content": [IMAGE_URL]}]}),
    "chat, of a tool": (chat, {"messages": [{"role": "tool", "tool_call_id": "a", "content": [DOCUMENT]}]}),
    "messages": (messages, {"messages": [{"role": "user", "content": [DOCUMENT]}]}),
    "messages, of a tool": (
        messages,
        {"messages": [{"role": "user", "content": [RESULT]}]},
    ),
    "messages, system": (messages, {"system": [DOCUMENT], "messages": []}),
    "messages, as an image": (
        messages,
        {"messages": [{"role": "user", "content": [{**DOCUMENT, "type": "image"}]}]},
    ),
    "responses": (responses, {"input": [{"role": "user", "content": [INPUT_FILE]}]}),
    "responses, of a tool": (responses, {"input": [OUTPUT]}),
    "generateContent": (generate_content, {"contents": [{"role": "user", "parts": [INLINE]}]}),
    "generateContent, one content": (generate_content, {"contents": {"parts": [INLINE]}}),
    "generateContent, system": (generate_content, {"systemInstruction": {"parts": [INLINE]}, "contents": []}),
    "generateContent, of a function": (
        generate_content,
        {"contents": [{"parts": [FUNCTION]}]},
    ),
}


@pytest.mark.parametrize(("wire_format", "body"), PLACES.values(), ids=PLACES)
def test_every_wire_format_finds_and_replaces_it(wire_format: WireFormat, body: dict[str, Any]) -> None:
    assert wire_format.find(body).images == []
    (file,) = wire_format.find(body).files
    assert file.facts == PDF_FACTS
    after = {**body, **wire_format.replace_images(body, {file.path: "A note."})}
    assert wire_format.find(after).files == []
    assert PDF not in str(after)
    assert "A note." in str(after)


def test_images_beside_it_are_numbered_without_it() -> None:
    parts = [IMAGE_URL, {"type": "image_url", "image_url": {"url": PNG_URI}}]
    body = {"messages": [{"role": "user", "content": parts}]}
    (image,) = chat.find(body).images
    (file,) = chat.find(body).files
    assert (image.number, image.count, image.path[-1], file.path[-1]) == (1, 1, 1, 0)


PNG = PNG_URI.partition(",")[2]
IMAGE_FILES: list[dict[str, Any]] = [
    {"type": "document", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    {"type": "document", "source": {"type": "base64", "data": PNG}},
    {"type": "file", "mediaType": "image/png", "data": PNG},
    {"type": "file", "base64": PNG, "mime_type": "image/png"},
    {"type": "file", "file": {"file_data": PNG_URI}},
    {"type": "file-data", "mediaType": "image/png", "data": PNG},
    {"type": "media", "mediaType": "image/png", "data": PNG},
    {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "image/png", "blob": PNG}},
    {"type": "input_file", "file_data": PNG_URI},
    {"inlineData": {"mimeType": "image/png", "data": PNG}},
]
EVERYWHERE: dict[str, tuple[WireFormat, str, Any]] = {
    "chat": (chat, "messages", lambda part: {"role": "user", "content": [part]}),
    "chat, of a tool": (chat, "messages", lambda part: {"role": "tool", "tool_call_id": "a", "content": [part]}),
    "messages": (messages, "messages", lambda part: {"role": "user", "content": [part]}),
    "messages, of a tool": (
        messages,
        "messages",
        lambda part: {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [part]}]},
    ),
    "responses": (responses, "input", lambda part: {"role": "user", "content": [part]}),
    "responses, of a tool": (
        responses,
        "input",
        lambda part: {"type": "function_call_output", "call_id": "a", "output": [part]},
    ),
    "generateContent": (generate_content, "contents", lambda part: {"role": "user", "parts": [part]}),
}


@pytest.mark.parametrize(("wire_format", "key", "place"), EVERYWHERE.values(), ids=EVERYWHERE)
@pytest.mark.parametrize("part", IMAGE_FILES)
def test_a_file_that_is_an_image_is_one(wire_format: WireFormat, key: str, place: Any, part: dict[str, Any]) -> None:
    body = {key: [place(part)]}
    (found,) = wire_format.find(body).images
    assert found.source is not None
    assert found.source.url == PNG_URI
    assert wire_format.find(body).files == []
    after = wire_format.replace_images(body, {found.path: "A note."})
    assert PNG not in str(after)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "input_file", "file_url": "https://images.example.com/a.PNG?x=1"}, "remote"),
        ({"type": "input_file", "file_id": "file-1", "filename": "a.png"}, "held"),
        ({"type": "file", "file": {"file_id": "id", "format": "image/png"}}, "unsupported"),
        ({"type": "document", "source": {"type": "url", "url": "https://images.example.com/a.jpg"}}, "remote"),
        ({"fileData": {"fileUri": "gs://bucket/a.png"}}, "held"),
    ],
)
def test_an_image_elsewhere_is_known_by_its_name(part: dict[str, Any], kind: str) -> None:
    for wire_format, key, place in EVERYWHERE.values():
        (found,) = wire_format.find({key: [place(part)]}).images
        assert found.source is not None
        assert found.source.kind == kind
