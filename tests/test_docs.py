"""The documentation site: navigation, links that leave it, and what its pages would load. MkDocs is not needed here."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import litellm_image_analysis

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The hooks of the site, with a double for MkDocs."""
    exceptions = ModuleType("mkdocs.exceptions")
    vars(exceptions)["PluginError"] = ValueError
    monkeypatch.setitem(sys.modules, "mkdocs", ModuleType("mkdocs"))
    monkeypatch.setitem(sys.modules, "mkdocs.exceptions", exceptions)
    monkeypatch.delitem(sys.modules, "scripts.docs_hooks", raising=False)
    from scripts import docs_hooks

    return docs_hooks


def pages(nav: Any) -> Iterator[str]:
    for entry in nav:
        for target in entry.values():
            yield from [target] if isinstance(target, str) else pages(target)


def test_the_navigation_has_every_page_once() -> None:
    assert sorted(pages(SITE["nav"])) == sorted(page.name for page in DOCS.glob("*.md"))


def test_warnings_fail_the_build_and_fonts_come_from_no_other_host() -> None:
    assert SITE["strict"] is True
    assert SITE["theme"]["font"] is False
    assert "repo_url" not in SITE  # the theme would ask the repository's host for numbers


def test_no_page_has_a_diagram_that_the_theme_would_load_a_library_for() -> None:
    assert [page.name for page in DOCS.glob("*.md") if "```mermaid" in page.read_text()] == []


def test_the_reference_has_every_public_name() -> None:
    shown = set(re.findall(r"litellm_image_analysis\.(\w+)$|^`litellm_image_analysis\.(\w+)`", api(), re.MULTILINE))
    assert {name for names in shown for name in names if name} == set(litellm_image_analysis.__all__)


def api() -> str:
    return (DOCS / "api.md").read_text()


def test_the_page_about_local_vision_has_the_limits_of_the_code() -> None:
    pytest.importorskip("cv2", reason="the extra local-ocr is not installed")
    from litellm_image_analysis.vision.local_ocr import decode, read

    text = " ".join((DOCS / "local-vision.md").read_text().split())
    assert f"more than {decode.MAX_PIXELS // 1_000_000} megapixels" in text
    assert f"more than {decode.MAX_SEGMENTS:,} segments" in text
    assert f"more than {decode.MAX_SCANS} scans" in text
    assert f"or {decode.MAX_SCANNED_PIXELS // 1_000_000} megapixels in all scans" in text
    assert f"above {read.MAX_READ_PIXELS // 1_000_000} megapixels are shrunk" in text
    assert f"at most {decode.MAX_FRAMES} frames" in text
    assert f"{', '.join(decode.FORMATS[:-1])} and {decode.FORMATS[-1]}" in text


@pytest.mark.parametrize(
    ("in_the_repository", "on_the_site"),
    [
        ("see [`faq.md`](faq.md#how)", "see [Questions and answers](faq.md#how)"),
        ("see [the cache](cache.md)", "see [the cache](cache.md)"),
        (
            "[x](../README.md#a)",
            "[x](https://github.com/litellm-image-analysis/litellm-image-analysis/blob/main/README.md#a)",
        ),
        (
            "[x](../examples)",
            "[x](https://github.com/litellm-image-analysis/litellm-image-analysis/tree/main/examples)",
        ),
    ],
)
def test_links_of_the_site(hooks: ModuleType, in_the_repository: str, on_the_site: str) -> None:
    assert hooks.on_page_markdown(in_the_repository) == on_the_site


def test_a_link_that_leads_nowhere_fails_the_build(hooks: ModuleType) -> None:
    with pytest.raises(ValueError, match="a link leads to nowhere"):
        hooks.on_page_markdown("[x](../nowhere.md)")


@pytest.mark.parametrize(
    ("text", "is_loaded"),
    [
        ('<a href="https://example.com/">', False),
        ('<script src="../assets/bundle.js">', False),
        ('<script async src="https://example.com/a.js">', True),
        ("<img alt=x src=//example.com/a.png>", True),
        ('<link rel="stylesheet" href="https://example.com/a.css">', True),
        ('<link href="https://example.com/a.css" rel="preload">', True),
        ('<link rel="next" href="https://example.com/">', False),
        ("a{background:url(https://example.com/a.png)}", True),
        ("@import 'https://example.com/a.css'", True),
        ('a{background:url("data:image/png;base64,AA//")}', False),
    ],
)
def test_what_a_page_would_load(hooks: ModuleType, text: str, *, is_loaded: bool) -> None:
    assert (hooks.first_loaded(text) is not None) == is_loaded


def test_a_page_that_loads_from_another_host_fails_the_build(hooks: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="https://example.com/">')
    hooks.on_post_build({"site_dir": str(tmp_path)})
    (tmp_path / "a.css").write_text("@import 'https://example.com/a.css'")
    with pytest.raises(ValueError, match=re.escape("a.css would load from another host: @import 'https://example.com")):
        hooks.on_post_build({"site_dir": str(tmp_path)})
