"""The calls of a program that are served."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from litellm.router import Router
from support.images import data_uri, image, message, text

from litellm_image_analysis.analysis.report import Report
from litellm_image_analysis.billing import total
from litellm_image_analysis.billing.request_state import load_state
from litellm_image_analysis.config import ImageAnalysisConfig
from litellm_image_analysis.engine.analyzer import Analyzer
from litellm_image_analysis.errors import AttemptError, RequestError
from litellm_image_analysis.request import chat
from litellm_image_analysis.request.activation import Mode
from litellm_image_analysis.sdk import library as library_module
from litellm_image_analysis.sdk.library import Library

CONFIG = ImageAnalysisConfig(max_image_parts=1)
TWO_IMAGES = [message(text("?"), image("a"), image("b"))]
NO_IMAGE = [message(text("?"))]

pytestmark = pytest.mark.usefixtures("proxy_module")  # no router, even if other tests had a proxy


def library(router: Router | None = None) -> Library:
    return Library(CONFIG, Analyzer(CONFIG), lambda: None, router)


async def taken(call_type: str = "acompletion", router: Router | None = None, **kwargs: Any) -> dict[str, Any] | None:
    return await library(router).before_call(kwargs, call_type)


class TestDirectCalls:
    async def test_what_asks_for_nothing_is_left_alone(self) -> None:
        assert await taken(model="openai/blind", messages=TWO_IMAGES) is None

    @pytest.mark.parametrize("call_type", ["", "aembedding", "completion"])
    async def test_what_is_no_conversation_is_left_alone(self, call_type: str) -> None:
        assert await taken(call_type, model="openai/blind-ocr", messages=TWO_IMAGES) is None

    @pytest.mark.parametrize("call_type", ["acompletion", "anthropic_messages"])
    async def test_a_suffix_goes_and_a_report_is_noted_where_litellm_s_own_notes_are(self, call_type: str) -> None:
        request = await taken(call_type, model="openai/blind-ocr", messages=NO_IMAGE)
        bucket = "metadata" if call_type == "acompletion" else "litellm_metadata"
        assert request is not None
        assert request.keys() == {"model", "messages", bucket}
        assert request["model"] == "openai/blind"
        assert load_state(request).report == Report("gpt-4o-mini")
        assert total.get_cost(request) is not None

    async def test_false_goes_too(self) -> None:
        request = await taken(model="openai/blind-ocr", messages=TWO_IMAGES, ocr_model=False)
        assert request == {"model": "openai/blind", "messages": TWO_IMAGES}
        request = await taken(model="openai/blind", messages=TWO_IMAGES, ocr_model=False)
        assert request == {"model": "openai/blind", "messages": TWO_IMAGES}

    async def test_a_wrong_parameter_is_told(self) -> None:
        with pytest.raises(RequestError, match="ocr_model: it must be the name of a vision model"):
            await taken(model="openai/blind", messages=NO_IMAGE, ocr_model="")

    async def test_limits_hold_on_every_route(self) -> None:
        item = {"role": "user", "content": [{"type": "input_image", "image_url": data_uri(mark)} for mark in "ab"]}
        with pytest.raises(RequestError, match="max_image_parts"):
            await taken("aresponses", model="openai/blind-ocr", input=[item])

    async def test_a_call_that_was_served_already_is_left_alone(self) -> None:
        """LiteLLM translates a call of Anthropic's API to a call of the Responses API, and hooks see both."""
        served = await taken("anthropic_messages", model="openai/blind-ocr", messages=NO_IMAGE)
        assert served is not None
        assert await taken("aresponses", **{**served, "model": "openai/scan-ocr", "input": []}) is None


class TestPositional:
    @pytest.mark.parametrize("asked", [{"name": "openai/blind-ocr"}, {"name": "openai/blind", "ocr_model": "eyes"}])
    async def test_analysis_of_what_hooks_do_not_see_is_refused(self, asked: dict[str, Any]) -> None:
        logging_obj = SimpleNamespace(model=asked.pop("name"))
        with pytest.raises(RequestError, match="pass model and messages by name") as caught:
            await taken(litellm_logging_obj=logging_obj, **asked)
        assert caught.value.code == "positional_arguments"

    @pytest.mark.parametrize("named", ["openai/blind", None])
    async def test_anything_else_goes_its_way(self, named: str | None) -> None:
        assert await taken(litellm_logging_obj=SimpleNamespace(model=named)) is None


