"""Distributions, version, changelog, and the newcomer's path. ``make release-check`` tries them in environments."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import litellm_image_analysis
from scripts import distributions, newcomer, provider, release_check, release_job
from scripts.distributions import Distributions, problems

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "litellm_image_analysis"
PAGE = (ROOT / "docs" / "quick-start.md").read_text()
RELEASED = "# Changelog\n\n## 0.2.0 - 2027-01-31\n\n### Added\n\n## 0.1.0 - 2026-12-01\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    pytest.importorskip("hatchling")
    return distributions.build(tmp_path_factory.mktemp("distributions") / "dist")


def test_the_wheel_has_the_package_and_nothing_else(built: Distributions) -> None:
    with ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    kinds = {".py", ".typed", ".html"}
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.suffix in kinds}
    assert names == sources


def test_its_metadata(built: Distributions) -> None:
    metadata = built.metadata()
    assert metadata["Name"] == "litellm-image-analysis"
    assert metadata["Version"] == litellm_image_analysis.__version__
    assert metadata["License-Expression"] == "MIT"
    assert {"proxy", "redis", "local-ocr"} <= set(metadata.get_all("Provides-Extra", []))
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text().strip()


def test_pytest_finds_the_fixture_and_the_license_is_there(built: Distributions) -> None:
    with ZipFile(built.wheel) as archive:
        read = {name.partition(".dist-info/")[2]: archive.read(name).decode() for name in archive.namelist()}
    assert "litellm_image_analysis = litellm_image_analysis.pytest_plugin" in read["entry_points.txt"]
    assert read["licenses/LICENSE"] == (ROOT / "LICENSE").read_text()


def test_the_source_distribution_has_what_tests_examples_and_docs_need(built: Distributions) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "proxy_config.yaml", "docs/README.md"}
    assert needed | {"examples/quickstart.py", "tests/conftest.py"} <= names
    assert not {name for name in names if name.startswith(("dist", "site", ".venv", ".github"))}


def test_the_version_is_read_without_an_import() -> None:
    assert distributions.version() == litellm_image_analysis.__version__


def test_the_changelog_is_that_of_the_version() -> None:
    assert problems(litellm_image_analysis.__version__, (ROOT / "CHANGELOG.md").read_text()) == []


@pytest.mark.parametrize("heading", ["0.2.0 (unreleased)", "Unreleased", "[Unreleased]", "0.2.0 - 2027-01-31"])
def test_without_a_tag_the_newest_section_may_be_unreleased(heading: str) -> None:
    assert problems("0.2.0", f"# Changelog\n\n## {heading}\n") == []


def test_a_changelog_of_another_version_is_found() -> None:
    assert problems("0.3.0", RELEASED) == ["CHANGELOG.md begins with '0.2.0' and not with 0.3.0"]
    assert problems("0.3.0", "# Changelog\n") == ["CHANGELOG.md begins with '' and not with 0.3.0"]


def test_tag_version_and_changelog_have_to_agree() -> None:
    assert problems("0.2.0", RELEASED, "v0.2.0") == []
    assert problems("0.2.0", RELEASED, "v0.2.1") == [
        "the tag is v0.2.1, and __version__ is 0.2.0: the tag has to be v0.2.0"
    ]
    undated = ["CHANGELOG.md has to begin with a section '## 0.2.0 - YYYY-MM-DD'"]
    assert problems("0.2.0", "## 0.2.0 (unreleased)\n", "v0.2.0") == undated
    assert problems("0.2.0", "## Unreleased\n", "v0.2.0") == undated


def test_the_check_refuses_a_wrong_tag_before_it_builds() -> None:
    command = [sys.executable, "-m", "scripts.release_check", "--tag", "v999.0.0"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "the tag is v999.0.0" in result.stderr


@pytest.mark.parametrize("arguments", [["--tag", ""], ["--tag="]])
def test_the_check_refuses_an_empty_tag(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "scripts.release_check", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "the tag is empty" in result.stderr


def dry_run(**variables: str) -> str:
    """The commands of ``make release-check`` with these variables in the environment."""
    kept = {name: value for name, value in os.environ.items() if name not in {"TAG", "DIST", "MAKEFLAGS"}}
    command = ["make", "--dry-run", "--always-make", "release-check"]
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_passes_a_tag_that_is_set_although_it_is_empty() -> None:
    assert "--tag" not in dry_run()
    assert '--tag "$TAG"' in dry_run(TAG="")
    assert '--tag "$TAG"' in dry_run(TAG="v0.1.0")
    assert "--dist" not in dry_run()
    assert '--dist "$DIST"' in dry_run(DIST="dist")


def test_ready_distributions_are_one_of_each_kind(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="one wheel and one source distribution"):
        distributions.ready(tmp_path)
    for name in ("a-1.tar.gz", "a-1-py3-none-any.whl", "a-1.cdx.json"):
        (tmp_path / name).touch()
    found = distributions.ready(tmp_path)
    assert (found.sdist.name, found.wheel.name) == ("a-1.tar.gz", "a-1-py3-none-any.whl")
    (tmp_path / "a-2-py3-none-any.whl").touch()
    with pytest.raises(SystemExit, match="one wheel and one source distribution"):
        distributions.ready(tmp_path)


def write_package(folder: Path, version: str, needs: str) -> Path:
    """Write a wheel of a package ``plugin`` whose extra ``proxy`` needs something."""
    wheel = folder / f"plugin-{version}-py3-none-any.whl"
    info = f"plugin-{version}.dist-info"
    metadata = f"Name: plugin\nVersion: {version}\nRequires-Dist: {needs}; extra == 'proxy'\nProvides-Extra: proxy\n"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("plugin.py", f"__version__ = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\n{metadata}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def test_no_other_version_takes_the_place_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip would otherwise take an older version from the index whose extra it can install."""
    index, built = tmp_path / "index", tmp_path / "dist"
    index.mkdir()
    built.mkdir()
    write_package(index, "0.1.0", "plugin")
    wheel = write_package(built, "0.2.0", "plugin>=3")
    monkeypatch.setattr(release_check, "NAME", "plugin")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    environment = release_check.Environment(tmp_path / "environment", ("proxy",))
    with pytest.raises(SystemExit, match="plugin"):
        environment.install(Distributions(wheel, wheel))


