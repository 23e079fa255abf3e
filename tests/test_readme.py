"""README and docs are correct: settings, instructions, YAML and code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ByteSize
from support.docs import expect_table
from support.settings_page import settings_tables

from litellm_image_analysis import ImageAnalysisConfig
from litellm_image_analysis.analysis.outcomes import FailureReason
from litellm_image_analysis.analysis.prompt import INSTRUCTIONS, MAX_QUESTION_CHARACTERS
from litellm_image_analysis.cache import cache, lease, redis_connection, redis_store
from litellm_image_analysis.config import CacheConfig
from litellm_image_analysis.vision import circuit_breaker, gate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SOURCE = "https://github.com/litellm-image-analysis/litellm-image-analysis"
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
LOAD = (Path(__file__).parents[1] / "docs" / "load.md").read_text()
CACHE = (Path(__file__).parents[1] / "docs" / "cache.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_settings_page_is_made_from_the_settings() -> None:
    expect_table(ROOT / "docs" / "settings.md", settings_tables())


def test_its_table_is_complete_and_its_defaults_are_right() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", SETTINGS.partition("## Cache")[0], re.MULTILINE))
    documented = ImageAnalysisConfig.from_settings({name: yaml.safe_load(value) for name, value in table.items()})
    assert list(table) == list(ImageAnalysisConfig.model_fields)
    assert documented == ImageAnalysisConfig()


def test_it_is_short() -> None:
    assert len(README.split()) <= 900


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_the_index_names_every_page(page: Path) -> None:
    assert page.name == "README.md" or f"({page.name})" in (ROOT / "docs" / "README.md").read_text()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem
)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
    ours = re.findall(rf"{SOURCE}/blob/main/(\S+)", page.read_text())
    assert [link for link in ours if not (ROOT / link).exists()] == []


def test_its_links_work_on_the_package_index() -> None:
    assert re.findall(r"\]\((?!https://)([^)]+)", README) == []
    assert set(re.findall(r"\]\[([\w-]+)]", README)) == set(re.findall(r"^\[([\w-]+)]: https://", README, re.MULTILINE))


def test_so_is_the_table_of_the_cache_s_settings() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", CACHE, re.MULTILINE))
    documented = CacheConfig(**{name: yaml.safe_load(value) for name, value in table.items()})
    assert list(table) == list(CacheConfig.model_fields)
    assert documented == CacheConfig()


def test_names_and_times_in_the_cache_s_document_are_the_code_s() -> None:
    assert f"SET {redis_connection.PREFIX}:generation" in CACHE
    assert f"for {cache.FAILURE_SECONDS:g} seconds the same question gets the same failure" in CACHE
    assert f"in Redis may take {redis_connection.OPERATION_SECONDS:g} seconds" in CACHE
    assert f"the lease ends after {lease.LEASE_SECONDS:g} seconds" in CACHE
    assert f"workers notice within {redis_store.CURRENT_SECONDS:g} seconds" in CACHE


def test_settings_times_and_names_in_the_load_s_document_are_the_code_s() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", LOAD, re.MULTILINE))
    documented = {name: value for name, value in table.items() if not name.startswith("litellm_")}
    assert len(documented) == 5
    assert all(yaml.safe_load(value) == getattr(ImageAnalysisConfig(), name) for name, value in documented.items())
    assert f"After {circuit_breaker.FAILURES} failures in a row" in LOAD
    assert f"`Retry-After: {gate.BUSY_SECONDS}`" in LOAD
    counted, answered = re.findall(r"^\| (`timeout`.*?) \| an analysis, (.*?) \|", LOAD, re.MULTILINE)[0]
    assert {f"`{reason.code}`" for reason in gate.COUNTED} == set(counted.split(", "))
    assert {f"`{reason.code}`" for reason in FailureReason} > set(answered.split(", "))


def test_sizes_in_the_table_are_written_as_settings_may_be() -> None:
    assert ImageAnalysisConfig.from_settings({"max_image_bytes": "20MiB"}).max_image_bytes == ByteSize(20 * 1024**2)


def test_the_built_in_instructions_stand_in_it() -> None:
    assert f"```text\n{INSTRUCTIONS}\n```" in SETTINGS


def test_the_question_s_limit_is_the_code_s() -> None:
    assert f"above {MAX_QUESTION_CHARACTERS:,} characters" in SETTINGS


def test_the_three_lines_of_yaml_are_valid_settings() -> None:
    (block,) = blocks("yaml")
    config = yaml.safe_load(block)
    assert config["litellm_settings"]["callbacks"] == ["litellm_image_analysis.image_analysis"]
    assert '# a list: ["prometheus", "litellm_image_analysis.image_analysis"]' in block
    assert ImageAnalysisConfig.from_settings(config["callback_settings"]["image_analysis"]) == ImageAnalysisConfig()
    assert len([line for line in block.splitlines() if not line.startswith("#")]) == 3


def test_the_tests_that_the_threat_model_names_are_there() -> None:
    root = Path(__file__).parents[1]
    named = set(re.findall(r"tests/[\w/.]+\.py", (root / "docs" / "security.md").read_text()))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (root / name).is_file()] == []


@pytest.mark.parametrize("target", ["demo", "test"])
def test_its_commands_are_the_makefile_s(target: str) -> None:
    assert f"make {target} " in "".join(blocks("bash"))
    assert re.search(rf"^{target}:", (Path(__file__).parents[1] / "Makefile").read_text(), re.MULTILINE)
