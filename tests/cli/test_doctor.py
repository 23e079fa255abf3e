"""Each planted fault is found, and its fix is named."""

from __future__ import annotations

import gc
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.command import Run
from support.configs import deployment, proxy_config
from support.proxy import free_port
from support.redis_server import running_redis
from support.upstream import Body, Rule, Upstream, images_in, running_upstream

from litellm_image_analysis.cli.doctor import examine, look, services
from litellm_image_analysis.proxy import startup

CALLBACK = "litellm_image_analysis.image_analysis"
SETTINGS = "callback_settings.image_analysis"


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.reset()
    return shared_upstream


@pytest.fixture
def config(upstream: Upstream) -> dict[str, Any]:
    """A config without a fault."""
    return proxy_config(upstream)


@pytest.fixture
def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Its settings of image analysis."""
    found: dict[str, Any] = config["callback_settings"]["image_analysis"]
    return found


@pytest.fixture
def doctor(config: dict[str, Any], run: Run, written: Callable[[Any], str]) -> Callable[..., list[dict[str, Any]]]:
    """Examine the config, and return the problems and warnings."""

    def examine(*options: str) -> list[dict[str, Any]]:
        ran = run("doctor", "--config", written(config), "--json", *options)
        report = ran.json
        faults = [each for each in report["findings"] if each["status"] in ("problem", "warning")]
        assert ran.code == int(any(each["status"] == "problem" for each in faults))
        assert report["ok"] is (ran.code == 0)
        assert all(each["fix"] for each in faults)
        return faults

    return examine


Doctor = Callable[..., list[dict[str, Any]]]


def a_deployment(config: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in config["model_list"] if each["model_name"] == name)
    return found


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


class TestTheVisionModel:
    def test_a_missing_key(self, config: dict[str, Any], doctor: Doctor) -> None:
        a_deployment(config, "gpt-4o-mini")["litellm_params"]["api_key"] = "os.environ/NO_SUCH_KEY"
        [fault] = doctor()
        assert fault["where"] == "model_list[3].litellm_params.api_key"
        assert fault["fix"] == "Set NO_SUCH_KEY in the environment of the proxy"

    def test_a_missing_key_of_the_provider(self, config: dict[str, Any], doctor: Doctor) -> None:
        del a_deployment(config, "gpt-4o-mini")["litellm_params"]["api_key"]
        [fault] = doctor()
        assert fault["check"] == "api-keys"
        assert "Set OPENAI_API_KEY" in fault["fix"]

    def test_it_is_blind(self, config: dict[str, Any], doctor: Doctor) -> None:
        a_deployment(config, "gpt-4o-mini")["model_info"]["supports_vision"] = False
        [fault] = doctor()
        assert (fault["check"], fault["where"]) == ("vision-model-sees", f"{SETTINGS}.vision_model")
        assert "Set it to one of: multimodal" in fault["fix"]

    def test_it_is_not_known_to_see(self, config: dict[str, Any], doctor: Doctor) -> None:
        del a_deployment(config, "gpt-4o-mini")["model_info"]["supports_vision"]
        [fault] = doctor()
        assert fault["status"] == "warning"
        assert "supports_vision: true" in fault["fix"]

    def test_it_is_not_served(self, settings: dict[str, Any], doctor: Doctor) -> None:
        settings["vision_model"] = "gpt-4o-mni"
        fault = doctor()[0]
        assert (fault["check"], fault["where"]) == ("vision-model", f"{SETTINGS}.vision_model")
        assert "set vision_model to one of: gpt-4o-mini" in fault["fix"]

    def test_it_may_be_in_the_database(self, config: dict[str, Any], settings: dict[str, Any], doctor: Doctor) -> None:
        settings["vision_model"] = "from-database"
        config["general_settings"]["store_model_in_db"] = True
        assert [(fault["check"], fault["status"]) for fault in doctor()] == [("vision-model", "warning")]

    def test_a_wildcard_serves_it(self, config: dict[str, Any], settings: dict[str, Any], doctor: Doctor) -> None:
        config["model_list"].append(deployment("openai/*", "*", "http://127.0.0.1:1"))
        settings["vision_model"] = "openai/gpt-4o"
        assert doctor() == []

    def test_a_fallback_is_blind(self, config: dict[str, Any], doctor: Doctor) -> None:
        a_deployment(config, "deepseek-chat")["model_info"]["supports_vision"] = False
        config["router_settings"]["fallbacks"] = [{"gpt-4o-mini": ["deepseek-chat"]}]
        [fault] = doctor()
        assert fault["check"] == "vision-model-fallbacks"
        assert fault["what"] == "deepseek-chat is a fallback of gpt-4o-mini, and it is known not to accept images"

    def test_a_deployment_that_litellm_leaves_out(self, config: dict[str, Any], doctor: Doctor) -> None:
        config["model_list"].append({"model_name": "odd", "litellm_params": {"model": "no-such-provider/x"}})
        assert [fault["check"] for fault in doctor()] == ["models"]

    def test_the_suffix_is_that_of_a_model(self, config: dict[str, Any], doctor: Doctor) -> None:
        config["model_list"].append(deployment("text-ocr", "blind-text", "http://127.0.0.1:1"))
        [fault] = doctor()
        assert (fault["check"], fault["where"]) == ("suffix", f"{SETTINGS}.suffix")
        assert fault["fix"] == "Rename the model text-ocr, or set another suffix, such as suffix: -vision"


def _reads(body: Body) -> str:
    """Stands for a model that reads the number. The test knows it by the function that drew it."""
    assert images_in(body["messages"])
    return f"It shows {DRAWN[-1]}."


DRAWN: list[str] = []


class TestALook:
    @pytest.fixture(autouse=True)
    def note_the_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        draw = look.picture_of

        def drawn(number: str) -> bytes:
            DRAWN.append(number)
            return draw(number)

        monkeypatch.setattr(look, "picture_of", drawn)

    @pytest.fixture(autouse=True)
    def connections_end_with_their_test(self) -> Iterator[None]:
        """LiteLLM 1.84 leaves them open."""
        yield
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def test_a_model_that_reads_the_number(
        self, upstream: Upstream, run: Run, written: Callable[[Any], str], config: dict[str, Any]
    ) -> None:
        upstream.rules.append(Rule(lambda _: True, text=_reads))
        ran = run("doctor", "--config", written(config), "--look", "--json")
        [found] = [each for each in ran.json["findings"] if each["check"] == "look"]
        assert found["status"] == "ok"
        assert "0.00021 USD" in found["what"]
        assert len(upstream.requests) == 1

    def test_a_model_that_invents_an_answer(self, upstream: Upstream, doctor: Doctor) -> None:
        upstream.rules.append(Rule(lambda _: True, text="A receipt."))
        [fault] = doctor("--look")
        assert fault["check"] == "look"
        assert "not with the number" in fault["what"]

    def test_a_provider_that_answers_401(self, upstream: Upstream, doctor: Doctor) -> None:
        upstream.rules.append(Rule(lambda _: True, status=401))
        [fault] = doctor("--look")
        assert (fault["check"], fault["where"]) == ("look", f"{SETTINGS}.vision_model")
        assert "Correct api_key in the deployment's litellm_params" in fault["fix"]

    def test_without_it_no_request_reaches_the_provider(self, upstream: Upstream, doctor: Doctor) -> None:
        upstream.rules.append(Rule(lambda _: True, status=401))
        assert doctor() == []
        assert upstream.requests == []


class TestWhatIsAroundTheGateway:
    def test_redis_that_is_down(self, settings: dict[str, Any], doctor: Doctor) -> None:
        url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
        settings["cache"] = {"backend": "redis", "redis_url": url}
        [fault] = doctor()
        assert (fault["check"], fault["where"]) == ("redis", f"{SETTINGS}.cache.redis_url")
        assert fault["fix"].startswith("Start Redis, or correct the address")
        assert "hunter2" not in str(fault)

    @pytest.mark.parametrize("place", ["redis_url", "coordination_redis", "cache_params", "environment"])
    def test_redis_that_is_up(
        self,
        config: dict[str, Any],
        settings: dict[str, Any],
        doctor: Doctor,
        monkeypatch: pytest.MonkeyPatch,
        place: str,
    ) -> None:
        with running_redis(password="hunter2") as redis:
            monkeypatch.setenv("THE_PASSWORD", "hunter2")
            address = {"host": "127.0.0.1", "port": redis.port, "password": "os.environ/THE_PASSWORD"}
            settings["cache"] = {"backend": "redis"}
            if place == "redis_url":
                settings["cache"]["redis_url"] = redis.url
            elif place == "coordination_redis":
                config["general_settings"]["coordination_redis"] = address
            elif place == "cache_params":
                config["litellm_settings"] |= {
                    "cache": True,
                    "cache_params": {"type": "redis", "ttl": 60, "namespace": "n", **address},
                }
            else:
                monkeypatch.setenv("REDIS_URL", redis.url)
            assert doctor() == []

    def test_no_redis_at_all(self, settings: dict[str, Any], doctor: Doctor) -> None:
        settings["cache"] = {"backend": "redis"}
        [fault] = doctor()
        assert fault["fix"] == f"Set {SETTINGS}.cache.redis_url, or REDIS_URL or REDIS_HOST in the environment"

    def test_no_secret(
        self, config: dict[str, Any], settings: dict[str, Any], doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("LITELLM_MASTER_KEY")
        del config["general_settings"]["master_key"]
        settings["cache"] = {"backend": "redis", "redis_url": f"redis://127.0.0.1:{free_port()}/0"}
        fault = next(each for each in doctor() if each["check"] == "cache-secret")
        assert fault["where"] == f"{SETTINGS}.cache.secret"
        assert "general_settings.master_key, LITELLM_SALT_KEY" in fault["fix"]

    def test_a_database_that_is_away(self, config: dict[str, Any], doctor: Doctor) -> None:
        port = free_port()
        config["general_settings"]["database_url"] = f"postgresql://llm:hunter2@127.0.0.1:{port}/litellm"
        fault = next(each for each in doctor() if each["check"] == "database")
        assert f"no TCP connection to 127.0.0.1:{port}" in fault["what"]
        assert fault["fix"].endswith("in general_settings.database_url")
        assert "hunter2" not in str(fault)

    def test_a_database_that_listens(self, upstream: Upstream, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://llm:hunter2@127.0.0.1:{upstream.port}/litellm")
        monkeypatch.setenv("GRACEFUL_SHUTDOWN_TIMEOUT", "90")
        assert doctor() == []

    def test_too_little_time_to_stop(self, upstream: Upstream, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://llm:hunter2@127.0.0.1:{upstream.port}/litellm")
        monkeypatch.setattr(startup, "short_grace", lambda seconds: 30.0)
        [fault] = doctor()
        assert (fault["check"], fault["status"]) == ("grace", "warning")
        assert "GRACEFUL_SHUTDOWN_TIMEOUT=90" in fault["fix"]

    @pytest.mark.parametrize(
        ("module", "extra", "cause"),
        [("redis", "redis", {"backend": "redis"}), ("rapidocr", "local-ocr", {"backend": "off"})],
    )
    def test_a_missing_extra(
        self,
        config: dict[str, Any],
        settings: dict[str, Any],
        doctor: Doctor,
        monkeypatch: pytest.MonkeyPatch,
        module: str,
        extra: str,
        cause: dict[str, Any],
    ) -> None:
        settings["cache"] = cause
        config["model_list"].append({"model_name": "ours", "litellm_params": {"model": "local-ocr/rapidocr"}})
        real = importlib.util.find_spec
        monkeypatch.setattr(services, "find_spec", lambda name: None if name == module else real(name))
        fault = next(each for each in doctor() if each["check"] == "extras")
        assert fault["fix"] == f"pip install 'litellm-image-analysis[{extra}]'"


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
        del a_deployment(config, "gpt-4o-mini")["model_info"]["supports_vision"]
        path = written(config)
        assert [run("doctor", "--config", path, *options).code for options in ([], ["--strict"])] == [0, 1]

    def test_a_file_that_does_not_exist_is_wrong_usage(self, run: Run, tmp_path: Path) -> None:
        assert run("doctor", "--config", str(tmp_path / "none.yaml")).code == 2
