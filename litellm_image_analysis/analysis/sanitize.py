r"""Sanitize the text of an analysis: escape imitations of tags and chat turns, show invisible characters.

This mitigates prompt injection and does not prevent it. Ordinary text stays unchanged byte for byte. The characters are
listed here, because ``unicodedata`` depends on the version of Python, and an analysis must be the same on every worker.
"""

from __future__ import annotations

import re
import unicodedata

FENCE = "image-analysis"
"""Name of the fence's tags, before the id."""

_HIDDEN = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, except tab and line ends
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    r"\ufff0-\ufffb\ud800-\udfff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"  # tag characters, which encode invisible ASCII, and variation selectors from the 17th
)
"""Invisible characters, bidirectional controls, and surrogates."""

_JOINERS = r"\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f"
"""Joiners. They are invisible, but Persian, Hindi and emoji need them. A single one after a character cannot hide
text."""

_UNSEEN = re.compile(rf"[{_HIDDEN}{_JOINERS}]|\r(?!\n)")
_JOINER = re.compile(f"[{_JOINERS}]")
_NOT_READ = re.compile(rf"[{_HIDDEN}{_JOINERS}\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
"""Characters that do not change how a word is read: invisible characters and marks on letters."""

_BRACKETS = "<‹❮❬❰〈⟨⟪⟬《«≪≺⋖⋘˂ᐸᚲ◁⊲◀⦑⧼㇛𝈶"
_COMPOSED_BRACKETS = "＜﹤\u2329︿︽≮"
_ANY_BRACKET = re.compile(f"[{_BRACKETS}{_COMPOSED_BRACKETS}]")
_LETTERS = {
    "i": "iіıιɩɪӏǀ∣ⲓᎥl1|ⅼʟłⳑꙇ⍳│⏽ⵏᛁꓲ𖼨𐊊𐌉𐌠𝈪Ꮮᒪꓡ𖼖𑣃𑣒𐑃𐔦\u05c0\u05d5\u05df\u0627\u0661\u06f1\u07ca\U0001e8c7",
    "m": "mмμᴍⲙϺᎷᗰᛖꓟ𐊰𐌑𑣣𑜀",
    "a": "aаαɑᴀⲁ⍺Ꭺᗅꓮ𖽀𐊠",
    "g": "gɡɢցԍⲅᶃƍᏀᏳꓖ",
    "e": "eеεєɛᴇ℮ҽɇⲉꬲ⋿ⴹᎬꓰ𑣆𑣎𐊆",
    "n": "nνոпηɴⲛռꓠ𐔓",
    "y": "yуγүʏⲩɣᶌỿꭚყυᎩᎽꓬ𖽃𑣄𐊲𑣜",
    "s": "sѕꜱƽⲋՏᏕᏚꓢ𖼺𐊖𐑈𑣁",
}
"""Characters that look like each letter in upper or lower case. Letters of scripts from right to left are written as
escapes. Letters beyond U+FFFF are in lower case, because a set with ``re.IGNORECASE`` does not match them otherwise."""

_READ_AS = {letter: f"[{looks}]" for letter, looks in _LETTERS.items()}
_READ_AS["l"] = _READ_AS["i"]
_READ_AS["m"] = f"(?:{_READ_AS['m']}|r{_READ_AS['n']})"
_IMAGE, _ANALYSIS = ("".join(_READ_AS[letter] for letter in word) for word in ("image", "analysis"))
_LIKE_A_SLASH = "ノ丿〳Ⳇ"
_LIKE_A_DASH = "ー一ㅡⲺ"
"""These are letters, so ``[^\\w]`` does not match them."""

_NAME = rf"{_IMAGE}(?:[^\w<>]|[_{_LIKE_A_DASH}]){{0,3}}{_ANALYSIS}"
_TAG = re.compile(rf"[{_BRACKETS}](?=(?:[^\w{_BRACKETS}]|[_{_LIKE_A_SLASH}])*{_NAME})", re.IGNORECASE)
"""The bracket of a text that looks like an opening or closing tag of the fence, in letters of any alphabet."""

_BRACKET_LETTER = re.compile("[くㄑ𡿨]([^くㄑ𡿨]*)")
_AFTER_LETTER = re.compile(rf"(?:[^\S\r\n]|[_/／∕⁄╱⧸⟋᜵⁁㇓𝈺{_LIKE_A_SLASH}])*{_NAME}", re.IGNORECASE)
"""The text after a letter that looks like a bracket, if both together look like a tag. Only spaces and slashes may be
between them, because a sentence can end in the letter."""

_TURN = re.compile(
    r"<(?=[|｜][^\s|｜<>]{1,64}[|｜]?>|[^\s|｜<>]{1,64}[|｜]>|/?(?:s|bos|eos|start_of_turn|end_of_turn)>|</?SYS>>)"
    r"|<(?=/?(?i:(?:tool_call|tool_response|function_call)s?|think(?:ing)?)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|gMASK)\]|[|｜]\S{1,64}[|｜]\])"
)
"""Marks of turns, roles, tools and thoughts in chat templates. Servers of open models recognise them in any text."""

_SUSPECT = re.compile(rf"[\[\r{_BRACKETS}{_COMPOSED_BRACKETS}くㄑ𡿨{_HIDDEN}{_JOINERS}]")
"""The characters that every imitation and every invisible character begins with. Most texts have none of them."""
_SUSPECT_ASCII = tuple(sign for sign in map(chr, range(128)) if _SUSPECT.match(sign))
"""Those of them that ASCII has. Some thirty searches for one character take a tenth of a search for any of them."""

_ESCAPES = {"<": "&lt;", "[": "&#91;"}


def sanitized(text: str) -> str:
    """Return the text with imitations of tags and chat turns escaped, and invisible characters shown by their code."""
    if not _is_suspect(text):
        return text
    text = _TAG.sub("&lt;", text)
    if _ANY_BRACKET.search(text) and _TAG.search(_as_read(text)):
        text = _ANY_BRACKET.sub("&lt;", text)
    text = _BRACKET_LETTER.sub(_without_bracket_letter, text)
    return _TURN.sub(lambda found: _ESCAPES[found[0]], _UNSEEN.sub(_shown, text))


def _is_suspect(text: str) -> bool:
    if not text.isascii():
        return _SUSPECT.search(text) is not None
    for sign in _SUSPECT_ASCII:  # noqa: SIM110 - any() takes three times as long
        if sign in text:
            return True
    return False


def _without_bracket_letter(found: re.Match[str]) -> str:
    """Return the letter and the text after it. The letter is escaped if it begins a tag. Other letters stay."""
    after = found[1]
    begins = _AFTER_LETTER.match(after) or _AFTER_LETTER.match(_as_read(after))
    return f"&lt;{after}" if begins else found[0]


def _as_read(text: str) -> str:
    """Return the text with plain letters, without styles, marks and invisible characters."""
    return _NOT_READ.sub("", unicodedata.normalize("NFKD", text).casefold())


def _shown(unseen: re.Match[str]) -> str:
    return unseen[0] if _belongs(unseen.string, unseen.start()) else f"[U+{ord(unseen[0]):04X}]"


def _belongs(text: str, place: int) -> bool:
    """Return whether a joiner is at a normal place: after a non-ASCII letter or sign, in an emoji, or in a keycap."""
    joiner, before = text[place], text[place - 1] if place else ""
    if not _JOINER.match(joiner) or not before:
        return False
    if before == "\ufe0f":
        return joiner == "\u200d" and _belongs(text, place - 1)
    if before.isascii():
        return before in "0123456789#*" and text[place : place + 2] == "\ufe0f\u20e3"
    return not _UNSEEN.match(before)
