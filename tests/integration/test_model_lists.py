"""Lists of models for clients that ask whether a model accepts images."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from support.configs import deployment, proxy_config
from support.upstream import Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

TAKES_IMAGES = {
    "text-only": True,  # mode: auto
    "always": True,
    "seeing": True,
    "unknown": False,
    "never": False,
    "text-only-ocr": True,
    "always-ocr": True,
    "seeing-ocr": True,
    "unknown-ocr": True,
    "never-ocr": True,
}


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream) -> dict[str, Any]:
    config, url = proxy_config(shared_upstream, mode="auto", vision_model="eyes"), shared_upstream.base_url
    config["model_list"] = [
        deployment("text-only", "blind-chat", url, supports_vision=False),
        deployment("unknown", "blind-unheard-of", url),
        deployment("always", "blind-chat", url, image_analysis="always"),
        deployment("never", "blind-chat", url, supports_vision=False, image_analysis="never"),
        deployment("seeing", "seeing-chat", url, supports_vision=True),
        deployment("words", "words", url, mode="embedding"),
        deployment("eyes", "seeing-mini", url, supports_vision=True),
    ]
    return config


async def test_lists_of_models_have_suffixed_names_of_chat_models_behind_the_others(app: httpx.AsyncClient) -> None:
    listed = [model["id"] for model in (await app.get("/v1/models")).json()["data"]]
    plain = [name for name in listed if not name.endswith("-ocr")]
    assert listed[: len(plain)] == plain
    assert set(listed) == {*TAKES_IMAGES, "words", "eyes"}


async def test_clients_of_anthropic_and_codex_see_the_same_names(app: httpx.AsyncClient) -> None:
    for params, headers, rows, name in (
        ({}, {"anthropic-version": "2023-06-01"}, "data", "id"),
        ({"client_version": "0.159.3"}, {}, "models", "slug"),
    ):
        answer = (await app.get("/v1/models", params=params, headers=headers)).json()
        assert {*TAKES_IMAGES} <= {row[name] for row in answer[rows]}


async def test_model_groups_say_that_they_take_images(app: httpx.AsyncClient) -> None:
    groups = (await app.get("/model_group/info")).json()["data"]
    told = {group["model_group"]: bool(group["supports_vision"]) for group in groups}
    assert {name: told[name] for name in TAKES_IMAGES} == TAKES_IMAGES
    [group] = (await app.get("/model_group/info", params={"model_group": "unknown-ocr"})).json()["data"]
    assert group["supports_vision"] is True


@pytest.mark.parametrize("path", ["/v1/model/info", "/model/info"])
async def test_deployments_say_that_they_take_images(app: httpx.AsyncClient, path: str) -> None:
    rows = (await app.get(path)).json()["data"]
    told = {row["model_name"]: bool(row["model_info"].get("supports_vision")) for row in rows}
    assert {name: told[name] for name in TAKES_IMAGES} == TAKES_IMAGES


async def test_the_decision_reads_what_the_operator_wrote(app: httpx.AsyncClient, upstream: Upstream) -> None:
    for path in ("/v1/model/info", "/model_group/info"):
        await app.get(path)
    assert (await app.get("/model_group/info")).status_code == 200
    from litellm.proxy import proxy_server

    assert proxy_server.llm_router is not None
    told = {
        each["model_name"]: each["model_info"].get("supports_vision") for each in proxy_server.llm_router.model_list
    }
    assert (told["text-only"], told["always"], told["seeing"]) == (False, None, True)
    assert upstream.requests == []
