"""Activation: requests that ask for analysis, the vision model, and the model to call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import json_values

from litellm_image_analysis.request.activation import (
    NOT_GIVEN,
    PARAMETER,
    Activation,
    Active,
    Inactive,
    Invalid,
    decide,
)

DEFAULT = "gpt-4o-mini"

model_names = st.text(alphabet="ab-ocr, /", max_size=24) | st.lists(
    st.sampled_from(["a", "-ocr", "b", ",", " ", "x"]), max_size=6
).map("".join)


def decided(body: dict[str, Any], *, suffix: str | None = "-ocr", real_names: tuple[str, ...] = ()) -> Activation:
    parameter = body.get(PARAMETER, NOT_GIVEN)
    return decide(
        body.get("model"), parameter, suffix=suffix, vision_model=DEFAULT, is_real_name=real_names.__contains__
    )


def model_of(body: dict[str, Any], **kwargs: Any) -> Any:
    decision = decided(body, **kwargs)
    assert not isinstance(decision, Invalid)
    return decision.model


@pytest.mark.parametrize(
    ("body", "decision"),
    [
        ({"model": "deepseek"}, Inactive("deepseek")),
        ({"model": "deepseek-ocr"}, Active("deepseek", DEFAULT, chosen_by_caller=False)),
        ({"model": "deepseek", "ocr_model": "eyes"}, Active("deepseek", "eyes", chosen_by_caller=True)),
        ({"model": "deepseek-ocr", "ocr_model": "eyes"}, Active("deepseek", "eyes", chosen_by_caller=True)),
        ({"model": "deepseek", "ocr_model": DEFAULT}, Active("deepseek", DEFAULT, chosen_by_caller=True)),
        ({"model": "deepseek", "ocr_model": False}, Inactive("deepseek", is_refused=True)),
        ({"model": "deepseek-ocr", "ocr_model": False}, Inactive("deepseek", is_refused=True)),
        ({"ocr_model": "eyes"}, Active(None, "eyes", chosen_by_caller=True)),
        ({}, Inactive(None)),
    ],
)
def test_the_two_ways_to_ask(body: dict[str, Any], decision: Activation) -> None:
    assert decided(body) == decision


@pytest.mark.parametrize("model", ["deepseek", "deepseek-ocr"])
@pytest.mark.parametrize("value", [None, True, 5, 0, 1.5, [], ["eyes"], {}, "", "  "])
def test_an_ocr_model_that_is_no_name_is_invalid(model: str, value: object) -> None:
    decision = decided({"model": model, "ocr_model": value})
    assert isinstance(decision, Invalid)
    assert decision.problem.startswith("it must be the name of a vision model, or false for no image analysis; got ")


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (5, "a number"),
        ([], "a list"),
        (None, "null"),
        ({}, "an object"),
        ("", "an empty string"),
        (" ", "an empty string"),
        ("wild/\x00", "a name with invisible characters"),
        ("wild/\u202eeyes", "a name with invisible characters"),
        ("wild/" + "x" * 252, "a name of more than 256 characters"),
    ],
)
def test_the_problem_says_what_was_sent(value: object, seen: str) -> None:
    decision = decided({"model": "deepseek", "ocr_model": value})
    assert isinstance(decision, Invalid)
    assert decision.problem.endswith(f"; got {seen}.")


@pytest.mark.parametrize(
    ("model", "called"),
    [
        ("deepseek-ocr", "deepseek"),
        ("deepseek/deepseek-chat-ocr", "deepseek/deepseek-chat"),
        (" deepseek-ocr ", "deepseek"),
        ("deepseek-ocr-ocr", "deepseek"),
        ("deepseek-OCR", "deepseek-OCR"),
        ("deepseek-ocr-v2", "deepseek-ocr-v2"),
        ("my-ocr-model", "my-ocr-model"),
        ("-ocr", "-ocr"),
        ("-ocr-ocr", "-ocr"),
        ("", ""),
    ],
)
def test_the_suffix_is_taken_off_the_end_of_a_name(model: str, called: str) -> None:
    assert model_of({"model": model}) == called


@pytest.mark.parametrize(
    ("models", "called"),
    [
        ("a-ocr,b", "a,b"),
        ("a,b-ocr", "a,b"),
        ("a-ocr,b-ocr", "a,b"),
        ("a-ocr , b-ocr", "a,b"),
        ("-ocr,b-ocr", "-ocr,b"),
        ("a, b", "a, b"),
        ("my-ocr-model, b", "my-ocr-model, b"),
    ],
)
def test_the_suffix_is_taken_off_each_name_of_a_list(models: str, called: str) -> None:
    assert model_of({"model": models}) == called


@pytest.mark.parametrize(
    ("model", "real_name", "called"),
    [
        ("mistral-ocr", "mistral-ocr", "mistral-ocr"),
        ("mistral-ocr-ocr", "mistral-ocr", "mistral-ocr"),
        ("mistral-ocr,a-ocr", "mistral-ocr", "mistral-ocr,a"),
        ("a-ocr,b-ocr", "a-ocr,b-ocr", "a-ocr,b-ocr"),
    ],
)
def test_a_real_name_is_left_alone(model: str, real_name: str, called: str) -> None:
    assert model_of({"model": model}, real_names=(real_name,)) == called


def test_a_real_name_that_ends_in_the_suffix_asks_for_nothing() -> None:
    assert decided({"model": "mistral-ocr"}, real_names=("mistral-ocr",)) == Inactive("mistral-ocr")


def test_a_real_name_that_ends_in_the_suffix_can_still_be_given_eyes() -> None:
    decision = decided({"model": "mistral-ocr", "ocr_model": "eyes"}, real_names=("mistral-ocr",))
    assert decision == Active("mistral-ocr", "eyes", chosen_by_caller=True)


def test_the_suffix_can_be_another() -> None:
    assert decided({"model": "a+eyes"}, suffix="+eyes") == Active("a", DEFAULT, chosen_by_caller=False)
    assert decided({"model": "a-ocr"}, suffix="+eyes") == Inactive("a-ocr")


def test_without_a_suffix_only_the_parameter_asks() -> None:
    assert decided({"model": "a-ocr"}, suffix=None) == Inactive("a-ocr")
    assert decided({"model": "a-ocr", "ocr_model": "eyes"}, suffix=None) == Active(
        "a-ocr", "eyes", chosen_by_caller=True
    )


@pytest.mark.parametrize("model", [None, 5, True, ["a-ocr"], {"name": "a-ocr"}])
def test_a_model_that_is_no_string_is_handed_on(model: object) -> None:
    assert decided({"model": model}) == Inactive(model)


@given(model_names, st.lists(model_names, max_size=3))
def test_a_model_that_was_decided_on_stays_as_it_is(model: str, real_names: list[str]) -> None:
    once = model_of({"model": model}, real_names=tuple(real_names))
    assert model_of({"model": once}, real_names=tuple(real_names)) == once


@given(model_names, st.lists(model_names, max_size=3))
def test_no_suffix_is_left_unless_the_name_is_real_or_nothing_else(model: str, real_names: list[str]) -> None:
    called = model_of({"model": model}, real_names=tuple(real_names))
    names = [called] if called in real_names else [name.strip() for name in called.split(",")]
    assert [name for name in names if name.endswith("-ocr") and name != "-ocr" and name not in real_names] == []


def test_a_name_of_very_many_suffixes_is_not_read_to_its_end() -> None:
    """Each suffix costs a lookup and a copy of the name. 400 kB blocked the event loop for 10 s."""
    asked: list[str] = []
    decide(
        "deepseek" + "-ocr" * 10_000,
        suffix="-ocr",
        vision_model=DEFAULT,
        is_real_name=lambda name: bool(asked.append(name)),  # type: ignore[func-returns-value]
    )
    assert len(asked) < 200


@given(st.dictionaries(st.sampled_from(["model", "ocr_model"]), json_values))
def test_any_json_is_decided_on(body: dict[str, Any]) -> None:
    assert isinstance(decided(body), (Active, Inactive, Invalid))


@pytest.mark.parametrize("sent", ["gpt-4o-mini", " gpt-4o-mini ", "gpt-4o-mini-ocr"])
def test_the_vision_model_s_name_is_trimmed_and_loses_the_suffix_too(sent: str) -> None:
    decision = decided({"model": "deepseek", "ocr_model": sent})
    assert isinstance(decision, Active)
    assert decision.vision_model == "gpt-4o-mini"


def test_a_vision_model_whose_real_name_has_the_suffix_is_that_model() -> None:
    decision = decided({"model": "deepseek", "ocr_model": "scan-ocr"}, real_names=("scan-ocr",))
    assert isinstance(decision, Active)
    assert decision.vision_model == "scan-ocr"
