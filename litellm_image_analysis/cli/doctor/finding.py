"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check. It never holds a secret.

    Attributes:
        check: the name of the check. Names stay the same in later versions.
        status: ``problem`` is a fault that makes requests fail or go unserved. ``warning`` may be on purpose.
            ``skipped`` is a check that could not be made.
        what: what was found, as a sentence without a full stop.
        where: the YAML path in the config, or ``None``.
        fix: what to change, or ``None``.
    """

    check: str
    status: Status
    what: str
    where: str | None = None
    fix: str | None = None


def ok(check: str, what: str, where: str | None = None) -> Finding:
    """Return the finding that nothing is wrong."""
    return Finding(check, "ok", what, where)


def warning(check: str, what: str, where: str | None, fix: str) -> Finding:
    """Return the finding of something that may be a fault."""
    return Finding(check, "warning", what, where, fix)


def problem(check: str, what: str, where: str | None, fix: str) -> Finding:
    """Return the finding of a fault."""
    return Finding(check, "problem", what, where, fix)


def skipped(check: str, what: str, where: str | None = None) -> Finding:
    """Return the finding that a check could not be made."""
    return Finding(check, "skipped", what, where)
