"""The command ``explain``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from litellm_image_analysis.cli.output import silence_litellm, write_json, write_lines

if TYPE_CHECKING:
    from typing import TextIO

    from litellm_image_analysis.cli.explain.request import Route

_ROUTES = ("chat", "messages", "responses", "generateContent")
_EPILOG = """\b
Exit codes: 0 the proxy would serve the request
            1 the proxy would refuse it, the config is wrong, or with --look an image failed
            2 wrong usage, or the request is not valid JSON
"""


@click.command("explain", epilog=_EPILOG)
@click.argument("request_file", metavar="REQUEST.json", type=click.File(encoding="utf-8-sig"))
@click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The proxy's config file.",
)
@click.option("--route", type=click.Choice(_ROUTES), help="The route. Without it, the body's shape tells.")
@click.option("--model", help="The model, for a body without one: generateContent has it in its path.")
@click.option("--team", "team_id", help="The id of the caller's team. It is part of the cache key.")
@click.option("--look", "looks", is_flag=True, help="Ask the vision model, and show the request. This costs money.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON. docs/command.md lists its keys.")
@click.pass_context
def command(
    ctx: click.Context,
    request_file: TextIO,
    path: Path,
    route: Route | None,
    model: str | None,
    team_id: str | None,
    *,
    looks: bool,
    as_json: bool,
) -> None:
    """Show what image analysis would do with a request, without calling a model.

    REQUEST.json is the body of a request, or - for stdin. It shows whether the request is analysed, each image with its
    question, and what stands in its place. The caller counts as one with the master key, and the cache as empty. Images
    are never printed.
    """
    silence_litellm()
    from litellm_image_analysis.cli.explain.request import RequestFileError, read_request
    from litellm_image_analysis.cli.explain.run import UnusableConfigError, run
    from litellm_image_analysis.cli.explain.text import lines_of

    try:
        request = read_request(request_file.read(), route, model)
    except (RequestFileError, UnicodeDecodeError) as error:
        raise click.UsageError(str(error)) from None
    try:
        report: dict[str, Any] = asyncio.run(run(path, request, team_id, looks=looks))
    except UnusableConfigError as error:
        raise click.ClickException(f"{error}\nlitellm-image-analysis doctor --config {path} says more.") from None
    if as_json:
        write_json(report)
    else:
        write_lines(lines_of(report))
    looked = report.get("look") or {}
    failed = (looked.get("report") or {}).get("failed")
    ctx.exit(int(bool(report["refusal"] or looked.get("refusal") or failed)))
