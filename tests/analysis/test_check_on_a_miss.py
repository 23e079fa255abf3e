"""Images are checked when a vision model is about to get them. The result is that of a check of all images at once."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from support import slow_reading
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
    found = chat.find(body).images
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
    config, cache = ImageAnalysisConfig(grouping=grouping), Cache(CacheConfig(), 60)
    first, asked = await rewritten(body, config, cache)
    keys, reasons = checked_at_once(body, config)
    assert set(asked) == keys
    assert set(first.report.reasons) == {reason.code for reason in reasons}
    again, asked_again = await rewritten(body, config, cache)
    assert asked_again == []
    assert (again.changes, again.report.reasons) == (first.changes, first.report.reasons)
