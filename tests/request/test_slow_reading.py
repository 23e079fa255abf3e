"""Any image, in any request: its key and its flaw are those of a plain, slow reading."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support import slow_reading
from support.strategies import (
    base64_texts,
    chat_bodies,
    google_bodies,
    image_texts,
    messages_bodies,
    responses_bodies,
    subclassed,
    texts,
    thorough,
)
from support.wires import Wire, every_wire

from litellm_image_analysis.request.image import ImageSource, stored_image

BODIES = {
    "acompletion": chat_bodies,
    "anthropic_messages": messages_bodies,
    "aresponses": responses_bodies,
    "agenerate_content": google_bodies,
}

spellings = image_texts | base64_texts
hints = st.none() | st.sampled_from(["low", "auto", "high "]) | texts
media_types = st.sampled_from(["image/png", "IMAGE/JPG", "image/gif; a=b", " image/webp", "", "*/*", "text/plain", "x"])
sources = st.one_of(
    st.builds(ImageSource.referenced, spellings | texts, hints, hints | media_types),
    st.builds(ImageSource.encoded, media_types | texts, spellings | texts),
    st.builds(stored_image, st.sampled_from(["file-1", "file_1", "gs://bucket/a.png"]) | image_texts, hints),
    st.builds(ImageSource, image_texts, holder=st.sampled_from(["openai", "anthropic", "gemini"])),
)


@thorough
@given(sources, st.permutations(["first_flaw", "digest", "is_whole", "url", "size"]))
def test_of_any_image_whatever_is_asked_first(source: ImageSource, order: list[str]) -> None:
    for name in order:
        getattr(source, name)
    assert source.standard().url == slow_reading.text_of(source)
    assert source.standard().digest == slow_reading.digest_of(source)
    assert source.flaw == slow_reading.flaw_of(source)


@every_wire
@thorough
@given(data=st.data())
def test_of_all_images_of_any_request(wire: Wire, data: st.DataObject) -> None:
    body = data.draw(BODIES[wire.call_type])
    earlier = body.get(wire.conversation)
    turns = data.draw(st.lists(st.builds(wire.message, spellings), max_size=3))
    body = {**body, wire.conversation: [*(earlier if isinstance(earlier, list) else []), *turns]}
    assert keys_and_flaws(wire, body) == keys_and_flaws(wire, subclassed(body))
    sources = [image.source for image in wire.wire_format.find(body).images if image.source is not None]
    expected = [(slow_reading.digest_of(source), slow_reading.flaw_of(source)) for source in sources]
    assert keys_and_flaws(wire, body) == expected


def keys_and_flaws(wire: Wire, body: dict[str, Any]) -> list[tuple[str, str | None]]:
    sources = (image.source for image in wire.wire_format.find(body).images)
    return [(source.standard().digest, source.flaw) for source in sources if source is not None]
