"""Build the source distribution, and the wheel from it: ``python -m scripts.distributions``.

The wheel is built from the unpacked source distribution, so what is missing there is missing in the wheel, too. The
version is ``__version__`` of the package, because a build then needs neither git nor tags.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"

_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_SECTION = re.compile(r"^## \[?([^\s\]]+)\]?(.*)$", re.MULTILINE)
_RELEASED = re.compile(r" - \d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Distributions:
    """The files of a release."""

    sdist: Path
    wheel: Path

    def metadata(self) -> Message:
        """Return the wheel's metadata."""
        with ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return Parser().parsestr(archive.read(name).decode())


def build(folder: Path) -> Distributions:
    """Build both distributions in a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    _hatchling("sdist", folder, ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as unpacked:
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (source,) = Path(unpacked).iterdir()
        _hatchling("wheel", folder, source)
    (wheel,) = folder.glob("*.whl")
    return Distributions(sdist, wheel)


def ready(folder: Path) -> Distributions:
    """Return the distributions that are in a folder already.

    Raises:
        SystemExit: it does not have one of each kind.
    """
    sdists, wheels = [*folder.glob("*.tar.gz")], [*folder.glob("*.whl")]
    if len(sdists) != 1 or len(wheels) != 1:
        sys.exit(f"{folder} does not have one wheel and one source distribution")
    return Distributions(sdists[0], wheels[0])


def _hatchling(target: str, folder: Path, source: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True)


def version() -> str:
    """Return the version in the source of the package."""
    found = _VERSION.search((ROOT / "litellm_image_analysis" / "__init__.py").read_text())
    if found is None:
        raise ValueError("litellm_image_analysis has no __version__")
    return found[1]


def problems(version: str, changelog: str, tag: str | None = None) -> list[str]:
    """Return what contradicts a release.

    Args:
        version: the version of the package.
        changelog: the text of ``CHANGELOG.md``.
        tag: the git tag of the release, such as ``v0.1.0``. Without a tag, the changelog's newest section may be
            ``Unreleased``, or that of the version without a date.
    """
    newest = _SECTION.search(changelog)
    name, rest = (newest[1], newest[2]) if newest else ("", "")
    if tag is None:
        return [] if name in {version, "Unreleased"} else [f"CHANGELOG.md begins with {name!r} and not with {version}"]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag or 'empty'}, and __version__ is {version}: the tag has to be v{version}")
    if name != version or not _RELEASED.fullmatch(rest):
        found.append(f"CHANGELOG.md has to begin with a section '## {version} - YYYY-MM-DD'")
    return found


if __name__ == "__main__":
    build(DIST)
