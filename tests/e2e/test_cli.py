"""What the command says is what a proxy does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import client_shapes
from support.client_shapes import Shape
from support.command import Run
from support.configs import BASE_PRICE, deployment, proxy_config
from support.images import data_uri
from support.proxy import Proxy, running_proxy
from support.upstream import Body, Rule, Upstream, images_in

FILES = client_shapes.files()
NO_SHAPES = f"there is no folder {client_shapes.FOLDER.name} beside the checkout"


@pytest.fixture(scope="module")
def own_proxy(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with all models of the clients' requests."""
    config = proxy_config(shared_upstream, timeout_seconds=30)
    names = {shape.base for file in FILES for shape in client_shapes.shapes(file)}
    known = {each["model_name"] for each in config["model_list"]}
    url = shared_upstream.base_url
    config["model_list"] += [deployment(name, f"blind-{name}", url, **BASE_PRICE) for name in sorted(names - known)]
    with running_proxy(config, tmp_path_factory.mktemp("command")) as proxy:
        yield proxy


@pytest.fixture
def config(own_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> str:
    """The config of the proxy, with its environment."""
    monkeypatch.setenv("LITELLM_MASTER_KEY", own_proxy.master_key)
    monkeypatch.delenv("LITELLM_SALT_KEY", raising=False)
    return str(own_proxy.log_path.with_name("config.yaml"))


@pytest.fixture
def explained(run: Run, config: str) -> Any:
    """Explain a request, with and without a look."""

    def explain(shape: Shape, *options: str) -> dict[str, Any]:
        arguments = ["explain", "-", "--config", config, "--json", "--route", shape.route, "--model", shape.model]
        ran = run(*arguments, *options, text=json.dumps(shape.body))
        found: dict[str, Any] = ran.json
        failed = "look" in found and found["look"]["report"] and found["look"]["report"]["failed"]
        assert ran.code == int(bool(failed)), ran.out
        return found

    return explain


@pytest.mark.skipif(not FILES, reason=NO_SHAPES)
@pytest.mark.parametrize("file", FILES or ["none"])
def test_a_client_s_request(file: str, own_proxy: Proxy, upstream: Upstream, explained: Any) -> None:
    for shape in client_shapes.shapes(file):
        upstream.reset()
        explanation = explained(shape)
        assert upstream.requests == []
        with own_proxy.client() as client:
            answer = client.post(shape.path, json=shape.body)
        asked, sent = upstream.calls("seeing"), upstream.calls("blind")
        assert explanation["vision_calls"] == len(asked)
        assert sorted(call["question"] for call in explanation["calls"]) == sorted(map(question_of, asked))
        if not explanation["analysed"]:
            continue
        assert answer.status_code == 200, answer.text
        upstream.reset()
        look = explained(shape, "--look")["look"]
        assert sorted(map(messages_of, upstream.requests)) == sorted(map(messages_of, asked))
        assert look["report"]["images"] == len(explanation["images"])
        texts_are_sent(explanation, look["request"], sent[-1])


def question_of(request: Body) -> str:
    return str(request["messages"][1]["content"][0]["text"])


def messages_of(request: Body) -> str:
    return json.dumps(request["messages"])


def strings_in(value: Any) -> Iterator[str]:
    """All texts in a value. LiteLLM sends the result of a Google function as JSON in a text."""
    if isinstance(value, str):
        yield value
        with suppress(ValueError):
            value = json.loads(value) if value.startswith("{") else value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings_in(item)


def at(body: Any, place: str) -> Any:
    """The value at a place such as ``messages[0].content[1]``. If its text was joined to others, they are returned."""
    for key in re.findall(r"[^.\[\]]+", place):
        try:
            inner = body[int(key)] if isinstance(body, list) else body[key]
        except (IndexError, KeyError, TypeError):
            break
        body = inner
    return body


def texts_are_sent(explanation: dict[str, Any], request: dict[str, Any], sent: Body) -> None:
    """Check that the text model's provider gets the texts of the rewritten request, and no image."""
    conversation = sent.get("messages", sent.get("input"))
    assert images_in(conversation) == []
    got = "\n".join(strings_in(conversation))
    fences = [set(re.findall(r"</image-analysis-[0-9a-f]+>", text)) for text in (got, "\n".join(strings_in(request)))]
    assert fences[0] == fences[1]
    for part in [*explanation["images"], *explanation["files"]]:
        texts = [text for text in strings_in(at(request, part["place"])) if "[" in text or "<image-analysis-" in text]
        assert texts
        assert [text for text in texts if text not in got] == []


def test_a_request_of_every_kind_of_image(own_proxy: Proxy, upstream: Upstream, explained: Any) -> None:
    """So that something is compared where the clients' requests are not there."""
    parts = [
        {"type": "text", "text": "What do they show?"},
        *({"type": "image_url", "image_url": {"url": url}} for url in (data_uri("a"), data_uri("b"), data_uri("a"))),
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png?key=hunter2"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,bm8gaW1hZ2U="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQK"}},
    ]
    shape = Shape(
        "chat",
        "/v1/chat/completions",
        "deepseek-chat-ocr",
        {"model": "deepseek-chat-ocr", "messages": [{"role": "user", "content": parts}]},
    )
    explanation = explained(shape)
    assert upstream.requests == []
    assert explanation["vision_calls"] == 3
    assert explanation["cost_at_most_usd"] is not None
    assert [image["result"] for image in explanation["images"]] == [*["analysed"] * 4, "note"]
    assert explanation["images"][2]["same_as"] == "messages[0].content[1]"
    assert "hunter2" not in json.dumps(explanation)
    with own_proxy.client() as client:
        assert client.post(shape.path, json=shape.body).status_code == 200
    asked, [sent] = upstream.calls("seeing"), upstream.calls("blind")
    assert len(asked) == 3
    upstream.reset()
    look = explained(shape, "--look")["look"]
    texts_are_sent(explanation, look["request"], sent)
    assert look["report"]["cost_usd"] == "0.00063"


def test_doctor_and_explain_as_processes(config: str, own_proxy: Proxy, upstream: Upstream, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"model": "deepseek-chat-ocr", "messages": [{"role": "user", "content": "Hi"}]}))
    command = [sys.executable, "-m", "litellm_image_analysis"]
    environment = {**os.environ, "LITELLM_MASTER_KEY": own_proxy.master_key}
    for arguments in (["doctor", "--config", config], ["explain", str(request), "--config", config]):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "\x1b" not in done.stdout
    assert upstream.requests == []


