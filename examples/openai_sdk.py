"""The OpenAI SDK with a proxy: the suffix, the parameter, and a stream.

Set OPENAI_BASE_URL (such as http://127.0.0.1:4000/v1) and OPENAI_API_KEY (a key of the proxy).
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

MODEL = os.environ.get("MODEL", "deepseek-chat")
VISION_MODEL = os.environ.get("VISION_MODEL", "gpt-4o-mini")

picture = base64.b64encode((Path(__file__).parent / "receipt.png").read_bytes()).decode()
messages: list[ChatCompletionMessageParam] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is the total?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        ],
    }
]

client = OpenAI()

print("With the suffix:")
raw = client.chat.completions.with_raw_response.create(model=f"{MODEL}-ocr", messages=messages)
print(raw.parse().choices[0].message.content)
print("images:", raw.headers["x-litellm-image-analysis-images"])
print("cost with vision:", raw.headers.get("x-litellm-response-cost-total"))

print("With the parameter:")
response = client.chat.completions.create(model=MODEL, messages=messages, extra_body={"ocr_model": VISION_MODEL})
print(response.choices[0].message.content)

print("As a stream:")
for chunk in client.chat.completions.create(model=f"{MODEL}-ocr", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="")
print()
