"""The plugin's class, as LiteLLM uses it."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth
from litellm.types.utils import CallTypes
from support.routers import deployment, router_of

from litellm_image_analysis import (
    CacheConfig,
    ConfigError,
    ImageAnalysis,
    ImageAnalysisConfig,
    RequestError,
    plugin,
)
from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import metadata
from litellm_image_analysis.proxy.late_hook import LateHook

HOOKS = {
    "async_pre_call_hook": "a proxy's request is admitted, and its images are replaced",
    "async_pre_call_deployment_hook": "the images of a program's call, and of a deployment that takes none",
    "async_filter_deployments": "a vision call stays in its caller's region",
    "log_pre_api_call": "a vision call that reached a provider is told from one that did not",
    "async_post_call_success_deployment_hook": "the cost of a call, before LiteLLM makes headers of it",
    "async_post_call_response_headers_hook": "the response headers",
    "async_post_call_failure_hook": "the response headers of an error on /v1/messages",
    "async_logging_hook": "other loggers see the price of the call itself",
    "logging_hook": "the same for those in a thread",
    "async_log_success_event": "the cost of a program's stream, which is known at its end",
}
"""All that LiteLLM finds on the class, and why it is there.

LiteLLM calls each for every request of a gateway, also for those without images: a new one has to be worth that.
"""


def overridden(callback: type[CustomLogger]) -> set[str]:
    """The names of ``CustomLogger`` that a class defines itself."""
    return {name for name in vars(callback) if hasattr(CustomLogger, name) and not name.startswith("__")}


def test_litellm_finds_these_hooks_and_no_others_on_the_class_itself() -> None:
    assert issubclass(ImageAnalysis, CustomLogger)
    assert overridden(ImageAnalysis) == HOOKS.keys()
    assert overridden(LateHook) == {"async_pre_call_hook"}


def test_it_has_defaults() -> None:
    assert ImageAnalysis().config == ImageAnalysisConfig()


@pytest.mark.parametrize("call_type", ["aembedding", "atext_completion", "acreate_batch", "pass_through_endpoint"])
@pytest.mark.usefixtures("proxy_module")  # no router knows the name
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
get_responses delete_responses cancel_responses compact_responses
extraction create_realtime_client_secret create_realtime_transcription_session realtime_calls
create_realtime_translation_client_secret realtime_translation_calls
""".split()  # noqa: SIM905 - a hundred names are easier to read without quotes


@pytest.mark.parametrize("call_type", [call_type.value for call_type in CallTypes])
def test_every_call_type_of_litellm_is_served_or_knowingly_passed_through(call_type: str) -> None:
    """A new call type in a later LiteLLM fails here, so that it is not passed through unnoticed with its images."""
    known = {*PASSED_THROUGH, *(f"a{name}" for name in PASSED_THROUGH), *(f"_a{name}" for name in PASSED_THROUGH)}
    assert call_type in plugin.WIRE_FORMATS or call_type in known


@pytest.mark.parametrize("call_type", [None, CallTypes.aembedding])
async def test_library_calls_it_does_not_serve_pass_untouched(call_type: CallTypes | None) -> None:
    kwargs = {"model": "m-ocr", "messages": []}
    assert await ImageAnalysis().async_pre_call_deployment_hook(kwargs, call_type) is None


class TestSettings:
    def test_single_settings_are_given_by_name(self) -> None:
        assert ImageAnalysis(vision_model="eyes").config == ImageAnalysisConfig(vision_model="eyes")

    def test_a_misspelt_one_is_told_the_nearest(self) -> None:
        with pytest.raises(ConfigError, match=r"ImageAnalysisConfig\.vison_model: .* did you mean vision_model"):
            ImageAnalysis(vison_model="eyes")  # type: ignore[call-arg]

    def test_both_ways_at_once_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="got config and mode, suffix; pass only one of them"):
            ImageAnalysis(ImageAnalysisConfig(), mode="auto", suffix=None)

    @pytest.mark.parametrize("config", ["gpt-4o-mini", {"redis_url": "redis://:SECRET@host"}, CacheConfig()])
    def test_another_object_is_no_config(self, config: Any) -> None:
        with pytest.raises(ConfigError, match="as config; it must be an ImageAnalysisConfig") as caught:
            ImageAnalysis(config)
        assert "SECRET" not in str(caught.value)

    @pytest.mark.parametrize("router", [[{"api_key": "SECRET"}], "router"])
    def test_another_object_is_no_router(self, router: Any) -> None:
        expected = pytest.raises(ConfigError, match=r"as router; it must be a litellm\.Router")
        with expected as caught:
            ImageAnalysis(router=router)
        assert "SECRET" not in str(caught.value)
        with expected:
            ImageAnalysis().attach(router)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"messages": "What is it?"}, "messages: got str; it must be a list"),
        ({"messages": [], "vision_model": 5}, "vision_model: got int; it must be a str"),
    ],
)
async def test_what_cannot_be_rewritten_is_refused(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        await ImageAnalysis().rewrite(**arguments)


async def test_a_flush_of_no_scope_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'research' as scope"):
        await ImageAnalysis().flush_cache("research")


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
        metadata.save_report(data, Report("eyes"))
        kwargs = await self.called(data["metadata"], call_type)
        assert kwargs is not None
        assert kwargs["metadata"].items() >= {"user_api_key": "hashed", **self.NOTED}.items()

    async def test_other_calls_are_left_alone(self) -> None:
        assert await self.called({"user_api_key": "hashed"}, CallTypes.agenerate_content) is None


async def test_a_crowd_of_requests_that_ask_begins_sixteen_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    in_each_turn: list[int] = []

    async def admit(data: dict[str, Any], *_: Any) -> None:
        begun.append(data["number"])

    async def watch() -> None:
        while len(begun) < 100:
            seen = len(begun)
            await asyncio.sleep(0)
            in_each_turn.append(len(begun) - seen)

    monkeypatch.setattr("litellm_image_analysis.plugin.admission.admit", admit)
    plugin, caller = ImageAnalysis(), UserAPIKeyAuth(api_key="sk-a")
    requests = [{"model": "a-ocr", "messages": [], "number": number} for number in range(100)]
    hooks = (plugin.async_pre_call_hook(caller, None, data, "acompletion") for data in requests)
    await asyncio.gather(watch(), *hooks)
    assert begun == list(range(100))
    assert max(in_each_turn) <= 16
