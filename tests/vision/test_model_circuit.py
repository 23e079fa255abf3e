"""A vision model's circuits: the failures that open each, and the order of probes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_image_analysis.vision.circuit_breaker import FAILURES, Change
from litellm_image_analysis.vision.model_circuit import ModelCircuit

PAUSE_SECONDS, CALL_SECONDS, NOW = 10.0, 60.0, 1000.0


def ended(circuit: ModelCircuit, *payer: str, answered: bool | None, now: float = NOW) -> Change | None:
    """The change by a call that begins and ends at once."""
    call = circuit.begin(now, payer)
    assert call is not None
    return circuit.end(call, now, payer, answered=answered)


def circuit_after(failures: Sequence[str]) -> ModelCircuit:
    """The circuit after failures of these payers, in order."""
    circuit = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS)
    for payer in failures:
        ended(circuit, payer, answered=False)
    return circuit


def test_five_failures_of_one_payer_open_it_for_that_payer() -> None:
    circuit = circuit_after(["a"] * (FAILURES - 1))
    assert ended(circuit, "a", answered=False) is Change.OPENED_FOR_KEY
    assert not circuit.may_begin(NOW, ("a",))
    assert circuit.begin(NOW, ("a",)) is None
    assert circuit.may_begin(NOW, ("b",))
    assert circuit.refuse(NOW, ("a",)) == PAUSE_SECONDS


def test_five_failures_of_two_payers_open_it_for_all() -> None:
    circuit = circuit_after(["a", "a", "a", "a"])
    assert ended(circuit, "b", answered=False) is Change.OPENED
    assert not any(circuit.may_begin(NOW, (payer,)) for payer in "abc")


def test_an_answer_to_one_payer_does_not_close_anothers_circuit() -> None:
    circuit = circuit_after(["a"] * FAILURES)
    assert ended(circuit, "b", answered=True) is None
    assert circuit.is_open
    assert not circuit.may_begin(NOW, ("a",))
    assert circuit.failures == 0


def test_a_probe_of_its_own_closes_it() -> None:
    circuit = circuit_after(["a"] * FAILURES)
    assert ended(circuit, "a", answered=True, now=NOW + PAUSE_SECONDS) is Change.CLOSED_FOR_KEY
    assert not circuit.is_open


def test_an_answer_to_any_payer_begins_the_count_for_all_anew() -> None:
    circuit = circuit_after(["a", "b", "a", "b"])
    ended(circuit, "c", answered=True)
    assert ended(circuit, "a", answered=False) is None
    assert not circuit.is_open


class TestProbes:
    """Probes of an open circuit for all. Each waiting payer gets its turn."""

    def test_a_payer_that_probed_lets_those_who_wait_go_first(self) -> None:
        circuit = circuit_after(["a", "b", "a", "b", "a"])
        now = NOW + PAUSE_SECONDS
        assert ended(circuit, "a", answered=False, now=now) is None
        circuit.refuse(now, ("good",))
        now += PAUSE_SECONDS
        assert not circuit.may_begin(now, ("a",))
        assert circuit.may_begin(now, ("good",))
        assert ended(circuit, "good", answered=True, now=now) is Change.CLOSED

    def test_two_payers_cannot_keep_a_third_from_it(self) -> None:
        circuit = circuit_after(["a", "b", "a", "b", "a"])
        now = NOW
        for payer in ("a", "b", "a", "b"):
            now += PAUSE_SECONDS
            if circuit.may_begin(now, (payer,)):
                ended(circuit, payer, answered=False, now=now)
            circuit.refuse(now, ("good",))
        assert circuit.may_begin(now + PAUSE_SECONDS, ("good",))
        assert not circuit.may_begin(now + PAUSE_SECONDS, ("a",))

    def test_whoever_left_is_not_waited_for(self) -> None:
        circuit = circuit_after(["a", "b", "a", "b", "a"])
        ended(circuit, "a", answered=False, now=NOW + PAUSE_SECONDS)
        circuit.refuse(NOW + PAUSE_SECONDS, ("gone",))
        assert circuit.may_begin(NOW + 3 * PAUSE_SECONDS, ("a",))

    def test_what_tells_nothing_leaves_the_next_probe_to_another(self) -> None:
        circuit = circuit_after(["a", "b", "a", "b", "a"])
        now = NOW + PAUSE_SECONDS
        assert ended(circuit, "a", answered=None, now=now) is None
        assert circuit.is_open
        assert circuit.may_begin(now, ("b",))


class TestImagesElsewhere:
    """Their servers may be the cause of a timeout, so their calls must not block the probes of others."""

    @staticmethod
    def opened() -> tuple[ModelCircuit, float]:
        return circuit_after(["a", "b", "a", "b", "a"]), NOW + PAUSE_SECONDS

    def test_one_that_hangs_keeps_nobody_else_from_the_probe(self) -> None:
        circuit, now = self.opened()
        assert circuit.begin(now, ("a",), is_elsewhere=True) is not None
        assert ended(circuit, "good", answered=True, now=now) is Change.CLOSED

    def test_a_payer_has_one_at_a_time(self) -> None:
        circuit, now = self.opened()
        call = circuit.begin(now, ("a",), is_elsewhere=True)
        assert call is not None
        assert not circuit.may_begin(now, ("a",), is_elsewhere=True)
        assert circuit.may_begin(now, ("b",), is_elsewhere=True)
        circuit.end(call, now, ("a",), answered=None)
        assert circuit.may_begin(now, ("a",), is_elsewhere=True)

    @pytest.mark.parametrize("answered", [True, False])
    def test_what_the_model_did_counts(self, answered: bool) -> None:
        circuit, now = self.opened()
        call = circuit.begin(now, ("a",), is_elsewhere=True)
        assert call is not None
        assert circuit.end(call, now, ("a",), answered=answered) is (Change.CLOSED if answered else None)
        assert circuit.may_begin(now, ("b",)) is answered

    def test_it_waits_for_the_pause_and_for_a_probe(self) -> None:
        circuit, now = self.opened()
        assert not circuit.may_begin(NOW, ("a",), is_elsewhere=True)
        circuit.begin(now, ("b",))
        assert not circuit.may_begin(now, ("a",), is_elsewhere=True)

    def test_of_a_payer_whose_own_circuit_is_open_it_is_a_probe(self) -> None:
        circuit = circuit_after(["a"] * FAILURES)
        now = NOW + PAUSE_SECONDS
        assert circuit.begin(now, ("a",), is_elsewhere=True) is not None
        assert not circuit.may_begin(now, ("a",))
        assert circuit.may_begin(now, ("b",))


class TestOwners:
    """A team or a user with several keys."""

    def test_its_keys_together_open_it_for_themselves_only(self) -> None:
        circuit = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS)
        for number in range(FAILURES - 1):
            ended(circuit, "team", f"key {number % 2}", answered=False)
        assert ended(circuit, "team", "key 0", answered=False) is Change.OPENED_FOR_OWNER
        assert not any(circuit.may_begin(NOW, ("team", key)) for key in ("key 0", "key 1", "key 2"))
        assert circuit.may_begin(NOW, ("another team", "key"))
        assert circuit.may_begin(NOW, ("another key",))

    def test_one_of_its_keys_does_not_take_the_model_from_the_others(self) -> None:
        circuit = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS)
        changes = [ended(circuit, "team", "key 0", answered=False) for _ in range(FAILURES)]
        assert changes[-1] is Change.OPENED_FOR_KEY
        assert ended(circuit, "team", "key 1", answered=True) is None
        assert not circuit.may_begin(NOW, ("team", "key 0"))
        assert circuit.may_begin(NOW, ("team", "key 1"))

    def test_two_owners_open_it_for_all(self) -> None:
        circuit = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS)
        for number in range(FAILURES - 1):
            ended(circuit, "team", f"key {number % 2}", answered=False)
        assert ended(circuit, "user", "key", answered=False) is Change.OPENED
        assert not circuit.may_begin(NOW, ("another team", "key"))

    def test_an_answer_to_one_of_its_keys_closes_its_own(self) -> None:
        circuit = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS)
        for number in range(FAILURES):
            ended(circuit, "team", f"key {number % 2}", answered=False)
        now = NOW + PAUSE_SECONDS
        assert ended(circuit, "team", "key 2", answered=True, now=now) is Change.CLOSED_FOR_OWNER
        assert circuit.may_begin(now, ("team", "key 0"))

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([True, False, None]), st.floats(0, 30)), max_size=60)
    )
    def test_whatever_its_keys_do_others_are_never_refused(self, steps: list[tuple[str, bool | None, float]]) -> None:
        circuit, now = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS), NOW
        for key, answered, seconds in steps:
            now += seconds
            call = circuit.begin(now, ("team", key))
            if call is None:
                circuit.refuse(now, ("team", key))
            else:
                circuit.end(call, now, ("team", key), answered=answered)
            assert circuit.may_begin(now, ("another team", "key"))


def test_without_a_pause_it_never_opens() -> None:
    circuit = ModelCircuit(0.0, CALL_SECONDS)
    for number in range(10 * FAILURES):
        assert ended(circuit, f"{number % 3}", answered=False) is None
    assert not circuit.is_open


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([True, False, None]), st.floats(0, 30)), max_size=60))
def test_one_bad_payer_never_stops_another(steps: list[tuple[str, bool | None, float]]) -> None:
    """With any behaviour of two payers of the same owner, a third one gets an answer within three pauses."""
    circuit, now = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS), NOW
    for payer, answered, seconds in steps:
        now += seconds
        call = circuit.begin(now, (payer,))
        if call is None:
            circuit.refuse(now, (payer,))
        else:
            circuit.end(call, now, (payer,), answered=answered)
    for _ in range(4):
        if circuit.may_begin(now, ("good",)):
            break
        circuit.refuse(now, ("good",))
        now += PAUSE_SECONDS
    assert circuit.may_begin(now, ("good",))


@pytest.mark.parametrize("payers", [1, 2, 3])
def test_nothing_is_kept_of_payers_that_are_well(payers: int) -> None:
    circuit = ModelCircuit(PAUSE_SECONDS, CALL_SECONDS)
    for number in range(100):
        ended(circuit, f"{number % payers}", answered=True)
    assert circuit._members == {}
