from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import logging
import random
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import litellm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.exceptions import BadRequestError, InternalServerError, NotFoundError
from litellm.integrations.custom_logger import CustomLogger
from litellm.router import Router
from litellm.types.utils import ModelResponse

from litellm_image_analysis.vision import local_ocr
from litellm_image_analysis.vision.local_ocr import MAX_PIXELS, MODEL, PROVIDER, Fragment, LocalOCR, Reader, rows

if TYPE_CHECKING:
    from PIL import Image as Pillow

pytestmark = [
    # Pydantic's warning about LiteLLM's types, at LiteLLM's first response.
    pytest.mark.filterwarnings("ignore:Items? .* using the `ReadOnly` qualifier:UserWarning"),
    # LiteLLM logs calls in the background, even after a test's event loop has ended.
    pytest.mark.filterwarnings("ignore:coroutine 'Logging.async_success_handler' was never awaited:RuntimeWarning"),
]

RECEIPT = Path(__file__).parents[2] / "examples" / "receipt.png"
PATIENCE = 60  # seconds until a test that waits for a thread fails instead of hanging

SCAN, END = b"\xff\xda", b"\xff\xd9"  # markers of a JPEG

Content = list[dict[str, Any]]


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def chat(*urls: str) -> Any:
    images: Content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "What is the total?"}, *images]}]


def receipt_chat() -> Any:
    return chat(data_uri(RECEIPT.read_bytes()))


