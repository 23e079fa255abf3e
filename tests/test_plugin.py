"""What LiteLLM relies on in the plugin's class, and how a proxy makes its instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth
from litellm.router import Router
from litellm.types.utils import CallTypes
from support.routers import deployment, router_of

from litellm_image_analysis import (
    ConfigError,
    ImageAnalysis,
    ImageAnalysisConfig,
    access,
    journal,
    plugin,
    spend,
    startup,
)
from litellm_image_analysis.advertise import advertise
from litellm_image_analysis.pipeline import Report

HOOKS = {
    "async_pre_call_hook",
    "async_pre_call_deployment_hook",
    "async_post_call_response_headers_hook",
    "async_post_call_success_deployment_hook",
    "async_logging_hook",
    "logging_hook",
}


def test_litellm_finds_the_hooks_on_the_class_itself() -> None:
    assert issubclass(ImageAnalysis, CustomLogger)
    assert vars(ImageAnalysis).keys() >= HOOKS
    assert {name for name in vars(ImageAnalysis) if name in vars(CustomLogger) and "hook" in name} == HOOKS


def test_it_has_defaults() -> None:
    assert ImageAnalysis().config == ImageAnalysisConfig()


@pytest.mark.parametrize("call_type", ["aembedding", "atext_completion", "acreate_batch", "pass_through_endpoint"])
async def test_call_types_it_does_not_serve_pass_untouched(call_type: str) -> None:
    data: dict[str, Any] = {"model": "deepseek-chat-ocr", "ocr_model": "x", "messages": []}
    before = dict(data)
    caller = UserAPIKeyAuth(api_key="sk-a")
    assert await ImageAnalysis().async_pre_call_hook(caller, None, data, call_type) is None
    assert data == before


PASSED_THROUGH = """
embedding completion text_completion image_generation image_edit moderation transcription speech rerank search
decisions systemone create_batch retrieve_batch cancel_batch pass_through_endpoint responses generate_content
generate_content_stream ocr ingest query call_mcp_tool list_mcp_tools send_message create_skill realtime
responses_websocket anthropic_messages get_assistants create_assistants delete_assistant create_thread get_thread
_add_message add_message get_messages run_thread run_thread_stream file_retrieve file_delete file_list create_file
file_content create_fine_tuning_job create_video video_generation video_retrieve video_content video_remix video_list
video_retrieve_job video_delete video_create_character video_get_character video_edit video_extension
vector_store_file_create vector_store_file_list vector_store_file_retrieve vector_store_file_content
vector_store_file_update vector_store_file_delete vector_store_create vector_store_search create_interaction
create_container list_containers retrieve_container delete_container list_container_files upload_container_file
create_sandbox delete_sandbox run_code code_interpreter_tool cancel_fine_tuning_job list_fine_tuning_jobs
retrieve_fine_tuning_job list_input_items llm_passthrough_route
""".split()  # noqa: SIM905 - a hundred names read better without quotes


@pytest.mark.parametrize("call_type", [call_type.value for call_type in CallTypes])
def test_every_call_type_of_litellm_is_served_or_knowingly_passed_through(call_type: str) -> None:
    """A new one in a later LiteLLM fails here instead of slipping by with its images."""
    known = {*PASSED_THROUGH, *(f"a{name}" for name in PASSED_THROUGH), *(f"_a{name}" for name in PASSED_THROUGH)}
    assert call_type in plugin.DIALECTS or call_type in known


@pytest.mark.parametrize("call_type", [None, CallTypes.aembedding])
async def test_library_calls_it_does_not_serve_pass_untouched(call_type: CallTypes | None) -> None:
    kwargs = {"model": "m-ocr", "messages": []}
    assert await ImageAnalysis().async_pre_call_deployment_hook(kwargs, call_type) is None


class TestAttach:
    def test_a_router_gets_the_suffixed_names_and_litellm_the_callback_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(litellm, "callbacks", [])
        first, second = router_of(deployment("deepseek-chat")), router_of(deployment("other-chat"))
        analysis = ImageAnalysis()
        assert analysis.attach(first).attach(second) is analysis
        assert litellm.callbacks == [analysis]
        assert list(first.model_group_alias) == ["deepseek-chat-ocr"]
        assert list(second.model_group_alias) == ["other-chat-ocr"]

    def test_without_a_suffix_it_gets_no_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(litellm, "callbacks", [])
        router = router_of(deployment("deepseek-chat"))
        ImageAnalysis(ImageAnalysisConfig(suffix=None)).attach(router)
        assert list(router.model_group_alias) == []


class TestGenerateContent:
    NOTED: ClassVar[dict[str, Any]] = {"model_group": "deepseek-chat", "model_info": {"id": "1"}}

    async def called(self, metadata: dict[str, Any], call_type: CallTypes) -> dict[str, Any] | None:
        kwargs = {"metadata": metadata, "litellm_metadata": self.NOTED}
        return await ImageAnalysis().async_pre_call_deployment_hook(kwargs, call_type)

    @pytest.mark.parametrize("call_type", [CallTypes.agenerate_content, CallTypes.agenerate_content_stream])
    async def test_an_analysed_request_s_call_is_told_its_deployment(self, call_type: CallTypes) -> None:
        data: dict[str, Any] = {"metadata": {"user_api_key": "hashed"}}
        spend.record(data, Report("eyes"))
        kwargs = await self.called(data["metadata"], call_type)
        assert kwargs is not None
        assert kwargs["metadata"].items() >= {"user_api_key": "hashed", **self.NOTED}.items()

    async def test_other_calls_are_left_alone(self) -> None:
        assert await self.called({"user_api_key": "hashed"}, CallTypes.agenerate_content) is None


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``callback_settings.image_analysis`` as LiteLLM sets it."""
    settings: dict[str, Any] = {}
    monkeypatch.setattr(litellm, "callback_settings", {"image_analysis": settings})
    return settings


