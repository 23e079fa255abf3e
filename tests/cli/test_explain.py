"""``explain`` without a provider. ``tests/e2e/test_cli.py`` compares it with a proxy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.command import Ran, Run
from support.configs import deployment, proxy_config
from support.images import PNG_URI, data_uri, image, message, text
from support.upstream import Upstream
from support.wires import WIRES

from litellm_image_analysis.cli.explain.cost import _image_tokens
from litellm_image_analysis.cli.explain.request import RequestFileError, guess_route, read_request


@pytest.fixture
def config() -> dict[str, Any]:
    """The config of a proxy whose provider does not exist."""
    found = proxy_config(Upstream())
    found["model_list"].append(deployment("text-only", "blind-text", "http://127.0.0.1:1", supports_vision=False))
    return found


@pytest.fixture
def settings(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["callback_settings"]["image_analysis"]
    return found


Explain = Callable[..., Ran]


@pytest.fixture
def explain(config: dict[str, Any], run: Run, written: Callable[[Any], str]) -> Explain:
    """Explain a body."""

    def explain(body: dict[str, Any] | str, *options: str) -> Ran:
        given = body if isinstance(body, str) else json.dumps(body)
        return run("explain", "-", "--config", written(config), "--json", *options, text=given)

    return explain


def asked(*parts: dict[str, Any], model: str = "deepseek-chat-ocr", **keys: Any) -> dict[str, Any]:
    return {"model": model, "messages": [message(*parts)], **keys}


class TestTheRoute:
    @pytest.mark.parametrize("route", WIRES)
    def test_it_is_guessed_by_the_shape(self, route: str) -> None:
        wire = WIRES[route]
        assert guess_route(wire.body(wire.text("AAAA"))) == route

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": [], "system": "s"},
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            {"messages": [], "tools": [{"name": "t", "input_schema": {}}]},
        ],
    )
    def test_what_only_anthropic_has(self, body: dict[str, Any]) -> None:
        assert guess_route(body) == "messages"

    @pytest.mark.parametrize("body", [{"messages": None}, {"messages": [1, {"content": [1]}]}, {"messages": [{}]}])
    def test_other_messages_are_chat(self, body: dict[str, Any]) -> None:
        assert guess_route(body) == "chat"

    @pytest.mark.parametrize("given", ["[", "[]", "{}", '{"messages": []}', '{"model": 1, "input": ""}'])
    def test_what_is_no_request_is_wrong_usage(self, explain: Explain, given: str) -> None:
        assert explain(given).code == 2
        with pytest.raises(RequestFileError):
            read_request(given, None, None)

    def test_the_model_of_generate_content_is_in_its_path(self, explain: Explain) -> None:
        wire = WIRES["generateContent"]
        body = wire.body(wire.text(PNG_URI.partition(",")[2]))
        found = explain(body, "--model", "deepseek-chat-ocr").json
        assert (found["route"], found["model"], found["vision_calls"]) == ("generateContent", "deepseek-chat", 1)
        assert found["images"][0]["place"] == "contents[0].parts[0]"


class TestTheDecision:
    def test_by_suffix(self, explain: Explain) -> None:
        found = explain(asked(text("What?"), image("a"))).json
        assert (found["analysed"], found["asked_by"]) == (True, ["suffix"])
        assert (found["model"], found["vision_model"]) == ("deepseek-chat", "gpt-4o-mini")
        assert found["calls"][0]["question"].endswith("What?")

    def test_by_suffix_and_parameter(self, explain: Explain) -> None:
        found = explain(asked(image("a"), ocr_model="other-vision")).json
        assert (found["asked_by"], found["vision_model"]) == (["suffix", "ocr_model"], "other-vision")

    def test_by_alias(self, config: dict[str, Any], explain: Explain) -> None:
        config["router_settings"]["model_group_alias"] = {"seer": "deepseek-chat-ocr"}
        assert explain(asked(image("a"), model="seer")).json["asked_by"] == ["alias"]

    def test_not(self, explain: Explain) -> None:
        ran = explain(asked(image("a"), model="deepseek-chat"))
        assert (ran.code, ran.json["analysed"], ran.json["vision_calls"]) == (0, False, 0)
        assert [each["result"] for each in ran.json["images"]] == ["stays"]

    def test_switched_off(self, explain: Explain) -> None:
        found = explain(asked(image("a"), ocr_model=False)).json
        assert (found["analysed"], found["model"]) == (False, "deepseek-chat")
        assert "ocr_model: false" in found["why"]

    @pytest.mark.parametrize(
        ("model", "analysed", "deployment"),
        [
            ("text-only", True, {"accepts_images": False, "analysed": True}),
            ("multimodal", False, {"accepts_images": True, "analysed": False}),
            ("deepseek-chat", False, {"accepts_images": None, "analysed": None}),
        ],
    )
    def test_automatically(
        self,
        settings: dict[str, Any],
        explain: Explain,
        model: str,
        analysed: bool,
        deployment: dict[str, Any],
    ) -> None:
        settings["mode"] = "auto"
        found = explain(asked(image("a"), model=model)).json
        assert found["analysed"] is analysed
        assert [{key: each[key] for key in deployment} for each in found["deployments"]] == [deployment]

    @pytest.mark.parametrize(
        ("keys", "status", "code"),
        [
            ({"ocr_model": 1}, 400, "invalid_ocr_model"),
            ({"ocr_model": "nobody"}, 400, "invalid_ocr_model"),
            ({"model": "nobody-ocr"}, 400, "model_not_found"),
        ],
    )
    def test_a_refusal(self, explain: Explain, keys: dict[str, Any], status: int, code: str) -> None:
        ran = explain(asked(image("a")) | keys)
        assert ran.code == 1
        assert (ran.json["refusal"]["status"], ran.json["refusal"]["code"]) == (status, code)
        assert ran.json["vision_calls"] == 0

    def test_a_vision_model_that_is_not_allowed(self, settings: dict[str, Any], explain: Explain) -> None:
        settings["allowed_vision_models"] = ["gpt-4o-mini"]
        ran = explain(asked(image("a"), ocr_model="other-vision"))
        assert (ran.code, ran.json["refusal"]["status"]) == (1, 403)

    def test_a_vision_model_that_is_not_served(self, settings: dict[str, Any], explain: Explain) -> None:
        settings["vision_model"] = "nobody"
        [found] = explain(asked(image("a"))).json["images"]
        assert (found["result"], found["reason"]) == ("note", "misconfigured")


class TestAnImage:
    def test_what_is_known_of_it(self, explain: Explain) -> None:
        ran = explain(asked(text("What?"), image("a"), image("a"), {"type": "image_url", "image_url": {"url": "x:y"}}))
        first, again, wrong = ran.json["images"]
        assert first["place"] == "messages[0].content[1]"
        assert (first["kind"], first["media_type"], first["width"], first["height"]) == ("data", "image/png", 1, 1)
        assert (first["bytes"], first["question"]) == (len(data_uri("a")), "What?")
        assert first["key"] == again["key"] == ran.json["calls"][0]["key"]
        assert (first["same_as"], again["same_as"]) == (None, first["place"])
        assert (wrong["kind"], wrong["reason"], wrong["result"]) == ("unreadable", "unsupported_source", "note")
        assert ran.json["vision_calls"] == 1

    def test_its_bytes_are_not_printed(
        self, explain: Explain, config: dict[str, Any], settings: dict[str, Any]
    ) -> None:
        settings["on_failure"] = "keep"
        for deployment_ in config["model_list"]:
            deployment_["litellm_params"]["mock_response"] = "A cat."
        picture = data_uri("a", size=1000)
        parts = [{"type": "image_url", "image_url": {"url": picture}}, image("b"), text(picture.partition(",")[2])]
        out = explain(asked(*parts, model="deepseek-chat"), "--look").out
        assert "(image, image/png, " in out
        assert "A" * 256 not in out

    def test_a_limit(self, settings: dict[str, Any], explain: Explain) -> None:
        settings["max_images"] = 1
        found = explain(asked(image("a"), image("b"))).json
        assert [each["result"] for each in found["images"]] == ["note", "analysed"]
        assert found["images"][0]["limit"] == "max_images is 1"

    def test_a_limit_that_refuses_the_request(self, settings: dict[str, Any], explain: Explain) -> None:
        settings["max_image_parts"] = 1
        ran = explain(asked(image("a"), image("b")))
        assert (ran.code, ran.json["refusal"]["code"]) == (1, "too_many_images")
        assert [each["result"] for each in ran.json["images"]] == ["refused", "refused"]

    def test_too_many_messages(self, settings: dict[str, Any], explain: Explain) -> None:
        settings["max_messages"] = 1
        body = asked(image("a"))
        body["messages"] *= 2
        assert explain(body).json["refusal"]["code"] == "too_many_messages"

    def test_reject(self, settings: dict[str, Any], explain: Explain) -> None:
        settings["on_failure"] = "reject"
        ran = explain(asked({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}))
        assert (ran.code, ran.json["refusal"]["code"]) == (1, "image_analysis_mislabelled")

    def test_the_team_is_part_of_the_key(self, explain: Explain) -> None:
        [one], [other] = (explain(asked(image("a")), *team).json["calls"] for team in ([], ["--team", "research"]))
        assert one["key"] != other["key"]
        assert other["key_parts"]["scope"] == "team:research"
        assert "sk-master-key-of-a-test" not in json.dumps([one, other])


def test_files(explain: Explain, config: dict[str, Any]) -> None:
    part = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}
    found = explain(asked(part)).json
    assert (found["vision_calls"], found["files"][0]["result"]) == (0, "note")
    config["model_list"][0]["model_info"]["supports_pdf_input"] = True
    [file] = explain(asked(part)).json["files"]
    assert file == {
        "place": "messages[0].content[0]",
        "media_type": "application/pdf",
        "bytes": 9,
        "result": "stays",
        "text": None,
    }


class TestCost:
    def test_an_unknown_price(self, config: dict[str, Any], explain: Explain) -> None:
        for name in ("input_cost_per_token", "output_cost_per_token"):
            del config["model_list"][3]["model_info"][name]
        assert explain(asked(image("a"))).json["cost_at_most_usd"] is None

    def test_without_calls_it_is_nothing(self, explain: Explain) -> None:
        assert explain(asked(text("Hi"))).json["cost_at_most_usd"] == "0"

    def test_tokens_of_an_image(self) -> None:
        assert _image_tokens((1024, 1024), is_mini=False) == max(85 + 4 * 170, 1399)
        assert _image_tokens((1024, 1024), is_mini=True) == 34 * (85 + 4 * 170)
        assert _image_tokens((10, 10), is_mini=False) == 85 + 170
        assert _image_tokens(None, is_mini=False) == 16_384


class TestTheOutput:
    def test_as_text(self, config: dict[str, Any], run: Run, written: Callable[[Any], str], tmp_path: Path) -> None:
        request = tmp_path / "request.json"
        pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}
        request.write_text(json.dumps(asked(text("What?"), image("a"), pdf)))
        ran = run("explain", str(request), "--config", written(config))
        assert ran.code == 0
        assert "messages[0].content[1]: image 1 of 1, data, image/png" in ran.out
        assert "1 vision call with an empty cache, at most about" in ran.out
        assert "A PDF file (application/pdf, 9 bytes)" in ran.out
        assert "iVBORw0KGgo" not in ran.out

    def test_as_text_of_a_refusal(self, config: dict[str, Any], run: Run, written: Callable[[Any], str]) -> None:
        body = json.dumps(asked(image("a"), ocr_model=[]))
        assert "refused       400 invalid_ocr_model" in run("explain", "-", "--config", written(config), text=body).out

    @pytest.mark.parametrize("wrong", [{"callback_settings": {"image_analysis": {"vison_model": "x"}}}, []])
    def test_a_wrong_config(self, run: Run, written: Callable[[Any], str], wrong: Any) -> None:
        ran = run("explain", "-", "--config", written(wrong), text=json.dumps(asked(image("a"))))
        assert ran.code == 1
        assert "doctor --config" in ran.out
        assert "Traceback" not in ran.out

    def test_a_look(self, config: dict[str, Any], run: Run, written: Callable[[Any], str]) -> None:
        config["model_list"][3]["litellm_params"]["mock_response"] = "A cat."
        body = json.dumps(asked(text("What?"), image("a"), metadata={"mine": "1"}))
        ran = run("explain", "-", "--config", written(config), "--look", text=body)
        assert ran.code == 0
        assert "The text model gets:" in ran.out
        assert "A cat." in ran.out
        assert '"mine": "1"' in ran.out


def test_a_text_that_was_cut_within_a_letter_is_explained(
    explain: Explain, run: Run, written: Callable[[Any], str], config: dict[str, Any]
) -> None:
    body = asked(text("cut \ud83d here"), image(PNG_URI))
    assert explain(body).code == 0
    assert run("explain", "-", "--config", written(config), text=json.dumps(body)).code == 0


def test_a_body_with_a_byte_order_mark_is_read(
    run: Run, written: Callable[[Any], str], config: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "body.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(asked(image(PNG_URI))).encode())
    assert run("explain", str(path), "--config", written(config), "--json").code == 0


def test_an_alias_of_litellm_s_settings_is_served(
    explain: Explain, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm.model_alias_map", {})
    config["litellm_settings"]["model_alias_map"] = {"al": "deepseek-chat"}
    assert explain(asked(image(PNG_URI), model="al-ocr")).code == 0
    assert explain(asked(image(PNG_URI), model="other-ocr")).code == 1
