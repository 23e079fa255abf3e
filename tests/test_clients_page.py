"""The page about clients: each client of its table has a section, and its snippets are well-formed."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PAGE = (Path(__file__).parents[1] / "docs" / "clients.md").read_text()
TABLE = re.findall(r"^\| \[(.+?)\]\(#(.+?)\) \|", PAGE, re.MULTILINE)
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
NOT_RUN = {"LibreChat"}


def parse_toml(text: str) -> None:
    if sys.version_info >= (3, 11):
        import tomllib

        tomllib.loads(text)


PARSERS: dict[str, Callable[[str], Any]] = {
    "bash": shlex.split,
    "js": str,  # no parser is installed
    "json": json.loads,
    "python": ast.parse,
    "toml": parse_toml,
    "yaml": yaml.safe_load,
}


def test_each_client_of_the_table_has_a_section_in_the_same_order() -> None:
    assert [name for name, _ in TABLE] == list(SECTIONS)


@pytest.mark.parametrize(("name", "anchor"), TABLE, ids=[name for name, _ in TABLE])
def test_links_of_the_table_lead_to_the_sections(name: str, anchor: str) -> None:
    assert anchor == re.sub(r"[^\w-]", "", name.lower().replace(" ", "-"))


@pytest.mark.parametrize("name", SECTIONS)
def test_each_section_has_a_snippet_and_says_what_was_run(name: str) -> None:
    assert "```" in SECTIONS[name]
    assert ("Not run for this page" if name in NOT_RUN else "Version") in SECTIONS[name]


@pytest.mark.parametrize(("language", "text"), SNIPPETS, ids=[language for language, _ in SNIPPETS])
def test_snippets_are_well_formed(language: str, text: str) -> None:
    PARSERS[language](text)