def encoded(image: Pillow.Image, file_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def blank(width: int = 40, height: int = 30, mode: str = "RGB", colour: Any = "white") -> Pillow.Image:
    image = pytest.importorskip("PIL.Image")
    made: Pillow.Image = image.new(mode, (width, height), colour)
    return made


def repeat_last_scan(jpeg: bytes, times: int, before: bytes = b"") -> bytes:
    """Add copies of a JPEG's last scan, each after the bytes ``before``."""
    scan = jpeg[jpeg.rindex(SCAN) : -len(END)]
    return jpeg[: -len(END)] + (before + scan) * times + END


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG, with its size and without pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT"


class FakeReader:
    """A reader that returns given fragments, and records its images."""

    def __init__(self, *fragments: Fragment) -> None:
        self.fragments = fragments
        self.images: list[Pillow.Image] = []

    def __call__(self, image: Pillow.Image) -> Sequence[Fragment]:
        self.images.append(image)
        return self.fragments


def answer(reader: Callable[[Pillow.Image], Sequence[Fragment]], *urls: str) -> str:
    pytest.importorskip("PIL")
    response = LocalOCR(lambda: reader).completion(MODEL, chat(*urls))
    return str(response.choices[0].message.content)


def refusal(*urls: str) -> str:
    with pytest.raises(BadRequestError) as caught:
        answer(FakeReader(), *urls)
    assert caught.value.status_code == 400
    assert caught.value.litellm_debug_info is None
    return caught.value.message


# Rows

heights = st.integers(1, 60)
places = st.integers(0, 200)
fragments = st.builds(
    lambda text, score, left, top, width, height: Fragment(text, score, left, top, left + width, top + height),
    st.sampled_from(["Total", "42.80", "Tax"]),
    st.floats(0, 1),
    places,
    places,
    heights,
    heights,
)


def middle(fragment: Fragment) -> float:
    return fragment.top + fragment.bottom


@given(st.lists(fragments))
def test_rows_hold_every_fragment_once(found: list[Fragment]) -> None:
    assert sorted(fragment for row in rows(found) for fragment in row) == sorted(found)


@given(st.lists(fragments))
def test_rows_go_from_top_to_bottom_and_each_from_left_to_right(found: list[Fragment]) -> None:
    highest = [min(middle(fragment) for fragment in row) for row in rows(found)]
    assert highest == sorted(highest)
    for row in rows(found):
        assert [fragment.left for fragment in row] == sorted(fragment.left for fragment in row)


@given(st.lists(fragments).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_rows_do_not_depend_on_the_order_of_fragments(orders: tuple[list[Fragment], list[Fragment]]) -> None:
    assert rows(orders[0]) == rows(orders[1])


@given(st.lists(fragments, max_size=1))
def test_what_stands_below_is_never_in_the_same_row(found: list[Fragment]) -> None:
    below = [Fragment("below", 1.0, each.left, each.bottom, each.right, each.bottom + 20) for each in found]
    assert rows([*below, *found]) == [[each] for each in (*found, *below)]


def test_a_row_keeps_a_price_in_a_larger_font() -> None:
    item, price = Fragment("TOTAL", 1.0, 0, 110, 80, 126), Fragment("42.80", 1.0, 300, 100, 400, 130)
    assert rows([price, item]) == [[item, price]]


def test_a_logo_does_not_join_the_lines_beside_it() -> None:
    logo = Fragment("ACME", 1.0, 0, 0, 100, 100)
    lines = [Fragment(f"line {number}", 1.0, 120, 30 * number, 300, 30 * number + 24) for number in range(3)]
    assert rows([logo, *lines]) == [[lines[0]], [lines[1]], [logo], [lines[2]]]


# Answers


def test_an_answer_is_the_size_and_the_rows() -> None:
    reader = FakeReader(
        Fragment("42.80", 0.99, 300, 100, 380, 120),
        Fragment("TOTAL", 0.99, 10, 100, 80, 120),
        Fragment("RECEIPT", 0.99, 10, 10, 80, 30),
    )
    assert answer(reader, data_uri(encoded(blank(800, 600)))) == (
        "Image size: 800 x 600 pixels.\n\nRECEIPT\nTOTAL  42.80"
    )


def test_a_fragment_read_with_low_confidence_is_marked() -> None:
    reader = FakeReader(Fragment("T0TAL", 0.6, 10, 100, 80, 120), Fragment("42.80", 0.8, 300, 100, 380, 120))
    assert answer(reader, data_uri(encoded(blank()))).endswith("\nT0TAL [uncertain]  42.80")


def test_an_image_without_text_is_said_to_have_none() -> None:
    assert answer(FakeReader(), data_uri(encoded(blank()))) == (
        "Image size: 40 x 30 pixels.\n\nNo text was found. This engine reads text; it does not describe pictures."
    )


def test_several_images_are_answered_in_their_order() -> None:
    reader = FakeReader(Fragment("text", 1.0, 0, 0, 10, 10))
    urls = [data_uri(encoded(blank(40, 30))), data_uri(encoded(blank(50, 20)))]
    assert answer(reader, *urls) == (
        "Image 1 of 2:\nImage size: 40 x 30 pixels.\n\ntext\n\nImage 2 of 2:\nImage size: 50 x 20 pixels.\n\ntext"
    )


def test_images_are_found_in_every_message_however_they_are_given() -> None:
    url = data_uri(encoded(blank()))
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": url}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": ["text", {"type": "image_url", "image_url": {"url": url, "detail": "high"}}]},
    ]
    reader = FakeReader()
    LocalOCR(lambda: reader).completion(MODEL, messages)
    assert len(reader.images) == 2


def test_a_response_is_finished_and_counts_no_tokens() -> None:
    response = LocalOCR(FakeReader).completion(MODEL, chat(data_uri(encoded(blank()))))
    assert response.model == "local-ocr/rapidocr"
    assert response.choices[0].finish_reason == "stop"
    usage = getattr(response, "usage")  # noqa: B009 - not declared by LiteLLM
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (0, 0, 0)


# Images that are read


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_known_format_is_read_whatever_its_uri_says(file_format: str) -> None:
    url = data_uri(encoded(blank(41, 31), file_format), "application/octet-stream")
    assert "41 x 31" in answer(FakeReader(), url)


def test_the_first_frame_of_an_animation_is_read() -> None:
    reader = FakeReader()
    frames = encoded(blank(colour="red"), "GIF", save_all=True, append_images=[blank(colour="blue")])
    assert "several frames. This is the first one" in answer(reader, data_uri(frames))
    assert reader.images[0].getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF"])
