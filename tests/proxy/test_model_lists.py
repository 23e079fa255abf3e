"""Lists of models: the models that accept images, and the order of names."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from support.routers import deployment, router_of

from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.proxy.aliases import advertise
from litellm_image_analysis.proxy.model_lists import ModelListMiddleware, shown


def edited(key: str, *rows: Any) -> list[Any]:
    answer = {key: list(rows), "object": "list"}
    shown(answer, lambda name: name.endswith("-ocr"), lambda name: name == "analysed")
    assert answer["object"] == "list"
    return list(answer[key])


class TestShown:
    def test_suffixed_names_come_last_and_the_others_keep_their_order(self) -> None:
        rows = [{"id": "b-ocr"}, {"id": "a-ocr"}, {"id": "b"}, {"id": "a"}]
        assert edited("data", *rows) == [rows[2], rows[3], rows[0], rows[1]]

    def test_codex_has_a_list_of_its_own(self) -> None:
        assert edited("models", {"slug": "a-ocr"}, {"slug": "a"}) == [{"slug": "a"}, {"slug": "a-ocr"}]

    @pytest.mark.parametrize("name", ["a-ocr", "analysed"])
    @pytest.mark.parametrize("said", [False, None])
    def test_what_is_analysed_takes_images(self, name: str, said: bool | None) -> None:
        assert edited("data", {"model_group": name, "supports_vision": said}) == [
            {"model_group": name, "supports_vision": True}
        ]
        assert edited("data", {"model_name": name, "model_info": {"supports_vision": said}}) == [
            {"model_name": name, "model_info": {"supports_vision": True}}
        ]

    def test_others_keep_what_they_say(self) -> None:
        row = {"model_group": "blind", "supports_vision": False}
        assert edited("data", dict(row)) == [row]

    def test_a_row_without_the_flag_gets_none(self) -> None:
        assert edited("data", {"id": "analysed"}) == [{"id": "analysed"}]

    @pytest.mark.parametrize("row", [None, 1, "a", [], {}, {"id": 5}])
    def test_odd_rows_stay(self, row: Any) -> None:
        assert edited("data", row) == [row]

    def test_what_is_no_list_stays(self) -> None:
        answer: dict[str, Any] = {"data": {"id": "a-ocr"}}
        shown(answer, lambda _: True, lambda _: True)
        assert answer == {"data": {"id": "a-ocr"}}


class TestMiddleware:
    @pytest.fixture(autouse=True)
    def running(self, proxy_module: ModuleType) -> None:
        router = router_of(
            deployment("blind", supports_vision=False),
            deployment("unknown"),
            deployment("always", image_analysis="always"),
            deployment("seeing", supports_vision=True),
        )
        advertise(router, "-ocr")
        vars(proxy_module)["llm_router"] = router

    @staticmethod
    async def fetched(answer: Response, path: str = "/v1/model/info", mode: Any = "auto") -> httpx.Response:
        async def serve(request: Request) -> Response:
            del request
            return answer

        app = Starlette(routes=[Route(path, serve, methods=["GET", "POST"])])
        transport = httpx.ASGITransport(ModelListMiddleware(app, ImageAnalysisConfig(mode=mode)))
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
            return await client.get(path)

    NAMES = ("blind", "unknown", "always", "seeing", "blind-ocr", "not-served")

    @pytest.mark.parametrize(
        ("mode", "true"), [("auto", {"blind", "always", "blind-ocr"}), ("on_request", {"always", "blind-ocr"})]
    )
    async def test_the_router_and_the_settings_decide(self, mode: str, true: set[str]) -> None:
        rows = [{"model_group": name, "supports_vision": False} for name in self.NAMES]
        response = await self.fetched(JSONResponse({"data": rows}), "/model_group/info", mode)
        assert {row["model_group"] for row in response.json()["data"] if row["supports_vision"]} == true
        assert int(response.headers["content-length"]) == len(response.content)

    @pytest.mark.parametrize(
        "answer",
        [
            JSONResponse({"data": [{"id": "blind-ocr"}, {"id": "blind"}]}, 400),
            JSONResponse([{"id": "blind-ocr"}]),
            PlainTextResponse("not JSON", media_type="application/json"),
            PlainTextResponse(json.dumps({"data": [{"id": "blind-ocr"}, {"id": "blind"}]})),
            JSONResponse({"data": [{"id": "blind-ocr"}, {"id": "b"}]}, headers={"content-encoding": "identity"}),
        ],
    )
    async def test_what_is_no_list_of_models_passes(self, answer: Response) -> None:
        response = await self.fetched(answer)
        assert (response.status_code, response.content) == (answer.status_code, bytes(answer.body))

    async def test_other_paths_pass(self) -> None:
        answer = JSONResponse({"data": [{"id": "blind-ocr"}, {"id": "blind"}]})
        assert (await self.fetched(answer, "/v1/files")).content == bytes(answer.body)

    async def test_before_the_router_is_up_lists_pass(self, proxy_module: ModuleType) -> None:
        vars(proxy_module)["llm_router"] = None
        answer = JSONResponse({"data": [{"id": "blind-ocr"}, {"id": "blind"}]})
        assert (await self.fetched(answer)).content == bytes(answer.body)
