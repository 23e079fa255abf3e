"""Hooks of MkDocs for the documentation site.

The pages are written for the repository. A link such as ``../examples`` leads out of ``docs``, and the text of a link
to a page is its file name. On the site, such links lead to the repository, and the text is the page's title. A built
file that would load something from another host fails the build.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/litellm-image-analysis/litellm-image-analysis"

_FILE_NAME_AS_TEXT = re.compile(r"\[`?([\w-]+\.md)`?\]\((\1[^)]*)\)")
_LINK_OUT = re.compile(r"\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")
_ADDRESS = r"""["']?\s*(?:https?:)?//[^"'\s>)]+"""
_LOADED = re.compile(
    rf"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\ssrc={_ADDRESS}"
    rf"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*?\shref={_ADDRESS}"
    rf"|url\({_ADDRESS}"
    rf"|@import\s+{_ADDRESS}"
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Change the links of a page from those of the repository to those of the site."""
    return _LINK_OUT.sub(_to_repository, _FILE_NAME_AS_TEXT.sub(_with_title, markdown))


def _with_title(link: re.Match[str]) -> str:
    heading = (ROOT / "docs" / link[1]).read_text().partition("\n")[0]
    return f"[{heading.removeprefix('# ')}]({link[2]})"


def _to_repository(link: re.Match[str]) -> str:
    path = PurePosixPath(link[1])
    if not (ROOT / path).exists():
        raise PluginError(f"a link leads to {path}, which does not exist")
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"]({REPOSITORY}/{kind}/main/{path}{link[2] or ''})"


def on_post_build(config: Any, **_: Any) -> None:
    """Check that no page, style sheet and picture loads something from another host.

    Raises:
        PluginError: one does.
    """
    for path in sorted(Path(config["site_dir"]).rglob("*")):
        if path.suffix in {".html", ".css", ".svg"} and (loaded := first_loaded(path.read_text())):
            raise PluginError(f"{path} would load from another host: {loaded}")


def first_loaded(text: str) -> str | None:
    """Return the first place in HTML, CSS or SVG that loads from another host, if any. Links do not load."""
    found = _LOADED.search(text)
    return found and found[0]