class TestRouter:
    UNATTACHED: ClassVar[dict[str, Any]] = {"model": "openai/scan-ocr", "metadata": {"model_group": "scanner-ocr"}}

    async def test_calls_of_one_that_was_not_attached_are_left_alone(self) -> None:
        assert await taken(messages=TWO_IMAGES, **self.UNATTACHED) is None

    async def test_analysis_that_one_is_asked_for_which_was_not_attached_is_an_error_that_says_how(self) -> None:
        with pytest.raises(RequestError, match=r"Call ImageAnalysis\(\)\.attach\(router\) once") as caught:
            await taken(messages=TWO_IMAGES, **self.UNATTACHED, ocr_model="eyes")
        assert caught.value.code == "router_not_attached"
        request = await taken(messages=TWO_IMAGES, **self.UNATTACHED, ocr_model=False)
        assert request == {"messages": TWO_IMAGES, **self.UNATTACHED}

    async def test_a_proxy_s_calls_were_settled_before(self, proxy_module: ModuleType, router: Router) -> None:
        vars(proxy_module)["llm_router"] = router
        assert await taken(messages=TWO_IMAGES, **self.UNATTACHED, ocr_model="eyes") is None

    async def test_what_it_was_asked_for_holds_for_what_it_falls_back_to(self, router: Router) -> None:
        notes = {"model_group": "gpt-4o-mini", "original_model_group": "deepseek-chat-ocr", "attempted_fallbacks": 1}
        request = await taken(router=router, model="openai/gpt-4o-mini", messages=NO_IMAGE, metadata=notes)
        assert request is not None
        assert load_state(request).report == Report("gpt-4o-mini")

    async def test_the_deployment_is_not_to_blame_for_what_went_wrong(self, router: Router) -> None:
        notes = {"model_group": "deepseek-chat-ocr"}
        with pytest.raises(AttemptError, match="max_image_parts") as caught:
            await taken(router=router, model="openai/blind", messages=TWO_IMAGES, metadata=notes)
        assert caught.value.status_code == 424
        assert caught.value.reason.code == "too_many_images"

    @pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
    async def test_an_attached_one_s_are_asked_for_under_the_group_s_name(self, router: Router, bucket: str) -> None:
        kwargs: dict[str, Any] = {"model": "openai/scan-ocr", bucket: {"model_group": "deepseek-chat-ocr"}}
        request = await taken(router=router, messages=NO_IMAGE, **kwargs)
        assert request is not None
        assert request["model"] == "openai/scan-ocr"
        assert load_state(request).report == Report("gpt-4o-mini")
        assert load_state(kwargs).report is None

    async def test_a_group_whose_real_name_ends_so_is_not_asked_for_analysis(self, router: Router) -> None:
        request = await taken(router=router, model="x", messages=NO_IMAGE, metadata={"model_group": "scan-ocr"})
        assert request is None

    async def test_a_vision_model_it_does_not_serve_is_told(self, router: Router) -> None:
        kwargs: dict[str, Any] = {"model": "x", "metadata": {"model_group": "deepseek-chat"}, "ocr_model": "ears"}
        with pytest.raises(RequestError, match="the attached router serves no model 'ears'"):
            await taken(router=router, messages=NO_IMAGE, **kwargs)


