"""A proxy's config file. ``tests/e2e/test_cli.py`` compares the result with LiteLLM's own loader."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from litellm_image_analysis.cli.gateway_config import ConfigFileError, apply_environment, read_config


def wrote(folder: Path, text: str, name: str = "config.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_references_are_replaced_in_mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-1")
    monkeypatch.setenv("A_FLAG", "True")
    monkeypatch.delenv("NOT_SET", raising=False)
    text = (
        "model_list: [{litellm_params: {api_key: os.environ/A_KEY, other: os.environ/NOT_SET}}]\n"
        "litellm_settings: {flag: os.environ/A_FLAG, names: [os.environ/A_KEY]}\n"
    )
    config = read_config(wrote(tmp_path, text))
    assert config.values == {
        "model_list": [{"litellm_params": {"api_key": "sk-1", "other": None}}],
        "litellm_settings": {"flag": True, "names": ["os.environ/A_KEY"]},
    }
    assert [(each.where, each.name) for each in config.unset] == [
        ("model_list[0].litellm_params.other", "NOT_SET"),
    ]
    assert "sk-1" not in repr(config)


class TestIncludes:
    def test_lists_are_joined_and_other_values_replaced(self, tmp_path: Path) -> None:
        wrote(tmp_path, "model_list: [{model_name: b}]\nlitellm_settings: {x: 2}\n", "models.yaml")
        text = "include: [models.yaml]\nmodel_list: [{model_name: a}]\nlitellm_settings: {x: 1}\n"
        values = read_config(wrote(tmp_path, text)).values
        assert values == {"model_list": [{"model_name": "a"}, {"model_name": "b"}], "litellm_settings": {"x": 2}}

    def test_a_file_may_include_another_beside_it(self, tmp_path: Path) -> None:
        wrote(tmp_path, "include: [inner.yaml, ../config.yaml]\n", "parts/outer.yaml")
        wrote(tmp_path, "model_list: [{model_name: c}]\n", "parts/inner.yaml")
        config = read_config(wrote(tmp_path, "include: [parts/outer.yaml]\nmodel_list: []\n"))
        assert config.values == {"model_list": [{"model_name": "c"}]}

    @pytest.mark.parametrize("include", ["other.yaml", "[1]", "[no.yaml]"])
    def test_one_that_cannot_be_read(self, tmp_path: Path, include: str) -> None:
        with pytest.raises(ConfigFileError):
            read_config(wrote(tmp_path, f"include: {include}\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must hold a mapping"),
        ("[]", "must hold a mapping"),
        ("a: [", "no valid YAML in line 1"),
        ("a: b: c", "no valid YAML in line 1"),
        ("\x00", "special characters are not allowed"),
        ("day: 2026-13-45", "month must be in 1..12. Write dates in quotes"),
        ("a: &x {b: *x}", "an anchor (&) contains itself"),
        ("a: " + "[" * 3_000, "nested too deeply"),
    ],
)
def test_no_config(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigFileError, match=rf"config\.yaml: .*{re.escape(problem)}"):
        read_config(wrote(tmp_path, text))


def test_a_missing_include_is_named_with_the_file_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"config\.yaml: include names nope\.yaml, which does not exist"):
        read_config(wrote(tmp_path, "include: [nope.yaml]\n"))


@pytest.mark.parametrize("text", ["A=B: c", '"N": "x\\0y"'])
def test_variables_that_the_system_does_not_accept(tmp_path: Path, text: str) -> None:
    config = read_config(wrote(tmp_path, f"environment_variables: {{{text}}}\n"))
    with pytest.raises(ConfigFileError, match=r"environment_variables\..*zero byte"):
        apply_environment(config)


def test_keys_that_stand_twice(tmp_path: Path) -> None:
    text = "a: {x: 1, y: 2, x: 3}\nlist: [{b: 1, b: 2}]\na: {}\nanchor: &one {c: 1}\nmerged: {<<: *one, c: 2}\n"
    assert read_config(wrote(tmp_path, text)).repeated == ("a.x", "list[0].b", "a")


def test_variables_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_CONFIG", "old")
    monkeypatch.delenv("NOT_SET", raising=False)
    text = "environment_variables: {OF_THE_CONFIG: 1, COPY: os.environ/NOT_SET}\n"
    apply_environment(read_config(wrote(tmp_path, text)))
    assert os.environ["OF_THE_CONFIG"] == "1"
    assert "COPY" not in os.environ


def test_other_shapes_are_empty_sections(tmp_path: Path) -> None:
    config = read_config(wrote(tmp_path, "litellm_settings: 1\nmodel_list: {a: 1}\n"))
    assert config.section("litellm_settings") == config.section("general_settings") == {}
    assert config.deployments == []
    assert not config.has_secret_manager
