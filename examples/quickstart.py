"""A complete run: a real LiteLLM proxy, a text-only model, and a question about a picture.

Starts ``litellm --config proxy_config.yaml`` on a free loopback port with a generated master key, sends ``receipt.png``
with a question, shows the requests and answers, and stops the proxy. Without an API key, ``local-ocr`` reads the
picture, and ``stand_in.py`` is the text model. With ``DEEPSEEK_API_KEY`` or ``OPENAI_API_KEY`` set, the real models are
used.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

HERE = Path(__file__).parent
QUESTION = "What is the total?"
START_SECONDS = 120
STAND_IN = {"model_name": "stand-in", "litellm_params": {"model": "stand-in/repeats-what-it-read"}}
BLIND_OPENAI = {
    "model_name": "gpt-3.5-turbo",
    "litellm_params": {"model": "openai/gpt-3.5-turbo", "api_key": "os.environ/OPENAI_API_KEY"},
}


def config_for(environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The repository's config with the models that the environment's keys allow, and the text model's name."""
    config: dict[str, Any] = yaml.safe_load((HERE.parent / "proxy_config.yaml").read_text())
    if not environment.get("OPENAI_API_KEY"):
        config["callback_settings"]["image_analysis"]["vision_model"] = "local-ocr"
    config["litellm_settings"]["callbacks"].append("recorder.recorder")
    if environment.get("DEEPSEEK_API_KEY"):
        return config, "deepseek-chat"
    if environment.get("OPENAI_API_KEY"):
        config["model_list"].append(BLIND_OPENAI)
        return config, "gpt-3.5-turbo"
    config["model_list"].append(STAND_IN)
    config["litellm_settings"]["custom_provider_map"] = [
        {"provider": "stand-in", "custom_handler": "stand_in.stand_in"}
    ]
    return config, "stand-in"


@contextmanager
def running_proxy(folder: Path, config: dict[str, Any]) -> Iterator[httpx.Client]:
    """Start a proxy with this config, wait until it serves, and stop it when the block ends."""
    (folder / "proxy_config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for plugin in ("recorder.py", "stand_in.py"):
        shutil.copy(HERE / plugin, folder)
    port, key = _free_port(), f"sk-{secrets.token_hex(24)}"
    command = ["litellm", "--config", "proxy_config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    print("$", *command)
    environment = {
        **os.environ,
        "LITELLM_MASTER_KEY": key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "RECORDER_FILE": str(folder / "calls.jsonl"),
    }
    executable = Path(sys.executable).with_name(command[0])
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [executable, *command[1:]], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        base_url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=base_url, headers=headers, timeout=120) as client:
            _wait_until_ready(client, process, folder / "proxy.log")
            yield client
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/health/readiness").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    sys.exit(f"The proxy did not start. Its log ends with:\n{log.read_text()[-3000:]}")


def show(title: str, text: str) -> None:
    """Print a section of the output."""
    print(f"\n--- {title} ---\n{text.rstrip()}")


def main() -> None:
    """Run the demo."""
    config, model = config_for(dict(os.environ))
    picture = base64.b64encode((HERE / "receipt.png").read_bytes()).decode()
    content = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
    ]
    request = {"model": f"{model}-ocr", "messages": [{"role": "user", "content": content}]}
    with tempfile.TemporaryDirectory() as name, running_proxy(folder := Path(name), config) as client:
        show("what the caller sent", json.dumps(request, indent=2).replace(picture, f"{picture[:24]}..."))
        response = client.post("/v1/chat/completions", json=request)
        if not response.is_success:
            sys.exit(f"{response.status_code}: {response.text}")
        calls = [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]
        show("what the text model read", str(calls[-1]["messages"][-1]["content"]))
        show("its answer", response.json()["choices"][0]["message"]["content"])
        headers = {name: value for name, value in response.headers.items() if "image-analysis" in name}
        headers |= {"x-litellm-response-cost-total": response.headers.get("x-litellm-response-cost-total", "unknown")}
        show("the response's headers", "\n".join(f"{name}: {value}" for name, value in headers.items()))
        log = (folder / "proxy.log").read_text().splitlines()
        show("the log line", "\n".join(line for line in log if "image analysis: " in line))


if __name__ == "__main__":
    main()