def test_a_file_with_several_frames_is_said_to_have_them(file_format: str) -> None:
    several = encoded(blank(colour="red"), file_format, save_all=True, append_images=[blank(colour="blue")])
    assert "several frames" in answer(FakeReader(), data_uri(several))
    assert "several frames" not in answer(FakeReader(), data_uri(encoded(blank(), file_format)))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "GIF"])
def test_no_other_frame_of_an_animation_is_decoded(file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second frame is damaged, and Pillow decodes it only after a ``seek``."""
    noise = pytest.importorskip("PIL.Image").frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3))
    content = bytearray(
        encoded(blank(64, 64, colour="red"), file_format, save_all=True, append_images=[noise], lossless=True)
    )
    second = slice(len(content) // 2, -200)
    content[second] = bytes(value ^ 0x55 for value in content[second])
    first = pytest.importorskip("PIL.Image").open(io.BytesIO(content))
    assert first.n_frames == 2
    monkeypatch.setattr(type(first), "seek", lambda _, frame: frame and pytest.fail("another frame is decoded"))
    reader = FakeReader()
    answer(reader, data_uri(bytes(content)))
    assert reader.images[0].convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_an_image_is_turned_upright() -> None:
    exif = pytest.importorskip("PIL.Image").Exif()
    exif[0x0112] = 6
    reader = FakeReader()
    assert "30 x 40" in answer(reader, data_uri(encoded(blank(40, 30), "JPEG", exif=exif)))
    assert reader.images[0].size == (30, 40)


def test_an_image_with_odd_metadata_is_turned_upright_all_the_same() -> None:
    orientation = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    resolution_unit = struct.pack(">HHII", 0x0128, 4, 1, 100_000)  # more than this tag can contain
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + orientation + resolution_unit + bytes(4)
    assert "30 x 40" in answer(FakeReader(), data_uri(encoded(blank(40, 30), "JPEG", exif=exif)))


@pytest.mark.parametrize(
    ("mode", "colour", "file_format", "seen"),
    [
        ("1", 1, "PNG", (255, 255, 255)),
        ("L", 200, "PNG", (200, 200, 200)),
        ("P", 0, "PNG", (0, 0, 0)),
        ("LA", (200, 90), "PNG", (200, 200, 200, 90)),
        ("RGBA", (1, 2, 3, 4), "PNG", (1, 2, 3, 4)),
        ("I;16", 200 * 256, "PNG", (200, 200, 200)),
        ("CMYK", (0, 0, 0, 0), "JPEG", (255, 255, 255)),
    ],
)
def test_every_pixel_format_is_shown_in_its_true_colours(
    mode: str, colour: Any, file_format: str, seen: tuple[int, ...]
) -> None:
    reader = FakeReader()
    answer(reader, data_uri(encoded(blank(mode=mode, colour=colour), file_format)))
    assert reader.images[0].getpixel((0, 0)) == seen


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)).filter(lambda size: size[0] * size[1] <= MAX_PIXELS))
def test_the_reader_is_shown_a_bounded_number_of_pixels_in_a_bounded_shape(size: tuple[int, int]) -> None:
    width, height = local_ocr._fitted(blank(*size, mode="L")).size
    assert width * height <= 3_000_000
    assert max(width, height) <= 6 * min(width, height)


def test_a_small_image_is_shown_as_it_is() -> None:
    reader = FakeReader()
    answer(reader, data_uri(RECEIPT.read_bytes()))
    assert reader.images[0].tobytes() == pytest.importorskip("PIL.Image").open(RECEIPT).convert("RGB").tobytes()


# Images that are refused


@pytest.mark.parametrize("url", ["https://example.com/receipt.png", "HTTP://example.com/receipt.png"])
def test_a_url_is_refused(url: str) -> None:
    assert "local-ocr does not fetch URLs: send the image as a data: URI with base64" in refusal(url)


SECRET = "c2VjcmV0IHBpeGVscyBvZiBhIHNlY3JldCBpbWFnZQ=="
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><text>secret</text></svg>'


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not a data: URI with base64"),
        (SECRET, "not a data: URI with base64"),
        (f"data:image/png,{SECRET}", "not a data: URI with base64"),
        (f"file:///{SECRET}.png", "not a data: URI with base64"),
        (f"data:image/svg+xml;utf8,{SVG.decode()}", "not a data: URI with base64"),
        (f"data:image/png;base64,{SECRET[:-3]}", "malformed base64"),
        (f"data:image/png;base64,{SECRET[:-2]}\u00e9=", "malformed base64"),
        (f"data:image/png;base64,*{SECRET}", "malformed base64"),
        ("data:image/png;base64,", "not an intact image of a known format (PNG, JPEG, WEBP, GIF, BMP)"),
        (f"data:image/png;base64,{SECRET}", "not an intact image of a known format"),
        (data_uri(SVG, "image/svg+xml"), "not an intact image of a known format"),
        (data_uri(RECEIPT.read_bytes()[:-3000]), "not an intact image of a known format"),
    ],
)
def test_what_is_no_image_is_refused_without_being_quoted(url: str, reason: str) -> None:
    message = refusal(url)
    assert reason in message
    assert not any(quote in message for quote in ("c2Vj", "secret", "iVBOR", "PHN2"))


@pytest.mark.parametrize("file_format", ["TIFF", "ICO", "PPM"])
def test_an_unknown_format_is_refused(file_format: str) -> None:
    assert "not an intact image of a known format" in refusal(data_uri(encoded(blank(), file_format)))


@pytest.mark.parametrize("image_url", [None, {}, {"url": None}, 7])
def test_an_image_part_without_a_url_is_refused(image_url: object) -> None:
    pytest.importorskip("PIL")
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": image_url}]}]
    with pytest.raises(BadRequestError, match="not a data: URI"):
        LocalOCR(FakeReader).completion(MODEL, messages)


# Pillow has limits of its own: it warns above 89 million pixels and refuses above 179 million.
@pytest.mark.parametrize("size", [(8_001, 5_000), (10_000, 10_000), (60_000, 60_000)])
def test_an_image_with_too_many_pixels_is_refused_from_its_header(size: tuple[int, int]) -> None:
    assert "more than 40,000,000 pixels" in refusal(data_uri(png_header(*size)))


def test_an_image_at_the_limit_is_decoded() -> None:
    assert "not an intact image" in refusal(data_uri(png_header(8_000, 5_000)))


# Pillow writes 6 scans for a progressive JPEG in shades of grey.
@pytest.mark.parametrize(("size", "most"), [((40, 30), 50), ((4_000, 5_000), 25), ((8_000, 5_000), 12)])
def test_a_jpeg_of_too_many_scans_is_refused_before_it_is_decoded(
    size: tuple[int, int], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg = encoded(blank(*size, mode="L"), "JPEG", progressive=True)
    assert f"{size[0]} x {size[1]}" in answer(FakeReader(), data_uri(repeat_last_scan(jpeg, most - 6)))
    monkeypatch.setattr(pytest.importorskip("PIL.ImageFile").ImageFile, "load", None)
    assert refusal(data_uri(repeat_last_scan(jpeg, most - 5))).endswith(
        f"The image is a JPEG of {most + 1} scans. At this size, at most {most} are decoded. Send a JPEG that is not"
        " progressive."
    )


def test_the_scans_of_any_jpeg_are_counted() -> None:
    first = encoded(blank(), "JPEG")
    assert "JPEG of 101 scans" in refusal(data_uri(repeat_last_scan(first, 100)))
    several = encoded(blank(), "MPO", save_all=True, append_images=[blank()])
    end = several.index(END) + len(END)
    assert "JPEG of 101 scans" in refusal(data_uri(repeat_last_scan(several[:end], 100) + several[end:]))


# libjpeg skips all of these between scans.
@pytest.mark.parametrize("before", [b"\xff", b"\xff\xff", b"\xff\x00", b"\xff\x01", b"\xff\xd3", b"x", b"\xff\xfe\0\0"])
def test_scans_are_not_hidden_by_what_stands_before_them(before: bytes) -> None:
    jpeg = encoded(blank(), "JPEG", progressive=True)
    assert "JPEG of 110 scans" in refusal(data_uri(repeat_last_scan(jpeg, 100, before)))
    assert "40 x 30" in answer(FakeReader(), data_uri(repeat_last_scan(jpeg, 1, before)))


def test_what_looks_like_a_scan_in_metadata_or_after_the_image_is_not_counted() -> None:
    """A preview in the metadata, or the film of a motion photo."""
    jpeg = encoded(blank(), "JPEG", progressive=True, comment=SCAN * 100)
    assert "40 x 30" in answer(FakeReader(), data_uri(jpeg + SCAN * 100))


def test_a_jpeg_of_very_many_segments_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow takes 2 s for 4 MB of empty segments."""
    jpeg = encoded(blank(), "JPEG")
    assert "40 x 30" in answer(FakeReader(), data_uri(jpeg[:2] + b"\xff\xfe\0\2" * 900 + jpeg[2:]))
    monkeypatch.setattr(pytest.importorskip("PIL.Image"), "open", None)
    for place in (2, -2):
        content = jpeg[:place] + b"\xff\xfe\0\2" * 1_001 + jpeg[place:]
        assert "The image is a JPEG of more than 1,000 segments" in refusal(data_uri(content))


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_jpeg_that_ends_within_a_scan_s_header_is_read_or_refused(cut: int) -> None:
    with contextlib.suppress(BadRequestError):
        answer(FakeReader(), data_uri(encoded(blank(), "JPEG", progressive=True)[:-cut]))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's warning about broken metadata
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP"]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    st.integers(1, 10_000),
)
def test_a_damaged_image_is_read_or_refused(file_format: str, damage: list[tuple[int, int]], length: int) -> None:
    content = bytearray(encoded(blank(), file_format))
    for place, value in damage:
        content[place % len(content)] = value
    with contextlib.suppress(BadRequestError):
        assert "pixels" in answer(FakeReader(), data_uri(bytes(content[:length])))


