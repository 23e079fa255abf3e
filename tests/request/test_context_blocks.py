"""Blocks that a client writes around the user's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_image_analysis.request.context_blocks import TAGS, without_context

REMINDER = "<system-reminder>\nRun the tests.\n</system-reminder>"
FILES = '<attached_files id="a81">\n<file name="a.png"/>\n</attached_files>'


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("What is it?", "What is it?"),
        (" What is it?\n", " What is it?\n"),
        (REMINDER, ""),
        (f"\n{REMINDER}\n", ""),
        (f"{REMINDER}{FILES}", ""),
        (f"{REMINDER}\n\nWhat is it?", "What is it?"),
        (f"What is it?\n\n{FILES}", "What is it?"),
        (f"{FILES} What is it? {REMINDER}{FILES}", "What is it?"),
        (f"What does\n{REMINDER}\nmean?", f"What does\n{REMINDER}\nmean?"),
        ("<system-reminder>What is it?", "<system-reminder>What is it?"),
        ("What is it?</system-reminder>", "What is it?</system-reminder>"),
        ("<system-reminders>a</system-reminders>", "<system-reminders>a</system-reminders>"),
        ("<system-reminders>a</system-reminder>", "<system-reminders>a</system-reminder>"),
        ("<other>a</other>", "<other>a</other>"),
        ("", ""),
    ],
)
def test_blocks_at_both_ends_are_left_out(words: str, left: str) -> None:
    assert without_context(words) == left


def test_an_operator_names_the_tags() -> None:
    assert without_context(f"<mine>a</mine>{REMINDER}", ["mine"]) == REMINDER
    assert without_context(REMINDER, []) == REMINDER


def test_many_blocks_are_read_once() -> None:
    assert without_context(REMINDER * 20_000 + "What is it?" + REMINDER * 20_000) == "What is it?"


texts = st.lists(st.sampled_from([REMINDER, FILES, "a", " ", "<system-reminder>", "</attached_files>"])).map("".join)


@given(texts)
def test_what_is_left_is_a_part_and_has_no_block_at_its_ends(words: str) -> None:
    left = without_context(words)
    assert left in words
    assert without_context(left) == left
    assert not any(left.lstrip().startswith(block) or left.rstrip().endswith(block) for block in (REMINDER, FILES))
    assert set(TAGS) >= {"system-reminder", "attached_files"}
