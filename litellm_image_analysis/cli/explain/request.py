"""The request to explain: its route and its body."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from litellm_image_analysis.plugin import WIRE_FORMATS
from litellm_image_analysis.request import WireFormat

Route: TypeAlias = Literal["chat", "messages", "responses", "generateContent"]
ROUTES: tuple[Route, ...] = get_args(Route)

_CALL_TYPES: Mapping[Route, str] = {
    "chat": "acompletion",
    "messages": "anthropic_messages",
    "responses": "aresponses",
    "generateContent": "agenerate_content",
}
_ANTHROPIC_KEYS = frozenset(("system", "anthropic_version", "stop_sequences", "thinking", "top_k"))
_ANTHROPIC_PARTS = frozenset(("tool_use", "tool_result", "thinking", "redacted_thinking", "document"))


class RequestFileError(Exception):
    """A request cannot be read. The message says why."""


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        route: the route that it is sent to.
        body: its body, with the model that generateContent has in its path.
        is_guessed: whether the route was guessed by the shape of the body.
    """

    route: Route
    body: dict[str, Any] = field(repr=False)
    is_guessed: bool = False

    @property
    def wire_format(self) -> WireFormat:
        """The wire format of its route."""
        return WIRE_FORMATS[_CALL_TYPES[self.route]]


def read_request(text: str, route: Route | None, model: str | None) -> Request:
    """Read a request.

    Args:
        text: the body, as JSON.
        route: its route. ``None`` to guess it.
        model: the model, if the body has none.

    Raises:
        RequestFileError: the text is no JSON object, its route is not clear, or there is no model.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestFileError(f"the request is not valid JSON{place}") from None
    if not isinstance(body, dict):
        raise RequestFileError("the request must be a JSON object, the body of a request")
    known = route or guess_route(body)
    if known is None:
        raise RequestFileError("the body has no messages, input or contents, so its route is not clear: use --route")
    if model is not None:
        body["model"] = model
    if not isinstance(body.get("model"), str):
        raise RequestFileError("the body has no model: use --model, also for the model in the path of generateContent")
    return Request(known, body, is_guessed=route is None)


def guess_route(body: Mapping[str, Any]) -> Route | None:
    """Guess the route of a body by its shape. ``None`` if it looks like that of no route."""
    if "contents" in body:
        return "generateContent"
    if "input" in body:
        return "responses"
    if "messages" not in body:
        return None
    return "messages" if _is_anthropic(body) else "chat"


def _is_anthropic(body: Mapping[str, Any]) -> bool:
    if not _ANTHROPIC_KEYS.isdisjoint(body):
        return True
    tools = body.get("tools")
    if isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools):
        return True
    return any(
        part.get("type") in _ANTHROPIC_PARTS or (part.get("type") == "image" and "source" in part)
        for part in _parts(body.get("messages"))
    )


def _parts(messages: object) -> Iterator[dict[str, Any]]:
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        yield from (part for part in content if isinstance(part, dict)) if isinstance(content, list) else ()
