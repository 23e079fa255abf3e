"""Distributions, version, changelog, and the newcomer's path. ``make release-check`` tries them in environments."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import litellm_image_analysis
from scripts import distributions, newcomer, provider, release_check
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
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.suffix in {".py", ".typed"}}
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


def test_the_stand_in_for_a_provider() -> None:
    text = {"type": "text", "text": "What is it?"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert provider.answer("a") == f"{provider.READ}a"
    assert provider.answer([text]) == f"{provider.READ}What is it?"
    assert provider.answer([text, image]) == provider.DESCRIPTION
