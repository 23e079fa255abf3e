"""Image parts of other formats: another API's, a tool's, an SDK's."""

from __future__ import annotations

from typing import Any

import pytest

from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses
from litellm_image_analysis.request.image import ImageSource
from litellm_image_analysis.request.other_formats import image_part

DATA, URL = "iVBORw0K", "https://images.example.com/cat.png"
ENCODED = ImageSource.encoded("image/png", DATA)
PARTS: list[tuple[dict[str, Any], ImageSource | None]] = [
    ({"type": "image", "data": DATA, "mimeType": "image/png"}, ENCODED),
    ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}, ENCODED),
    ({"type": "image", "source": {"type": "url", "url": URL}}, ImageSource.referenced(URL)),
    ({"type": "image", "image": DATA, "mediaType": "image/png"}, ENCODED),
    ({"type": "image", "image": URL}, ImageSource.referenced(URL)),
    ({"type": "image-data", "data": DATA, "mediaType": "image/png"}, ENCODED),
    ({"type": "image-url", "url": URL}, ImageSource.referenced(URL)),
    ({"type": "image", "data": f"data:image/png;base64,{DATA}"}, ImageSource(f"data:image/png;base64,{DATA}")),
    ({"type": "image", "data": DATA}, ImageSource.encoded("", DATA)),
    ({"type": "image"}, None),
    ({"type": "image", "data": 5, "source": "x"}, None),
]
"""An image part and its image."""

each_part = pytest.mark.parametrize(("part", "source"), PARTS)
PLACES: dict[str, tuple[WireFormat, str, Any]] = {
    "chat": (chat, "messages", lambda part: {"role": "user", "content": [part]}),
    "chat tool": (chat, "messages", lambda part: {"role": "tool", "tool_call_id": "call_1", "content": [part]}),
    "messages": (messages, "messages", lambda part: {"role": "user", "content": [part]}),
    "messages tool": (
        messages,
        "messages",
        lambda part: {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [part]}]},
    ),
    "responses": (responses, "input", lambda part: {"role": "user", "content": [part]}),
    "responses, null beside": (responses, "input", lambda part: {"role": "user", "output": None, "content": [part]}),
    "responses tool": (
        responses,
        "input",
        lambda part: {"type": "function_call_output", "call_id": "a", "output": [part]},
    ),
    "generateContent": (generate_content, "contents", lambda part: {"role": "user", "parts": [part]}),
    "generateContent function": (
        generate_content,
        "contents",
        lambda part: {"role": "user", "parts": [{"functionResponse": {"name": "a", "parts": [part]}}]},
    ),
}
each_place = pytest.mark.parametrize(("wire_format", "key", "place"), PLACES.values(), ids=PLACES)


@each_part
def test_it_is_read(part: dict[str, Any], source: ImageSource | None) -> None:
    assert image_part(part) == (source,)


@pytest.mark.parametrize("part", [{}, {"type": "text", "data": DATA}, {"type": "audio", "data": DATA}, {"data": DATA}])
def test_other_parts_are_none(part: dict[str, Any]) -> None:
    assert image_part(part) is None


@each_place
@each_part
def test_it_is_found_and_replaced_in_every_format(
    wire_format: WireFormat, key: str, place: Any, part: dict[str, Any], source: ImageSource | None
) -> None:
    body = {key: [place(part)]}
    [found] = wire_format.find(body).images
    assert found.source == source
    after = {**body, **wire_format.replace_images(body, {found.path: "a note"})}
    assert wire_format.find(after).images == []
    assert "a note" in str(after)


@each_place
@pytest.mark.parametrize(
    "part", [{"type": "image_url", "image_url": {"url": URL}}, {"type": "input_image", "image_url": URL}]
)
def test_openais_parts_are_known_everywhere(
    wire_format: WireFormat, key: str, place: Any, part: dict[str, Any]
) -> None:
    [found] = wire_format.find({key: [place(part)]}).images
    assert found.source == ImageSource.referenced(URL)


@pytest.mark.parametrize(
    ("wire_format", "key", "place"), [place for place in PLACES.values() if place[0] is not generate_content]
)
@pytest.mark.parametrize("mark", ["cache_control", "prompt_cache_breakpoint"])
def test_marks_for_caches_are_kept(wire_format: WireFormat, key: str, place: Any, mark: str) -> None:
    body = {key: [place({"type": "image", "data": DATA, "mimeType": "image/png", mark: {"type": "ephemeral"}})]}
    [found] = wire_format.find(body).images
    assert f"'{mark}': {{'type': 'ephemeral'}}" in str(wire_format.replace_images(body, {found.path: "a note"}))
