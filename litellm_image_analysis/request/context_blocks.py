"""Blocks that a client writes around the user's own words, such as ``<system-reminder>…</system-reminder>``.

They are not part of the question about an image. Otherwise the vision provider would get a client's project files, the
vision model might follow instructions in them, and a change of a file would change the questions of earlier images.
"""

from __future__ import annotations

from collections.abc import Sequence

TAGS = (
    *("system-reminder", "session_context", "environment_context", "environment_details", "user_instructions"),
    *("skills_instructions", "permissions", "attached_files"),
)
"""Tags of Claude Code, Gemini CLI, Codex, Cline and Open WebUI."""


def without_context(words: str, tags: Sequence[str] = TAGS) -> str:
    """Return a text without the blocks at its beginning and its end, and without blanks around them.

    A block that is not closed, or that is between other words, stays.

    Args:
        words: the text.
        tags: names of the tags, without brackets.
    """
    if "</" not in words:  # no block is closed
        return words
    rest, bounds = (0, len(words)), _bounds(words, 0, len(words))
    while (inner := _without_last(words, *_without_first(words, *bounds, tags), tags)) != bounds:
        rest = bounds = _bounds(words, *inner)
    return words[slice(*rest)]


def _bounds(words: str, begin: int, end: int) -> tuple[int, int]:
    """Return the part between two places without the blanks around it."""
    while begin < end and words[begin].isspace():
        begin += 1
    while begin < end and words[end - 1].isspace():
        end -= 1
    return begin, end


def _without_first(words: str, begin: int, end: int, tags: Sequence[str]) -> tuple[int, int]:
    for tag in tags:
        if _opens(words, begin, tag):
            closed = words.find(f"</{tag}>", begin, end)
            return (begin, end) if closed < 0 else (closed + len(tag) + 3, end)
    return begin, end


def _without_last(words: str, begin: int, end: int, tags: Sequence[str]) -> tuple[int, int]:
    for tag in tags:
        if words.endswith(f"</{tag}>", begin, end):
            opened = words.rfind(f"<{tag}", begin, end)
            return (begin, opened) if opened >= 0 and _opens(words, opened, tag) else (begin, end)
    return begin, end


def _opens(words: str, place: int, tag: str) -> bool:
    """Return whether a tag opens at a place, with or without attributes."""
    after = place + 1 + len(tag)
    return words.startswith(f"<{tag}", place) and words[after : after + 1] in (">", " ", "\n", "\t")
