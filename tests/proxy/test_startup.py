"""What the operator is told at start."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType

import anyio
import pytest
from anyio.lowlevel import checkpoint
from litellm.router import Router
from support.routers import deployment, router_of

from litellm_image_analysis.proxy import startup, vision_choice


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