def test_a_refusal_says_which_image_is_meant() -> None:
    good = data_uri(encoded(blank()))
    assert "Image 2 of 2 has malformed base64" in refusal(good, "data:image/png;base64,?")


@pytest.mark.parametrize("content", ["What is the total?", None, [], [{"type": "text", "text": "image_url"}]])
def test_a_chat_without_images_is_refused(content: Content | str | None) -> None:
    with pytest.raises(BadRequestError, match="the messages contain none"):
        LocalOCR(FakeReader).completion(MODEL, [{"role": "user", "content": content}])


def test_another_model_does_not_exist() -> None:
    with pytest.raises(NotFoundError, match="local-ocr has only the model rapidocr"):
        LocalOCR(FakeReader).completion("tesseract", receipt_chat())


# Threads


class Gate:
    """A reader that waits until the test lets it continue, and counts waiting calls."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.reads = 0
        self._lock = threading.Lock()

    def __call__(self, image: Pillow.Image) -> Sequence[Fragment]:
        with self._lock:
            self.reads += 1
        self.entered.release()
        assert self.open.wait(PATIENCE)
        return [Fragment(f"{image.width} wide", 1.0, 0, 0, 10, 10)]

    def wait_for(self, reads: int) -> None:
        for _ in range(reads):
            assert self.entered.acquire(timeout=PATIENCE)


async def ask(handler: LocalOCR, messages: Any, stream: bool) -> None:
    if not stream:
        await handler.acompletion(MODEL, messages)
        return
    async for _ in handler.astreaming(MODEL, messages):
        pass


@pytest.mark.asyncio
async def test_reading_does_not_block_the_event_loop() -> None:
    gate = Gate()
    reading = asyncio.create_task(LocalOCR(lambda: gate).acompletion(MODEL, chat(data_uri(encoded(blank())))))
    await asyncio.to_thread(gate.wait_for, 1)
    assert not reading.done()
    gate.open.set()
    assert "40 wide" in str((await reading).choices[0].message.content)


@pytest.mark.asyncio
async def test_only_so_many_requests_are_read_at_a_time() -> None:
    gate = Gate()
    handler = LocalOCR(lambda: gate, workers=2)
    chats = [chat(data_uri(encoded(blank(width)))) for width in range(10, 16)]
    requests = [asyncio.create_task(handler.acompletion(MODEL, messages)) for messages in chats]
    await asyncio.to_thread(gate.wait_for, 2)
    assert not gate.entered.acquire(blocking=False)
    gate.open.set()
    answers = [str(response.choices[0].message.content) for response in await asyncio.gather(*requests)]
    assert [text.rsplit("\n", 1)[1] for text in answers] == [f"{width} wide" for width in range(10, 16)]


@pytest.mark.asyncio
async def test_a_request_cancelled_in_the_queue_is_not_read() -> None:
    gate = Gate()
    handler = LocalOCR(lambda: gate, workers=1)
    first, second, third = (
        asyncio.create_task(handler.acompletion(MODEL, chat(data_uri(encoded(blank()))))) for _ in range(3)
    )
    await asyncio.to_thread(gate.wait_for, 1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.open.set()
    await asyncio.gather(first, third)
    assert gate.reads == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_request_cancelled_while_it_is_read_reads_no_further_image(stream: bool) -> None:
    gate = Gate()
    handler = LocalOCR(lambda: gate, workers=1)
    cancelled = asyncio.create_task(ask(handler, chat(*[data_uri(encoded(blank()))] * 3), stream))
    await asyncio.to_thread(gate.wait_for, 1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    gate.open.set()
    await ask(handler, chat(data_uri(encoded(blank()))), stream)
    assert gate.reads == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_request_cancelled_while_it_is_decoded_is_not_read(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, go_on, decode = threading.Event(), threading.Event(), local_ocr._decode

    def slowly(url: str, name: str) -> tuple[Pillow.Image, bool]:
        decoding.set()
        assert go_on.wait(PATIENCE)
        return decode(url, name)

    monkeypatch.setattr(local_ocr, "_decode", slowly)
    reader = FakeReader()
    handler = LocalOCR(lambda: reader, workers=1)
    cancelled = asyncio.create_task(ask(handler, chat(data_uri(encoded(blank(10)))), stream))
    assert await asyncio.to_thread(decoding.wait, PATIENCE)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    go_on.set()
    await ask(handler, chat(data_uri(encoded(blank(20)))), stream)
    assert [image.width for image in reader.images] == [20]


@pytest.mark.asyncio
async def test_a_request_cancelled_while_the_models_are_loaded_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, go_on, decoded, decode = threading.Event(), threading.Event(), [], local_ocr._decode

    def load() -> FakeReader:
        loading.set()
        assert go_on.wait(PATIENCE)
        return FakeReader()

    def seen(url: str, name: str) -> tuple[Pillow.Image, bool]:
        decoded.append(url)
        return decode(url, name)

    monkeypatch.setattr(local_ocr, "_decode", seen)
    handler = LocalOCR(load, workers=1)
    cancelled = asyncio.create_task(ask(handler, chat(data_uri(encoded(blank(10)))), stream=False))
    assert await asyncio.to_thread(loading.wait, PATIENCE)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    go_on.set()
    other = data_uri(encoded(blank(20)))
    await ask(handler, chat(other), stream=False)
    assert decoded == [other]


def test_eight_first_requests_load_once() -> None:
    gate, loads, submitted = Gate(), [], threading.Event()

    def load() -> Gate:
        loads.append(threading.get_ident())
        assert submitted.wait(PATIENCE)
        return gate

    handler = LocalOCR(load, workers=8)
    messages = chat(data_uri(encoded(blank())))
    with ThreadPoolExecutor(8) as callers:
        answers = [callers.submit(handler.completion, MODEL, messages) for _ in range(8)]
        submitted.set()
        gate.wait_for(8)
        gate.open.set()
        assert all("40 wide" in str(response.result().choices[0].message.content) for response in answers)
    assert len(loads) == 1


def test_a_failed_load_is_tried_again() -> None:
    outcomes: Iterator[Any] = iter([OSError("no model"), FakeReader()])

    def load() -> FakeReader:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        assert isinstance(outcome, FakeReader)
        return outcome

    handler, messages = LocalOCR(load), chat(data_uri(encoded(blank())))
    with pytest.raises(OSError, match="no model"):
        handler.completion(MODEL, messages)
    assert handler.completion(MODEL, messages).choices


def test_one_handler_serves_several_event_loops() -> None:
    handler, messages = LocalOCR(FakeReader), chat(data_uri(encoded(blank())))
    for _ in range(2):
        assert asyncio.run(handler.acompletion(MODEL, messages)).choices


# Within LiteLLM


@pytest.fixture(scope="module")
def _installed() -> None:
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered for all tests, because LiteLLM looks up the provider again after a test, to log its calls."""
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    local_ocr.register()


