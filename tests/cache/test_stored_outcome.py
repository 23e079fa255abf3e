"""The stored form of outcomes, and which stored values are accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import json_values, texts

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.cache import stored_outcome

LONGEST = 100_000
KEY = "5f" * 32
GENERATION = "-:-"
CAT = Analysed("a cat")
NOW = 1_000_000.0

costs = st.none() | st.decimals(0, 10, places=6)
analyses = st.builds(
    Analysed, texts.filter(bool), truncated=st.booleans(), cost=costs, call_id=st.none() | texts, cached=st.booleans()
)
failures = st.builds(
    Failed,
    st.sampled_from(FailureReason),
    cost=costs,
    call_id=st.none() | texts,
    retry_after_seconds=st.none() | st.integers(0, 10**6),
)
outcomes = analyses | failures


@pytest.fixture(autouse=True, scope="module")
def clock() -> Iterator[SimpleNamespace]:
    """A clock that the test sets."""
    stopped = SimpleNamespace(time=lambda: NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_outcome, "time", stopped)
        yield stopped


def written(outcome: Outcome = CAT, ttl_seconds: float = 60) -> str:
    return stored_outcome.dump(KEY, outcome, GENERATION, ttl_seconds)


def read(value: str | bytes) -> Outcome | None:
    """The outcome alone."""
    found = stored_outcome.load(value, KEY, GENERATION, LONGEST)
    return found and found[0]


def changed(outcome: Outcome = CAT, **values: Any) -> str:
    """A record with other values in some fields."""
    return json.dumps({**json.loads(written(outcome)), **values})


@given(outcomes, texts, texts)
def test_any_outcome_is_read_as_it_was_written_for_whoever_did_not_pay(
    outcome: Outcome, key: str, generation: str
) -> None:
    value = stored_outcome.dump(key, outcome, generation, 60)
    for stored in (value, value.encode()):  # clients return bytes or text
        found = stored_outcome.load(stored, key, generation, LONGEST)
        assert found is not None
        assert found == (outcome.as_cached(), 60)


def test_a_reader_learns_neither_the_price_nor_the_call() -> None:
    paid = Analysed("a cat", cost=Decimal("0.25"), call_id="chatcmpl-1")
    assert read(written(paid)) == replace(paid, cost=Decimal(0), call_id=None, cached=True)
    assert "0.25" not in written(paid)
    assert "chatcmpl-1" not in written(paid)


@pytest.mark.parametrize("passed", [0, 15, 59.5])
def test_a_record_is_valid_for_its_time(passed: float, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    value = written(ttl_seconds=60)
    monkeypatch.setattr(clock, "time", lambda: NOW + passed)
    assert stored_outcome.load(value, KEY, GENERATION, LONGEST) == (CAT.as_cached(), 60 - passed)


@pytest.mark.parametrize("passed", [60, 61, 1e9])
def test_a_record_is_not_believed_for_longer(
    passed: float, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = written(ttl_seconds=60)
    monkeypatch.setattr(clock, "time", lambda: NOW + passed)
    assert read(value) is None


@given(outcomes, texts)
def test_a_record_under_another_key_is_not_believed(outcome: Outcome, other: str) -> None:
    value = written(outcome)
    assert stored_outcome.load(value, other, GENERATION, LONGEST) is None or other == KEY


@given(outcomes, texts)
def test_a_record_of_another_generation_is_not_believed(outcome: Outcome, other: str) -> None:
    value = written(outcome)
    assert stored_outcome.load(value, KEY, other, LONGEST) is None or other == GENERATION


@given(outcomes, st.data())
def test_a_truncated_record_is_not_believed(outcome: Outcome, data: st.DataObject) -> None:
    value = written(outcome)
    assert read(value[: data.draw(st.integers(0, len(value) - 1))]) is None


@given(st.binary() | st.text(st.characters()))
def test_what_somebody_else_stored_is_not_believed(value: str | bytes) -> None:
    assert read(value) is None


@given(json_values)
def test_json_of_somebody_else_is_not_believed(value: object) -> None:
    assert read(json.dumps(value)) is None


@given(outcomes, st.data())
def test_a_record_with_something_odd_in_it_is_none_or_an_outcome_and_never_an_error(
    outcome: Outcome, data: st.DataObject
) -> None:
    fields = json.loads(written(outcome))
    name = data.draw(st.sampled_from([*fields, "more"]))
    odd = data.draw(json_values | st.sampled_from([10**400, float("nan"), float("inf"), float("-inf")]))
    found = stored_outcome.load(json.dumps({**fields, name: odd}), KEY, GENERATION, LONGEST)
    if found is not None:
        assert name != "more"
        assert isinstance(found[0], Analysed | Failed)
        assert found[1] > 0


@given(outcomes, st.data())
def test_a_record_with_flipped_bytes_is_none_or_an_outcome_and_never_an_error(
    outcome: Outcome, data: st.DataObject
) -> None:
    value = bytearray(written(outcome).encode())
    for place in data.draw(st.lists(st.integers(0, len(value) - 1), min_size=1, max_size=4)):
        value[place] = data.draw(st.integers(0, 255))
    assert read(bytes(value)) is None or isinstance(read(bytes(value)), Analysed | Failed)


@given(st.sampled_from(["key", "generation", "expires"]))
def test_a_record_that_lacks_what_it_is_known_by_is_not_believed(name: str) -> None:
    fields = json.loads(written())
    del fields[name]
    assert read(json.dumps(fields)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"text": ""},
        {"text": None},
        {"text": ["a cat"]},
        {"text": 7},
        {"truncated": "yes"},
        {"truncated": 1},
        {"text": None, "failed": "no_such_reason"},
        {"text": None, "failed": ["timeout"]},
        {"text": None, "failed": "timeout", "retry_after_seconds": "7"},
        {"text": None, "failed": "timeout", "retry_after_seconds": 0.5},
        {"expires": "2999-01-01"},
        {"expires": None},
        {"expires": float("nan")},
        {"expires": float("-inf")},
        {"expires": 10**400},
        {"price": 0},
    ],
    ids=lambda changes: repr(changes)[:60],
)
def test_a_mangled_record_is_not_believed(changes: dict[str, Any]) -> None:
    assert read(changed()) is not None
    assert read(changed(**changes)) is None


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5000, b"\xff\xfe\x00"], ids=["deep", "long", "no text"])
def test_what_no_parser_bears_is_not_believed(value: str | bytes) -> None:
    assert read(value) is None


def test_a_text_that_no_vision_call_of_this_length_wrote_is_not_accepted() -> None:
    longest = stored_outcome.dump(KEY, Analysed("\U0001f408" * 100), GENERATION, 60)
    assert stored_outcome.load(longest, KEY, GENERATION, 100) is not None
    assert stored_outcome.load(longest, KEY, GENERATION, 99) is None
    huge = stored_outcome.dump(KEY, Analysed("a" * 10_000_000), GENERATION, 60)
    assert stored_outcome.load(huge, KEY, GENERATION, LONGEST) is None
