"""Write the result of a command: JSON, plain text, or text with colours on a terminal."""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import click

Style: TypeAlias = Literal["green", "yellow", "red", "dim", "bold"]
Line: TypeAlias = "str | list[tuple[str, Style | None]]"
"""A line of text, or its pieces with their styles."""


LOGGERS = ("LiteLLM", "LiteLLM.image_analysis", "LiteLLM Router", "LiteLLM Proxy", "asyncio")
"""The loggers that are silenced. asyncio's reports connections that LiteLLM 1.84 leaves open."""


def write_json(value: Any) -> None:
    """Write a value as JSON to stdout."""
    click.echo(json.dumps(value, indent=2, default=str))  # ASCII, because a text may have half a surrogate pair


def write_lines(lines: list[Line]) -> None:
    """Write lines to stdout. Styles are shown on a terminal only, and not with ``NO_COLOR``."""
    if not _has_colours():
        for line in lines:
            click.echo(_printable(line if isinstance(line, str) else "".join(text for text, _ in line)))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        pieces = [(line, None)] if isinstance(line, str) else line
        console.print(Text.assemble(*((_printable(text), style or "") for text, style in pieces)), soft_wrap=True)


def _printable(text: str) -> str:
    """Escape what the encoding of stdout does not have, such as half a surrogate pair of a text that was cut."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _has_colours() -> bool:
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return False
    return find_spec("rich") is not None


def silence_litellm() -> None:
    """Let LiteLLM write nothing: its lines would be among the output, and some of them quote requests."""
    import litellm

    litellm.suppress_debug_info = True
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
