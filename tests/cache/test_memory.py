"""The memory cache: a limit in bytes, a time to live for each outcome, and eviction of the least recently used."""

from __future__ import annotations

import random
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.clock import Clock
from support.strategies import texts

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
from litellm_image_analysis.cache.memory import Memory

MIB = 1024 * 1024
CAT = Analysed("a cat")
DOG = Analysed("a dog")


def put(memory: Memory, key: str, outcome: Outcome = CAT, *, scope: str = "team:a", ttl_seconds: float = 60) -> None:
    memory.put(key, outcome, scope=scope, ttl_seconds=ttl_seconds)


def keys_known(memory: Memory, *keys: str) -> list[str]:
    return [key for key in keys if memory.get(key) is not None]


def bytes_of(outcome: Outcome) -> int:
    """The bytes that one outcome takes."""
    memory = Memory(MIB)
    put(memory, "key", outcome)
    return memory.used_bytes


@pytest.mark.parametrize(
    "outcome",
    [Analysed("a cat", truncated=True), Analysed(""), Failed(FailureReason.TIMEOUT, retry_after_seconds=7)],
    ids=["analysed", "no text", "failed"],
)
def test_what_was_put_is_got(outcome: Outcome) -> None:
    memory = Memory(MIB)
    put(memory, "key", outcome)
    assert memory.get("key") is outcome


def test_each_change_is_told_with_the_bytes_and_the_number_of_entries() -> None:
    told: list[tuple[int, int]] = []
    memory = Memory(MIB, on_change=lambda *size: told.append(size))
    put(memory, "a", CAT, scope="team:a")
    put(memory, "b", CAT, scope="team:b")
    memory.get("a")
    memory.forget("team:b")
    memory.forget()
    assert told == [(bytes_of(CAT), 1), (2 * bytes_of(CAT), 2), (bytes_of(CAT), 1), (0, 0)]


def test_what_nobody_put_is_unknown() -> None:
    assert Memory(MIB).get("key") is None


def test_the_last_put_counts() -> None:
    memory = Memory(MIB)
    put(memory, "key", CAT)
    put(memory, "key", DOG)
    assert memory.get("key") is DOG
    assert memory.used_bytes == bytes_of(DOG)


def test_an_outcome_is_remembered_for_its_time_and_no_longer() -> None:
    clock = Clock()
    memory = Memory(MIB, clock)
    put(memory, "short", ttl_seconds=5)
    put(memory, "long", ttl_seconds=60)
    clock.now += 4.9
    assert keys_known(memory, "short", "long") == ["short", "long"]
    clock.now += 0.1
    assert keys_known(memory, "short", "long") == ["long"]
    assert memory.used_bytes == bytes_of(CAT)


def test_looking_at_an_outcome_does_not_prolong_its_time() -> None:
    clock = Clock()
    memory = Memory(MIB, clock)
    put(memory, "key", ttl_seconds=5)
    for _ in range(10):
        clock.now += 0.5
        memory.get("key")
    assert memory.get("key") is None


def test_the_least_recently_used_go_first() -> None:
    memory = Memory(3 * bytes_of(CAT))
    for key in "abc":
        put(memory, key)
    memory.get("a")
    put(memory, "d")
    assert keys_known(memory, *"abcd") == ["a", "c", "d"]


def test_putting_again_counts_as_use() -> None:
    memory = Memory(3 * bytes_of(CAT))
    for key in "abca":
        put(memory, key)
    put(memory, "d")
    assert keys_known(memory, *"abcd") == ["a", "c", "d"]


def test_what_is_out_of_date_goes_before_what_is_not() -> None:
    clock = Clock()
    memory = Memory(2 * bytes_of(CAT), clock)
    put(memory, "old", ttl_seconds=60)
    put(memory, "recent", ttl_seconds=1)
    clock.now += 2
    put(memory, "new")
    assert keys_known(memory, "old", "recent", "new") == ["old", "new"]


def test_what_is_larger_than_the_memory_is_not_remembered_and_drives_nobody_out() -> None:
    memory = Memory(2 * bytes_of(CAT))
    put(memory, "small")
    put(memory, "large", Analysed("x" * 10_000))
    assert keys_known(memory, "small", "large") == ["small"]


def test_what_just_fits_is_remembered() -> None:
    memory = Memory(bytes_of(CAT))
    put(memory, "key")
    assert keys_known(memory, "key") == ["key"]


def test_a_memory_smaller_than_any_outcome_remembers_nothing() -> None:
    memory = Memory(1)
    put(memory, "key")
    assert keys_known(memory, "key") == []
    assert memory.used_bytes == 0


def test_forgetting_a_scope_leaves_the_others() -> None:
    memory = Memory(MIB)
    put(memory, "a1", scope="team:a")
    put(memory, "a2", scope="team:a")
    put(memory, "b1", scope="team:b")
    memory.forget("team:a")
    assert keys_known(memory, "a1", "a2", "b1") == ["b1"]
    assert memory.used_bytes == bytes_of(CAT)


