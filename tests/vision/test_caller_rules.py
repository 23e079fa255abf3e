"""The rules of a request that apply to its vision calls."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from litellm.proxy._types import UserAPIKeyAuth

from litellm_image_analysis.vision.caller_rules import NO_RULES, CallerRules, read_rules


def test_a_request_without_rules_has_none() -> None:
    assert read_rules({"model": "blind", "messages": []}) == NO_RULES


@pytest.mark.parametrize(
    ("data", "caller", "region"),
    [
        ({}, None, None),
        ({}, UserAPIKeyAuth(), None),
        ({}, UserAPIKeyAuth(allowed_model_region="eu"), "eu"),
        ({"allowed_model_region": "eu"}, None, "eu"),
        ({"allowed_model_region": "us"}, UserAPIKeyAuth(allowed_model_region="eu"), "eu"),
    ],
)
def test_the_region_of_the_key_counts_first(
    data: dict[str, Any], caller: UserAPIKeyAuth | None, region: str | None
) -> None:
    assert read_rules(data, caller).region == region


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        ({"timeout": 2}, 2),
        ({"timeout": 0.5, "request_timeout": 3}, 0.5),
        ({"timeout": "2.5"}, 2.5),
        ({"timeout": httpx.Timeout(4)}, 4),
        ({"timeout": httpx.Timeout(None)}, math.inf),
        ({"stream_timeout": 1}, math.inf),
        ({"stream_timeout": 1, "stream": True}, 1),
        ({"timeout": 0}, math.inf),
        ({"timeout": -1}, math.inf),
        ({"timeout": "soon"}, math.inf),
        ({"timeout": "nan"}, math.inf),
        ({"timeout": 10**400}, math.inf),
        ({"timeout": ["2"]}, math.inf),
    ],
)
def test_the_smallest_limit_for_the_time_holds(data: dict[str, Any], seconds: float) -> None:
    assert read_rules(data).timeout_seconds == seconds


@pytest.mark.parametrize(
    ("cache", "no_cache", "no_store"),
    [
        ({"no-cache": True}, True, False),
        ({"no-store": True}, False, True),
        ({"no-cache": "yes", "no-store": 1}, False, False),
        ("x", False, False),
        (None, False, False),
    ],
)
def test_cache_control(cache: object, no_cache: bool, no_store: bool) -> None:
    rules = read_rules({"cache": cache})
    assert (rules.no_cache, rules.no_store) == (no_cache, no_store)


@pytest.mark.parametrize(
    "arguments",
    [
        {"no-log": True},
        {"disable_fallbacks": True},
        {"turn_off_message_logging": True},
        {"litellm_disabled_callbacks": ["langfuse"]},
        {"langfuse_public_key": "pk"},
        {"litellm_trusted_callback_vars": {"dd_api_key": "of the team"}},
    ],
)
def test_settings_of_loggers_and_fallbacks_are_handed_on(arguments: dict[str, Any]) -> None:
    assert read_rules({"model": "blind", **arguments, "temperature": 1}).arguments == arguments


@pytest.mark.parametrize("arguments", [{"no-log": "no"}, {"no-log": False}, {"disable_fallbacks": False}])
def test_what_is_not_switched_on_is_not(arguments: dict[str, Any]) -> None:
    assert read_rules(arguments).arguments == {}


def test_a_logging_object_knows_settings_that_left_the_request() -> None:
    logging = SimpleNamespace(standard_callback_dynamic_params={"turn_off_message_logging": True})
    rules = read_rules({"litellm_logging_obj": logging})
    assert rules.arguments == {"turn_off_message_logging": True}
    assert rules.logging is logging


def test_they_are_not_copied_and_show_nothing() -> None:
    rules = CallerRules(arguments={"langfuse_secret": "SECRET"})
    assert copy.deepcopy(rules) is rules
    assert "SECRET" not in repr(rules)
