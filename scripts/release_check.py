"""Check a release before it is published: ``python -m scripts.release_check [--tag v0.1.0] [--dist dist]``.

The distributions are built once, or are ready in a folder. The wheel is then installed by its name into an empty
environment without extras, with each extra and with all of them, with the newest dependencies that can be installed.
There it does its main job. The commands of the quick start run with the same wheel. An SBOM of the environment with all
extras is written beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import newcomer
from scripts.distributions import DIST, ROOT, Distributions, build, problems, ready, version
from scripts.provider import running_provider

NAME = "litellm-image-analysis"
JOB = Path(__file__).with_name("release_job.py")
_LITELLM_VERSION = "from importlib.metadata import version; print(version('litellm'))"


@dataclass(frozen=True)
class Environment:
    """An empty environment. It has no pip, so that it has only the package and its dependencies.

    Attributes:
        folder: its folder.
        extras: the extras of the package in it.
    """

    folder: Path
    extras: tuple[str, ...]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def install(self, distributions: Distributions) -> None:
        """Install the wheel without an index, and then what it needs."""
        venv.create(self.folder, clear=True, with_pip=False)
        version = distributions.metadata()["Version"]
        name = f"{NAME}=={version}"
        self._pip("install", "--no-deps", "--no-index", "--find-links", str(distributions.wheel.parent), name)
        # Without the version, pip may replace the wheel by another version from the index whose extras it can install.
        self._pip("install", f"{NAME}[{','.join(self.extras)}]=={version}" if self.extras else name)
        self._pip("check")

    def _pip(self, command: str, *arguments: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.folder)]
        _run([*pip, command, "--quiet", "--disable-pip-version-check", *arguments])

    def do_the_job(self, version: str, environment: Mapping[str, str]) -> list[str]:
        """Do the main job with this interpreter and this version, away from the checkout. Returns what was done."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(ROOT / "examples", Path(folder, "examples"), ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "proxy_config.yaml", folder)
            job = shutil.copy(JOB, folder)
            command = [str(self.python), "-I", job, folder, version, *self.extras]
            return _run(command, cwd=folder, env=environment).splitlines()

    def litellm(self) -> str:
        """Return the version of LiteLLM in it."""
        return _run([str(self.python), "-I", "-c", _LITELLM_VERSION]).strip()


def _run(command: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> str:
    result = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}")
    return result.stdout


def write_sbom(environment: Environment, wheel: Path, path: Path) -> None:
    """Write a CycloneDX SBOM of an environment, with the wheel as its main component.

    Raises:
        SystemExit: the SBOM would have a path of this machine.
    """
    tool = Path(sys.executable).with_name("cyclonedx-py")
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "library", "--output-reproducible"]
    _run([str(tool), "environment", *options, "--output-format", "JSON", "-o", str(path), str(environment.python)])
    sbom = json.loads(path.read_text())
    sbom["metadata"]["component"].update(main_component(version(), wheel.read_bytes()))
    text = json.dumps(sbom, indent=2)
    if "file://" in text:
        sys.exit(f"{path} would have a path of this machine")
    path.write_text(f"{text}\n")


def main_component(version: str, wheel: bytes) -> dict[str, Any]:
    """Return what the SBOM's main component lacks, because the version is not in ``pyproject.toml``."""
    return {
        "version": version,
        "purl": f"pkg:pypi/{NAME}@{version}",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel).hexdigest()}],
    }


def without_keys() -> dict[str, str]:
    """Return this process's environment without providers' keys, a database and Python's settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.endswith(("_API_KEY", "DATABASE_URL")) and not name.startswith("PYTHON")
    }


def report_newcomer(seconds: float) -> None:
    """Warn if the quick start took long. The time depends on the package index, so a release does not depend on it."""
    if seconds > newcomer.BOUND_SECONDS:
        print(f"warning: it took more than {newcomer.BOUND_SECONDS} s", flush=True)


def check(tag: str | None, dist: Path | None = None) -> None:
    """Check the release, and print what was done.

    Args:
        tag: the git tag of the release.
        dist: a folder with distributions that are ready. Without it, they are built.

    Raises:
        SystemExit: something is wrong.
    """
    found = problems(version(), (ROOT / "CHANGELOG.md").read_text(), tag)
    if found:
        sys.exit("\n".join(found))
    distributions = ready(dist.resolve()) if dist else build(DIST)
    metadata = distributions.metadata()
    if metadata["Version"] != version():
        sys.exit(f"the wheel has version {metadata['Version']}")
    extras = tuple(metadata.get_all("Provides-Extra", []))
    with tempfile.TemporaryDirectory() as folder, running_provider() as provider:
        models = {"OPENAI_BASE_URL": provider, "OPENAI_API_KEY": "none", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        for chosen in [(), *((extra,) for extra in extras), extras]:
            environment = Environment(Path(folder, "-".join(("with", *chosen))), chosen)
            start = time.monotonic()
            environment.install(distributions)
            installed = time.monotonic()
            done = environment.do_the_job(metadata["Version"], {**without_keys(), **models})
            print(f"{', '.join(chosen) or 'no extra'}: LiteLLM {environment.litellm()}", end="")
            print(
                f", installed in {installed - start:.0f} s, used for {time.monotonic() - installed:.0f} s", flush=True
            )
            print("".join(f"  {line}\n" for line in done), end="", flush=True)
        sbom = distributions.wheel.with_name(f"{NAME}-{version()}.cdx.json")
        write_sbom(environment, distributions.wheel, sbom)
    print(f"{sbom.name}\nthe quick start:", flush=True)
    report_newcomer(newcomer.walk(distributions.wheel))


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description="Build a release, and try it in empty environments.")
    parser.add_argument("--tag", help="the git tag of the release, which has to agree with version and changelog")
    parser.add_argument("--dist", type=Path, help="a folder with distributions that are ready, and are not built again")
    arguments = parser.parse_args()
    check(arguments.tag, arguments.dist)


if __name__ == "__main__":
    main()
