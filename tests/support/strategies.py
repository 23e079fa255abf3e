"""Strategies for request bodies of every wire format, with all shapes of content, malformed ones included."""

from __future__ import annotations

import base64
import os
from typing import Any, TypeAlias

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from support.images import PNG_URI, png_header

ROLES = ("system", "developer", "user", "assistant", "tool")
PIXELS = "PIXELS"
"""A text in every well-formed image of the strategies, and in nothing else."""

Strategy: TypeAlias = st.SearchStrategy[Any]

thorough = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "300")),
    suppress_health_check=[HealthCheck.too_slow],  # like the deadline, it would be a timing assertion
)
"""For properties of any request."""

texts = st.text(st.characters(), max_size=20)
"""Any string that JSON allows, including lone surrogates."""

_telling_words = st.sampled_from(["type", "text", "image_url", "url", "role", "content", "cache_control"])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _telling_words | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_telling_words | texts, inner, max_size=4),
    max_leaves=12,
)

_odd: Strategy = st.sampled_from(
    [
        *(None, True, -1, 0.5, "", "text", "image/png", [], {}, [[]], [None], ["text"]),
        *({"text": 5}, {"content": {}}, {"parts": 5}, {"source": []}, {"url": {}}, {"output": [[]]}, {"role": "user"}),
    ]
)
"""Values in places where something else is expected."""

_odder: Strategy = _odd | st.sampled_from([{"type": []}, {"type": {}}, [{"type": ["text"]}], {"name": {}}, 10**30])
"""The same with values that are not hashable."""

_words = st.sampled_from(["What is it?", "Who?", "", " \n", "Größe, 大きさ", "\ud800", "data:image/png;base64,AAAA"])
_ids = st.sampled_from(["call_1", "call_2"])
_names = st.sampled_from(["screenshot", "read_file", ""])
_types = st.sampled_from(["image/png", "IMAGE/PNG", "image/webp"])
_other_types = st.sampled_from(["application/pdf", "audio/wav", "video/mp4", "text/plain"])
_HEADER = PNG_URI.partition(",")[2]
_payloads = st.sampled_from([f"{_HEADER}{PIXELS}AA", f"{_HEADER}{PIXELS}-_", f"{_HEADER}{PIXELS}+/AA==", f"{PIXELS}?"])
_urls = st.sampled_from(
    [
        f"{PNG_URI}{PIXELS}AA",
        f"DATA:image/PNG;BASE64,{_HEADER}{PIXELS}AA",
        f"data:image/jpeg;base64,{_HEADER}{PIXELS}AA",
        f"https://images.example.com/{PIXELS}.png",
        f"http://[{PIXELS}",
        f"ftp://images.example.com/{PIXELS}.png",
    ]
)
_file_ids = st.sampled_from([f"file-{PIXELS}", f"file_{PIXELS}", f"gs://bucket/{PIXELS}.png"])
_breakpoint = {"cache_control": st.just({"type": "ephemeral"})}


def _object(required: dict[str, Strategy], **optional: Strategy) -> Strategy:
    return st.fixed_dictionaries(required, optional=optional)


def _typed(name: str, /, *others: str, **required: Strategy) -> dict[str, Strategy]:
    return {"type": st.sampled_from([name, *others]) if others else st.just(name), **required}


def _spelled(camel: str, snake: str, value: Strategy) -> Strategy:
    """An object with one key in one of Google's two spellings."""
    return st.builds(lambda key, inner: {key: inner}, st.sampled_from([camel, snake]), value)


def _merged(*parts: Strategy) -> Strategy:
    return st.tuples(*parts).map(lambda drawn: {key: value for part in drawn for key, value in part.items()})


_unknown_parts = _object(
    {"type": st.sampled_from(["refusal", "video_url", "novelty", "", None, 5])}, text=_words, data=_odd
)

# OpenAI chat

