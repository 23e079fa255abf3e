"""Checks of the installed versions."""

from __future__ import annotations

import re

from litellm_image_analysis.cli.doctor.finding import Finding, ok, problem, warning

OLDEST_LITELLM = (1, 84)
NEWEST_TESTED_LITELLM = (1, 110)
"""The newest version in the table of docs/versions.md."""
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)

_WITHDRAWN = {"1.82.7", "1.82.8"}
"""Releases with malicious code. They were withdrawn."""


def check_versions(python: tuple[int, ...], litellm: str, plugin: str) -> list[Finding]:
    """Compare the installed versions with those that the plugin works with.

    Args:
        python: the version of Python.
        litellm: the version of LiteLLM.
        plugin: the version of this package.
    """
    return [_python(python), _litellm(litellm), ok("plugin", f"litellm-image-analysis {plugin}")]


def _python(version: tuple[int, ...]) -> Finding:
    name = f"Python {'.'.join(map(str, version))}"
    if OLDEST_PYTHON <= version[:2] <= NEWEST_PYTHON:
        return ok("python", name)
    return problem("python", f"{name} is not supported", None, "Use Python 3.10 to 3.14")


def _litellm(version: str) -> Finding:
    found = re.match(r"(\d+)\.(\d+)", version)
    numbers = tuple(map(int, found.groups())) if found else ()
    oldest = ".".join(map(str, OLDEST_LITELLM))
    if numbers < OLDEST_LITELLM:
        malicious = " It is a release with malicious code, too." if version in _WITHDRAWN else ""
        return problem(
            "litellm",
            f"LiteLLM {version} is too old",
            None,
            f"Install LiteLLM {oldest} or newer: pip install --upgrade 'litellm[proxy]>={oldest}'.{malicious}",
        )
    if numbers > NEWEST_TESTED_LITELLM:
        newest = ".".join(map(str, NEWEST_TESTED_LITELLM))
        return warning(
            "litellm",
            f"LiteLLM {version} is newer than the versions that this package was tested with, up to {newest}",
            None,
            "Look for a newer litellm-image-analysis, and try your routes before you use it in production",
        )
    return ok("litellm", f"LiteLLM {version}")
