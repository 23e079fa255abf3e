"""Chat request bodies as clients send them: every role, every shape of content, the malformed ones too."""

from __future__ import annotations

from hypothesis import strategies as st

ROLES = ("system", "developer", "user", "assistant", "tool")

texts = st.text(st.characters(), max_size=20)
"""Any string JSON can carry, lone surrogates included."""

_telling_words = st.sampled_from(["type", "text", "image_url", "url", "role", "content", "cache_control"])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _telling_words | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_telling_words | texts, inner, max_size=4),
    max_leaves=12,
)

_urls = st.sampled_from(
    [
        "data:image/png;base64,AAAA",
        "DATA:image/JPEG;base64,BBBB",
        "https://images.example.com/cat.png",
        "http://[",
        "ftp://images.example.com/cat.png",
    ]
)

_image_objects = st.fixed_dictionaries(
    {"url": _urls},
    optional={
        "detail": st.sampled_from(["low", "high", "auto"]),
        "format": st.sampled_from(["image/png", "image/webp"]),
    },
)

_image_parts = st.fixed_dictionaries(
    {"type": st.just("image_url"), "image_url": _urls | _image_objects},
    optional={"cache_control": st.just({"type": "ephemeral"}), "vendor": json_values},
)

_malformed_images = st.fixed_dictionaries({"type": st.just("image_url")}, optional={"image_url": json_values})

_text_parts = st.fixed_dictionaries(
    {"type": st.just("text"), "text": texts},
    optional={"cache_control": st.just({"type": "ephemeral"}), "vendor": json_values},
)

_other_parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_audio", "file", "refusal", "thinking", "video_url"])},
    optional={"input_audio": json_values, "file": json_values, "text": texts},
)

_parts = st.one_of(_text_parts, _image_parts, _malformed_images, _other_parts, json_values)

_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(ROLES)},
    optional={
        "content": st.none() | texts | st.lists(_parts, max_size=5),
        "name": texts,
        "id": texts,
        "tool_call_id": texts,
        "tool_calls": json_values,
        "vendor": json_values,
    },
)

chat_bodies = st.fixed_dictionaries(
    {"messages": st.lists(_messages, max_size=4)},
    optional={"model": texts, "tools": json_values, "temperature": st.floats(0, 2), "vendor": json_values},
)
"""What a client of chat completions sends: messages are objects, all within them may be odd."""

arbitrary_bodies = st.one_of(
    st.fixed_dictionaries({"messages": json_values}),
    st.fixed_dictionaries({"messages": st.lists(_messages | json_values, max_size=4)}),
    st.dictionaries(texts, json_values, max_size=3),
)
"""Any JSON object, be it a chat request or not."""
