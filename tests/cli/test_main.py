"""The command's entry point, its help, and its output."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from support.command import Run

import litellm_image_analysis
from litellm_image_analysis import cli
from litellm_image_analysis.cli import output
from litellm_image_analysis.cli.doctor import versions

ROOT = Path(__file__).parents[2]


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "click" else real(name))
    assert cli.main() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "litellm-image-analysis needs click: pip install 'litellm-image-analysis[cli]'\n"


def test_help_does_not_import_litellm() -> None:
    script = (
        "import sys; from litellm_image_analysis.cli import main\n"
        "sys.argv = ['x', '--help']\n"
        "try: main()\nexcept SystemExit as end: print(end.code, 'litellm' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "0 False"
    assert {"doctor", "explain"} <= set(out.split())


def test_as_a_module_it_has_the_version() -> None:
    command = [sys.executable, "-m", "litellm_image_analysis", "--version"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out == f"litellm-image-analysis {litellm_image_analysis.__version__}\n"


def test_an_unknown_command_is_wrong_usage(run: Run) -> None:
    assert run("doktor").code == 2


def test_colours_are_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[output.Line] = [[("problem", "red"), (" [bold]", None)], "plain"]
    output.write_lines(lines)
    assert capsys.readouterr().out == "problem [bold]\nplain\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.write_lines(lines)
    coloured = capsys.readouterr().out
    assert "\x1b[31mproblem" in coloured
    assert "[bold]" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    output.write_lines(lines)
    assert "\x1b" not in capsys.readouterr().out


def test_the_supported_versions_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert f'"litellm>={".".join(map(str, versions.OLDEST_LITELLM))}"' in project
    assert f'requires-python = ">={_dotted(versions.OLDEST_PYTHON)},<3.{versions.NEWEST_PYTHON[1] + 1}"' in project
    swept = re.findall(r"^\| 1\.(\d+)\.\d+", (ROOT / "docs" / "versions.md").read_text(), re.MULTILINE)
    assert (1, max(map(int, swept))) == versions.NEWEST_TESTED_LITELLM


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def test_everything_that_the_command_needs_comes_with_the_proxy() -> None:
    names = {re.split(r"[<>=;\[ ]", each)[0].lower() for each in requires("litellm") or ()}
    assert {"click", "rich", "pyyaml"} <= names
