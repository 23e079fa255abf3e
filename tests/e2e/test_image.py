"""The steps of the Dockerfile and of the init container, in an environment like that of LiteLLM's image: without pip.

They need a package index, so they run with ``IMAGE_STEPS=1`` only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.configs import proxy_config
from support.images import image, message, text
from support.proxy import Proxy, eventually, free_port
from support.upstream import ANSWER, Upstream, images_in, running_upstream

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "examples" / "cluster"
KEY = "sk-a-key-of-this-test"
NEW = {"cachetools", "litellm-image-analysis"}

pytestmark = [
    pytest.mark.skipif("IMAGE_STEPS" not in os.environ, reason="needs a package index: set IMAGE_STEPS=1"),
    pytest.mark.timeout(1200),
]


def uv(*arguments: str | Path) -> str:
    """Run uv of the tests' environment."""
    command = [Path(sys.executable).with_name("uv"), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


class Image:
    """An environment with LiteLLM's proxy, as in LiteLLM's image: made by uv, without pip."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.venv, self.wheels = folder, folder / "venv", folder / "wheels"
        self.python = self.venv / "bin" / "python"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
        uv("venv", "--quiet", "--python", sys.executable, self.venv)
        constraints = ROOT / "constraints" / "dev.txt"
        uv("pip", "install", "--quiet", "--python", self.python, "--constraints", constraints, "litellm[proxy]")

    @property
    def packages(self) -> dict[str, str]:
        """The names of all packages with their versions."""
        lines = uv("pip", "freeze", "--python", self.python).splitlines()
        return {re.split("==| @ ", line)[0]: line for line in lines}

    @property
    def files(self) -> set[Path]:
        """All installed files."""
        return {path.relative_to(self.venv) for path in self.venv.rglob("*") if path.is_file()}

    def run(self, step: str, folder: Path, **places: Path) -> None:
        """Run a shell command of the image with other places in the file system."""
        for there, here in {"/app/.venv": self.venv, "/wheels": self.wheels, **places}.items():
            step = step.replace(there, str(here))
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        path = os.pathsep.join([str(self.folder / "bin"), str(self.venv / "bin"), "/usr/bin", "/bin"])
        subprocess.run(["sh", "-c", step], check=True, cwd=folder, env={**variables, "PATH": path})


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage of the Dockerfile, with their arguments."""
    code = re.sub(r"^#.*\n", "", (CLUSTER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in code.splitlines() if line]
    found: list[list[tuple[str, str]]] = []
    for instruction, arguments in lines:
        if instruction == "FROM":
            found.append([])
        elif found:
            found[-1].append((instruction, arguments))
    return found


def follow(image: Image, stage: list[tuple[str, str]], folder: Path) -> None:
    """Follow the COPY and RUN instructions of a stage in this folder."""
    folder.mkdir(exist_ok=True)
    for instruction, arguments in stage:
        if instruction == "COPY":
            *sources, target = arguments.split()
            for source in sources:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, folder / target)
        elif instruction == "RUN":
            image.run(re.sub(r"--mount=\S+", "", arguments), folder)


@contextmanager
def running(image: Image, upstream: Upstream, **env: str) -> Iterator[Proxy]:
    """Run this environment's ``litellm``."""
    folder, port = image.folder, free_port()
    (folder / "config.yaml").write_text(yaml.safe_dump(proxy_config(upstream)))
    variables = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(folder), **env}
    command = [str(image.venv / "bin" / "litellm"), "--config", str(folder / "config.yaml")]
    log_path = folder / "proxy.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=variables, cwd=folder, stdout=log, stderr=log
        )
    proxy = Proxy(port, KEY, log_path, process)
    try:
        assert eventually(lambda: "image analysis: ready" in proxy.log or process.poll() is not None, 200)
        assert process.poll() is None, proxy.log
        yield proxy
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def analyses_an_image(proxy: Proxy, upstream: Upstream) -> None:
    body: dict[str, Any] = {"model": "deepseek-chat-ocr", "messages": [message(text("What is it?"), image("mark"))]}
    with proxy.client() as client:
        response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == ANSWER
    assert [bool(images_in(body)) for body in upstream.requests] == [True, False]


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_pip_and_uv_change_no_package(tmp_path: Path, tool: str) -> None:
    image = Image(tmp_path / "image")
    packages = image.packages
    if tool == "uv":
        uv("pip", "install", "--quiet", "--python", image.python, ".")
    else:
        pip = [sys.executable, "-m", "pip", "--python", str(image.python), "install", "--quiet", "."]
        subprocess.run(pip, check=True, cwd=ROOT)
    assert image.packages.keys() - packages.keys() == NEW
    assert packages.items() <= image.packages.items()


def test_the_dockerfile_adds_the_plugin_and_changes_nothing_else(tmp_path: Path) -> None:
    image = Image(tmp_path / "image")
    packages, files = image.packages, image.files
    assert "pip" not in packages
    assert NEW & packages.keys() == set()
    _, wheel, final = stages()
    follow(image, wheel, tmp_path / "wheel")
    follow(image, final, tmp_path / "final")
    assert image.packages.keys() - packages.keys() == NEW
    assert packages.items() <= image.packages.items()
    added = {path for path in image.files - files if path.name != ".lock"}
    assert {path.parts[3].partition("-")[0] for path in added} == {"cachetools", "litellm_image_analysis"}
    with running_upstream() as upstream, running(image, upstream) as proxy:
        analyses_an_image(proxy, upstream)


def test_the_init_container_unpacks_the_plugin(tmp_path: Path) -> None:
    image = Image(tmp_path / "image")
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    documents = yaml.safe_load_all((CLUSTER / "kubernetes.yaml").read_text())
    (pod,) = [document["spec"]["template"]["spec"] for document in documents if document["kind"] == "Deployment"]
    (container,) = pod["initContainers"]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(image.wheels)]
    subprocess.run([*pip, ".", "cachetools"], check=True, cwd=ROOT)
    assert sum(path.stat().st_size for path in image.wheels.iterdir()) * 4 / 3 < 2**20  # what a ConfigMap may have
    packages = image.packages
    shell, option, step = container["command"]
    assert (shell, option) == ("sh", "-c")
    image.run(step, tmp_path, **{"/plugin": plugin})
    assert image.packages == packages
    with running_upstream() as upstream, running(image, upstream, PYTHONPATH=str(plugin)) as proxy:
        analyses_an_image(proxy, upstream)