@pytest.fixture
def router(_registered: None) -> Router:
    deployment = {"model_name": "ocr", "litellm_params": {"model": f"{PROVIDER}/{MODEL}"}}
    return Router([deployment], num_retries=3, retry_after=0)


def registered_providers() -> list[str]:
    return [str(provider["provider"]) for provider in litellm.custom_provider_map]


@pytest.mark.usefixtures("_installed")
def test_registering_again_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "custom_provider_map", [])
    local_ocr.register()
    local_ocr.register()
    assert registered_providers() == [PROVIDER]
    assert litellm._custom_providers.count(PROVIDER) == 1


@pytest.mark.usefixtures("_installed")
def test_registering_again_repairs_a_replaced_map(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"provider": "other", "custom_handler": LocalOCR(FakeReader)}
    local_ocr.register()
    monkeypatch.setattr(litellm, "custom_provider_map", [other])
    local_ocr.register()
    assert registered_providers() == ["other", PROVIDER]


@pytest.mark.usefixtures("_installed", "_registered")
def test_the_model_can_see_for_free() -> None:
    assert litellm.supports_vision("local-ocr/rapidocr")
    info = litellm.get_model_info("local-ocr/rapidocr")
    assert (info["mode"], info["input_cost_per_token"], info["output_cost_per_token"]) == ("chat", 0, 0)


