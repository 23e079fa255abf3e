"""The command ``doctor``."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from litellm_image_analysis.cli.output import Line, Style, silence_litellm, write_json, write_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from litellm_image_analysis.cli.doctor.finding import Finding, Status

_STYLES: Mapping[Status, Style] = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}
_NAME_WIDTH = 24


_EPILOG = """\b
Exit codes: 0 no problem
            1 a problem, or with --strict a warning
            2 wrong usage
"""


@click.command("doctor", epilog=_EPILOG)
@click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The proxy's config file.",
)
@click.option("--look", "looks", is_flag=True, help="Ask the vision model about a tiny picture. This costs money.")
@click.option("--strict", is_flag=True, help="Exit with 1 also for warnings.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON. docs/command.md lists its keys.")
@click.pass_context
def command(ctx: click.Context, path: Path, *, looks: bool, strict: bool, as_json: bool) -> None:
    """Check the config of a LiteLLM proxy, and name the setting that corrects each fault.

    Run it where the proxy runs, with the same environment: it looks up variables, packages, Redis and the database.
    Like the proxy, it imports the callbacks of the config. Without --look, no provider gets a request. Secrets are
    never printed.
    """
    silence_litellm()
    from litellm_image_analysis.cli.doctor.examine import examine

    findings = asyncio.run(examine(path, looks=looks))
    counts = Counter(finding.status for finding in findings)
    failed = bool(counts["problem"] or (strict and counts["warning"]))
    if as_json:
        write_json(as_report(path, findings, failed=failed))
    else:
        write_lines(_lines(path, findings, counts))
    ctx.exit(int(failed))


def as_report(path: Path, findings: Sequence[Finding], *, failed: bool) -> dict[str, object]:
    """Return the findings as the JSON of ``--json``. Keys stay the same in later versions."""
    counts = Counter(finding.status for finding in findings)
    names = ("check", "status", "what", "where", "fix")
    return {
        "config": str(path),
        "ok": not failed,
        "counts": {status: counts[status] for status in _STYLES},
        "findings": [{name: getattr(finding, name) for name in names} for finding in findings],
    }


def _lines(path: Path, findings: Sequence[Finding], counts: Counter[Status]) -> list[Line]:
    lines: list[Line] = [[(f"{path}", "bold")], ""]
    for finding in findings:
        where = f"{finding.where}: " if finding.where is not None and finding.status != "ok" else ""
        status: tuple[str, Style | None] = (f"{finding.status:<8}", _STYLES[finding.status])
        lines.append([status, (f" {finding.check:<{_NAME_WIDTH}}", None), (f"{where}{finding.what}", None)])
        if finding.fix is not None:
            lines.append([(" " * (_NAME_WIDTH + 9), None), (f"fix: {finding.fix}", "bold")])
    faults = [f"{counts[status]} {status}{'' if counts[status] == 1 else 's'}" for status in ("problem", "warning")]
    return [*lines, "", ", ".join([*faults, f"{counts['ok']} ok", f"{counts['skipped']} skipped"])]