def test_the_job_refuses_another_version() -> None:
    with pytest.raises(SystemExit, match=r"version .* and not 999\.0\.0"):
        release_job.check_version("999.0.0")
    release_job.check_version(litellm_image_analysis.__version__)


def test_the_sbom_names_the_wheel() -> None:
    assert release_check.main_component("0.2.0", b"abc") == {
        "version": "0.2.0",
        "purl": "pkg:pypi/litellm-image-analysis@0.2.0",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(b"abc").hexdigest()}],
    }


def test_the_steps_of_the_quick_start() -> None:
    names = [step.name for step in newcomer.steps(PAGE)]
    saved = [name.removeprefix("save ") for name in names if name.startswith("save ")]
    assert saved == ["draw.py", "look.py", "config.yaml", "ask.py"]
    assert [name for name in names if name.startswith("python ")] == [
        "python draw.py",
        "python look.py",
        "python ask.py",
    ]
    assert [step.name for step in newcomer.steps(PAGE) if step.is_server] == [
        "litellm --config config.yaml --host 127.0.0.1 --port 4000"
    ]


def test_a_newcomer_installs_the_wheel_and_uses_a_free_port() -> None:
    page = newcomer.adapted(PAGE, Path("/a folder/a.whl"), 5000)
    assert "pip install '/a folder/a.whl[proxy,local-ocr]'\n" in page
    assert "4000" not in page
    assert page.count("5000") == PAGE.count("4000") == 2
    published = newcomer.adapted('pip install "litellm-image-analysis[proxy]"', Path("/a.whl"), 1)
    assert published == "pip install '/a.whl[proxy]'"


def test_a_reader_keeps_the_shell_s_environment_and_stops_at_an_error(tmp_path: Path) -> None:
    reader = newcomer.Reader(tmp_path, "http://127.0.0.1:1/v1", 1)
    reader.follow(newcomer.Step("print('it runs')\n", "a.py"))
    reader.follow(newcomer.Step("export A='one two'\n"))
    assert reader.follow(newcomer.Step('echo "$A $DEEPSEEK_API_BASE"; ls\n')) == (
        "one two http://127.0.0.1:1/v1\na.py\n"
    )
    with pytest.raises(RuntimeError, match="status 1 of false"):
        reader.follow(newcomer.Step("false\necho not reached\n"))
    reader.leave()


def test_a_command_that_does_not_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomer, "_COMMAND_SECONDS", 1)
    reader = newcomer.Reader(tmp_path, "http://127.0.0.1:1/v1", 1)
    with pytest.raises(RuntimeError, match="took more than 1 s"):
        reader.follow(newcomer.Step("echo $$ > pid; sleep 600 & wait\n"))
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_a_proxy_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomer, "_STOP_SECONDS", 1)
    command = ["bash", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    newcomer.stop(process)
    assert process.returncode == -signal.SIGKILL
    process.stdout.close()


def test_a_slow_index_does_not_fail_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    release_check.report_newcomer(newcomer.BOUND_SECONDS + 1)
    assert f"warning: it took more than {newcomer.BOUND_SECONDS} s" in capsys.readouterr().out
    release_check.report_newcomer(newcomer.BOUND_SECONDS)
    assert capsys.readouterr().out == ""


def test_the_stand_in_for_a_provider() -> None:
    text = {"type": "text", "text": "What is it?"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert provider.answer("a") == f"{provider.READ}a"
    assert provider.answer([text]) == f"{provider.READ}What is it?"
    assert provider.answer([text, image]) == provider.DESCRIPTION