_image_objects = _object({"url": _urls}, detail=st.sampled_from(["low", "high", "auto"]), format=_types)
_chat_files = st.one_of(
    _object({"file_data": st.just(f"{PNG_URI}{PIXELS}AA")}, filename=_words),
    _object({"file_data": _payloads, "format": _types}),
    _object({"file_id": _file_ids, "format": _types}),
)
_chat_images = st.one_of(
    _object(_typed("image_url", image_url=_urls | _image_objects), **_breakpoint, vendor=_odd),
    _object(_typed("input_image", image_url=_urls), detail=st.just("low"), **_breakpoint),
    _object(_typed("input_image", file_id=_file_ids), **_breakpoint),
    _object(_typed("file", file=_chat_files), **_breakpoint),
)
_chat_texts = _object(_typed("text", text=_words), **_breakpoint, vendor=_odd)
_chat_others = st.one_of(
    _object(_typed("image_url", "input_image", "file"), image_url=_odd, file_id=_odd, file=_odd),
    _object(_typed("input_audio", input_audio=_object({"data": st.just("AAAA"), "format": st.just("wav")}))),
    _object(_typed("file", file=_object({"file_id": st.just("file-1")}, format=_other_types))),
    _unknown_parts,
    _odd,
)
_chat_calls = _object(
    _typed("function", id=_ids), function=_object({"name": _names, "arguments": st.just('{"path": "a"}') | _odd})
)
chat_messages = _object(
    {"role": st.sampled_from(ROLES)},
    content=st.one_of(_words, st.lists(_chat_texts | _chat_images | _chat_others, max_size=4), _odd),
    name=_words,
    tool_call_id=_ids,
    tool_calls=st.lists(_chat_calls, max_size=2) | _odd,
)
chat_bodies = _object({"messages": st.lists(chat_messages, max_size=4)}, model=_words, tools=_odd)
"""Requests to chat completions."""

# Anthropic messages

_sources = st.one_of(
    _object(_typed("base64", media_type=_types, data=_payloads)),
    _object(_typed("url", url=_urls)),
    _object(_typed("file", file_id=_file_ids)),
)
_image_sources = _object(_typed("base64", media_type=_types, data=_payloads))
_inner_blocks = st.one_of(
    _object(_typed("text", text=_words), **_breakpoint, citations=_odd),
    _object(_typed("image", source=_sources), **_breakpoint),
    _object(_typed("document", source=_image_sources), **_breakpoint, title=_words),
    _object(_typed("document", source=_object(_typed("base64", media_type=_other_types, data=st.just("AAAA"))))),
    _object(_typed("image", "document"), source=_odd | _object(_typed("base64", "url", "file"), data=_odd)),
    _unknown_parts,
    _odd,
)
_books = _object(
    _typed("document", source=_object(_typed("content", content=_words | _odd | st.lists(_inner_blocks, max_size=3)))),
    **_breakpoint,
    title=_words,
)
_blocks = _inner_blocks | _books
_tool_blocks = st.one_of(
    _object(_typed("thinking", thinking=_words, signature=st.just("EqQBCg=="))),
    _object(_typed("tool_use", "server_tool_use", "mcp_tool_use", id=_ids, name=_names, input=_odd)),
    _object(
        _typed(
            "tool_result", "mcp_tool_result", tool_use_id=_ids, content=_words | _odd | st.lists(_blocks, max_size=3)
        ),
        **_breakpoint,
        is_error=st.booleans(),
    ),
)
messages_messages = _object(
    {"role": st.sampled_from(["user", "assistant"])},
    content=st.one_of(_words, st.lists(_blocks | _tool_blocks, max_size=4), _odd),
)
messages_bodies = _object(
    {"messages": st.lists(messages_messages, max_size=4)},
    system=_words | st.lists(_blocks, max_size=2) | _odd,
    model=_words,
    thinking=_odd,
)
"""Requests to Anthropic's messages."""

# OpenAI Responses

