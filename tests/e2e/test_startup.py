"""The start of a proxy as the operator sees it: wrong settings, a missing vision model, levels of the log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.configs import proxy_config
from support.images import image, message, text
from support.proxy import Proxy, running_proxy, start_proxy
from support.upstream import Upstream, running_upstream

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""Colour codes. LiteLLM 1.84 ignores NO_COLOR."""
URL = "/v1/chat/completions"
QUESTION = {"model": "deepseek-chat-ocr", "messages": [message(text("?"), image("CANARY"))]}


def test_wrong_settings_stop_the_start_and_the_last_words_say_what_would_be_right(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "model_list": [],
        "litellm_settings": {"callbacks": ["litellm_image_analysis.image_analysis"]},
        "callback_settings": {"image_analysis": {"vison_model": "gpt-4o", "timeout_seconds": "soon"}},
    }
    proxy = start_proxy(config, tmp_path, fresh=True)
    assert proxy.process.wait(60) != 0
    path = "  callback_settings.image_analysis"
    assert proxy.log.rstrip().splitlines()[-3:] == [
        "wrong settings for litellm-image-analysis:",
        f"{path}.timeout_seconds: got 'soon'; it must be a number of seconds above 0, such as 60",
        f"{path}.vison_model: unknown setting; did you mean vision_model?",
    ]


@pytest.fixture(scope="module")
def quiet_upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def unserved(quiet_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose vision model has no deployment, with a JSON log."""
    config = proxy_config(quiet_upstream, vision_model="gpt-4o")
    with running_proxy(config, tmp_path_factory.mktemp("unserved"), {"JSON_LOGS": "true"}) as proxy:
        yield proxy


UNSERVED = (
    "callback_settings.image_analysis.vision_model: this gateway serves no model 'gpt-4o'. Add a deployment with"
    " model_name: gpt-4o to model_list, or set vision_model to one of: gpt-4o-mini, multimodal, other-vision, scan-ocr."
)


def log_records(proxy: Proxy) -> list[dict[str, Any]]:
    return [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]


def test_a_vision_model_nobody_serves_is_an_error_in_the_log_and_a_failure_on_use(unserved: Proxy) -> None:
    with unserved.client() as client:
        response = client.post(URL, json=QUESTION)
    assert response.status_code == 200
    assert response.headers["x-litellm-image-analysis-error"] == "image_analysis_misconfigured"
    errors = [record["message"] for record in log_records(unserved) if record["level"] == "ERROR"]
    assert UNSERVED in errors  # at the start
    assert f"image analysis: {UNSERVED}" in errors


def test_a_request_without_images_does_not_need_the_vision_model(unserved: Proxy) -> None:
    with unserved.client() as client:
        response = client.post(URL, json={**QUESTION, "messages": [message(text("?"))]})
    assert response.status_code == 200


def test_json_logs_have_the_line_s_fields(unserved: Proxy) -> None:
    with unserved.client() as client:
        response = client.post(URL, json={**QUESTION, "ocr_model": "gpt-4o-mini"})
    ready, *_, fields = [record["image_analysis"] for record in log_records(unserved) if "image_analysis" in record]
    assert (ready["vision_model"], ready["suffix"], ready["mode"]) == ("gpt-4o", "-ocr", "on_request")
    assert fields.pop("duration_ms") >= 0
    assert fields == {
        "request_id": response.headers["x-litellm-call-id"],
        "vision_model": "gpt-4o-mini",
        "images": 1,
        "cached": 0,
        "failed": 0,
        "cost_usd": "0.00021",
    }


@pytest.mark.parametrize(("level", "shown"), [("ERROR", []), ("DEBUG", ["DEBUG", "INFO"])])
def test_the_log_obeys_litellm_log(quiet_upstream: Upstream, tmp_path: Path, level: str, shown: list[str]) -> None:
    with running_proxy(proxy_config(quiet_upstream), tmp_path, {"LITELLM_LOG": level}) as proxy:
        with proxy.client() as client:
            assert client.post(URL, json=QUESTION).status_code == 200
        log = COLOUR.sub("", proxy.log)
        lines = [line for line in log.splitlines() if "LiteLLM.image_analysis:" in line]
    assert sorted({line.split("image_analysis:")[1].split(":")[0] for line in lines}) == shown
