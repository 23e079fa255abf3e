"""Planted faults of the models are found, and their fixes are named. A look asks the vision model."""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.command import Doctor, Run
from support.configs import deployment, deployment_of
from support.upstream import Body, Rule, Upstream, images_in

from litellm_image_analysis.cli.doctor import look

CALLBACK = "litellm_image_analysis.image_analysis"
SETTINGS = "callback_settings.image_analysis"


class TestTheVisionModel:
    def test_a_missing_key(self, config: dict[str, Any], doctor: Doctor) -> None:
        deployment_of(config, "gpt-4o-mini")["litellm_params"]["api_key"] = "os.environ/NO_SUCH_KEY"
        [fault] = doctor()
        assert fault["where"] == "model_list[3].litellm_params.api_key"
        assert fault["fix"] == "Set NO_SUCH_KEY in the environment of the proxy"

    def test_a_missing_key_of_the_provider(self, config: dict[str, Any], doctor: Doctor) -> None:
        del deployment_of(config, "gpt-4o-mini")["litellm_params"]["api_key"]
        [fault] = doctor()
        assert fault["check"] == "api-keys"
        assert "Set OPENAI_API_KEY" in fault["fix"]

    def test_it_is_blind(self, config: dict[str, Any], doctor: Doctor) -> None:
        deployment_of(config, "gpt-4o-mini")["model_info"]["supports_vision"] = False
        [fault] = doctor()
        assert (fault["check"], fault["where"]) == ("vision-model-sees", f"{SETTINGS}.vision_model")
        assert "Set it to one of: multimodal" in fault["fix"]

    def test_it_is_not_known_to_see(self, config: dict[str, Any], doctor: Doctor) -> None:
        del deployment_of(config, "gpt-4o-mini")["model_info"]["supports_vision"]
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
        deployment_of(config, "deepseek-chat")["model_info"]["supports_vision"] = False
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

    def test_log_lines_are_not_among_the_output(
        self, upstream: Upstream, run: Run, written: Callable[[Any], str], config: dict[str, Any]
    ) -> None:
        class ToStdout(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                sys.stdout.write(f"{record.getMessage()}\n")

        logger, handler = logging.getLogger("LiteLLM.image_analysis"), ToStdout()
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            upstream.rules.append(Rule(lambda _: True, text=_reads))
            assert run("doctor", "--config", written(config), "--look", "--json").json["findings"]
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    def test_a_model_that_invents_an_answer(self, upstream: Upstream, doctor: Doctor) -> None:
        upstream.rules.append(Rule(lambda _: True, text="A receipt."))
        [fault] = doctor("--look")
        assert fault["check"] == "look"
        assert "not with the number" in fault["what"]

    def test_without_it_no_request_reaches_the_provider(self, upstream: Upstream, doctor: Doctor) -> None:
        upstream.rules.append(Rule(lambda _: True, status=401))
        assert doctor() == []
        assert upstream.requests == []