_input_images = st.one_of(
    _object(_typed("input_image", image_url=_urls), detail=st.sampled_from(["low", "auto"])),
    _object(_typed("input_image", file_id=_file_ids, image_url=st.none())),
    _object(_typed("image_url", image_url=_image_objects)),
    _object(_typed("input_file", file_data=st.just(f"{PNG_URI}{PIXELS}AA")), filename=_words),
)
_input_parts = st.one_of(
    _object(_typed("input_text", "output_text", "text", text=_words), annotations=_odd),
    _input_images,
    _object(_typed("input_file", file_id=st.just("file-1")), filename=_words),
    _object(_typed("input_image", "image_url", "input_file"), image_url=_odd, file_id=_odd, file_data=_odd),
    _unknown_parts,
    _odd,
)
_screenshots = st.one_of(
    _object(_typed("computer_screenshot", image_url=_urls)),
    _object(_typed("computer_screenshot", file_id=_file_ids)),
    _object(_typed("computer_screenshot")),
)
responses_items = st.one_of(
    _object(
        {"role": st.sampled_from(["user", "assistant", "system", "developer"])},
        type=st.just("message"),
        content=st.one_of(_words, st.lists(_input_parts, max_size=4), _odd),
        id=_ids,
    ),
    _object(_typed("function_call", call_id=_ids, name=_names, arguments=st.just('{"path": "a"}') | _odd)),
    _object(_typed("custom_tool_call", call_id=_ids, name=_names, input=_words)),
    _object(_typed("computer_call", call_id=_ids, action=_odd), id=_ids),
    _object(
        _typed("function_call_output", "custom_tool_call_output", call_id=_ids),
        output=_words | st.lists(_input_parts, max_size=3) | _odd,
    ),
    _object(_typed("computer_call_output", call_id=_ids, output=_screenshots), acknowledged_safety_checks=_odd),
    _object(_typed("reasoning", summary=_odd, encrypted_content=st.just("gAAAAA==")), content=_odd),
    _unknown_parts,
    _odd,
)
responses_bodies = _object(
    {"input": _words | st.lists(responses_items, max_size=5)},
    model=_words,
    instructions=_words,
    previous_response_id=st.just("resp_1"),
)
"""Requests to OpenAI's Responses."""

# Google generateContent

_blobs = _spelled(
    "inlineData", "inline_data", _merged(_spelled("mimeType", "mime_type", _types), _object({"data": _payloads}))
)
_files = _spelled(
    "fileData",
    "file_data",
    _merged(_spelled("mimeType", "mime_type", _types), _spelled("fileUri", "file_uri", _urls | _file_ids)),
)
_odd_blobs = st.one_of(
    _spelled("inlineData", "inline_data", _odd | _spelled("mimeType", "mime_type", _types | _odd)),
    _spelled("fileData", "file_data", _odd | _spelled("mimeType", "mime_type", _types | _odd)),
    _object({"inlineData": _object({"mimeType": _other_types, "data": st.just("AAAA")})}),
    _object({"fileData": _object({"mimeType": _other_types, "fileUri": st.just("gs://bucket/report.pdf")})}),
)
_function_responses = _object(
    {"name": _names | _odd},
    id=_ids,
    response=_odd | _object({"output": _words}),
    parts=st.lists(_blobs | _files | _odd_blobs | _odd, max_size=3) | _odd,
)
_google_parts = st.one_of(
    _object({"text": _words}, thought=st.booleans(), thoughtSignature=st.just("CiQB")),
    _blobs,
    _files,
    _odd_blobs,
    _spelled("functionCall", "function_call", _object({"name": _names}, id=_ids, args=_odd)),
    _spelled("functionResponse", "function_response", _function_responses),
    _odd,
)
google_contents = _object(
    {"parts": st.lists(_google_parts, max_size=4) | _odd}, role=st.sampled_from(["user", "model", "function"])
)
google_bodies = _merged(
    _object({"contents": st.lists(google_contents, max_size=4) | google_contents | _odd}, model=_words, tools=_odd),
    st.just({}) | _spelled("systemInstruction", "system_instruction", google_contents | _odd),
)
"""Requests to Google's generateContent."""

# Anything

arbitrary_bodies = st.one_of(
    st.fixed_dictionaries(dict.fromkeys(("messages", "input", "contents"), json_values)),
    st.fixed_dictionaries({"messages": st.lists(chat_messages | json_values, max_size=4)}),
    st.dictionaries(texts, json_values, max_size=3),
)
"""Any JSON object."""


def nodes(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values within a value, with its own path first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, below in inner for path in nodes(below, (*here, key)))]


def _with(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], odd)
    return copy