def test_importing_the_module_imports_nothing_of_the_extra() -> None:
    program = (
        "import sys; from litellm_image_analysis.vision import local_ocr; local_ocr.available(); local_ocr.register();"
        "print({'rapidocr', 'onnxruntime', 'cv2', 'PIL'} & set(sys.modules))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip().endswith("set()")


@pytest.mark.parametrize("missing", ["rapidocr", "onnxruntime"])
def test_without_the_extra_the_answer_says_how_to_get_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ocr, "find_spec", lambda package: None if package == missing else object())
    assert not local_ocr.available()
    with pytest.raises(InternalServerError, match=r"pip install 'litellm-image-analysis\[local-ocr\]'"):
        LocalOCR().completion(MODEL, receipt_chat())


@pytest.mark.usefixtures("_installed", "_registered")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_bad_request_stays_one(stream: bool) -> None:
    with pytest.raises(BadRequestError, match="does not fetch URLs") as caught:
        litellm.completion("local-ocr/rapidocr", chat("https://example.com/a.png"), stream=stream)
    assert caught.value.status_code == 400
    with pytest.raises(BadRequestError, match="does not fetch URLs") as caught:
        await text_of(await litellm.acompletion("local-ocr/rapidocr", chat("https://example.com/a.png"), stream=stream))
    assert caught.value.status_code == 400


