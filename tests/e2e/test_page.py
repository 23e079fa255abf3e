"""The page of recent analyses, on real proxies and in a headless Chromium without JavaScript."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.chromium import Tab, chromium, running_chromium
from support.configs import proxy_config
from support.images import data_uri, image, message, text
from support.page import NOW, entry
from support.proxy import TWO_WORKERS, Proxy, eventually, running_proxy
from support.redis_server import running_redis
from support.upstream import Rule, Upstream, description_of, running_upstream

from litellm_image_analysis.page.html import render
from litellm_image_analysis.page.journal import Filters

PATH = "/image-analysis"
SECRET = "a private question"
AUTH = """
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

ROLES = {"sk-admin": LitellmUserRoles.PROXY_ADMIN, "sk-viewer": LitellmUserRoles.PROXY_ADMIN_VIEW_ONLY}

async def user_api_key_auth(request, api_key):
    if not api_key.startswith("sk-"):
        raise Exception("no key")
    return UserAPIKeyAuth(api_key=api_key, user_role=ROLES.get(api_key, LitellmUserRoles.INTERNAL_USER))
"""


def of_vision(mark: str) -> Any:
    return lambda body: body["model"].startswith("seeing") and mark in json.dumps(body)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config = proxy_config(upstream, cache={"backend": "memory"}, page={"enabled": True})
    with running_proxy(config, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    with proxy.client() as client:
        ask(client, "one", "two")
        ask(client, "one")
        ask_messages(client, "one", "three")
        yield client


def ask(client: httpx.Client, *marks: str, **more: Any) -> httpx.Response:
    """A chat request with an image for each mark."""
    body = {"model": "deepseek-chat-ocr", "messages": [message(text(SECRET), *map(image, marks))]}
    return client.post("/v1/chat/completions", json={**body, **more})


def ask_messages(client: httpx.Client, *marks: str, **more: Any) -> httpx.Response:
    """The same on ``/v1/messages``."""
    sources = (
        {"type": "base64", "media_type": "image/png", "data": data_uri(mark).partition(",")[2]} for mark in marks
    )
    parts = [{"type": "text", "text": SECRET}, *({"type": "image", "source": source} for source in sources)]
    body = {"model": "deepseek-chat-ocr", "max_tokens": 100, "messages": [{"role": "user", "content": parts}]}
    return client.post("/v1/messages", json={**body, **more})


def listed(client: httpx.Client, **query: str) -> list[dict[str, Any]]:
    """The entries of the page, the newest first."""
    response = client.get(PATH, params={"format": "json", **query})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["entries"]
    return found


def test_it_needs_the_key_of_an_admin(proxy: Proxy, client: httpx.Client) -> None:
    for login in ({}, {"auth": ("any", "sk-wrong")}, {"headers": {"Authorization": "Bearer sk-wrong"}}):
        refused = httpx.get(f"{proxy.url}{PATH}", timeout=60, verify=False, **login)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert "deepseek-chat" not in refused.text
    assert httpx.get(f"{proxy.url}{PATH}", auth=("any", proxy.master_key), timeout=60, verify=False).status_code == 200
    response = client.get(PATH)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_it_shows_the_requests_just_made(client: httpx.Client) -> None:
    ours = ask(client, "four", "one")
    newest = listed(client)[0]
    assert newest["request_id"] == ours.headers["x-litellm-call-id"]
    assert (newest["path"], newest["model"], newest["vision_model"]) == (
        "/v1/chat/completions",
        "deepseek-chat",
        "gpt-4o-mini",
    )
    assert (newest["images"], newest["analysed"], newest["cached"], newest["failed"]) == (2, 1, 1, 0)
    assert float(newest["usd"]) == pytest.approx(0.00021)
    page = client.get(PATH).text
    assert newest["request_id"] in page
    assert '<td data-name="Model" class="model"><span>deepseek-chat<span class="sub">/v1/chat/completions' in page


def test_a_failure_is_shown_with_its_reason_on_both_wire_formats(client: httpx.Client, upstream: Upstream) -> None:
    upstream.rules.append(Rule(lambda body: body["model"] == "seeing-other", status=500, error="a private error"))
    for path, make in (("/v1/chat/completions", ask), ("/v1/messages", ask_messages)):
        answer = make(client, path, ocr_model="other-vision")
        newest = listed(client, outcome="failed", vision_model="other-vision")[0]
        assert newest["request_id"] == answer.headers["x-litellm-call-id"]
        assert newest["path"] == path
        assert (newest["failed"], newest["reasons"]) == (1, ["unavailable"])
    upstream.rules.clear()
    assert len(listed(client, reason="unavailable")) == 2
    assert listed(client, reason="timeout") == []


def test_it_shows_no_question_no_image_no_text_and_no_key(proxy: Proxy, client: httpx.Client) -> None:
    for page in (client.get(PATH).text, json.dumps(listed(client))):
        for secret in (SECRET, "a picture with mark", "a private error", "base64", proxy.master_key):
            assert secret not in page


def test_a_request_without_images_is_not_listed(client: httpx.Client) -> None:
    before = len(listed(client))
    body = {"model": "deepseek-chat-ocr", "messages": [{"role": "user", "content": "hello"}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    assert len(listed(client)) == before


def test_workers_share_entries_in_redis_and_only_admins_see_them(upstream: Upstream, tmp_path: Path) -> None:
    with running_redis() as redis:
        cache = {"backend": "redis", "redis_url": redis.url, "secret": "a secret of this test"}
        config = proxy_config(upstream, cache=cache, page={"enabled": True})
        config["general_settings"]["custom_auth"] = "auth.user_api_key_auth"
        (tmp_path / "auth.py").write_text(AUTH)
        with running_proxy(config, tmp_path, None, *TWO_WORKERS) as proxy:

            def get(key: str, **query: str) -> httpx.Response:
                """A new connection may reach another worker."""
                headers = {"Authorization": f"Bearer {key}"}
                return httpx.get(f"{proxy.url}{PATH}", params=query, headers=headers, timeout=60, verify=False)

            made = set()
            for number in range(12):
                headers = {"Authorization": "Bearer sk-user"}
                with httpx.Client(base_url=proxy.url, headers=headers, timeout=60, verify=False) as client:
                    made.add(ask(client, f"shared {number}").headers["x-litellm-call-id"])

            def all_are_shown() -> bool:
                found = get("sk-admin", format="json").json()
                assert found["source"] == "requests of all workers"
                return {each["request_id"] for each in found["entries"]} == made

            assert eventually(all_are_shown)
            assert all(all_are_shown() for _ in range(8))  # whichever worker answers
            assert get("sk-viewer").status_code == 200
            refused = get("sk-user")
            assert (refused.status_code, refused.text) == (403, "This page is for admins of the proxy.\n")
            assert get("none").status_code == 401
            with redis.client as stored:
                assert 0 < stored.ttl("litellm-image-analysis-page") <= 7 * 86400
                assert "private" not in str(stored.lrange("litellm-image-analysis-page", 0, -1))
            redis.stop()
            assert "Redis does not answer: requests of this worker only" in get("sk-admin").text
            redis.start()


@pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")
def test_keys_of_the_database_see_it_if_their_user_is_an_admin(upstream: Upstream, tmp_path: Path) -> None:
    config = proxy_config(upstream, page={"enabled": True})
    env = {"DATABASE_URL": os.environ["DATABASE_URL"], "LITELLM_SALT_KEY": "sk-salt"}
    with running_proxy(config, tmp_path, env) as proxy, proxy.client() as client:

        def status(key: str) -> int:
            return httpx.get(f"{proxy.url}{PATH}", auth=("any", key), timeout=60, verify=False).status_code

        def key_of(role: str) -> str:
            user = client.post("/user/new", json={"user_role": role, "auto_create_key": False}).json()["user_id"]
            return str(client.post("/key/generate", json={"user_id": user}).json()["key"])

        assert status(client.post("/key/generate", json={}).json()["key"]) == 403
        roles = ("proxy_admin", "proxy_admin_viewer", "internal_user", "internal_user_viewer")
        assert [status(key_of(role)) for role in roles] == [200, 200, 403, 403]
        assert status("sk-wrong") == 401


def test_it_shows_texts_if_the_operator_allows_it(upstream: Upstream, tmp_path: Path) -> None:
    page = {"enabled": True, "show_texts": True}
    with running_proxy(proxy_config(upstream, page=page), tmp_path) as proxy, proxy.client() as client:
        assert ask(client, "shown").status_code == 200
        [newest] = listed(client)
        assert newest["texts"] == [description_of(data_uri("shown"))]
        shown = client.get(PATH).text
        assert f"<blockquote>{newest['texts'][0]}</blockquote>" in shown
        assert SECRET not in shown
        assert newest["texts"][0] not in proxy.log


def test_without_the_setting_the_path_is_unknown(upstream: Upstream, tmp_path: Path) -> None:
    with running_proxy(proxy_config(upstream), tmp_path) as proxy, proxy.client() as client:
        assert ask(client, "off").status_code == 200
        assert client.get(PATH).status_code == client.get(f"/{secrets.token_hex(4)}").status_code == 404


@pytest.fixture(scope="module")
def tab(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if chromium() is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with running_chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


def address(proxy: Proxy, query: str = "") -> str:
    """The page's address with a login, as a browser sends it after the 401."""
    return f"http://anyone:{proxy.master_key}@127.0.0.1:{proxy.port}{PATH}{query}"


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("query", ["", "?since=all&outcome=failed", "?request_id=none"])
def test_nothing_is_wider_than_the_window(proxy: Proxy, tab: Tab, width: int, query: str) -> None:
    tab.resize(width, 844)
    tab.open(address(proxy, query))
    assert "Images per" in tab.html()
    assert tab.size()[0] == width
    assert tab.errors == []


