"""Messages to the operator at start."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import litellm
import pytest
from anyio.lowlevel import checkpoint
from litellm.router import Router
from support.features import needs_shutdown_grace
from support.routers import deployment, router_of

import litellm_image_analysis
from litellm_image_analysis import ImageAnalysisConfig
from litellm_image_analysis.proxy import startup, vision_choice

GRACE = "GRACEFUL_SHUTDOWN_TIMEOUT"


class TestReportAtStart:
    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(startup, "_POLL_SECONDS", 0.0)

    async def test_a_served_model_is_nothing_to_report(
        self, proxy_module: ModuleType, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        vars(proxy_module).update(llm_router=router)
        await startup.report_unserved_default("eyes")
        assert caplog.messages == []

    async def test_a_model_nobody_serves_is_an_error(
        self, proxy_module: ModuleType, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        vars(proxy_module).update(llm_router=router)
        await startup.report_unserved_default("ears")
        [record] = caplog.records
        assert (record.name, record.levelno) == ("LiteLLM.image_analysis", logging.ERROR)
        assert record.getMessage() == vision_choice.unserved_default("ears", router)

    async def test_the_router_is_waited_for(
        self, proxy_module: ModuleType, router: Router, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(startup.report_unserved_default, "ears")
            await checkpoint()
            assert caplog.messages == []
            vars(proxy_module).update(llm_router=router)
        assert caplog.messages == [vision_choice.unserved_default("ears", router)]

    async def test_models_in_the_database_are_waited_for(
        self, proxy_module: ModuleType, caplog: pytest.LogCaptureFixture
    ) -> None:
        vars(proxy_module).update(llm_router=router_of(), store_model_in_db=True)
        async with anyio.create_task_group() as group:
            group.start_soon(startup.report_unserved_default, "eyes")
            await checkpoint()
            vars(proxy_module).update(llm_router=router_of(deployment("eyes")))
        assert caplog.messages == []

    @pytest.mark.parametrize("in_database", [False, True])
    async def test_waiting_ends(
        self,
        proxy_module: ModuleType,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        in_database: bool,
    ) -> None:
        monkeypatch.setattr(startup, "_STARTUP_SECONDS", 0.0)
        vars(proxy_module).update(store_model_in_db=in_database)
        await startup.report_unserved_default("eyes")
        assert caplog.messages == [vision_choice.unserved_default("eyes", None)]


def test_an_announcement_is_the_last_thing_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    startup.announce_at_exit("wrong settings")
    assert capsys.readouterr().err == ""
    [announce] = at_exit
    announce()
    assert capsys.readouterr().err == "\nwrong settings\n"


class TestReady:
    """The line when the plugin is ready, and warnings about settings that are not read."""

    @pytest.fixture
    def said(
        self, proxy_module: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> Callable[..., list[tuple[int, str]]]:
        caplog.set_level(logging.INFO, "LiteLLM.image_analysis")

        def said(config: dict[str, Any], **settings: Any) -> list[tuple[int, str]]:
            vars(proxy_module).update(proxy_config=SimpleNamespace(get_config_state=lambda: config))
            monkeypatch.setattr(litellm, "callback_settings", config.get("callback_settings", {}))
            found = config.get("callback_settings", {}).get("image_analysis") is not None
            startup.report_ready(ImageAnalysisConfig(**settings), has_settings=found)
            return [(record.levelno, record.getMessage()) for record in caplog.records]

        return said

    def test_one_line_says_what_is_in_force(self, said: Callable[..., list[tuple[int, str]]]) -> None:
        section = {"vision_model": "my eyes", "suffix": None, "mode": "auto"}
        [(level, line)] = said({"callback_settings": {"image_analysis": section}}, **section)
        assert level == logging.INFO
        assert line == (
            f"image analysis: ready version={litellm_image_analysis.__version__} litellm={version('litellm')}"
            ' vision_model="my eyes" suffix=off mode=auto cache=memory settings=callback_settings.image_analysis'
        )

    @pytest.mark.parametrize("config", [{}, {"callback_settings": {"image_analysis": None}}])
    def test_defaults_are_no_problem(self, said: Callable[..., list[tuple[int, str]]], config: dict[str, Any]) -> None:
        [(level, line)] = said(config)
        assert level == logging.INFO
        assert line.endswith("settings=defaults")

    @pytest.mark.parametrize(
        ("config", "place"),
        [
            ({"image_analysis": {}}, "the settings under image_analysis are not read"),
            (
                {"general_settings": {"image_analysis": {}}},
                "the settings under general_settings.image_analysis are not read",
            ),
            (
                {"litellm_settings": {"image_analysis": {}}},
                "the settings under litellm_settings.image_analysis are not read",
            ),
            (
                {"litellm_settings": {"callback_settings": {}}},
                "the settings under litellm_settings.callback_settings are not read",
            ),
            (
                {"callback_settings": {"litellm_image_analysis": {}}},
                "the settings under callback_settings.litellm_image_analysis are not read",
            ),
            ({"callback_settings": {"otel": {}}}, "callback_settings has no section image_analysis"),
            (
                {"callback_settings": {"image_analysis": None, "mode": "auto"}},
                "callback_settings has mode beside image_analysis instead of below it, so all settings have their",
            ),
            ({"callback_setting": {"image_analysis": {}}}, "the settings under callback_setting are not read"),
            (
                {"image_analysis": {}, "callback_settings": {"image_analysis": {}}},
                "the settings under image_analysis are not read. They belong",
            ),
        ],
    )
    def test_settings_in_another_place_are_a_warning(
        self, said: Callable[..., list[tuple[int, str]]], config: dict[str, Any], place: str
    ) -> None:
        [_, (level, line)] = said(config)
        assert level == logging.WARNING
        assert place in line
        assert "callback_settings: {image_analysis: {...}}" in line


def test_a_model_whose_own_name_ends_in_the_suffix_is_a_warning(
    proxy_module: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    startup.report_suffixed_models("-ocr", "eyes")
    vars(proxy_module).update(llm_router=router_of(deployment("got-ocr"), deployment("eyes")))
    startup.report_suffixed_models(None, "eyes")
    assert caplog.messages == []
    startup.report_suffixed_models("-ocr", "eyes")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("image analysis: the model got-ocr has the suffix -ocr in its own name")


def test_a_vision_model_may_have_such_a_name(proxy_module: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    seeing = {**deployment("seeing-ocr"), "model_info": {"supports_vision": True}}
    vars(proxy_module).update(llm_router=router_of(seeing, deployment("local-ocr")))
    startup.report_suffixed_models("-ocr", "local-ocr")
    assert caplog.messages == []


class TestShortGrace:
    @needs_shutdown_grace
    @pytest.mark.parametrize(
        ("seconds", "grace", "database", "warnings"),
        [
            (60, None, "postgresql://", 1),  # LiteLLM's own grace is 30 s
            (60, "60", "postgresql://", 1),
            (60, "70", "postgresql://", 0),
            (20, None, "postgresql://", 0),
            (60, None, "", 0),  # nothing is billed
        ],
    )
    def test_a_vision_call_that_may_be_cut_off_is_a_warning(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        seconds: float,
        grace: str | None,
        database: str,
        warnings: int,
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", database)
        monkeypatch.delenv(GRACE, raising=False)
        if grace is not None:
            monkeypatch.setenv(GRACE, grace)
        startup.report_short_grace(seconds)
        assert len(caplog.records) == warnings
        for record in caplog.records:
            assert record.levelno == logging.WARNING
            assert "timeout_seconds is 60" in record.getMessage()
            assert f"{GRACE}=90" in record.getMessage()

    def test_a_litellm_that_does_not_wait_is_not_told_how_long(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(sys.modules, "litellm.proxy.shutdown.graceful_shutdown_manager", None)
        startup.report_short_grace(60)
        assert caplog.messages == []


def test_other_cache_keys_are_a_warning_that_names_the_settings(caplog: pytest.LogCaptureFixture) -> None:
    startup.report_other_cache_keys()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    for name in ("callback_settings.image_analysis.cache.secret", "LITELLM_SALT_KEY", "master_key"):
        assert name in record.getMessage()
