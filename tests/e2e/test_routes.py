"""The four routes with their official SDKs: one conversation with images in all places that agents use."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from google import genai
from google.genai import types as google
from google.genai.errors import UnknownApiResponseError
from openai import OpenAI
from support.features import SENDS_ERRORS_OF_HOOKS, needs_anthropic_errors, needs_google_errors
from support.images import data_uri
from support.proxy import Proxy
from support.upstream import ANSWER, Upstream, description_of, images_in

URL = "https://pictures.example/cat.png"
TEXTS = ["Be brief.", "How many cats?", "Two.", "Open the door.", "door opened", "Compare", "with", "please."]
SHOWN = [data_uri("first"), data_uri("tool"), data_uri("left"), URL]
CODE = "invalid_ocr_model" if SENDS_ERRORS_OF_HOOKS else "400"
LABELS = [("1", "1"), ("1", "1"), ("1", "2"), ("2", "2")]
MODELS = ["deepseek-chat-ocr", "compatible-ocr"]  # LiteLLM translates the routes differently for these two


def payload(mark: str) -> str:
    return data_uri(mark).split(",")[1]


def chat(proxy: Proxy, model: str, stream: bool) -> str:
    def shown(url: str) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": url}}

    def said(text: str) -> dict[str, Any]:
        return {"type": "text", "text": text}

    call = {"id": "call_1", "type": "function", "function": {"name": "screenshot", "arguments": '{"door": 1}'}}
    messages: Any = [
        {"role": "system", "content": TEXTS[0]},
        {"role": "user", "content": [said(TEXTS[1]), shown(SHOWN[0])]},
        {"role": "assistant", "content": TEXTS[2]},
        {"role": "user", "content": TEXTS[3]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [said(TEXTS[4]), shown(SHOWN[1])]},
        {"role": "user", "content": [said(TEXTS[5]), shown(SHOWN[2]), said(TEXTS[6]), shown(SHOWN[3]), said(TEXTS[7])]},
    ]
    with OpenAI(base_url=f"{proxy.url}/v1", api_key=proxy.master_key, max_retries=0) as client:
        if stream:
            chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return client.chat.completions.create(model=model, messages=messages).choices[0].message.content or ""


def messages(proxy: Proxy, model: str, stream: bool) -> str:
    def shown(mark: str) -> dict[str, Any]:
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": payload(mark)}}

    def said(text: str) -> dict[str, Any]:
        return {"type": "text", "text": text}

    linked = {"type": "image", "source": {"type": "url", "url": URL}}
    use = {"type": "tool_use", "id": "toolu_1", "name": "screenshot", "input": {"door": 1}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [said(TEXTS[4]), shown("tool")]}
    conversation: Any = [
        {"role": "user", "content": [said(TEXTS[1]), shown("first")]},
        {"role": "assistant", "content": TEXTS[2]},
        {"role": "user", "content": TEXTS[3]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": [said(TEXTS[5]), shown("left"), said(TEXTS[6]), linked, said(TEXTS[7])]},
    ]
    arguments: Any = {"model": model, "max_tokens": 100, "system": TEXTS[0], "messages": conversation}
    with Anthropic(base_url=proxy.url, api_key=proxy.master_key, max_retries=0) as client:
        if stream:
            with client.messages.stream(**arguments) as events:
                return events.get_final_text()
        return str(client.messages.create(**arguments).content[0].text)


def responses(proxy: Proxy, model: str, stream: bool) -> str:
    def shown(url: str) -> dict[str, Any]:
        return {"type": "input_image", "image_url": url, "detail": "auto"}

    def said(text: str) -> dict[str, Any]:
        return {"type": "input_text", "text": text}

    items: Any = [
        {"role": "user", "content": [said(TEXTS[1]), shown(SHOWN[0])]},
        {"role": "assistant", "content": TEXTS[2]},
        {"role": "user", "content": TEXTS[3]},
        {"type": "function_call", "call_id": "call_1", "name": "screenshot", "arguments": '{"door": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": [said(TEXTS[4]), shown(SHOWN[1])]},
        {"role": "user", "content": [said(TEXTS[5]), shown(SHOWN[2]), said(TEXTS[6]), shown(SHOWN[3]), said(TEXTS[7])]},
    ]
    with OpenAI(base_url=f"{proxy.url}/v1", api_key=proxy.master_key, max_retries=0) as client:
        if stream:
            events = client.responses.create(model=model, instructions=TEXTS[0], input=items, stream=True)
            return "".join(event.delta for event in events if event.type == "response.output_text.delta")
        return client.responses.create(model=model, instructions=TEXTS[0], input=items).output_text


def generate_content(proxy: Proxy, model: str, stream: bool) -> str:
    def shown(mark: str) -> google.Part:
        return google.Part.from_bytes(data=base64.b64decode(payload(mark)), mime_type="image/png")

    said = google.Part
    screenshot = google.FunctionResponsePart(
        inline_data=google.FunctionResponseBlob(mime_type="image/png", data=base64.b64decode(payload("tool")))
    )
    result = google.FunctionResponse(name="screenshot", response={"output": TEXTS[4]}, parts=[screenshot])
    last = [said(text=TEXTS[5]), shown("left"), said(text=TEXTS[6])]
    last += [google.Part.from_uri(file_uri=URL, mime_type="image/png"), said(text=TEXTS[7])]
    contents: Any = [
        google.Content(role="user", parts=[said(text=TEXTS[1]), shown("first")]),
        google.Content(role="model", parts=[said(text=TEXTS[2])]),
        google.Content(role="user", parts=[said(text=TEXTS[3])]),
        google.Content(role="model", parts=[google.Part.from_function_call(name="screenshot", args={"door": 1})]),
        google.Content(role="user", parts=[google.Part(function_response=result)]),
        google.Content(role="user", parts=last),
    ]
    options = google.HttpOptions(base_url=proxy.url, api_version="v1beta")
    config = google.GenerateContentConfig(system_instruction=TEXTS[0])
    with genai.Client(api_key=proxy.master_key, http_options=options) as client:
        if stream:
            chunks = client.models.generate_content_stream(model=model, contents=contents, config=config)
            return "".join(chunk.text or "" for chunk in chunks)
        return client.models.generate_content(model=model, contents=contents, config=config).text or ""


Converse = Callable[[Proxy, str, bool], str]
UNREADABLE = (IndexError, UnknownApiResponseError)
"""The exceptions of SDKs for a stream in another provider's format."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning:google")
@pytest.mark.parametrize("converse", [chat, messages, responses, generate_content])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_conversation_with_images_in_every_place(
    proxy: Proxy, upstream: Upstream, converse: Converse, model: str, stream: bool
) -> None:
    try:
        answer = converse(proxy, model, stream)
    except UNREADABLE as error:
        with pytest.raises(type(error)):
            converse(proxy, "multimodal", stream)
        pytest.skip("this LiteLLM has no stream that the SDK can read here, with or without image analysis")
    assert answer.strip() == ANSWER
    (read,) = upstream.calls("blind")
    assert images_in(read) == []
    written = json.dumps(read).encode().decode("unicode_escape")
    assert [text for text in TEXTS if text not in written] == []
    assert (
        re.findall(r"Image (\d) of (\d) in this message(?:, from the result of `\w+`)?, described by", written)
        == LABELS
    )
    places = [written.index(description_of(url)) for url in SHOWN]
    assert places == sorted(places)
    assert sorted(url for seen in upstream.calls("seeing") for url in images_in(seen)) == sorted(SHOWN)


