"""Access to models: virtual keys, teams, users and organisations on a real PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from support.billing import new_organization
from support.configs import BASE_PRICE, deployment, proxy_config
from support.images import image, message, text
from support.proxy import Proxy, running_proxy
from support.upstream import Upstream, images_in

URL = "/v1/chat/completions"
OF_TEAM = {"team_id": "owners", "team_public_model_name": "team-chat"}

pytestmark = pytest.mark.skipif("DATABASE_URL" not in os.environ, reason="needs PostgreSQL: set DATABASE_URL")


def started(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, **settings: Any) -> Any:
    config = proxy_config(upstream, **settings)
    config["model_list"] += [
        deployment("grouped-chat", "blind-grouped", upstream.base_url, access_groups=["chats"], **BASE_PRICE),
        deployment("model_name_owners_1", "blind-team", upstream.base_url, **OF_TEAM, **BASE_PRICE),
        deployment("wild/*", "*", upstream.base_url, **BASE_PRICE),
    ]
    config["general_settings"] |= {"store_model_in_db": True, "proxy_batch_write_at": 1}
    env = {"DATABASE_URL": os.environ["DATABASE_URL"], "STORE_MODEL_IN_DB": "True", "LITELLM_SALT_KEY": "sk-salt"}
    return running_proxy(config, tmp_path_factory.mktemp("access"), env)


@pytest.fixture(scope="module")
def gateway(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with started(shared_upstream, tmp_path_factory) as proxy, proxy.client() as client:
        assert client.post("/team/new", json={"team_id": "owners", "team_alias": "owners"}).status_code in (200, 400)
        yield proxy


@pytest.fixture(scope="module")
def strict(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A gateway with ``advertise: false`` and a list of allowed vision models."""
    settings: dict[str, Any] = {"advertise": False, "require_key_access": True}
    with started(shared_upstream, tmp_path_factory, allowed_vision_models=["other-vision"], **settings) as proxy:
        yield proxy