def test_doctor_looks_at_a_provider_that_answers_401(config: str, own_proxy: Proxy, upstream: Upstream) -> None:
    """As a process, because the connections of this call stay open with LiteLLM 1.84."""
    upstream.rules.append(Rule(lambda _: True, status=401))
    command = [sys.executable, "-m", "litellm_image_analysis", "doctor", "--config", config, "--look", "--json"]
    environment = {**os.environ, "LITELLM_MASTER_KEY": own_proxy.master_key}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    [fault] = [each for each in json.loads(done.stdout)["findings"] if each["status"] == "problem"]
    assert (fault["check"], fault["where"]) == ("look", "callback_settings.image_analysis.vision_model")
    assert "Correct api_key in the deployment's litellm_params" in fault["fix"]
    assert len(upstream.requests) == 1


_LITELLMS_LOADER = """
import asyncio, json, sys
from litellm.proxy.proxy_server import ProxyConfig
print("\\n" + json.dumps(asyncio.run(ProxyConfig().get_config(sys.argv[1])), sort_keys=True))
"""


def test_a_config_is_read_as_litellm_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from litellm_image_analysis.cli.gateway_config import read_config

    monkeypatch.setenv("A_KEY", "sk-1")
    monkeypatch.setenv("A_FLAG", "false")
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "models.yaml").write_text(
        "model_list: [{model_name: b, litellm_params: {model: openai/b, api_key: os.environ/NOT_SET}}]\n"
        "router_settings: {num_retries: 2}\n"
    )
    path = tmp_path / "config.yaml"
    path.write_text(
        "include: [models.yaml]\n"
        "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: os.environ/A_KEY}}]\n"
        "router_settings: {num_retries: 1, timeout: 3}\n"
        "litellm_settings: {drop_params: os.environ/A_FLAG, names: [os.environ/A_KEY]}\n"
    )
    command = [sys.executable, "-c", _LITELLMS_LOADER, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(out.splitlines()[-1]) == read_config(path).values
