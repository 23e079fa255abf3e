"""Planted faults around the gateway are found, and their fixes are named: Redis, the database, packages."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from support.command import Doctor
from support.proxy import free_port
from support.redis_server import running_redis
from support.upstream import Upstream

from litellm_image_analysis.cli.doctor import services
from litellm_image_analysis.proxy import startup

CALLBACK = "litellm_image_analysis.image_analysis"
SETTINGS = "callback_settings.image_analysis"


class TestWhatIsAroundTheGateway:
    def test_redis_that_is_down(self, settings: dict[str, Any], doctor: Doctor) -> None:
        url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
        settings["cache"] = {"backend": "redis", "redis_url": url}
        [fault] = doctor()
        assert (fault["check"], fault["where"]) == ("redis", f"{SETTINGS}.cache.redis_url")
        assert fault["fix"].startswith("Start Redis, or correct the address")
        assert "hunter2" not in str(fault)

    @pytest.mark.parametrize("place", ["redis_url", "coordination_redis", "cache_params", "environment"])
    def test_redis_that_is_up(
        self,
        config: dict[str, Any],
        settings: dict[str, Any],
        doctor: Doctor,
        monkeypatch: pytest.MonkeyPatch,
        place: str,
    ) -> None:
        with running_redis(password="hunter2") as redis:
            monkeypatch.setenv("THE_PASSWORD", "hunter2")
            address = {"host": "127.0.0.1", "port": redis.port, "password": "os.environ/THE_PASSWORD"}
            settings["cache"] = {"backend": "redis"}
            if place == "redis_url":
                settings["cache"]["redis_url"] = redis.url
            elif place == "coordination_redis":
                config["general_settings"]["coordination_redis"] = address
            elif place == "cache_params":
                config["litellm_settings"] |= {
                    "cache": True,
                    "cache_params": {"type": "redis", "ttl": 60, "namespace": "n", **address},
                }
            else:
                monkeypatch.setenv("REDIS_URL", redis.url)
            assert doctor() == []

    def test_no_redis_at_all(self, settings: dict[str, Any], doctor: Doctor) -> None:
        settings["cache"] = {"backend": "redis"}
        [fault] = doctor()
        assert fault["fix"] == f"Set {SETTINGS}.cache.redis_url, or REDIS_URL or REDIS_HOST in the environment"

    def test_no_secret(
        self, config: dict[str, Any], settings: dict[str, Any], doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("LITELLM_MASTER_KEY")
        del config["general_settings"]["master_key"]
        settings["cache"] = {"backend": "redis", "redis_url": f"redis://127.0.0.1:{free_port()}/0"}
        fault = next(each for each in doctor() if each["check"] == "cache-secret")
        assert fault["where"] == f"{SETTINGS}.cache.secret"
        assert "general_settings.master_key, LITELLM_SALT_KEY" in fault["fix"]

    def test_a_database_that_is_away(self, config: dict[str, Any], doctor: Doctor) -> None:
        port = free_port()
        config["general_settings"]["database_url"] = f"postgresql://llm:hunter2@127.0.0.1:{port}/litellm"
        fault = next(each for each in doctor() if each["check"] == "database")
        assert f"no TCP connection to 127.0.0.1:{port}" in fault["what"]
        assert fault["fix"].endswith("in general_settings.database_url")
        assert "hunter2" not in str(fault)

    def test_a_database_that_listens(self, upstream: Upstream, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://llm:hunter2@127.0.0.1:{upstream.port}/litellm")
        monkeypatch.setenv("GRACEFUL_SHUTDOWN_TIMEOUT", "90")
        assert doctor() == []

    def test_too_little_time_to_stop(self, upstream: Upstream, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://llm:hunter2@127.0.0.1:{upstream.port}/litellm")
        monkeypatch.setattr(startup, "short_grace", lambda seconds: 30.0)
        [fault] = doctor()
        assert (fault["check"], fault["status"]) == ("grace", "warning")
        assert "GRACEFUL_SHUTDOWN_TIMEOUT=90" in fault["fix"]

    @pytest.mark.parametrize(
        ("module", "extra", "cause"),
        [("redis", "redis", {"backend": "redis"}), ("rapidocr", "local-ocr", {"backend": "off"})],
    )
    def test_a_missing_extra(
        self,
        config: dict[str, Any],
        settings: dict[str, Any],
        doctor: Doctor,
        monkeypatch: pytest.MonkeyPatch,
        module: str,
        extra: str,
        cause: dict[str, Any],
    ) -> None:
        settings["cache"] = cause
        config["model_list"].append({"model_name": "ours", "litellm_params": {"model": "local-ocr/rapidocr"}})
        real = importlib.util.find_spec
        monkeypatch.setattr(services, "find_spec", lambda name: None if name == module else real(name))
        fault = next(each for each in doctor() if each["check"] == "extras")
        assert fault["fix"] == f"pip install 'litellm-image-analysis[{extra}]'"
