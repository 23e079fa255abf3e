"""Planted faults of the file, the callback, the settings and versions are found, and their fixes are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.command import Doctor, Run
from support.configs import deployment_of
from support.upstream import Upstream

from litellm_image_analysis.cli.doctor import examine

CALLBACK = "litellm_image_analysis.image_analysis"
SETTINGS = "callback_settings.image_analysis"


def test_a_config_without_a_fault(doctor: Doctor, upstream: Upstream) -> None:
    assert doctor() == []
    assert upstream.requests == []


class TestTheCallback:
    @pytest.mark.parametrize(
        "name",
        [
            "litellm_image_analisys.image_analysis",
            "litellm_image_analysis.image_analysys",
            "litellm_image_analysis",
            "litellm_image_analysis.ImageAnalysis",
            "litellm-image-analysis.image_analysis",
            "image_analysis",
        ],
    )
    def test_a_wrong_path(self, config: dict[str, Any], doctor: Doctor, name: str) -> None:
        config["litellm_settings"]["callbacks"] = [name]
        [fault] = doctor()
        assert (fault["check"], fault["where"]) == ("callback", "litellm_settings.callbacks[0]")
        assert fault["fix"] == f"Write {CALLBACK}"

    def test_none(self, config: dict[str, Any], doctor: Doctor) -> None:
        del config["litellm_settings"]["callbacks"]
        [fault] = doctor()
        assert f'litellm_settings.callbacks: ["{CALLBACK}"]' in fault["fix"]

    def test_twice(self, config: dict[str, Any], doctor: Doctor) -> None:
        config["litellm_settings"]["callbacks"] = [CALLBACK, CALLBACK]
        [fault] = doctor()
        assert fault["check"] == "callback"
        assert fault["what"].startswith("the callback stands 2 times")
        assert fault["fix"] == "Keep litellm_settings.callbacks[0] only"

    def test_in_another_list(self, config: dict[str, Any], doctor: Doctor) -> None:
        config["litellm_settings"]["success_callback"] = [CALLBACK]
        [fault] = doctor()
        assert (fault["check"], fault["where"]) == ("callback-list", "litellm_settings.success_callback[0]")

    def test_two_instances(self, config: dict[str, Any], doctor: Doctor, tmp_path: Path) -> None:
        module = "from litellm_image_analysis import ImageAnalysis\nours = ImageAnalysis(vision_model='gpt-4o-mini')\n"
        (tmp_path / "custom_callbacks.py").write_text(module)
        config["litellm_settings"]["callbacks"] = [CALLBACK, "custom_callbacks.ours"]
        [fault] = doctor()
        assert fault["check"] == "instances"
        assert "litellm_settings.callbacks[1]" in fault["what"]
        assert "Remove ImageAnalysis(...) from other callback modules" in fault["fix"]

    def test_an_instance_that_another_module_registers(
        self, config: dict[str, Any], doctor: Doctor, tmp_path: Path
    ) -> None:
        module = (
            "import litellm\nfrom litellm.integrations.custom_logger import CustomLogger\n"
            "from litellm_image_analysis import ImageAnalysis\n"
            "litellm.callbacks.append(ImageAnalysis(vision_model='gpt-4o-mini'))\nlogger = CustomLogger()\n"
        )
        (tmp_path / "custom_callbacks.py").write_text(module)
        config["litellm_settings"]["callbacks"] = [CALLBACK, "custom_callbacks.logger"]
        assert [fault["check"] for fault in doctor()] == ["instances"]

    def test_another_callback_that_cannot_be_loaded(self, config: dict[str, Any], doctor: Doctor) -> None:
        config["litellm_settings"]["callbacks"] = [CALLBACK, "prometheus", "no_such_module.logger"]
        [fault] = doctor()
        assert (fault["check"], fault["status"]) == ("other-callbacks", "warning")


class TestTheSettings:
    def test_an_unknown_one(self, settings: dict[str, Any], doctor: Doctor) -> None:
        settings["remote_url"] = "pass"
        [fault] = doctor()
        assert fault["where"] == f"{SETTINGS}.remote_url"
        assert (fault["what"], fault["fix"]) == ("unknown setting", "Did you mean remote_urls?")

    def test_a_value_that_is_misspelt(self, settings: dict[str, Any], doctor: Doctor) -> None:
        settings["remote_urls"] = "alowlist"
        [fault] = doctor()
        assert fault["where"] == f"{SETTINGS}.remote_urls"
        assert fault["fix"] == "Did you mean allowlist? It must be pass, reject or allowlist"

    def test_in_another_place(self, config: dict[str, Any], doctor: Doctor) -> None:
        config["general_settings"]["image_analysis"] = config.pop("callback_settings")["image_analysis"]
        [fault] = doctor()
        assert fault["check"] == "settings-place"
        assert "general_settings.image_analysis" in fault["what"]

    def test_a_secret_is_never_printed(self, settings: dict[str, Any], doctor: Doctor) -> None:
        settings["cache"] = {"backend": "redis", "redis_url": "http://:hunter2@127.0.0.1", "secret": ["hunter2"]}
        assert "hunter2" not in str(doctor())


class TestVersions:
    def test_a_litellm_that_is_too_old(self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(examine, "version", lambda name: "1.82.7")
        [fault] = doctor()
        assert fault["check"] == "litellm"
        assert "pip install --upgrade 'litellm[proxy]>=1.84'" in fault["fix"]

    def test_one_that_is_newer_than_any_tested(self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(examine, "version", lambda name: "2.0.0")
        assert [(fault["check"], fault["status"]) for fault in doctor()] == [("litellm", "warning")]

    def test_a_python_that_is_too_old(self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(examine, "sys", SimpleNamespace(version_info=(3, 9, 1)))
        assert [fault["check"] for fault in doctor()] == ["python"]


class TestTheFile:
    def test_a_section_that_stands_twice(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text("litellm_settings: {callbacks: [a.b]}\nlitellm_settings: {drop_params: true}\n")
        faults = [each for each in run("doctor", "--config", str(path), "--json").json["findings"] if each["fix"]]
        assert faults[0]["check"] == "config"
        assert faults[0]["fix"] == "Merge both litellm_settings"

    def test_no_yaml(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "config.yaml"
        path.write_text("model_list: [\n")
        ran = run("doctor", "--config", str(path))
        assert ran.code == 1
        assert "no valid YAML" in ran.out


class TestTheOutput:
    def test_as_text(self, run: Run, written: Callable[[Any], str], config: dict[str, Any]) -> None:
        ran = run("doctor", "--config", written(config))
        assert ran.code == 0
        assert "\x1b" not in ran.out
        assert ran.out.splitlines()[-1].startswith("0 problems, 0 warnings, ")

    def test_strict_counts_warnings(self, run: Run, written: Callable[[Any], str], config: dict[str, Any]) -> None:
        del deployment_of(config, "gpt-4o-mini")["model_info"]["supports_vision"]
        path = written(config)
        assert [run("doctor", "--config", path, *options).code for options in ([], ["--strict"])] == [0, 1]

    def test_a_file_that_does_not_exist_is_wrong_usage(self, run: Run, tmp_path: Path) -> None:
        assert run("doctor", "--config", str(tmp_path / "none.yaml")).code == 2


_ODD: list[Any] = [None, 1, "x", [], {}, [1], [None], [{}], True]
_SECTIONS = ("model_list", "litellm_settings", "callback_settings", "general_settings", "router_settings")
_NESTED = (
    *(("litellm_settings", key) for key in ("callbacks", "cache_params", "fallbacks", "success_callback")),
    *(("general_settings", key) for key in ("master_key", "database_url", "coordination_redis")),
    *(("router_settings", key) for key in ("fallbacks", "model_group_alias", "context_window_fallbacks")),
)


@pytest.mark.parametrize("value", _ODD, ids=str)
def test_values_of_other_types_are_no_bugs_of_the_command(
    run: Run, written: Callable[[Any], str], config: dict[str, Any], value: Any
) -> None:
    config["callback_settings"]["image_analysis"]["cache"] = {"backend": "redis", "secret": "s"}
    config["litellm_settings"]["cache"] = True
    odd = [{section: value} for section in (*_SECTIONS, "environment_variables", "include")]
    odd += [{**config, section: {**config[section], key: value}} for section, key in _NESTED]
    odd += [{**config, "model_list": [{"model_name": "m", key: value}]} for key in ("litellm_params", "model_info")]
    body = '{"model": "m-ocr", "messages": [{"role": "user", "content": "Hi"}]}'
    for each in odd:
        path = written(each)
        assert run("doctor", "--config", path, "--json").json["findings"]
        assert run("explain", "-", "--config", path, text=body).code in (0, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("general_settings", "x"),
        ("callback_settings", ["x"]),
        ("environment_variables", ["A"]),
        ("model_list", {"a": 1}),
    ],
)
def test_a_section_of_a_wrong_type(config: dict[str, Any], doctor: Doctor, name: str, value: Any) -> None:
    config[name] = value
    assert (name, "config") in [(fault["where"], fault["check"]) for fault in doctor()]