def _spoiled(body: dict[str, Any], spoils: list[tuple[int, Any]]) -> dict[str, Any]:
    for number, odd in spoils:
        paths = nodes(body)[1:]
        body = _with(body, paths[number % len(paths)], odd) if paths else body
    return body


def spoiled(bodies: Strategy) -> Strategy:
    """Bodies with unexpected values at one to three random places."""
    return st.builds(_spoiled, bodies, st.lists(st.tuples(st.integers(0, 60), _odder), min_size=1, max_size=3))


# Images as texts

_FILES = (
    png_header(),
    png_header(0, 5),
    b"\xff\xd8\xff\xc0\0\x0b\x08\0\x05\0\x07\x01",
    b"GIF89a\x05\0\x07\0\0\0\0",
    b"BM" + bytes(12) + b"\x0c\0\0\0\x05\0\x07\0",
    b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x04\0\0\x06\0\0",
    b"%PDF-1.7",
    b"",
)
"""How files of some kinds begin: images, one of them without a width, another file, and nothing."""

_BLANK = st.sampled_from([" ", "\n", "\r\n", "\t"])
_WRONG = st.sampled_from(["?", "=", "\0", "é", "\ud800", "\u2028", "%2B", "\\n", ","])


def _inserted(text: str, inserted: list[tuple[float, str]]) -> str:
    for share, piece in inserted:
        at = round(share * len(text))
        text = text[:at] + piece + text[at:]
    return text


def _spelled_base64(content: bytes, is_url_safe: bool, is_padded: bool, inserted: list[tuple[float, str]]) -> str:
    encoded = (base64.urlsafe_b64encode if is_url_safe else base64.b64encode)(content).decode()
    return _inserted(encoded if is_padded else encoded.rstrip("="), inserted)


_shares = st.floats(0, 1)
base64_texts = st.builds(
    _spelled_base64,
    st.builds(
        lambda head, rest, more: head + rest + more,
        st.sampled_from(_FILES),
        st.binary(max_size=40),
        st.sampled_from([b"", bytes(90), bytes(600)]),  # behind what is read to know the kind of file, or the spelling
    ),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(_shares, _BLANK), max_size=2) | st.lists(st.tuples(_shares, _WRONG), max_size=1),
)
"""A file's base64 in odd spellings: the URL-safe alphabet, no padding, line breaks, or a character that is wrong."""

_cases: Strategy = st.sampled_from([str.lower, str.upper, str.title])
_heads = st.builds(
    lambda spell, blank, media_type, parameters, end: blank + spell(f"data:{media_type}{parameters}{end}"),
    _cases,
    st.sampled_from(["", "", " ", "\n"]),
    st.sampled_from(
        ["image/png", "image/jpg", "image/webp", "image/svg+xml", "png", "", "*/*", "application/pdf", "image/p g"]
    ),
    st.sampled_from(["", "", ";charset=utf-8", ";name=a b.png;charset=utf-8", ";a" * 6]),
    st.sampled_from([";base64,", ";base64,", ";base64,", ",", ";base64"]),
)
image_texts = st.builds(str.__add__, _heads, base64_texts)
"""``data:`` URIs in odd spellings, some of which are none."""


def plain_conversations(content: str, part: str | None) -> Strategy:
    """Messages that are plain text in a wire format, or but for an odd key.

    Args:
        content: the key of a message's content.
        part: the type of its text parts. ``None`` if they have none.
    """
    keys = {"text": _words} | ({} if part is None else {"type": st.just(part)})
    parts = st.one_of(_object(keys), _object(keys), _object(keys, vendor=_odd))
    turns = _object(
        {content: st.one_of(_words, st.none(), st.lists(parts, max_size=3))},
        role=st.sampled_from(ROLES),
        name=_words,
        images=st.just([]),
        output=_words,
    )
    return st.lists(turns, max_size=4)


class _Text(str):
    __slots__ = ()


class _List(list[Any]):
    pass


class _Object(dict[str, Any]):
    pass


def subclassed(value: Any) -> Any:
    """The same JSON, of classes that other code may have made of it."""
    if isinstance(value, dict):
        return _Object({_Text(key): subclassed(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return _List(map(subclassed, value))
    return _Text(value) if isinstance(value, str) else value
