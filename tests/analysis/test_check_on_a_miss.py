"""Images are checked when a vision model is about to get them. The result is that of a check of all images at once."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import slow_reading
from support.eyes import Eyes
from support.images import data_uri
from support.strategies import image_texts
from support.wires import WIRES

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.analysis.pipeline import Rewrite, VisionTarget, rewrite
from litellm_image_analysis.analysis.plan import make_plan
from litellm_image_analysis.analysis.prompt import VisionRequest
from litellm_image_analysis.analysis.tenant import Tenant
from litellm_image_analysis.cache.cache import Cache
from litellm_image_analysis.cache.per_request import RequestCache
from litellm_image_analysis.config import CacheConfig, ImageAnalysisConfig
from litellm_image_analysis.errors import RequestError
from litellm_image_analysis.request import chat

TENANT = Tenant("team:research", b"secret")

WHOLE, OTHER = data_uri("a", size=200), data_uri("b", size=200)
uris = image_texts | st.sampled_from([WHOLE, OTHER, f"{WHOLE}?", f"{OTHER}?"])


async def rewritten(body: dict[str, Any], config: ImageAnalysisConfig, cache: Cache) -> tuple[Rewrite, list[str]]:
    """The result, and the keys of the vision requests that were made for it."""
    asked: list[str] = []

    async def ask(request: VisionRequest) -> Outcome:
        asked.append(request.key)
        return Analysed("A cat.")

    target = VisionTarget("eyes", ask, TENANT, RequestCache(cache))
    result = await rewrite(body, chat.find(body).images, chat, config, target)
    assert isinstance(result, Rewrite)
    return result, asked


def checked_at_once(body: dict[str, Any], config: ImageAnalysisConfig) -> tuple[set[str], set[FailureReason]]:
    """The keys of all vision requests and the reasons of all failures, if each image is checked before any plan."""
    found = [
        replace(image, source=image.source.standard()) if image.source is not None else image
        for image in chat.find(body).images
    ]
    sources = [image.source for image in found if image.source is not None]
    damaged = [slow_reading.digest_of(source) for source in sources if slow_reading.flaw_of(source) == "damaged"]
    steps = [step.ask for step in make_plan(found, config, TENANT, "eyes", damaged=damaged)]
    failed = {step.reason for step in steps if isinstance(step, Failed)}
    return {step.key for step in steps if isinstance(step, VisionRequest)}, failed


@given(
    messages=st.lists(st.lists(uris, min_size=1, max_size=3), min_size=1, max_size=2),
    grouping=st.sampled_from(["per_image", "per_message"]),
)
async def test_what_is_asked_and_what_fails(
    messages: list[list[str]], grouping: Literal["per_image", "per_message"]
) -> None:
    parts = [[WIRES["chat"].message(uri)["content"][0] for uri in each] for each in messages]
    body = {"messages": [{"role": "user", "content": content} for content in parts]}
    config = ImageAnalysisConfig(grouping=grouping, max_image_pixels=2**64)
    cache = Cache(CacheConfig(), 60)
    first, asked = await rewritten(body, config, cache)
    keys, reasons = checked_at_once(body, config)
    assert set(asked) == keys
    assert set(first.report.reasons) == {reason.code for reason in reasons}
    again, asked_again = await rewritten(body, config, cache)
    assert asked_again == []
    assert (again.changes, again.report.reasons) == (first.changes, first.report.reasons)


@pytest.mark.parametrize(("standard", "other"), [("", "\n"), ("", " "), ("+/+/", "-_-_")])
async def test_another_spelling_of_a_known_image_is_not_asked_again(standard: str, other: str) -> None:
    """The signs are behind the beginning of the image. The spelling is found out when there is no answer for it."""
    cache, uri = Cache(CacheConfig(), 60), data_uri("a", size=800)
    texts = [f"{uri[:700]}{signs}{uri[700:]}" for signs in (standard, other)]
    bodies = [{"messages": [WIRES["chat"].message(text)]} for text in texts]
    first, asked = await rewritten(bodies[0], ImageAnalysisConfig(), cache)
    assert len(asked) == 1
    for _ in range(2):
        again, asked = await rewritten(bodies[1], ImageAnalysisConfig(), cache)
        assert asked == []
        assert again.changes == first.changes


async def test_the_vision_model_gets_standard_base64() -> None:
    asked: list[VisionRequest] = []

    async def ask(request: VisionRequest) -> Outcome:
        asked.append(request)
        return Analysed("A cat.")

    body = {"messages": [WIRES["chat"].message(data_uri("a", size=800) + "\n")]}
    target = VisionTarget("eyes", ask, TENANT, RequestCache(Cache(CacheConfig(), 60)))
    assert isinstance(await rewrite(body, chat.find(body).images, chat, ImageAnalysisConfig(), target), Rewrite)
    assert data_uri("a", size=800) in {part["image_url"]["url"] for part in asked[0].messages[1]["content"][1:]}


async def test_limits_hold_for_the_standard_spelling() -> None:
    """A blank before the size makes the header unreadable until the blank is removed."""
    exif = b"\xff\xd8\xff\xe1" + (600).to_bytes(2, "big") + bytes(598)
    jpeg = exif + b"\xff\xc0\x00\x11\x08" + (9_000).to_bytes(2, "big") + (9_000).to_bytes(2, "big") + bytes(60)
    encoded = base64.b64encode(jpeg).decode()
    uri = f"data:image/jpeg;base64,{encoded[:700]} {encoded[700:]}"
    body = {"messages": [WIRES["chat"].message(uri)]}
    config = ImageAnalysisConfig(max_image_pixels=1_000_000)
    target = VisionTarget("eyes", Eyes(), TENANT, RequestCache(Cache(CacheConfig(), 60)))
    result = await rewrite(body, chat.find(body).images, chat, config, target)
    assert isinstance(result, RequestError)
    assert "9,000 x 9,000 = 81,000,000 pixels" in result.message
