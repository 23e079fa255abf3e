"""All of ``examples/`` runs, and ``proxy_config.yaml`` starts unchanged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.features import needs_callbacks_from_packages
from support.proxy import Proxy, running_proxy
from support.upstream import ANSWER, Upstream, images_in

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TOTAL = "TOTAL  42.80"


def run(*command: str | Path, **env: str) -> str:
    """Run an example in an environment with only these keys, and without a database. Return its output."""
    bare = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "DATABASE_URL"))}
    result = subprocess.run(
        command, env={**bare, **env}, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@needs_callbacks_from_packages
def test_the_quickstart_reads_a_receipt_without_a_key() -> None:
    pytest.importorskip("rapidocr")
    printed = run(sys.executable, EXAMPLES / "quickstart.py")
    told = dict(part.split(" ---\n", 1) for part in printed.split("\n--- ")[1:])
    assert '"model": "stand-in-ocr"' in told["what the caller sent"]
    assert TOTAL in told["what the text model read"]
    assert "only repeat what I have read" in told["its answer"]
    assert TOTAL in told["its answer"]
    assert "x-litellm-image-analysis-model: local-ocr" in told["the response's headers"]
    assert "x-litellm-response-cost-total: 0" in told["the response's headers"]
    assert "vision_model=local-ocr images=1 cached=0 failed=0" in told["the log line"]


@needs_callbacks_from_packages
@pytest.mark.parametrize(
    ("keys", "text_model", "vision_model"),
    [
        ({"OPENAI_API_KEY": "sk-a"}, "gpt-3.5-turbo", "gpt-4o-mini"),
        ({"OPENAI_API_KEY": "sk-a", "DEEPSEEK_API_KEY": "sk-b"}, "deepseek-chat", "gpt-4o-mini"),
    ],
)
def test_with_keys_the_quickstart_asks_the_real_models(
    upstream: Upstream, keys: dict[str, str], text_model: str, vision_model: str
) -> None:
    bases = {"OPENAI_BASE_URL": upstream.base_url, "DEEPSEEK_API_BASE": upstream.base_url}
    run(sys.executable, EXAMPLES / "quickstart.py", **keys, **bases)
    vision, main = upstream.requests
    assert (vision["model"], main["model"]) == (vision_model, text_model)
    assert images_in(vision)
    assert not images_in(main)


@pytest.fixture
def proxy_env(proxy: Proxy, upstream: Upstream) -> dict[str, str]:
    return {
        "PROXY_URL": proxy.url,
        "PROXY_KEY": proxy.master_key,
        "OPENAI_BASE_URL": f"{proxy.url}/v1",
        "OPENAI_API_KEY": proxy.master_key,
    }


def test_curl(proxy_env: dict[str, str], upstream: Upstream) -> None:
    printed = run("sh", EXAMPLES / "curl.sh", **proxy_env)
    assert "x-litellm-image-analysis-images: 1" in printed
    assert ANSWER in printed
    assert [bool(images_in(body)) for body in upstream.requests] == [True, False]


def test_the_openai_sdk(proxy_env: dict[str, str], upstream: Upstream) -> None:
    printed = run(sys.executable, EXAMPLES / "openai_sdk.py", **proxy_env)
    assert printed.splitlines() == [
        "With the suffix:",
        ANSWER,
        "images: 1",
        "cost with vision: 0.00141",
        "With the parameter:",
        ANSWER,
        "As a stream:",
        f"{ANSWER} ",
    ]
    assert [bool(images_in(body)) for body in upstream.requests] == [True, False] * 3


def test_what_a_chat_ui_sends(client: httpx.Client, upstream: Upstream) -> None:
    request: dict[str, Any] = json.loads((EXAMPLES / "chat_ui.json").read_text())
    response = client.post("/v1/chat/completions", json=request)
    assert response.status_code == 200
    assert response.text.rstrip().endswith("data: [DONE]")
    vision, main = upstream.requests
    assert images_in(vision)
    assert [message["role"] for message in main["messages"]] == [message["role"] for message in request["messages"]]
    assert not images_in(main)


def test_litellm_as_a_library(upstream: Upstream) -> None:
    bases = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "sk-a"}
    printed = run(sys.executable, EXAMPLES / "sdk.py", "openai/blind-chat", "openai/seeing-mini", **bases)
    assert printed.splitlines() == [ANSWER, ANSWER]
    assert [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-chat", "blind-chat"]


def test_a_router_in_a_program(upstream: Upstream) -> None:
    bases = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "sk-a"}
    models = {"MODEL": "openai/blind-chat", "VISION_MODEL": "openai/seeing-mini"}
    printed = run(sys.executable, EXAMPLES / "router.py", **bases, **models)
    assert printed.splitlines() == [ANSWER, "images: 1"]
    assert [body["model"] for body in upstream.requests] == ["seeing-mini", "blind-chat"]


def test_readme_s_code(upstream: Upstream) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    bases = {"OPENAI_BASE_URL": upstream.base_url, "DEEPSEEK_API_BASE": upstream.base_url}
    printed = run(sys.executable, "-c", code, OPENAI_API_KEY="sk-a", DEEPSEEK_API_KEY="sk-b", **bases)
    assert printed.splitlines() == [ANSWER]
    assert [body["model"] for body in upstream.requests] == ["gpt-4o-mini", "deepseek-chat"]
    assert not images_in(upstream.requests[1])


def test_the_config_to_copy_starts_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    config: dict[str, Any] = yaml.safe_load((ROOT / "proxy_config.yaml").read_text())
    keys = {"OPENAI_API_KEY": "sk-a", "DEEPSEEK_API_KEY": "sk-b"}
    with running_proxy(config, tmp_path, keys) as proxy, proxy.client() as client:
        listed = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert sorted(listed[:-1]) == ["deepseek-chat", "gpt-4o-mini", "local-ocr"]
    assert listed[-1] == "deepseek-chat-ocr"
    assert "ERROR" not in proxy.log
