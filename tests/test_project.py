"""Project files: workflows, classifiers, changelog."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
needs_workflows = pytest.mark.skipif(not WORKFLOWS, reason="a source distribution has no workflows")
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", [*WORKFLOWS, *FORMS], ids=lambda path: path.stem)
def test_each_is_a_mapping(path: Path) -> None:
    assert isinstance(loaded(path), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text())
    assert used
    others = [action for action in used if not action.startswith("./")]  # files of the same commit
    assert [action for action in others if not re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}", action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_token_of_a_workflow_may_only_read(path: Path) -> None:
    assert loaded(path)["permissions"] == {"contents": "read"}


def test_make_targets_of_workflows_exist() -> None:
    targets = {target for path in WORKFLOWS for target in re.findall(r"run: make ([\w-]+)", path.read_text())}
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def jobs(workflow: str) -> dict[str, Any]:
    found: dict[str, Any] = loaded(ROOT / ".github" / "workflows" / workflow)["jobs"]
    return found


def artifacts(job: dict[str, Any], action: str) -> list[str]:
    steps = [step for step in job["steps"] if step.get("uses", "").startswith(f"actions/{action}-artifact@")]
    return [step["with"]["name"] for step in steps]


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@needs_workflows
def test_a_release_waits_for_tests_and_check() -> None:
    publish = jobs("publish.yml")
    assert {"ci", "build", "check"} == set(publish["publish"]["needs"])
    assert publish["ci"] == {"uses": "./.github/workflows/ci.yml"}
    assert "workflow_call" in loaded(ROOT / ".github" / "workflows" / "ci.yml")[True]  # YAML 1.1 reads "on" as true
    assert {"lint", "test"} <= jobs("ci.yml").keys()


@needs_workflows
def test_the_files_that_are_published_are_never_beside_packages_of_others() -> None:
    publish = jobs("publish.yml")
    build, check = publish["build"], publish["check"]
    assert [command for command in commands(build) if command.startswith("make")] == ["make build"]
    assert artifacts(build, "upload") == artifacts(check, "download") == artifacts(publish["publish"], "download")
    assert set(artifacts(build, "upload")).isdisjoint(artifacts(check, "upload"))
    (step,) = [step for step in check["steps"] if step.get("run") == "make release-check"]
    assert step["env"] == {"DIST": "dist", "TAG": "${{ github.event.release.tag_name }}"}


@needs_workflows
def test_artifacts_of_one_run_have_different_names() -> None:
    """A workflow that another one calls belongs to the same run."""
    every = [*jobs("publish.yml").values(), *jobs("ci.yml").values()]
    names = [name for job in every if "steps" in job for name in artifacts(job, "upload")]
    assert len(names) == len(set(names)) >= 4


@needs_workflows
@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
@pytest.mark.parametrize("change", ["none", "content", "another file"])
def test_publish_accepts_only_what_was_built(tmp_path: Path, change: str) -> None:
    publish = jobs("publish.yml")
    (write,) = [command for command in commands(publish["build"]) if "sha256sum" in command]
    (compare,) = [command for command in commands(publish["publish"]) if "sha256sum" in command]
    files, output = tmp_path / "dist", tmp_path / "output"
    files.mkdir()
    for name in ("a-1.tar.gz", "a-1-py3-none-any.whl"):
        (files / name).write_text(name)
    env = {"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(output)}
    subprocess.run(["bash", "-e", "-c", write], cwd=files, env=env, check=True)
    if change == "content":
        (files / "a-1.tar.gz").write_text("other")
    elif change == "another file":
        (files / "a-2.tar.gz").touch()
    hashes = output.read_text().strip().removeprefix("hashes=")
    compared = subprocess.run(["bash", "-e", "-c", compare], cwd=files, env={**env, "HASHES": hashes}, check=False)
    assert (compared.returncode == 0) is (change == "none")


def test_each_python_that_is_promised_is_tested() -> None:
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    matrix = loaded(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == promised


def test_the_changelog_is_ordered_by_groups() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^### (.*)", text, re.MULTILINE) == ["Added", "Changed", "Fixed", "Security"]