def asked_about(upstream: Upstream, url: str) -> str:
    (seen,) = [body for body in upstream.calls("seeing") if images_in(body) == [url]]
    return str(seen["messages"][1]["content"][0]["text"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning:google")
@pytest.mark.parametrize("converse", [chat, messages, responses, generate_content])
def test_each_image_is_asked_about_with_its_own_question(proxy: Proxy, upstream: Upstream, converse: Converse) -> None:
    converse(proxy, MODELS[0], False)
    assert asked_about(upstream, SHOWN[0]).endswith(f"\n\n{TEXTS[1]}")
    tool = asked_about(upstream, SHOWN[1])
    assert "the tool screenshot, called with: {" in tool
    assert TEXTS[4] in tool
    own = asked_about(upstream, SHOWN[2])
    assert f"\n{TEXTS[5]}\n{TEXTS[6]}\n{TEXTS[7]}" in own
    assert own.endswith(f"The user had asked: {TEXTS[3]}") is (converse is not messages)


def twenty(form: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    return [form(f"{number:02}") for number in range(20)]


TWENTY: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [
            {"role": "user", "content": twenty(lambda m: {"type": "image_url", "image_url": {"url": data_uri(m)}})}
        ]
    },
    "/v1/messages": {
        "max_tokens": 9,
        "messages": [
            {
                "role": "user",
                "content": twenty(
                    lambda m: {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": payload(m)},
                    }
                ),
            }
        ],
    },
    "/v1/responses": {
        "input": [{"role": "user", "content": twenty(lambda m: {"type": "input_image", "image_url": data_uri(m)})}]
    },
    "/v1beta/models/deepseek-chat-ocr:generateContent": {
        "contents": [
            {"parts": twenty(lambda m: {"inlineData": {"mimeType": "image/png", "data": payload(m)}}), "role": "user"}
        ]
    },
}


@pytest.mark.parametrize("path", TWENTY)
def test_twenty_images_keep_their_labels(client: httpx.Client, upstream: Upstream, path: str) -> None:
    response = client.post(path, json={"model": "deepseek-chat-ocr", **TWENTY[path]})
    assert response.status_code == 200, response.text
    assert response.headers["x-litellm-image-analysis-images"] == "20"
    assert Decimal(response.headers["x-litellm-image-analysis-cost"]) == 20 * Decimal("0.00021")
    (read,) = upstream.calls("blind")
    assert images_in(read) == []
    found = re.findall(r"Image (\d+) of 20 .*?(mark \w{10})", json.dumps(read))
    assert found == [(str(n + 1), description_of(data_uri(f"{n:02}"))[len("a picture with ") :]) for n in range(20)]


def test_a_conversation_kept_at_the_provider_goes_on(proxy: Proxy, upstream: Upstream) -> None:
    with OpenAI(base_url=f"{proxy.url}/v1", api_key=proxy.master_key, max_retries=0) as client:
        first = client.responses.create(model="deepseek-chat-ocr", input="Open the door.")
        screenshot: Any = {"type": "input_image", "image_url": data_uri("a"), "detail": "auto"}
        output: Any = {"type": "function_call_output", "call_id": "call_1", "output": [screenshot]}
        client.responses.create(model="deepseek-chat-ocr", input=[output], previous_response_id=first.id)
    _, second = upstream.calls("blind")
    assert second["previous_response_id"].startswith("chatcmpl-")  # the provider's own id, as LiteLLM translates it
    assert images_in(second) == []
    assert second["input"][0]["call_id"] == "call_1"


def test_compacting_a_conversation_needs_no_eyes_either(client: httpx.Client, upstream: Upstream) -> None:
    question = {"role": "user", "content": [{"type": "input_image", "image_url": data_uri("a")}]}
    client.post("/v1/responses/compact", json={"model": "deepseek-chat-ocr", "input": [question]})
    (read,) = upstream.calls("blind")
    assert images_in(read) == []
    assert "Image 1 of 1 in this message, described by" in json.dumps(read)


def test_a_file_at_the_vision_model_s_provider_is_analysed_there(client: httpx.Client, upstream: Upstream) -> None:
    image = {"type": "input_image", "file_id": "file-abc", "detail": "low"}
    question = {"role": "user", "content": [{"type": "input_text", "text": "What?"}, image]}
    response = client.post("/v1/responses", json={"model": "deepseek-chat-ocr", "input": [question]})
    assert response.headers["x-litellm-image-analysis-failed"] == "0"
    assert Decimal(response.headers["x-litellm-image-analysis-cost"]) == Decimal("0.00021")
    (seen,) = upstream.calls("seeing")
    assert seen["input"][0]["content"][1] == image
    assert "Image 1 of 1 in this message, described by" in json.dumps(upstream.calls("blind"))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/messages",
            {
                "max_tokens": 9,
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": {"type": "file", "file_id": "file_011CNha8iCJcU1wXNR6q4V8w"}}
                        ],
                    }
                ],
            },
        ),
        (
            "/v1beta/models/deepseek-chat-ocr:generateContent",
            {
                "contents": [
                    {
                        "role": "user",
                        "parts": [{"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/cat.png"}}],
                    }
                ]
            },
        ),
    ],
)
def test_a_file_at_another_provider_gives_way_to_a_note_that_says_what_to_send(
    client: httpx.Client, upstream: Upstream, path: str, body: dict[str, Any]
) -> None:
    response = client.post(path, json={"model": "deepseek-chat-ocr", **body})
    assert response.headers["x-litellm-image-analysis-failed"] == "1"
    (read,) = upstream.requests
    assert "Send the image itself or a URL." in json.dumps(read)


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (
            "/v1/chat/completions",
            {"messages": []},
            {"type": "invalid_request_error", "param": "ocr_model", "code": CODE},
        ),
        pytest.param(
            "/v1/messages",
            {"messages": [], "max_tokens": 9},
            {"type": "invalid_request_error"},
            marks=needs_anthropic_errors,
        ),
        ("/v1/responses", {"input": "?"}, {"type": "invalid_request_error", "param": "ocr_model", "code": CODE}),
        pytest.param(
            "/v1beta/models/deepseek-chat:generateContent",
            {"contents": []},
            {
                "code": 400,
                "status": "INVALID_ARGUMENT",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "INVALID_OCR_MODEL",
                        "domain": "litellm-image-analysis",
                    }
                ],
            },
            marks=needs_google_errors,
        ),
    ],
)
def test_an_error_has_the_route_s_own_shape(
    client: httpx.Client, path: str, body: dict[str, Any], error: dict[str, Any]
) -> None:
    response = client.post(path, json={"model": "deepseek-chat", "ocr_model": 5, **body})
    assert response.status_code == 400
    answer = response.json()
    assert answer.get("type") == ("error" if path == "/v1/messages" else None)
    assert answer["error"].pop("message").startswith("ocr_model: it must be the name of a vision model")
    assert answer["error"] == error