@pytest.mark.usefixtures("_registered")
@pytest.mark.usefixtures("_installed")
def test_an_unknown_model_stays_unknown() -> None:
    with pytest.raises(NotFoundError) as caught:
        litellm.completion("local-ocr/tesseract", receipt_chat())
    assert caught.value.status_code == 404


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_a_router_does_not_retry_a_bad_request(
    stream: bool, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    def refuse(url: str, name: str) -> NoReturn:
        attempts.append(url)
        local_ocr._refuse(f"{name} is refused.")

    monkeypatch.setattr(local_ocr, "_decode", refuse)
    with pytest.raises(BadRequestError, match="The image is refused") as caught:
        await text_of(await router.acompletion("ocr", receipt_chat(), stream=stream))
    assert caught.value.status_code == 400
    assert len(attempts) == 1


async def text_of(response: Any) -> str:
    """The text of a response, streamed or not."""
    if not isinstance(response, AsyncIterator):
        return str(response.choices[0].message.content)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in response])


# The real engine


@pytest.fixture(scope="module")
def read(_installed: None) -> Reader:
    return local_ocr._load_rapidocr()


def assert_is_the_receipt(text: str) -> None:
    lines = text.splitlines()
    assert lines[:2] == ["Image size: 480 x 700 pixels.", ""]
    assert "HARBOUR STREET CAFE" in lines
    assert "Oat milk cappuccino  4.60" in lines
    assert "TOTAL  42.80" in lines


