"""Callers that share analyses, and the secret behind their keys, with LiteLLM's own objects."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import litellm
import pytest
from litellm.proxy._types import UserAPIKeyAuth
from support.redis_server import RedisServer

from litellm_image_analysis.config import CacheConfig
from litellm_image_analysis.engine.tenancy import fingerprint, owner, payer, shared_secret, tenant

CONFIG = CacheConfig()
RAW_KEY = "sk-raw-and-secret"
KEY_HASH = hashlib.sha256(RAW_KEY.encode()).hexdigest()


def in_redis(server: RedisServer | None = None, **settings: Any) -> CacheConfig:
    if server is not None:
        settings["redis_url"] = server.url
    return CacheConfig.model_validate({"backend": "redis", "secret": "a secret", **settings})


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that uses LiteLLM as a library, without settings of Redis or secrets."""
    for name in (name for name in os.environ if name.startswith("REDIS_") or name == "LITELLM_SALT_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "litellm.proxy.proxy_server", raising=False)
    monkeypatch.setattr(litellm, "cache", None)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A double of the proxy's module before it has read its config."""
    module = ModuleType("litellm.proxy.proxy_server")
    vars(module).update(master_key=None, redis_usage_cache=None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """The result of the same in another process."""
    code = """
import json, os
from litellm_image_analysis.engine.tenancy import tenant
from litellm_image_analysis.config import CacheConfig
everybody = CacheConfig(scope="global")
seen = {"scope": tenant(CacheConfig(), None).scope, "own key": tenant(everybody, None).key("image")}
os.environ["LITELLM_SALT_KEY"] = "salt"
print(json.dumps({**seen, "shared key": tenant(everybody, None).key("image")}))
"""
    environment = {name: value for name, value in os.environ.items() if name != "LITELLM_SALT_KEY"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True)
    seen: dict[str, str] = json.loads(done.stdout)
    return seen


class TestTenant:
    @pytest.mark.parametrize(
        ("caller", "scope"),
        [
            (UserAPIKeyAuth(team_id="research", api_key=RAW_KEY, user_id="ada", org_id="acme"), "team:research"),
            (UserAPIKeyAuth(api_key=RAW_KEY, user_id="ada", org_id="acme"), f"key:{KEY_HASH}"),
            (UserAPIKeyAuth(user_id="ada", org_id="acme"), "user:ada"),
            (UserAPIKeyAuth(org_id="acme"), "organization:acme"),
            (UserAPIKeyAuth(), "nobody"),
            (UserAPIKeyAuth(team_id="", api_key="", user_id="", org_id=""), "nobody"),
        ],
    )
    def test_it_is_the_nearest_of_team_key_user_and_organization(self, caller: UserAPIKeyAuth, scope: str) -> None:
        assert tenant(CONFIG, caller).scope == scope

    def test_callers_of_a_team_are_one_tenant(self) -> None:
        callers = [UserAPIKeyAuth(team_id="research", api_key=f"sk-{number}") for number in range(2)]
        assert len({tenant(CONFIG, caller) for caller in callers}) == 1

    def test_no_name_makes_one_kind_of_tenant_look_like_another(self) -> None:
        name = "key:research"
        callers = [
            UserAPIKeyAuth(team_id=name),
            UserAPIKeyAuth(user_id=name),
            UserAPIKeyAuth(org_id=name),
            UserAPIKeyAuth(user_id="research"),
            UserAPIKeyAuth(team_id="research"),
            None,
        ]
        assert len({tenant(CONFIG, caller).scope for caller in callers}) == len(callers)

    @pytest.mark.parametrize("api_key", ["raw and secret", KEY_HASH.upper(), KEY_HASH[1:], "\ud800", "g" * 64])
    def test_a_key_that_is_no_hash_is_hashed(self, api_key: str) -> None:
        """Custom authentication of a gateway may return the key itself."""
        caller = UserAPIKeyAuth()
        caller.api_key = api_key
        scope = tenant(CONFIG, caller).scope
        assert scope == f"key:{hashlib.sha256(api_key.encode('utf-8', 'surrogatepass')).hexdigest()}"

    def test_a_hashed_key_is_named_as_in_litellms_own_tables(self) -> None:
        assert tenant(CONFIG, UserAPIKeyAuth(api_key=KEY_HASH)).scope == f"key:{KEY_HASH}"

    def test_without_a_proxy_it_is_the_process(self, elsewhere: dict[str, str]) -> None:
        here = tenant(CONFIG, None)
        assert here.scope.startswith("process:")
        assert here == tenant(CONFIG, None)
        assert elsewhere["scope"] != here.scope

    @pytest.mark.parametrize("caller", [None, UserAPIKeyAuth(), UserAPIKeyAuth(team_id="research")])
    def test_by_choice_it_is_everybody(self, caller: UserAPIKeyAuth | None) -> None:
        assert tenant(CacheConfig(scope="global"), caller).scope == "global"

    def test_its_secret_is_not_shown(self) -> None:
        here = tenant(in_redis(secret="open sesame"), None)
        assert "secret" not in repr(here)
        assert repr(here.secret) not in repr(here)


class TestPayer:
    @pytest.mark.parametrize(
        ("caller", "name"),
        [
            (UserAPIKeyAuth(team_id="research", api_key=RAW_KEY, user_id="ada", org_id="acme"), f"key:{KEY_HASH}"),
            (UserAPIKeyAuth(team_id="research", user_id="ada", org_id="acme"), "user:ada"),
            (UserAPIKeyAuth(team_id="research", org_id="acme"), "team:research"),
            (UserAPIKeyAuth(org_id="acme"), "organization:acme"),
            (UserAPIKeyAuth(), "nobody"),
        ],
    )
    def test_it_is_the_key_not_its_team(self, caller: UserAPIKeyAuth, name: str) -> None:
        assert payer(caller) == name

    def test_without_a_proxy_it_is_the_process(self) -> None:
        assert payer(None) == tenant(CONFIG, None).scope


class TestOwner:
    @pytest.mark.parametrize(
        ("caller", "name"),
        [
            (UserAPIKeyAuth(team_id="research", api_key=RAW_KEY, user_id="ada"), "team:research"),
            (UserAPIKeyAuth(api_key=RAW_KEY, user_id="ada"), "user:ada"),
            (UserAPIKeyAuth(api_key=RAW_KEY), None),
            (None, None),
        ],
    )
    def test_it_is_the_keys_team_else_its_user(self, caller: UserAPIKeyAuth | None, name: str | None) -> None:
        assert owner(caller) == name


class TestSecret:
    def test_it_is_the_setting_before_all(self, monkeypatch: pytest.MonkeyPatch, proxy: ModuleType) -> None:
        alone = shared_secret(in_redis(secret="open sesame"))
        monkeypatch.setenv("LITELLM_SALT_KEY", "salt")
        vars(proxy).update(master_key="sk-master")
        assert shared_secret(in_redis(secret="open sesame")) == alone
        assert shared_secret(in_redis(secret="another")) != alone

    def test_the_salt_key_goes_before_the_master_key(self, monkeypatch: pytest.MonkeyPatch, proxy: ModuleType) -> None:
        """A master key may change at any time, a salt key never."""
        monkeypatch.setenv("LITELLM_SALT_KEY", "salt")
        with_salt = shared_secret(CONFIG)
        vars(proxy).update(master_key="sk-master")
        assert shared_secret(CONFIG) == with_salt
        monkeypatch.setenv("LITELLM_SALT_KEY", "pepper")
        assert shared_secret(CONFIG) != with_salt

    def test_else_it_comes_from_the_master_key(self, proxy: ModuleType) -> None:
        vars(proxy).update(master_key="sk-master")
        with_master_key = shared_secret(CONFIG)
        assert with_master_key is not None
        vars(proxy).update(master_key="sk-other")
        assert shared_secret(CONFIG) not in (None, with_master_key)

    @pytest.mark.parametrize("master_key", [None, "", 7])
    def test_else_there_is_none(self, monkeypatch: pytest.MonkeyPatch, proxy: ModuleType, master_key: object) -> None:
        monkeypatch.setenv("LITELLM_SALT_KEY", "")
        vars(proxy).update(master_key=master_key)
        assert shared_secret(CONFIG) is None

    def test_without_one_keys_are_this_process_own(self, elsewhere: dict[str, str]) -> None:
        key = tenant(CacheConfig(scope="global"), None).key("image")
        assert key == tenant(CacheConfig(scope="global"), None).key("image")
        assert elsewhere["own key"] != key

    def test_two_processes_with_one_secret_make_the_same_keys(
        self, monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, str]
    ) -> None:
        monkeypatch.setenv("LITELLM_SALT_KEY", "salt")
        assert elsewhere["shared key"] == tenant(CacheConfig(scope="global"), None).key("image")

    def test_no_material_is_used_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LITELLM_SALT_KEY", "salt")
        for secret in (shared_secret(CONFIG), shared_secret(in_redis(secret="open sesame"))):
            assert secret is not None
            assert len(secret) == 32
            assert b"salt" not in secret
            assert b"sesame" not in secret


@pytest.mark.parametrize("scope", ["tenant", "global"])
def test_what_a_teams_own_model_says_stays_in_the_team(scope: str) -> None:
    """Another team's model of the same name is another model."""
    config = CacheConfig.model_validate({"scope": scope})
    of_teams = {tenant(config, UserAPIKeyAuth(team_id=team), owns_model=True).scope for team in ("a", "b")}
    assert of_teams == {"team:a", "team:b"}


def test_with_the_global_scope_all_share_what_other_models_say() -> None:
    config = CacheConfig(scope="global")
    assert {tenant(config, UserAPIKeyAuth(team_id=team)).scope for team in ("a", "b")} == {"global"}


def test_hosts_with_one_secret_have_one_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_SALT_KEY", raising=False)
    assert fingerprint(CacheConfig()) is None
    one, same, other = (fingerprint(in_redis(secret=secret)) for secret in ("one", "one", "other"))
    assert one == same != other
    secret = shared_secret(in_redis(secret="one"))
    assert one is not None
    assert secret is not None
    assert one not in secret.hex()
