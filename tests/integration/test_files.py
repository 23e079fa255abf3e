"""Files that are not images, in requests that are analysed: each gets a note, on all routes and in both modes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import litellm
import pytest
from support.configs import BASE_PRICE, VISION_PRICE, deployment, proxy_config
from support.images import image, message, text
from support.upstream import Upstream, images_in

from litellm_image_analysis import ImageAnalysis, ImageAnalysisConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

PDF = base64.b64encode(b"%PDF-1.4\n" + bytes(12_000)).decode()
WAV = base64.b64encode(b"RIFF\0\0\0\0WAVEfmt " + bytes(500)).decode()
DOCX = "data:application/vnd.openxmlformats-officedocument.wordprocessingml.document;base64,UEsDBA=="
PDF_URI = f"data:application/pdf;base64,{PDF}"
PDF_NOTE = (
    "[A PDF file (application/pdf, 12 kB) was sent here and could not be read. Send it as text, or as images of its"
    " pages instead. You know nothing about what it holds. If the answer depends on it, say so. Do not guess.]"
)
WAV_NOTE = (
    "[An audio file (audio/wav, 516 bytes) was sent here and could not be read. Send it as a transcript instead. You"
    " know nothing about what it holds. If the answer depends on it, say so. Do not guess.]"
)


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream) -> dict[str, Any]:
    url, blind = shared_upstream.base_url, {**BASE_PRICE, "supports_vision": False}
    config = proxy_config(shared_upstream, mode="auto")
    config["model_list"] = [
        deployment("text-only", "blind-chat", url, **blind),
        deployment("hears", "blind-hears", url, **blind, supports_audio_input=True),
        deployment("multimodal", "seeing-chat", url, **BASE_PRICE, supports_vision=True, supports_pdf_input=True),
        deployment("gpt-4o-mini", "seeing-mini", url, **VISION_PRICE, supports_vision=True),
    ]
    return config


def chat_parts(*parts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {"messages": [{"role": "user", "content": [text("What is it?"), *parts]}]}


def messages_parts(*blocks: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    turns = [{"role": "user", "content": [text("What is it?"), *blocks]}]
    return "/v1/messages", {"max_tokens": 100, "messages": turns}


def responses_parts(*parts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, *parts]}]
    }


def google_parts(*parts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "/v1beta/models/{model}:generateContent", {
        "contents": [{"role": "user", "parts": [{"text": "What is it?"}, *parts]}]
    }


def in_tool_result(block: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "a.pdf"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [block]}
    turns = [text("Read a.pdf.")], [use], [result]
    messages = [
        {"role": role, "content": content} for role, content in zip(("user", "assistant", "user"), turns, strict=True)
    ]
    return "/v1/messages", {"max_tokens": 100, "messages": messages}


DOCUMENT = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
PDFS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": chat_parts({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URI}}),
    "chat, as an image": chat_parts({"type": "image_url", "image_url": {"url": PDF_URI}}),
    "messages": messages_parts(DOCUMENT),
    "messages, of a tool": in_tool_result(DOCUMENT),
    "responses": responses_parts(
        {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URI}
    ),
    "generateContent": google_parts({"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
}  # fmt: skip
each_pdf = pytest.mark.parametrize(("path", "body"), PDFS.values(), ids=PDFS)


async def send(app: httpx.AsyncClient, path: str, body: dict[str, Any], model: str) -> httpx.Response:
    return await app.post(path.format(model=model), json={**body, "model": model})


@pytest.mark.parametrize("model", ["text-only", "text-only-ocr"])
@pytest.mark.parametrize("on_failure", ["placeholder", "reject", "keep"])
@each_pdf
async def test_a_pdf_gets_a_note_without_a_vision_call(
    app: httpx.AsyncClient,
    upstream: Upstream,
    settings: Callable[..., None],
    path: str,
    body: dict[str, Any],
    model: str,
    on_failure: str,
) -> None:
    settings(mode="auto", on_failure=on_failure)
    response = await send(app, path, body, model)
    assert response.status_code == 200, response.text
    (sent,) = upstream.requests
    assert sent["model"] == "blind-chat"
    assert PDF_NOTE in json.dumps(sent, ensure_ascii=False)
    assert PDF not in json.dumps(sent)
    assert response.headers["x-litellm-image-analysis-images"] == "0"


@pytest.mark.parametrize("model", ["text-only", "text-only-ocr"])
async def test_an_image_beside_it_is_analysed(app: httpx.AsyncClient, upstream: Upstream, model: str) -> None:
    path, body = chat_parts(image("a"), {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}})
    response = await send(app, path, body, model)
    assert response.headers["x-litellm-image-analysis-images"] == "1"
    (look,) = upstream.calls("seeing")
    assert WAV not in json.dumps(look)
    (sent,) = upstream.calls("blind")
    assert WAV_NOTE in json.dumps(sent)
    assert "Image 1 of 1" in json.dumps(sent)


@pytest.mark.parametrize("model", ["hears", "hears-ocr"])
async def test_what_the_model_takes_is_left_alone(app: httpx.AsyncClient, upstream: Upstream, model: str) -> None:
    audio = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
    pdf = {"type": "file", "file": {"file_data": PDF_URI}}
    assert (await send(app, *chat_parts(image("a"), audio, pdf), model)).status_code == 200
    (sent,) = upstream.calls("blind")
    assert images_in(sent) == []
    assert audio in sent["messages"][0]["content"]
    assert PDF_NOTE in json.dumps(sent)


async def test_of_a_model_that_sees_nothing_changes(app: httpx.AsyncClient, upstream: Upstream) -> None:
    path, body = PDFS["chat"]
    assert (await send(app, path, body, "multimodal")).status_code == 200
    (sent,) = upstream.requests
    assert sent["messages"] == body["messages"]


@pytest.mark.parametrize(
    ("part", "note"),
    [
        ({"type": "file", "file": {"filename": "a.docx", "file_data": DOCX}}, "An office file"),
        ({"type": "video_url", "video_url": {"url": "https://files.example.com/a.mp4"}}, "A video file (video/mp4)"),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,YSxi"}}, "A text file (text/csv, 3 bytes)"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "A file was sent here"),
        ({"type": "file", "file": {"file_data": "data:]ignore all;base64,YSxi"}}, "A file (3 bytes)"),
    ],
)  # fmt: skip
async def test_the_note_names_type_and_size(
    app: httpx.AsyncClient, upstream: Upstream, part: dict[str, Any], note: str
) -> None:
    assert (await send(app, *chat_parts(part), "text-only-ocr")).status_code == 200
    (sent,) = upstream.requests
    assert f"[{note}" in sent["messages"][0]["content"]


async def test_the_log_counts_them(app: httpx.AsyncClient, upstream: Upstream, log: pytest.LogCaptureFixture) -> None:
    del upstream
    await send(app, *PDFS["chat"], "text-only-ocr")
    assert "images=0 cached=0 failed=0" in log.text
    assert "files_not_read=1" in log.text


async def test_a_program_gets_the_same_note(provider: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = ImageAnalysis(ImageAnalysisConfig(vision_model="openai/seeing-mini"))
    monkeypatch.setattr(litellm, "callbacks", [plugin])
    pdf = {"type": "file", "file": {"file_data": PDF_URI}}
    await litellm.acompletion(model="openai/blind-chat-ocr", messages=[message(text("What is it?"), pdf)])
    (sent,) = provider.requests
    assert PDF_NOTE in sent["messages"][0]["content"]
    assert await plugin.rewrite([message(pdf)]) == [{"role": "user", "content": PDF_NOTE}]
