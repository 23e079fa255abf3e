r"""What an image says, written so that it can pass for nothing else: no tag of the fence, no chat turn, nothing hidden.

A mitigation, no boundary: a model reads words, and may believe them. Ordinary text stays as it is, byte for byte.
What is replaced is listed here rather than asked of ``unicodedata``, whose answers change with Python's version: the
same analysis has to read the same on every worker.
"""

from __future__ import annotations

import re
import unicodedata

FENCE = "image-analysis"
"""What the fence's tags are called."""

_HIDDEN = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, but for tab and the ends of lines
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    r"\ufff0-\ufffb\ud800-\udfff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"  # tags, which spell ASCII unseen, and variation selectors beyond the sixteenth
)
"""Characters that nobody sees, that turn lines around, or that are none (surrogates)."""

_JOINERS = r"\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f"
"""Unseen too, but Persian, Hindi and emoji are not written without: one behind a character is no hiding place."""

_UNSEEN = re.compile(rf"[{_HIDDEN}{_JOINERS}]|\r(?!\n)")
_JOINER = re.compile(f"[{_JOINERS}]")
_NOT_READ = re.compile(rf"[{_HIDDEN}{_JOINERS}\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
"""What a reader who looks for words does not read: the unseen, and marks on letters."""

_BRACKETS = "<‹❮❬❰〈⟨⟪⟬《«≪≺⋖⋘˂ᐸᚲ◁◀⦑⧼𝈶"
_COMPOSED_BRACKETS = "＜﹤\u2329︿︽≮"
_ANY_BRACKET = re.compile(f"[{_BRACKETS}{_COMPOSED_BRACKETS}]")
_LETTERS = {
    "i": "iіıιɩɪӏǀ∣ⲓᎥl1|ⅼʟ",
    "m": "mмμᴍ",
    "a": "aаαɑᴀ",
    "g": "gɡɢցԍ",
    "e": "eеεєɛᴇ℮",
    "n": "nνոпηɴ",
    "y": "yуγүʏ",
    "s": "sѕꜱƽ",
}
_LETTERS["l"] = _LETTERS["i"]
_IMAGE, _ANALYSIS = ("".join(f"[{_LETTERS[letter]}]" for letter in word) for word in ("image", "analysis"))
_TAG = re.compile(rf"[{_BRACKETS}](?=(?:[^\w{_BRACKETS}]|_)*{_IMAGE}(?:[^\w<>]|_){{0,3}}{_ANALYSIS})", re.IGNORECASE)
"""The bracket of whatever could be read as a tag of the fence, opening or closing, in letters of any alphabet."""

_TURN = re.compile(
    r"<(?=[|｜][^\s|｜<>]{1,64}[|｜]?>|[^\s|｜<>]{1,64}[|｜]>|/?(?:s|bos|eos|start_of_turn|end_of_turn)>|</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|gMASK)\])"
)
"""What chat templates mark turns and roles with; servers of open models read it in any text."""

_ESCAPES = {"<": "&lt;", "[": "&#91;"}


def sanitized(text: str) -> str:
    """The text with every imitation of a tag or a chat turn escaped, and every unseen character shown by its code."""
    text = _TAG.sub("&lt;", text)
    if _ANY_BRACKET.search(text) and _TAG.search(_as_read(text)):
        text = _ANY_BRACKET.sub("&lt;", text)
    return _TURN.sub(lambda found: _ESCAPES[found[0]], _UNSEEN.sub(_shown, text))


def _as_read(text: str) -> str:
    """The text as somebody takes it who does not look closely: letters without their styles, nothing hidden."""
    return _NOT_READ.sub("", unicodedata.normalize("NFKD", text).casefold())


def _shown(unseen: re.Match[str]) -> str:
    return unseen[0] if _belongs(unseen.string, unseen.start()) else f"[U+{ord(unseen[0]):04X}]"


def _belongs(text: str, place: int) -> bool:
    """Whether a joiner stands where one is written: behind a letter or sign outside ASCII, in an emoji, in a keycap."""
    joiner, before = text[place], text[place - 1] if place else ""
    if not _JOINER.match(joiner) or not before:
        return False
    if before == "\ufe0f":
        return joiner == "\u200d" and _belongs(text, place - 1)
    if before.isascii():
        return before in "0123456789#*" and text[place : place + 2] == "\ufe0f\u20e3"
    return not _UNSEEN.match(before)
