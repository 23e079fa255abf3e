"""The route of the page: login, refusals, headers, and whose entries it shows."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI, HTTPException, Request
from support.page import entry

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.config import ImageAnalysisConfig, PageConfig
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.page import route
from litellm_image_analysis.page.journal import dump
from litellm_image_analysis.page.route import HEADERS, PATH, Page, install, status_of, with_bearer

ON = PageConfig(enabled=True)
REPORT = Report("eyes", images=1, failed=1, reasons=("timeout",), cost=None, duration_ms=812)
ROLES = {"sk-admin": "proxy_admin", "sk-viewer": "proxy_admin_viewer", "sk-user": "internal_user"}


async def fake_auth(request: Request) -> Any:
    """Stands for LiteLLM's auth: it knows a few keys."""
    from litellm.proxy._types import ProxyException, UserAPIKeyAuth

    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key in ("sk-bug", "sk-busy", "sk-no-admin"):
        raise {
            "sk-bug": ZeroDivisionError(),
            "sk-busy": HTTPException(429),
            "sk-no-admin": ProxyException("Only proxy admin can be used", "auth_error", None, 401),
        }[key]
    if key not in ROLES:
        raise ProxyException(f"no such key {key}", "auth_error", None, 401)
    return UserAPIKeyAuth(user_role=ROLES[key])  # type: ignore[arg-type]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    from litellm.proxy.auth import user_api_key_auth as module

    app = FastAPI()
    monkeypatch.setattr(module, "user_api_key_auth", fake_auth)
    monkeypatch.setattr(route, "proxy_global", {"app": app}.get)
    return app


@pytest.fixture
def analyzer() -> Analyzer:
    return Analyzer(ImageAnalysisConfig())


@pytest_asyncio.fixture
async def client(app: FastAPI, analyzer: Analyzer) -> AsyncIterator[httpx.AsyncClient]:
    install(ON, analyzer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy") as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def report(analyzer: Analyzer, **values: Any) -> None:
    """Report a request with an image, as after its analysis."""
    data = {"model": "deepseek-chat", "litellm_call_id": "call-1", "metadata": {}, **values}
    analyzer._report(data, REPORT, is_logged=True)


@pytest.mark.parametrize("key", ["sk-admin", "sk-viewer"])
async def test_admins_see_the_page(client: httpx.AsyncClient, analyzer: Analyzer, key: str) -> None:
    report(analyzer)
    response = await client.get(PATH, headers=bearer(key))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= dict(response.headers).items()
    assert "call-1" in response.text
    assert "requests of this worker only" in response.text


async def test_a_browser_logs_in_with_any_name_and_the_key(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH, auth=("anyone", "sk-admin"))).status_code == 200
    refused = await client.get(PATH, auth=("anyone", "sk-wrong"))
    assert (refused.status_code, refused.headers["www-authenticate"].split()[0]) == (401, "Basic")