@pytest.fixture
def last_words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be written when the process ends."""
    words: list[str] = []
    monkeypatch.setattr(startup, "announce_at_exit", words.append)
    return words


def test_a_program_gets_the_instance_with_litellm_s_settings(settings: dict[str, Any]) -> None:
    settings["vision_model"] = "some-vision"
    assert plugin.from_proxy_settings().config.vision_model == "some-vision"


def test_without_settings_it_has_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "callback_settings", None)
    assert plugin.from_proxy_settings().config == ImageAnalysisConfig()


def test_a_program_with_wrong_settings_gets_the_error_and_no_last_words(
    settings: dict[str, Any], last_words: list[str]
) -> None:
    settings["vison_model"] = "x"
    with pytest.raises(ConfigError, match="did you mean vision_model"):
        plugin.from_proxy_settings()
    assert last_words == []


async def test_a_proxy_with_wrong_settings_says_so_once_more_when_it_ends(
    settings: dict[str, Any], last_words: list[str]
) -> None:
    settings["vison_model"] = "x"
    with pytest.raises(ConfigError) as raised:
        plugin.from_proxy_settings()
    assert last_words == [str(raised.value)]


@pytest.fixture
async def background(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[set[asyncio.Task[None]]]:
    """What a proxy was told to do in the background, which ends with the test; nothing in it waits."""
    tasks: set[asyncio.Task[None]] = set()
    monkeypatch.setattr(plugin, "_in_background", tasks)
    monkeypatch.setattr(plugin, "_WATCH_SECONDS", 0.0)
    monkeypatch.setattr(startup, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(journal, "show_requests", lambda: None)
    monkeypatch.setattr(litellm, "callbacks", [])
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def a_few_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def limits_are_up(proxy_module: ModuleType) -> None:
    hooks = {"parallel_request_limiter": object()}
    vars(proxy_module).update(proxy_logging_obj=SimpleNamespace(proxy_hook_mapping=hooks))


@pytest.mark.usefixtures("background")
class TestAProxyThatStarts:
    async def test_it_checks_its_vision_model_once_it_is_up(
        self, settings: dict[str, Any], proxy_module: ModuleType, caplog: pytest.LogCaptureFixture
    ) -> None:
        router = router_of(deployment("deepseek-chat"))
        settings["vision_model"] = "some-vision"
        plugin.from_proxy_settings()
        await a_few_turns()
        assert caplog.messages == []
        vars(proxy_module).update(llm_router=router)
        await a_few_turns()
        assert caplog.messages == [access.unserved_default("some-vision", router)]

    @pytest.mark.parametrize(
        ("given", "names"),
        [
            ({}, ["deepseek-chat-ocr"]),
            ({"suffix": "+eyes"}, ["deepseek-chat+eyes"]),
            ({"suffix": None}, []),
            ({"advertise": False}, []),
            ({"advertise": False, "suffix": "+eyes"}, []),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("with_limits", [False, True])
    async def test_it_advertises_its_suffix_if_it_is_to(
        self,
        settings: dict[str, Any],
        proxy_module: ModuleType,
        given: dict[str, Any],
        names: list[str],
        with_limits: bool,
    ) -> None:
        settings.update(given)
        if with_limits:
            limits_are_up(proxy_module)
        plugin.from_proxy_settings()
        await a_few_turns()
        router = router_of(deployment("deepseek-chat"))
        vars(proxy_module).update(llm_router=router)
        await a_few_turns()
        assert list(router.model_group_alias) == names

    async def test_it_advertises_again_after_aliases_were_replaced(
        self, settings: dict[str, Any], proxy_module: ModuleType
    ) -> None:
        del settings
        router = router_of(deployment("deepseek-chat"))
        vars(proxy_module).update(llm_router=router)
        limits_are_up(proxy_module)
        plugin.from_proxy_settings()
        await a_few_turns()
        router.model_group_alias = {"chat": "deepseek-chat"}
        await a_few_turns()
        assert {"chat", "deepseek-chat-ocr"} <= set(router.model_group_alias)

    async def test_it_advertises_with_a_new_router_too(
        self, settings: dict[str, Any], proxy_module: ModuleType
    ) -> None:
        del settings
        later = router_of(deployment("newcomer"))
        vars(proxy_module).update(llm_router=router_of(deployment("deepseek-chat")))
        limits_are_up(proxy_module)
        plugin.from_proxy_settings()
        await a_few_turns()
        vars(proxy_module).update(llm_router=None)
        await a_few_turns()
        vars(proxy_module).update(llm_router=later)
        await a_few_turns()
        assert list(later.model_group_alias) == ["newcomer-ocr"]

    async def test_a_bug_does_not_end_its_watch(
        self,
        settings: dict[str, Any],
        proxy_module: ModuleType,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        del settings
        monkeypatch.setattr(plugin, "_SECONDS_AFTER_A_BUG", 0.0)
        bugs, secret = iter(range(3)), "SECRET"

        def advertise_at_last(router: Router, suffix: str) -> None:
            if next(bugs, None) is not None:
                raise ValueError(secret)
            advertise(router, suffix)

        monkeypatch.setattr(plugin, "advertise", advertise_at_last)
        router = router_of(deployment("deepseek-chat"), deployment("gpt-4o-mini"))
        vars(proxy_module).update(llm_router=router)
        limits_are_up(proxy_module)
        plugin.from_proxy_settings()
        await a_few_turns()
        assert list(router.model_group_alias) == ["deepseek-chat-ocr", "gpt-4o-mini-ocr"]
        assert [message.splitlines()[0] for message in caplog.messages] == [
            "image analysis: a bug of its own while waiting for the proxy:",
            *["image analysis: a bug of its own while keeping names and place:"] * 2,
        ]
        assert secret not in caplog.text

    async def test_a_router_that_comes_late_is_not_missed(
        self, settings: dict[str, Any], proxy_module: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del settings
        monkeypatch.setattr(startup, "_STARTUP_SECONDS", 0.0)
        plugin.from_proxy_settings()
        await a_few_turns()
        router = router_of(deployment("deepseek-chat"))
        vars(proxy_module).update(llm_router=router)
        await a_few_turns()
        assert list(router.model_group_alias) == ["deepseek-chat-ocr"]

    async def test_wrong_settings_start_nothing(
        self, settings: dict[str, Any], last_words: list[str], background: set[asyncio.Task[None]]
    ) -> None:
        settings["vison_model"] = "x"
        with pytest.raises(ConfigError):
            plugin.from_proxy_settings()
        assert last_words
        assert background == set()

    def test_a_program_starts_nothing(self, settings: dict[str, Any], background: set[asyncio.Task[None]]) -> None:
        del settings
        plugin.from_proxy_settings()
        assert background == set()
