"""How often the characters of an image are read. The tests count and do not measure time, so all machines agree."""

from __future__ import annotations

import base64
from typing import Any, SupportsIndex

import pytest

from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses

HEADER = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (100).to_bytes(4, "big") * 2
PAYLOAD = base64.b64encode(HEADER + bytes(3_000_000)).decode()
URI = f"data:image/png;base64,{PAYLOAD}"
SEARCHES_FOR_ONE_CHARACTER = 6
"""Passes that search for blanks and URL-safe characters. Each takes a fiftieth of the time of a hash."""


class Counted(str):  # noqa: SLOT000 - it counts in attributes
    """A text that counts the characters that are read."""

    def __init__(self, _: str) -> None:
        self.sliced = 0
        self.searches = 0
        self.passes: list[str] = []

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        piece = super().__getitem__(key)
        self.sliced += len(piece)
        return piece

    def __contains__(self, key: object) -> bool:
        self.passes.append("in")
        return str.__contains__(self, str(key))

    def __hash__(self) -> int:
        self.passes.append("hash")
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)

    def find(self, *arguments: Any) -> int:
        self.searches += 1
        return super().find(*arguments)

    def isascii(self) -> bool:
        self.passes.append("isascii")
        return super().isascii()

    def encode(self, *arguments: Any, **options: Any) -> bytes:
        self.passes.append("encode")
        return super().encode(*arguments, **options)

    def translate(self, table: Any) -> str:
        self.passes.append("translate")
        return super().translate(table)


def chat_body(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": text}}]}]}


def messages_body(text: str) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": text}
    return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}


def responses_body(text: str) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": text}]}]}


def google_body(text: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": text}}]}]}


@pytest.mark.parametrize(
    ("wire_format", "body", "text"),
    [
        (chat, chat_body, URI),
        (messages, messages_body, PAYLOAD),
        (responses, responses_body, URI),
        (generate_content, google_body, PAYLOAD),
    ],
    ids=["chat", "messages", "responses", "generateContent"],
)
def test_the_key_of_an_image_takes_one_pass(wire_format: WireFormat, body: Any, text: str) -> None:
    counted = Counted(text)
    [found] = wire_format.find(body(counted)).images
    assert found.source is not None
    assert found.source.first_flaw is None
    assert len(found.source.digest) == 64
    assert counted.passes == []
    assert counted.searches == SEARCHES_FOR_ONE_CHARACTER
    assert counted.sliced < 1.01 * len(text)
    assert found.source.is_whole  # called only for an image that is not cached, and needs a second pass
    assert counted.passes == []
    assert counted.sliced < 2.02 * len(text)
