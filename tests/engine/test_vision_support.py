"""Deployments that count as text-only, and the message to the operator about unknown ones."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import litellm
import pytest
from litellm.router import Router
from support.routers import deployment, router_of

from litellm_image_analysis.engine import vision_support
from litellm_image_analysis.request.activation import Mode


@pytest.fixture(autouse=True)
def nothing_was_told() -> None:
    vision_support._told.clear()


@pytest.mark.parametrize("model", ["openai/o3-mini", "o3-mini", "azure/o1-mini", "azure_ai/Phi-4"])
def test_litellm_s_cost_map_says_false(model: str) -> None:
    assert vision_support.accepts_images(model, {}) is False


@pytest.mark.parametrize("model", ["gpt-4o-mini", "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"])
def test_litellm_s_cost_map_says_true(model: str) -> None:
    assert vision_support.accepts_images(model, {}) is True


@pytest.mark.parametrize("model", ["openai/unheard-of", "no-provider-has-this", "", "deepseek/deepseek-chat"])
def test_nobody_says(model: str) -> None:
    assert vision_support.accepts_images(model, {}) is None


def test_the_deployment_s_own_word_goes_first_then_its_base_model_s() -> None:
    assert vision_support.accepts_images("gpt-4o-mini", {"supports_vision": False}) is False
    assert vision_support.accepts_images("o3-mini", {"supports_vision": True, "base_model": "o3-mini"}) is True
    assert vision_support.accepts_images("azure/my-deployment", {"base_model": "azure/o1-mini"}) is False
    assert vision_support.accepts_images("o3-mini", {"supports_vision": "no"}) is False


class TestFiles:
    """The files that a model is known to accept."""

    @pytest.mark.parametrize(
        ("model", "model_info", "kinds"),
        [
            ("anthropic/claude-sonnet-4-5", {}, ["document"]),
            ("o3-mini", {}, []),
            ("openai/unheard-of", {"supports_video_input": True}, ["video"]),
            ("anthropic/claude-sonnet-4-5", {"supports_pdf_input": False}, []),
        ],
    )
    def test_the_deployment_s_own_word_goes_first_then_the_cost_map_s(
        self, model: str, model_info: dict[str, Any], kinds: list[str]
    ) -> None:
        assert vision_support.accepted_files({"model": model, "model_info": model_info}) == kinds

    def test_all_deployments_of_a_group_must_take_them(self) -> None:
        def deployment(name: str, model: str, **info: Any) -> dict[str, Any]:
            return {"model_name": name, "litellm_params": {"model": f"openai/{model}"}, "model_info": info}

        takes = {"supports_pdf_input": True}
        router = Router(
            model_list=[
                deployment("both", "x1", **takes),
                deployment("both", "x2", **takes),
                deployment("one", "x1", **takes),
                deployment("one", "x3"),
            ]
        )
        kinds = partial(vision_support.accepted_files_of_group, router, team_id=None)
        assert kinds("both") == ["document"]
        assert kinds("one") == []
        assert kinds("both,both") == ["document"]
        assert kinds("both, one") == []
        assert kinds("anthropic/claude-sonnet-4-5") == ["document"]  # no deployment serves it
        assert kinds(None) == []
        assert vision_support.accepted_files_of_group(None, "anthropic/claude-sonnet-4-5", None) == ["document"]


def test_the_provider_s_entry_goes_before_one_without_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        litellm, "model_cost", {"groq/x": {"supports_vision": False}, "x": {"supports_vision": True}, "groq/y": {}}
    )
    assert vision_support.accepts_images("groq/x", {}) is False
    assert vision_support.accepts_images("openai/x", {}) is True
    assert vision_support.accepts_images("groq/y", {}) is None


BLIND: dict[str, Any] = {"supports_vision": False}
SEEING: dict[str, Any] = {"supports_vision": True}


@pytest.mark.parametrize(
    ("mode", "model_info", "needs"),
    [
        ("auto", BLIND, True),
        ("auto", SEEING, False),
        ("auto", {}, False),
        ("on_request", BLIND, False),
        ("on_request", {**BLIND, "image_analysis": "auto"}, True),
        ("on_request", {**SEEING, "image_analysis": "auto"}, False),
        ("on_request", {**SEEING, "image_analysis": "always"}, True),
        ("auto", {"image_analysis": "always"}, True),
        ("auto", {**BLIND, "image_analysis": "never"}, False),
        ("auto", {**BLIND, "image_analysis": None}, True),
        ("auto", {**BLIND, "image_analysis": "sometimes"}, True),
        ("on_request", {**BLIND, "image_analysis": []}, False),
    ],
)
@pytest.mark.parametrize("place", ["itself", "metadata", "litellm_metadata"])
def test_what_a_deployment_says_goes_before_the_mode(
    mode: Mode, model_info: dict[str, Any], needs: bool, place: str
) -> None:
    kwargs = {"model_info": model_info} if place == "itself" else {place: {"model_info": model_info}}
    call = {"model": "openai/unheard-of", **kwargs}
    assert vision_support.should_analyze(call, mode) is needs
    assert vision_support.may_be_due(call, mode) or not needs


@pytest.mark.parametrize(
    ("mode", "model_info", "may_be_due"),
    [
        ("on_request", {}, False),
        ("on_request", {"image_analysis": "never"}, False),
        ("auto", {"image_analysis": "never"}, False),
        ("auto", SEEING, False),
        ("auto", BLIND, True),
        ("auto", {}, True),
        ("on_request", {"image_analysis": "auto"}, True),
        ("on_request", {"image_analysis": "always"}, True),
        ("on_request", {"image_analysis": "sometimes"}, False),
    ],
)
def test_most_calls_need_not_be_searched_for_images(mode: Mode, model_info: dict[str, Any], may_be_due: bool) -> None:
    assert vision_support.may_be_due({"model": "openai/unheard-of", "model_info": model_info}, mode) is may_be_due


class TestTheLog:
    def told(self, caplog: pytest.LogCaptureFixture, *calls: dict[str, Any], mode: Mode = "auto") -> list[str]:
        with caplog.at_level(logging.INFO, logger="LiteLLM.image_analysis"):
            for kwargs in calls:
                vision_support.should_analyze(kwargs, mode)
        assert all(record.levelno == logging.INFO for record in caplog.records)
        return [record.getMessage() for record in caplog.records]

    def test_each_unknown_model_is_told_once_with_what_to_do(self, caplog: pytest.LogCaptureFixture) -> None:
        first, second = {"model": "openai/one"}, {"model": "openai/two"}
        lines = self.told(caplog, first, first, second, first)
        assert [("openai/one" in line, "openai/two" in line) for line in lines] == [(True, False), (False, True)]
        assert "Set supports_vision: true or false, or image_analysis: always or never, in its model_info" in lines[0]

    def test_a_word_that_means_nothing_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        model_info = {**BLIND, "image_analysis": "sometimes"}
        lines = self.told(caplog, {"model": "openai/one", "model_info": model_info}, mode="on_request")
        assert lines == [
            "image analysis: model_info.image_analysis of model openai/one:"  # noqa: ISC004 - one line
            " it must be one of always, auto, never; it is ignored"
        ]

    @pytest.mark.parametrize("model_info", [{}, {**SEEING, "image_analysis": "sometimes"}])
    def test_a_name_with_a_line_break_stays_on_its_line(
        self, caplog: pytest.LogCaptureFixture, model_info: dict[str, Any]
    ) -> None:
        (line,) = self.told(caplog, {"model": "openai/one\nanother line", "model_info": model_info})
        assert r'model "openai/one\nanother line"' in line

    @pytest.mark.parametrize(("mode", "info"), [("on_request", {}), ("auto", BLIND), ("auto", SEEING)])
    def test_nothing_else_is(self, caplog: pytest.LogCaptureFixture, mode: Mode, info: dict[str, bool]) -> None:
        assert self.told(caplog, {"model": "openai/one", "model_info": info}, mode=mode) == []


FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


def analysed_everywhere(*deployments: dict[str, Any], name: str = "a", **settings: Any) -> bool:
    return vision_support.is_analysed_everywhere(router_of(*deployments, **settings), name, None, "auto")


def test_the_images_of_a_group_are_analysed_if_no_deployment_takes_them() -> None:
    assert analysed_everywhere(deployment("a", **BLIND), deployment("a", **BLIND), deployment("b", **SEEING))
    assert analysed_everywhere(deployment("a", **SEEING, image_analysis="always"))


@pytest.mark.parametrize("other", [SEEING, {}, {**BLIND, "image_analysis": "never"}])
def test_one_deployment_that_takes_them_or_is_not_known_decides_for_itself(other: dict[str, Any]) -> None:
    assert not analysed_everywhere(deployment("a", **BLIND), deployment("a", "openai/another", **other))


@pytest.mark.parametrize("key", ["a", "*"])
@pytest.mark.parametrize("kind", FALLBACKS)
def test_fallbacks_count_and_so_do_theirs(kind: str, key: str) -> None:
    blind = deployment("a", **BLIND), deployment("b", **BLIND)
    analysed: dict[str, Any] = {kind: [{key: ["b"]}, {"b": ["a"]}]}
    not_analysed: dict[str, Any] = {kind: [{key: ["b"]}, {"b": ["c"]}]}
    unknown: dict[str, Any] = {kind: [{key: ["unknown"]}]}
    assert analysed_everywhere(*blind, **analysed)
    assert not analysed_everywhere(*blind, deployment("c", **SEEING), **not_analysed)
    assert not analysed_everywhere(*blind, **unknown)


@pytest.mark.parametrize("name", ["unknown", "a,a", "openai/a"])
def test_of_other_names_nothing_is_said(name: str) -> None:
    assert not analysed_everywhere(deployment("a", **BLIND), deployment("openai/*", "openai/*", **SEEING), name=name)


def test_an_alias_is_its_target() -> None:
    assert analysed_everywhere(deployment("a", **BLIND), name="b", model_group_alias={"b": "a"})
    assert not analysed_everywhere(deployment("a", **SEEING), name="b", model_group_alias={"b": "a"})