@pytest.mark.parametrize("headers", [{}, bearer("sk-secret"), {"Authorization": "Basic sk-secret"}], ids=str)
async def test_without_a_key_it_asks_for_one(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    response = await client.get(PATH, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Basic realm="LiteLLM", charset="UTF-8"'
    assert response.headers["cache-control"] == "no-store"
    assert "sk-secret" not in response.text


@pytest.mark.parametrize("key", ["sk-user", "sk-no-admin"])
async def test_others_are_refused(client: httpx.AsyncClient, analyzer: Analyzer, key: str) -> None:
    report(analyzer)
    response = await client.get(PATH, headers=bearer(key))
    assert (response.status_code, response.text) == (403, "This page is for admins of the proxy.\n")
    assert "www-authenticate" not in response.headers
    assert response.headers["cache-control"] == "no-store"


async def test_other_refusals_keep_their_status(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH, headers=bearer("sk-busy"))).status_code == 429
    with pytest.raises(ZeroDivisionError):
        await client.get(PATH, headers=bearer("sk-bug"))


@pytest.mark.parametrize(
    ("site", "mode", "status"),
    [("cross-site", "cors", 403), ("same-site", "cors", 403), ("cross-site", "navigate", 200), ("none", "cors", 200)],
)
async def test_scripts_of_other_sites_are_refused(client: httpx.AsyncClient, site: str, mode: str, status: int) -> None:
    headers = {**bearer("sk-admin"), "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert (await client.get(PATH, headers=headers)).status_code == status


async def test_the_same_entries_as_json(client: httpx.AsyncClient, analyzer: Analyzer) -> None:
    for number in range(150):
        report(analyzer, litellm_call_id=f"call-{number}")
    response = await client.get(f"{PATH}?format=json&page=2&reason=timeout", headers=bearer("sk-admin"))
    found = response.json()
    assert {name: found[name] for name in ("total", "page", "pages", "source")} == {
        "total": 150,
        "page": 2,
        "pages": 2,
        "source": "requests of this worker only",
    }
    assert found["filters"] == {"reason": "timeout", "since": "24h"}
    assert [each["request_id"] for each in found["entries"]] == [f"call-{number}" for number in reversed(range(50))]
    first = found["entries"][0]
    assert (first["images"], first["failed"], first["usd"], first["milliseconds"]) == (1, 1, None, 812)
    assert first["reasons"] == ["timeout"]


@pytest.mark.parametrize("show_texts", [False, True])
async def test_texts_are_in_the_json_if_the_operator_allows_it(
    app: FastAPI, analyzer: Analyzer, show_texts: bool
) -> None:
    install(PageConfig(enabled=True, show_texts=show_texts), analyzer)
    analyzer._report({"metadata": {}}, replace(REPORT, texts=("an invoice",)), is_logged=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy") as client:
        for form in ("json", "html"):
            found = await client.get(f"{PATH}?format={form}", headers=bearer("sk-admin"))
            assert ("an invoice" in found.text) is show_texts


@pytest.mark.parametrize("page", ["", "0", "-1", "x", "9" * 5000, "²", "99"])
async def test_any_number_of_a_page_is_answered(client: httpx.AsyncClient, page: str) -> None:
    for form in ("", "json"):
        response = await client.get(PATH, params={"page": page, "format": form}, headers=bearer("sk-admin"))
        assert response.status_code == 200


async def test_other_methods_are_not_served(client: httpx.AsyncClient) -> None:
    assert (await client.post(PATH, headers=bearer("sk-admin"))).status_code == 405


async def test_only_the_number_of_entries_that_is_set_is_kept(app: FastAPI, analyzer: Analyzer) -> None:
    install(PageConfig(enabled=True, max_entries=3), analyzer)
    for _ in range(9):
        report(analyzer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy") as client:
        found = await client.get(f"{PATH}?format=json", headers=bearer("sk-admin"))
    assert found.json()["total"] == 3


def paths(app: FastAPI) -> list[str]:
    return [path for each in app.router.routes if (path := getattr(each, "path", "")) == PATH]


def test_it_is_installed_once_and_removed_when_it_is_off(app: FastAPI, analyzer: Analyzer) -> None:
    install(ON, analyzer)
    install(ON, analyzer)
    assert paths(app) == [PATH]
    install(PageConfig(), analyzer)
    assert paths(app) == []


def test_switched_off_it_does_nothing(app: FastAPI, analyzer: Analyzer) -> None:
    install(PageConfig(), analyzer)
    assert (paths(app), analyzer._observers) == ([], [])


def test_without_a_proxy_there_is_nothing_to_install(analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litellm_image_analysis.page.route.proxy_global", lambda name: None)
    install(ON, analyzer)
    assert analyzer._observers == []


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b"Bearer sk-1", b"Bearer sk-1"),
        (b"basic " + base64.b64encode(b"a:sk-1:2"), b"Bearer sk-1:2"),
        (b"Basic " + base64.b64encode(b"sk-1"), b"Bearer "),
        (b"Basic sk-1", b"Bearer "),
        (b"Basic", b"Bearer "),
        (b"", b""),
    ],
)
def test_a_login_becomes_a_token(sent: bytes, passed: bytes) -> None:
    scope = {"type": "http", "headers": [(b"host", b"proxy"), (b"authorization", sent)]}
    assert with_bearer(scope) == {"type": "http", "headers": [(b"host", b"proxy"), (b"authorization", passed)]}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HTTPException(404), 404),
        (HTTPException(400), 401),
        (HTTPException(503), None),
        (HTTPException(401, "Only proxy admin can do this"), 403),
        (ValueError("401"), None),
    ],
)
def test_the_status_of_an_error(error: Exception, status: int | None) -> None:
    assert status_of(error) == status


def test_no_text_of_a_request_is_kept(analyzer: Analyzer) -> None:
    page = Page(ON, analyzer)
    report(analyzer, messages=[{"role": "user", "content": "a private text"}])
    (entry,) = page._journal
    assert "private" not in repr(entry)


class Store:
    """Stands for the Redis of the cache."""

    def __init__(self) -> None:
        self.texts: list[str] | None = []

    async def append_to_log(self, texts: list[str], *, most: int, ttl_seconds: int) -> None:
        del ttl_seconds
        if self.texts is not None:
            self.texts = [*reversed(texts), *self.texts][:most]

    async def read_log(self, most: int) -> list[str] | None:
        return None if self.texts is None else self.texts[:most]


async def test_with_redis_it_shows_the_entries_of_all_workers(
    app: FastAPI, analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    monkeypatch.setattr(analyzer.cache, "store", store)
    install(ON, analyzer)
    other = dump(entry(request_id="of another worker", vision_model="eyes", analysed=1, usd=Decimal(1)))
    store.texts = [other, "of another version"]
    report(analyzer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy") as client:

        async def shown() -> tuple[str, list[str]]:
            found = (await client.get(f"{PATH}?format=json&since=all", headers=bearer("sk-admin"))).json()
            return found["source"], sorted(each["request_id"] for each in found["entries"])

        assert await shown() == ("requests of all workers", ["call-1", "of another worker"])
        assert len(store.texts) == 3
        store.texts = None
        report(analyzer, litellm_call_id="call-2")
        assert await shown() == ("Redis does not answer: requests of this worker only", ["call-1", "call-2"])