@pytest.mark.parametrize("width", [320, 390, 950, 1220, 1221, 1280])
def test_long_names_make_nothing_wider(tab: Tab, tmp_path: Path, width: int) -> None:
    long = "x" * 200
    names = dict.fromkeys(("path", "model", "vision_model", "key_alias", "team_alias", "request_id"), long)
    counts = dict.fromkeys(("analysed", "cached", "failed", "milliseconds"), 99_999)
    many = entry(**names, **counts, reasons=(long, long), texts=(long * 2,))
    found = [many, replace(many, usd=Decimal("12345.123456"))]
    page = tmp_path / "page.html"
    page.write_text(render(found, Filters(since="all"), 1, NOW, "this worker only", has_texts=True))
    tab.resize(width, 844)
    tab.open(page.as_uri())
    assert tab.size()[0] == width


def test_the_filters_are_a_form_that_works_without_javascript(proxy: Proxy, client: httpx.Client, tab: Tab) -> None:
    wanted, other = (each["request_id"] for each in listed(client)[:2])
    tab.resize(1280, 844)
    tab.open(address(proxy))
    assert wanted in tab.html()
    assert other in tab.html()
    tab.submit("input[name=request_id]", wanted)
    assert f"request_id={wanted}" in tab.url()
    assert f"<code>{wanted}</code>" in tab.html()
    assert other not in tab.html()
    assert tab.errors == []