class TestNotAsked:
    BLIND: ClassVar[dict[str, Any]] = {"model": "openai/blind", "model_info": {"supports_vision": False}}

    async def due(self, mode: Mode = "auto", **kwargs: Any) -> bool:
        """Whether analysis has begun. The request has too many images, which then is an error."""
        config = CONFIG.model_copy(update={"mode": mode})
        served = Library(config, Analyzer(config), lambda: None)
        try:
            assert await served.before_call({"messages": TWO_IMAGES, **kwargs}, "acompletion") in (None, kwargs)
        except RequestError as error:
            return error.code == "too_many_images"
        return False

    async def test_a_blind_deployment_s_images_are_analysed(self) -> None:
        assert await self.due(**self.BLIND)
        assert not await self.due("on_request", **self.BLIND)
        assert not await self.due(model="openai/sees", model_info={"supports_vision": True})
        assert not await self.due(model="openai/nobody-knows")

    @pytest.mark.parametrize("limits", [{"max_messages": 1}, {"max_nesting_depth": 3}])
    async def test_the_limits_of_a_request_s_shape_hold(self, limits: dict[str, int]) -> None:
        config = CONFIG.model_copy(update={"mode": "auto", **limits})
        with pytest.raises(RequestError, match=next(iter(limits))):
            await Library(config, Analyzer(config), lambda: None).before_call(
                {**self.BLIND, "messages": [message(text("?")), *TWO_IMAGES]}, "acompletion"
            )

    async def test_a_request_is_searched_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        search = Mock(wraps=chat.find)
        monkeypatch.setattr(chat, "find", search)
        assert await self.due(**self.BLIND)
        assert search.call_count == 1

    async def test_a_router_need_not_be_attached(self) -> None:
        assert await self.due(**self.BLIND, metadata={"model_group": "blind"})

    async def test_a_request_without_images_is_left_alone(self) -> None:
        assert await self.due(**self.BLIND) is True
        assert await self.due(**{**self.BLIND, "messages": NO_IMAGE}) is False

    async def test_who_says_false_means_it(self) -> None:
        config = ImageAnalysisConfig(mode="auto", max_image_parts=1)
        served = Library(config, Analyzer(config), lambda: None)
        kwargs = {**self.BLIND, "messages": TWO_IMAGES}
        assert await served.before_call({**kwargs, "ocr_model": False}, "acompletion") == kwargs


class TestAfterwards:
    async def test_only_the_call_that_was_billed_shows_the_total(self) -> None:
        request = await taken("anthropic_messages", model="openai/blind-ocr", messages=NO_IMAGE)
        assert request is not None
        nested, answer = dict[str, Any](), dict[str, Any]()
        library_module.after_call(request, nested, "aresponses")
        library_module.after_call(request, answer, "anthropic_messages")
        assert nested == {}
        assert "image_analysis" in answer["_hidden_params"]

    def test_a_call_that_was_not_billed_shows_nothing(self) -> None:
        answer = dict[str, Any]()
        library_module.after_call({"metadata": {}}, answer, "acompletion")
        assert answer == {}


class TestAskingByParameter:
    """An attached Router's call by suffix becomes a call by ``ocr_model``."""

    @staticmethod
    def asked(router: Router, **arguments: Any) -> dict[str, Any]:
        return library(router).ask_by_parameter(router, arguments)

    @pytest.mark.parametrize("name", ["deepseek-chat", "chat", "hidden", "openai/anything", "scan-ocr", "chats"])
    def test_a_suffix_becomes_the_parameter(self, router: Router, name: str) -> None:
        asked = self.asked(router, model=f"{name}-ocr", messages=TWO_IMAGES, user="u")
        assert asked == {"model": name, "messages": TWO_IMAGES, "user": "u", "ocr_model": "gpt-4o-mini"}

    @pytest.mark.parametrize("ocr_model", ["eyes", False, None, 3])
    def test_a_parameter_beside_the_suffix_says_more(self, router: Router, ocr_model: object) -> None:
        asked = self.asked(router, model="deepseek-chat-ocr", messages=TWO_IMAGES, ocr_model=ocr_model)
        assert asked == {"model": "deepseek-chat", "messages": TWO_IMAGES, "ocr_model": ocr_model}

    @pytest.mark.parametrize("arguments", [{"model": "deepseek-chat"}, {"model": "scan-ocr"}, {"model": 3}, {}])
    def test_a_call_without_a_suffix_stays_as_it_is(self, router: Router, arguments: dict[str, Any]) -> None:
        assert self.asked(router, **arguments) == arguments
