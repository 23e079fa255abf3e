"""Slots for calls and the queue for them: no more calls than slots, no free slot while calls wait, and fairness."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_image_analysis.vision.fair_queue import Decisions, FairQueue

BUSY, LIGHT = "busy", "light"


@dataclass
class Door:
    """A queue, and the results of its calls. Tickets are numbers, with their keys."""

    turns: FairQueue[int]
    key_of: dict[int, str] = field(default_factory=dict)
    calling: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    numbers: count[int] = field(default_factory=lambda: count(1))

    def ask(self, key: str) -> int:
        ticket = next(self.numbers)
        self.key_of[ticket] = key
        self.waiting.append(ticket)
        self.settle(self.turns.acquire(key, ticket))
        return ticket

    def leave(self, ticket: int) -> None:
        for group in (self.calling, self.waiting):
            if ticket in group:
                group.remove(ticket)
        self.settle(self.turns.release(self.key_of[ticket], ticket))

    def settle(self, decisions: Decisions[int]) -> None:
        for ticket, may_call in decisions:
            self.waiting.remove(ticket)
            (self.calling if may_call else self.refused).append(ticket)

    def keys(self, tickets: list[int]) -> list[str]:
        return [self.key_of[ticket] for ticket in tickets]


def door(places: int, places_a_key: int = 99, most_waiting: int = 99) -> Door:
    return Door(FairQueue(places, places_a_key, most_waiting))


def test_places_are_given_as_long_as_there_are_some() -> None:
    two = door(places=2)
    assert [two.ask(BUSY), two.ask(LIGHT)] == two.calling
    third = two.ask(LIGHT)
    assert two.waiting == [third]
    two.leave(two.calling[0])
    assert third in two.calling


def test_a_key_holds_no_more_than_its_share_while_others_call_at_once() -> None:
    room = door(places=3, places_a_key=2)
    busy = [room.ask(BUSY) for _ in range(3)]
    light = room.ask(LIGHT)
    assert room.calling == [*busy[:2], light]
    room.leave(light)
    assert room.waiting == busy[2:]  # a key with its share of slots does not get the free slot
    room.leave(busy[0])
    assert room.waiting == []


def test_keys_take_turns_whoever_asked_first() -> None:
    one = door(places=1)
    first, *rest = [one.ask(BUSY) for _ in range(100)]
    light = one.ask(LIGHT)
    one.leave(first)
    assert one.calling == [rest[0]]
    one.leave(rest[0])
    assert one.calling == [light]


def test_within_a_key_first_come_first_served() -> None:
    one = door(places=1)
    tickets = [one.ask(BUSY) for _ in range(5)]
    for ticket in tickets:
        assert one.calling == [ticket]
        one.leave(ticket)


def test_whoever_stops_waiting_is_not_called() -> None:
    one = door(places=1)
    first, second, third = (one.ask(BUSY) for _ in range(3))
    one.leave(second)
    one.leave(first)
    assert one.calling == [third]


def test_leaving_twice_or_after_a_refusal_changes_nothing() -> None:
    one = door(places=1, most_waiting=1)
    first, second, third = (one.ask(BUSY) for _ in range(3))
    assert one.refused == [third]
    one.leave(third)
    one.leave(first)
    one.leave(first)
    assert one.calling == [second]


def test_a_full_queue_turns_away_whoever_comes() -> None:
    one = door(places=1, most_waiting=2)
    tickets = [one.ask(BUSY) for _ in range(4)]
    assert (one.waiting, one.refused) == (tickets[1:3], tickets[3:])


def test_a_full_queue_makes_room_at_the_expense_of_the_key_that_has_the_most_in_it() -> None:
    one = door(places=1, most_waiting=4)
    busy = [one.ask(BUSY) for _ in range(5)]
    light = [one.ask(LIGHT) for _ in range(3)]
    assert one.waiting == [*busy[1:3], *light[:2]]
    assert one.refused == [busy[4], busy[3], light[2]]


def test_a_key_with_one_more_in_the_queue_than_another_keeps_it() -> None:
    one = door(places=1, most_waiting=3)
    busy = [one.ask(BUSY) for _ in range(4)]
    light = [one.ask(LIGHT) for _ in range(2)]
    assert one.waiting == [*busy[1:3], light[0]]
    assert one.refused == [busy[3], light[1]]


def test_without_a_queue_nobody_waits() -> None:
    one = door(places=1, most_waiting=0)
    assert [one.ask(BUSY)] == one.calling
    assert [one.ask(LIGHT)] == one.refused


KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.one_of(KEYS, st.integers(0, 99)), max_size=120)


@given(places=st.integers(1, 4), places_a_key=st.integers(1, 4), most_waiting=st.integers(0, 6), steps=STEPS)
def test_whatever_comes_and_goes(places: int, places_a_key: int, most_waiting: int, steps: list[str | int]) -> None:
    """A name is a call of this key. A number ends one of the running or waiting calls."""
    room = door(places, places_a_key, most_waiting)
    for step in steps:
        present = room.calling + room.waiting
        if isinstance(step, str):
            room.ask(step)
        elif present:
            room.leave(present[step % len(present)])
        held, queued = Counter(room.keys(room.calling)), Counter(room.keys(room.waiting))
        assert len(room.calling) <= places
        assert max(held.values(), default=0) <= places_a_key
        assert len(room.waiting) <= most_waiting
        if len(room.calling) < places:
            assert all(held[key] == places_a_key for key in queued), "a place is free for somebody who waits"
    for ticket in [*room.calling, *room.waiting]:
        room.leave(ticket)
    assert [room.ask("d") for _ in range(places)][:places_a_key] == room.calling, "nothing is left behind"


@given(keys=st.lists(KEYS, min_size=1, max_size=60), places=st.integers(1, 3))
def test_while_a_key_waits_no_other_has_two_turns(keys: list[str], places: int) -> None:
    room = door(places)
    for key in keys:
        room.ask(key)
    order: list[str] = []
    while room.waiting:
        waiting = set(room.keys(room.waiting))
        before = set(room.calling)
        room.leave(room.calling[0])
        [come] = [ticket for ticket in room.calling if ticket not in before]
        order.append(room.key_of[come])
        for key in waiting - {order[-1]}:
            since = order[len(order) - order[::-1].index(key) :] if key in order else order
            assert max(Counter(since).values()) == 1, "somebody was passed over"


@pytest.mark.parametrize("busy", [10, 1000])
def test_how_long_a_light_key_waits_does_not_depend_on_how_busy_another_is(busy: int) -> None:
    room = door(places=2, places_a_key=2000, most_waiting=2000)
    for _ in range(busy):
        room.ask(BUSY)
    light = room.ask(LIGHT)
    turns = 0
    while light in room.waiting:
        room.leave(room.calling[0])
        turns += 1
    assert turns == 2