def test_forgetting_all_leaves_none() -> None:
    memory = Memory(MIB)
    put(memory, "a", scope="team:a")
    put(memory, "b", scope="team:b")
    memory.forget()
    assert memory.used_bytes == 0


def test_forgetting_the_scope_without_a_name_is_not_forgetting_all() -> None:
    memory = Memory(MIB)
    put(memory, "key", scope="team:a")
    memory.forget("")
    assert keys_known(memory, "key") == ["key"]


def test_what_expires_while_it_is_forgotten_is_no_error() -> None:
    clock = Clock()

    def hurrying() -> float:
        clock.now += 1
        return clock.now

    memory = Memory(MIB, hurrying)
    for seconds in range(1, 40):
        put(memory, f"key {seconds}", ttl_seconds=seconds)
    memory.forget("team:a")
    assert memory.used_bytes == 0


def test_several_threads_may_use_it_at_once() -> None:
    memory = Memory(20 * bytes_of(CAT))

    def use(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(2000):
            key = f"key {chance.randrange(40)}"
            put(memory, key, ttl_seconds=chance.choice([1e-6, 60]))
            assert memory.get(key) in (CAT, None)
            assert memory.used_bytes <= 20 * bytes_of(CAT)
            if chance.random() < 0.01:
                memory.forget("team:a")

    interval = sys.getswitchinterval()
    # They begin after all have started: coverage installs its trace function in each thread, but not in two at once.
    started = Barrier(4, action=lambda: sys.setswitchinterval(1e-6))
    try:
        with ThreadPoolExecutor(4, initializer=started.wait) as pool:
            list(pool.map(use, range(4)))
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("count", [1_000, 10_000, 10_923], ids=lambda count: f"{count} entries")
@pytest.mark.parametrize("rounds", [1, 2], ids=["put once", "put again"])
def test_its_accounts_are_not_below_what_it_takes(count: int, rounds: int) -> None:
    tracemalloc.start()
    try:
        memory = Memory(100 * MIB)
        for _ in range(rounds):
            for number in range(count):
                outcome = Analysed(f"{number:02000d}").as_cached()
                scope = f"key:{number:064x}"  # a new string, as in each request
                memory.put(f"{number:064x}", outcome, scope=scope, ttl_seconds=86400)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(keys_like(memory, count)) == count
    assert taken <= memory.used_bytes


def test_10_000_analyses_of_2_kb_stay_within_40_mb() -> None:
    tracemalloc.start()
    try:
        memory = Memory(64 * MIB)
        for number in range(10_000):
            put(memory, f"{number:064x}", Analysed(f"{number:02000d}").as_cached())
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(keys_known(memory, *[f"{number:064x}" for number in range(10_000)])) == 10_000
    assert taken <= 40_000_000
    assert memory.used_bytes <= 40_000_000


def keys_like(memory: Memory, count: int) -> list[int]:
    """The numbers of the stored keys."""
    return [number for number in range(count) if memory.get(f"{number:064x}") is not None]


class AnyUse(RuleBasedStateMachine):
    """Any sequence of operations keeps the limit and returns only stored outcomes."""

    keys = st.sampled_from("abcdefgh")
    scopes = st.sampled_from(["team:a", "team:b"])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.max_bytes = 6000
        self.memory = Memory(self.max_bytes, self.clock)
        self.last: dict[str, tuple[Outcome, str, float]] = {}

    @rule(
        key=keys,
        outcome=st.builds(Analysed, texts | st.integers(0, 6000).map("x".__mul__))
        | st.builds(Failed, st.sampled_from(FailureReason)),
        scope=scopes,
        ttl_seconds=st.floats(0.001, 100),
    )
    def put(self, key: str, outcome: Outcome, scope: str, ttl_seconds: float) -> None:
        self.memory.put(key, outcome, scope=scope, ttl_seconds=ttl_seconds)
        if bytes_of(outcome) <= self.max_bytes:
            self.last[key] = outcome, scope, self.clock.now + ttl_seconds
            assert self.memory.get(key) is outcome

    @rule(key=keys)
    def get(self, key: str) -> None:
        outcome = self.memory.get(key)
        if outcome is not None:
            last, _, expires = self.last[key]
            assert outcome is last
            assert self.clock.now < expires

    @rule(seconds=st.floats(0, 60))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(scope=scopes)
    def forget_a_scope(self, scope: str) -> None:
        self.memory.forget(scope)
        self.last = {key: entry for key, entry in self.last.items() if entry[1] != scope}

    @rule()
    def forget_all(self) -> None:
        self.memory.forget()
        self.last = {}
        assert self.memory.used_bytes == 0

    @invariant()
    def it_keeps_its_bound(self) -> None:
        known = [last for key, (last, _, _) in self.last.items() if self.memory.get(key) is not None]
        assert sum(map(bytes_of, known)) == self.memory.used_bytes <= self.max_bytes


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
