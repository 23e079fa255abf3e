"""The four wire formats: LiteLLM's names for their calls, and a request with one image in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from support.images import PNG_URI, image, message

from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses

_HEAD = PNG_URI.partition(",")[0] + ","


@dataclass(frozen=True, repr=False)
class Wire:
    """A wire format.

    Attributes:
        wire_format: its module.
        call_type: LiteLLM's name for its calls.
        metadata: the key where the proxy puts a request's metadata.
        conversation: the key with the messages.
        message: makes a message with an image, from the text that a request holds of it.
        holds_uri: whether that text is a ``data:`` URI, and not base64 alone.
    """

    wire_format: WireFormat
    call_type: str
    metadata: str
    conversation: str
    message: Callable[[str], dict[str, Any]]
    holds_uri: bool

    def body(self, *texts: str) -> dict[str, Any]:
        """A request with a message for each image."""
        return {self.conversation: [self.message(text) for text in texts]}

    def text(self, payload: str) -> str:
        """What a request holds of a PNG with this base64."""
        return f"{_HEAD}{payload}" if self.holds_uri else payload


def _chat(text: str) -> dict[str, Any]:
    return message(image("") | {"image_url": {"url": text}})


def _messages(text: str) -> dict[str, Any]:
    return message({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": text}})


def _responses(text: str) -> dict[str, Any]:
    return message({"type": "input_image", "image_url": text})


def _google(text: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": text}}]}


WIRES = {
    "chat": Wire(chat, "acompletion", "metadata", "messages", _chat, holds_uri=True),
    "messages": Wire(messages, "anthropic_messages", "litellm_metadata", "messages", _messages, holds_uri=False),
    "responses": Wire(responses, "aresponses", "litellm_metadata", "input", _responses, holds_uri=True),
    "generateContent": Wire(generate_content, "agenerate_content", "metadata", "contents", _google, holds_uri=False),
}
every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