class Admin:
    """Creates callers. Each method returns the key of a new one."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        response = self.client.post(path, json=body)
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def key(self, **body: Any) -> str:
        return str(self.post("/key/generate", **body)["key"])

    def in_team(self, key: dict[str, Any] | None = None, **team: Any) -> str:
        return self.key(team_id=self.post("/team/new", **team)["team_id"], **(key or {}))

    def of_user(self, **user: Any) -> str:
        return self.key(user_id=self.post("/user/new", auto_create_key=False, **user)["user_id"])

    def in_organization(self, models: list[str]) -> str:
        """The key of a team without a list of models, in an organisation with one."""
        return self.in_team(organization_id=new_organization(*models))


def ask(proxy: Proxy, key: str, model: str, **body: Any) -> httpx.Response:
    request = {"model": model, "messages": [message(text("What is it?"), image("a"))], **body}
    with proxy.client() as client:
        return client.post(URL, json=request, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def admin(gateway: Proxy, upstream: Upstream) -> Iterator[Admin]:
    del upstream
    with gateway.client() as client:
        yield Admin(client)


@pytest.fixture
def strict_admin(strict: Proxy, upstream: Upstream) -> Iterator[Admin]:
    del upstream
    with strict.client() as client:
        yield Admin(client)


Caller = Callable[[Admin], str]

CHAT = ["deepseek-chat"]
CASES: dict[str, tuple[Caller, str, dict[str, Any], int]] = {
    "a key without a list": (lambda a: a.key(), "deepseek-chat-ocr", {}, 200),
    "a key without a list, unknown model": (lambda a: a.key(), "unheard-of-ocr", {}, 400),
    "a key for the base model": (lambda a: a.key(models=CHAT), "deepseek-chat-ocr", {}, 200),
    "a key for the base model, another's suffix": (lambda a: a.key(models=CHAT), "multimodal-ocr", {}, 403),
    "a key for the base model, the vision model's suffix": (lambda a: a.key(models=CHAT), "gpt-4o-mini-ocr", {}, 403),
    "a key for the base model, two suffixes": (lambda a: a.key(models=CHAT), "multimodal-ocr-ocr", {}, 403),
    "a key for the base model, several models": (
        lambda a: a.key(models=CHAT),
        "deepseek-chat-ocr,multimodal-ocr",
        {},
        403,
    ),
    "a key for the suffixed name only": (lambda a: a.key(models=["multimodal-ocr"]), "multimodal-ocr", {}, 403),
    "a key for a real name with the suffix": (lambda a: a.key(models=["scan-ocr"]), "scan-ocr", {}, 200),
    "a key for a real name without its end": (lambda a: a.key(models=["scan"]), "scan-ocr", {}, 403),
    "switched off": (lambda a: a.key(models=CHAT), "deepseek-chat-ocr", {"ocr_model": False}, 400),
    "a choice the key may not call": (lambda a: a.key(models=CHAT), "deepseek-chat", {"ocr_model": "gpt-4o-mini"}, 403),
    "a choice the key may call": (
        lambda a: a.key(models=[*CHAT, "other-vision"]),
        "deepseek-chat-ocr",
        {"ocr_model": "other-vision"},
        200,
    ),
    "a choice nobody serves": (lambda a: a.key(), "deepseek-chat", {"ocr_model": "unheard-of"}, 400),
    "a team for the base model": (lambda a: a.in_team(models=CHAT), "deepseek-chat-ocr", {}, 200),
    "a team for another model": (lambda a: a.in_team(models=["multimodal"]), "deepseek-chat-ocr", {}, 403),
    "a team's choice": (lambda a: a.in_team(models=CHAT), "deepseek-chat", {"ocr_model": "other-vision"}, 403),
    "a team's alias": (
        lambda a: a.in_team(models=CHAT, model_aliases={"chat": "deepseek-chat"}),
        "chat-ocr",
        {},
        200,
    ),
    "a key's alias": (lambda a: a.key(aliases={"mine": "deepseek-chat"}), "mine-ocr", {}, 200),
    "a key's alias that its list names": (
        lambda a: a.key(models=["mine", *CHAT], aliases={"mine": "deepseek-chat"}),
        "mine-ocr",
        {},
        200,
    ),
    "a key's alias of a model it may not call": (
        lambda a: a.key(models=["mine", *CHAT], aliases={"mine": "multimodal"}),
        "mine-ocr",
        {},
        403,
    ),
    "a wildcard": (lambda a: a.key(models=["wild/*"]), "wild/blind-chat-ocr", {}, 200),
    "a wildcard, another model": (lambda a: a.key(models=["wild/*"]), "deepseek-chat-ocr", {}, 403),
    "an access group": (lambda a: a.key(models=["chats"]), "grouped-chat-ocr", {}, 200),
    "an access group, another model": (lambda a: a.key(models=["chats"]), "deepseek-chat-ocr", {}, 403),
    "a user's own key": (lambda a: a.of_user(models=CHAT), "deepseek-chat-ocr", {}, 200),
    "a user's own key, another's suffix": (lambda a: a.of_user(models=CHAT), "multimodal-ocr", {}, 403),
    "a user's choice": (lambda a: a.of_user(models=CHAT), "deepseek-chat", {"ocr_model": "other-vision"}, 403),
    "an organisation's choice": (
        lambda a: a.in_organization(CHAT),
        "deepseek-chat",
        {"ocr_model": "other-vision"},
        403,
    ),
    "a team's own model": (lambda a: a.key(team_id="owners"), "team-chat-ocr", {}, 200),
    "another team's own model": (lambda a: a.in_team(models=CHAT), "team-chat-ocr", {}, 403),
}


@pytest.mark.parametrize(("caller", "model", "body", "status"), CASES.values(), ids=CASES)
def test_access_is_the_base_model_s(
    gateway: Proxy, admin: Admin, upstream: Upstream, caller: Caller, model: str, body: dict[str, Any], status: int
) -> None:
    response = ask(gateway, caller(admin), model, **body)
    assert response.status_code == status, response.text
    if status == 200 and model != "scan-ocr":
        assert [bool(images_in(seen)) for seen in upstream.requests] == [True, False]
    if status == 403:
        assert upstream.requests == []


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_a_suffix_opens_no_model_on_other_routes_either(
    gateway: Proxy, admin: Admin, upstream: Upstream, path: str
) -> None:
    headers = {"Authorization": f"Bearer {admin.key(models=['multimodal-ocr'])}"}
    with gateway.client() as client:
        response = client.post(path, json={"model": "multimodal-ocr", "prompt": "?", "input": "?"}, headers=headers)
    assert response.status_code == 403, response.text
    assert upstream.requests == []


OWN = "image_analysis"
PREFERENCES: dict[str, tuple[Caller, int, list[str]]] = {
    "a key's own vision model": (
        lambda a: a.key(metadata={OWN: {"vision_model": "other-vision"}}),
        200,
        ["seeing-other", "blind-chat"],
    ),
    "a team's": (
        lambda a: a.in_team(metadata={OWN: {"vision_model": "other-vision"}}),
        200,
        ["seeing-other", "blind-chat"],
    ),
    "a key's before its team's": (
        lambda a: a.in_team(
            {"metadata": {OWN: {"vision_model": "gpt-4o-mini"}}}, metadata={OWN: {"vision_model": "other-vision"}}
        ),
        200,
        ["seeing-mini", "blind-chat"],
    ),
    "one the key may not call": (
        lambda a: a.key(models=CHAT, metadata={OWN: {"vision_model": "other-vision"}}),
        403,
        [],
    ),
    "one nobody serves": (lambda a: a.key(metadata={OWN: {"vision_model": "unheard-of"}}), 400, []),
    "a misspelt setting": (lambda a: a.key(metadata={OWN: {"vison_model": "other-vision"}}), 400, []),
    "switched off for a team": (
        lambda a: a.in_team({"metadata": {OWN: {"enabled": True}}}, metadata={OWN: {"enabled": False}}),
        200,
        ["blind-chat"],
    ),
}


@pytest.mark.parametrize(("caller", "status", "models"), PREFERENCES.values(), ids=PREFERENCES)
def test_keys_and_teams_have_settings_of_their_own(
    gateway: Proxy, admin: Admin, upstream: Upstream, caller: Caller, status: int, models: list[str]
) -> None:
    response = ask(gateway, caller(admin), "deepseek-chat-ocr")
    assert response.status_code == status, response.text
    assert [body["model"] for body in upstream.requests] == models


def test_a_key_s_own_prompt_is_what_the_vision_model_gets(gateway: Proxy, admin: Admin, upstream: Upstream) -> None:
    key = admin.key(metadata={OWN: {"prompt": "Count the cats."}})
    assert ask(gateway, key, "deepseek-chat-ocr").status_code == 200
    assert upstream.requests[0]["messages"][0]["content"] == "Count the cats."


def test_a_key_changes_nothing_about_its_terms_in_a_request(gateway: Proxy, admin: Admin, upstream: Upstream) -> None:
    key = admin.key(metadata={OWN: {"enabled": False}})
    metadata = {OWN: {"enabled": True}, "user_api_key_metadata": {OWN: {"enabled": True}}}
    response = ask(gateway, key, "deepseek-chat-ocr", metadata=metadata)
    assert response.headers["x-litellm-image-analysis-error"] == "image_analysis_disabled"
    (read,) = upstream.requests
    assert read["model"] == "blind-chat"
    assert "could not be read: image analysis is switched off for this key." in str(read["messages"])


SUFFIXED = [*CHAT, "deepseek-chat-ocr"]
STRICT: dict[str, tuple[list[str], str, dict[str, Any], int]] = {
    "nothing is advertised": (CHAT, "deepseek-chat-ocr", {}, 403),
    "the default vision model needs access": (SUFFIXED, "deepseek-chat-ocr", {}, 403),
    "the default vision model has access": ([*SUFFIXED, "gpt-4o-mini"], "deepseek-chat-ocr", {}, 200),
    "a choice that is not allowed": ([], "deepseek-chat", {"ocr_model": "gpt-4o-mini"}, 403),
    "a choice that is allowed": ([], "deepseek-chat", {"ocr_model": "other-vision"}, 200),
    "a choice that is allowed, but not to this key": (CHAT, "deepseek-chat", {"ocr_model": "other-vision"}, 403),
}


@pytest.mark.parametrize(("models", "model", "body", "status"), STRICT.values(), ids=STRICT)
def test_an_operator_may_be_stricter(
    strict: Proxy,
    strict_admin: Admin,
    upstream: Upstream,
    models: list[str],
    model: str,
    body: dict[str, Any],
    status: int,
) -> None:
    response = ask(strict, strict_admin.key(models=models), model, **body)
    assert response.status_code == status, response.text
    if status == 403:
        assert upstream.requests == []


def listed(proxy: Proxy, key: str) -> set[str]:
    with proxy.client() as client:
        models = client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).json()["data"]
    return {model["id"] for model in models}


def test_suffixed_names_are_listed_where_litellm_lists_aliases(gateway: Proxy, strict: Proxy, admin: Admin) -> None:
    names = {"deepseek-chat", "deepseek-chat-ocr", "multimodal-ocr", "scan-ocr"}
    everything = listed(gateway, admin.key())
    assert names <= everything
    assert not {"scan-ocr-ocr", "wild/*-ocr"} & everything
    assert listed(gateway, admin.key(models=["deepseek-chat"])) == {"deepseek-chat"}
    assert "deepseek-chat-ocr" not in listed(strict, strict.master_key)


def test_models_come_and_go_at_run_time(gateway: Proxy, admin: Admin, upstream: Upstream) -> None:
    name = f"late-{os.urandom(4).hex()}"
    key = admin.key(models=[name])
    assert ask(gateway, key, f"{name}-ocr").status_code in (400, 403)
    params = {"model": "openai/blind-late", "api_base": upstream.base_url, "api_key": "sk-a"}
    model_id = admin.post("/model/new", model_name=name, litellm_params=params)["model_info"]["id"]
    assert ask(gateway, key, f"{name}-ocr").status_code == 200
    assert f"{name}-ocr" in listed(gateway, admin.key())
    admin.post("/model/update", model_name=f"{name}-renamed", model_info={"id": model_id}, litellm_params=params)
    assert ask(gateway, admin.key(models=[f"{name}-renamed"]), f"{name}-renamed-ocr").status_code == 200
    assert ask(gateway, key, f"{name}-ocr").status_code in (400, 403)
    assert f"{name}-ocr" not in listed(gateway, admin.key())
    admin.post("/model/delete", id=model_id)
    assert ask(gateway, key, f"{name}-ocr").status_code in (400, 403)
    assert f"{name}-ocr" not in listed(gateway, admin.key())
