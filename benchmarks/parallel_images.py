"""Wall time of a request with five images against one with one image, through a real proxy, in one run.

The vision model, on loopback, takes half a second an image. The requests take turns; medians and their ratio are
printed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import httpx
from support.configs import proxy_config
from support.images import image, message, text
from support.proxy import running_proxy
from support.upstream import Rule, running_upstream

ROUNDS = 7
SECONDS_AN_IMAGE = 0.5


def seconds(client: httpx.Client, images: int, round_: int) -> float:
    """Wall time of one request with that many images, none of them seen before."""
    parts = [image(f"{round_}-{images}-{number}") for number in range(images)]
    body = {"model": "deepseek-chat-ocr", "messages": [message(text("What is it?"), *parts)]}
    start = time.perf_counter()
    client.post("/v1/chat/completions", json=body).raise_for_status()
    return time.perf_counter() - start


def main() -> None:
    """Print both medians and the ratio."""
    with tempfile.TemporaryDirectory() as folder, running_upstream() as upstream:
        slow = Rule(lambda body: body["model"].startswith("seeing"), delay_seconds=SECONDS_AN_IMAGE)
        upstream.rules.append(slow)
        with running_proxy(proxy_config(upstream), Path(folder), fresh=True) as proxy, proxy.client() as client:
            seconds(client, 1, -1)  # the first request pays for LiteLLM's lazy imports
            pairs = [(seconds(client, 1, turn), seconds(client, 5, turn)) for turn in range(ROUNDS)]
    one, five = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"1 image {one:.3f} s, 5 images {five:.3f} s, ratio {five / one:.2f}")


if __name__ == "__main__":
    main()
