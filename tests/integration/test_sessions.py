"""Long sessions of agents: each turn sends the whole history again, with all screenshots."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from support.billing import ROUTES
from support.configs import proxy_config
from support.upstream import Upstream, images_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

TURNS = 30
"""More than ``max_images``."""
HISTORY = {"chat": "messages", "messages": "messages", "responses": "input", "generateContent": "contents"}


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream) -> dict[str, Any]:
    return proxy_config(shared_upstream, cache={"backend": "memory"})


def turns_of(body: dict[str, Any]) -> list[Any]:
    return list(body.get("messages") or body["input"])


async def send(app: httpx.AsyncClient, route: str, marks: list[str]) -> httpx.Response:
    """Send a turn: one message for each mark, and one without an image."""
    requests = [ROUTES[route]("deepseek-chat-ocr", "What is it?", [mark], stream=False) for mark in marks]
    path, body = ROUTES[route]("deepseek-chat-ocr", "Go on.", [], stream=False)
    key = HISTORY[route]
    said = [turn for _, earlier in requests for turn in earlier[key]]
    return await app.post(path, json={**body, key: [*said, *body[key]]})


@pytest.mark.parametrize("route", ROUTES)
class TestSession:
    async def test_each_turn_repeats_the_one_before_to_the_byte(
        self, app: httpx.AsyncClient, upstream: Upstream, route: str
    ) -> None:
        marks = [f"{route} {number}" for number in range(TURNS)]
        for turn in range(1, TURNS + 1):
            response = await send(app, route, marks[:turn])
            assert response.status_code == 200
            assert response.headers["x-litellm-image-analysis-failed"] == "0"
        sent = [turns_of(body) for body in upstream.calls("blind")]
        assert len(sent) == TURNS
        for earlier, later in pairwise(sent):
            assert later[: len(earlier) - 1] == earlier[:-1]  # all but "Go on."
        assert len(upstream.calls("seeing")) == TURNS

    async def test_a_session_whose_analyses_are_forgotten_goes_on(
        self, app: httpx.AsyncClient, upstream: Upstream, settings: Callable[..., None], route: str
    ) -> None:
        settings(on_failure="reject")
        marks = [f"forgotten {route} {number}" for number in range(TURNS)]
        response = await send(app, route, marks)
        assert response.status_code == 200
        assert response.headers["x-litellm-image-analysis-failed"] == "10"
        [body] = upstream.calls("blind")
        assert images_in(body) == []
        assert ["older image, not looked at: max_images is 20" in str(turn) for turn in turns_of(body)] == [
            *[True] * 10,
            *[False] * 21,
        ]
        assert (await send(app, route, marks)).headers["x-litellm-image-analysis-failed"] == "0"
