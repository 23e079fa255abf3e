"""The examples and the keys in ``docs/command.md`` are those of the command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.command import Run
from support.features import loads_callbacks_from_packages
from support.images import image

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command.md").read_text()
CONFIG = "proxy_config.yaml"


def part(name: str) -> str:
    found = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", PAGE, re.DOTALL)
    assert found
    return found[1].strip()


def code(name: str) -> str:
    return part(name).partition("\n")[2].removesuffix("```").rstrip()


def keys_of(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from keys_of(item, f"{path}[]")
    if isinstance(value, dict):
        for key, item in value.items():
            where = f"{path}.{key}" if path else key
            yield where
            if path != "look" or key != "request":  # the request of the client
                yield from keys_of(item, where)


def documented(name: str) -> set[str]:
    rows = re.findall(r"^\| (.*?) \|", part(name), re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([\w.\[\]]+)`", row)}


def without_versions(text: str) -> str:
    return "\n".join(re.sub(r"\d+\.\d+\.\d+\S*", "0", line).rstrip() for line in text.splitlines())


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-1")


@pytest.mark.skipif(
    not loads_callbacks_from_packages() or find_spec("rapidocr") is None,
    reason="this LiteLLM needs a file beside the config, or an extra is missing",
)
def test_the_example_of_doctor(run: Run) -> None:
    ran = run("doctor", "--config", CONFIG)
    assert ran.code == 1
    assert without_versions(ran.out) == without_versions(code("doctor"))


def test_the_keys_of_doctor(run: Run) -> None:
    report = run("doctor", "--config", CONFIG, "--json").json
    report["counts"] = None
    assert set(keys_of(report)) == documented("doctor keys")


def test_each_check_is_in_the_table(run: Run) -> None:
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \| ", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    package = ROOT / "litellm_image_analysis" / "cli" / "doctor"
    source = "\n".join(path.read_text() for path in package.glob("*.py"))
    calls = re.findall(r"\b(?:ok|problem|warning|skipped)\(\s*\"([\w-]+)\"", source)
    assert {each["check"] for each in run("doctor", "--config", CONFIG, "--json").json["findings"]} <= set(calls)
    assert set(calls) <= named


def test_the_example_of_explain(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-2")
    ran = run("explain", "-", "--config", CONFIG, text=code("explain request"))
    assert ran.code == 0
    assert [without_hashes(line) for line in ran.out.splitlines()] == [
        without_hashes(line) for line in code("explain").splitlines()
    ]


def without_hashes(line: str) -> str:
    """A line without hashes, which depend on the master key and on LiteLLM's version."""
    return re.sub(r"\b[0-9a-f]{12,}\b", "0", line).rstrip()


def test_the_keys_of_explain(run: Run, tmp_path: Path) -> None:
    deployment = {"model": "openai/gpt-4o-mini", "api_key": "sk-1", "mock_response": "A cat."}
    vision = {"model_name": "gpt-4o-mini", "litellm_params": deployment}
    text_only = {"model_name": "blind", "litellm_params": {"model": "deepseek/deepseek-chat", "api_key": "sk-1"}}
    text_only["model_info"] = {"image_analysis": "always"}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model_list": [vision, text_only]}))
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}
    body = {"model": "blind", "messages": [{"role": "user", "content": [image("a"), pdf]}]}
    found = set(keys_of(run("explain", "-", "--config", str(config), "--json", "--look", text=json.dumps(body)).json))
    found |= set(
        keys_of(run("explain", "-", "--config", str(config), "--json", text=json.dumps({**body, "ocr_model": 1})).json)
    )
    assert found == documented("explain keys")