@pytest.mark.usefixtures("_installed", "_registered")
def test_the_receipt_is_read_through_completion() -> None:
    response = litellm.completion("local-ocr/rapidocr", receipt_chat(), max_tokens=1500)
    assert_is_the_receipt(str(response.choices[0].message.content))
    assert response._hidden_params["response_cost"] == 0.0


@pytest.mark.usefixtures("_installed", "_registered")
def test_the_receipt_is_read_through_completion_streaming() -> None:
    chunks = list(litellm.completion("local-ocr/rapidocr", receipt_chat(), stream=True))
    assert_is_the_receipt("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, "stop"]


@pytest.mark.usefixtures("_installed", "_registered")
@pytest.mark.asyncio
async def test_the_receipt_is_read_through_acompletion() -> None:
    response = await litellm.acompletion("local-ocr/rapidocr", receipt_chat())
    assert_is_the_receipt(await text_of(response))
    assert response._hidden_params["response_cost"] == 0.0


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.asyncio
async def test_the_receipt_is_read_through_a_router(stream: bool, router: Router) -> None:
    assert_is_the_receipt(await text_of(await router.acompletion("ocr", receipt_chat(), stream=stream)))


@pytest.mark.usefixtures("_installed")
def test_the_receipt_is_read_through_a_router_without_a_loop(router: Router) -> None:
    response = router.completion("ocr", receipt_chat())
    assert isinstance(response, ModelResponse)
    assert_is_the_receipt(str(response.choices[0].message.content))


@pytest.mark.usefixtures("_installed", "_registered")
@pytest.mark.asyncio
async def test_a_streamed_answer_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: asyncio.Queue[Any] = asyncio.Queue()

    class Costs(CustomLogger):
        async def async_log_success_event(
            self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
        ) -> None:
            await logged.put(kwargs["response_cost"])

    monkeypatch.setattr(litellm, "callbacks", [Costs()])
    await text_of(await litellm.acompletion("local-ocr/rapidocr", receipt_chat(), stream=True))
    assert await asyncio.wait_for(logged.get(), PATIENCE) == 0.0


def test_images_read_side_by_side_are_read_as_if_alone(read: Reader) -> None:
    receipt, _ = local_ocr._decode(data_uri(RECEIPT.read_bytes()), "The image")
    images = [receipt.crop((0, 0, 480, 260)), receipt.crop((0, 400, 480, 600)), blank(200, 100)]
    alone = [read(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(read, images * 2)) == alone * 2


# RapidOCR would enlarge these to hundreds of megapixels.
@pytest.mark.parametrize("size", [(2000, 1), (1, 2000), (1, 1)])
def test_an_image_of_any_shape_is_read(size: tuple[int, int], read: Reader) -> None:
    assert read(local_ocr._fitted(blank(*size))) == []


@pytest.mark.usefixtures("read")
def test_the_engine_logs_errors_only() -> None:
    assert not logging.getLogger("RapidOCR").isEnabledFor(logging.WARNING)
