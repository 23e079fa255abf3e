"""The command ``eval``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, cast

import click

from litellm_image_analysis.cli.output import Line, silence_litellm, write_json, write_lines

if TYPE_CHECKING:
    from litellm.router import Router

    from litellm_image_analysis.cli.evaluate.picture import Picture
    from litellm_image_analysis.cli.evaluate.results import Result, Results, Subject
    from litellm_image_analysis.cli.evaluate.run import End
    from litellm_image_analysis.config import ImageAnalysisConfig
    from litellm_image_analysis.vision.call import CompletionApi

_NEEDED = ("PIL", "filelock", "matplotlib", "rapidfuzz")

_EPILOG = """\b
Exit codes: 0 every picture has a report
            1 a picture has none, or the budget is used up
            2 wrong usage
"""
_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("eval", epilog=_EPILOG)
@click.option("--config", "path", required=True, type=_EXISTING, help="The proxy's config file.")
@click.option("--model", "models", multiple=True, help="A vision model of the config. The default one if left out.")
@click.option("--prompt", "prompts", multiple=True, type=_EXISTING, help="A file with instructions to compare.")
@click.option("--group", "groups", multiple=True, help="Only this group of pictures, such as tables.")
@click.option(
    "--out", type=_FILE, default=Path("eval.json"), show_default=True, help="The results. Continued if it exists."
)
@click.option("--chart", type=_FILE, help="Draw the figures into this PNG file.")
@click.option(
    "--max-usd",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Stop before more is spent.",
)
@click.option(
    "--no-max-usd", "is_unlimited", is_flag=True, help="No budget, for models whose price LiteLLM does not know."
)
@click.option("--concurrency", type=click.IntRange(1, 32), default=2, show_default=True, help="Calls at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON. docs/evaluation.md lists its keys.")
@click.pass_context
def command(
    ctx: click.Context,
    path: Path,
    models: tuple[str, ...],
    prompts: tuple[Path, ...],
    groups: tuple[str, ...],
    out: Path,
    chart: Path | None,
    max_usd: float,
    concurrency: int,
    *,
    is_unlimited: bool,
    as_json: bool,
) -> None:
    """Measure how faithfully vision models report what is in pictures.

    47 small pictures with known content are drawn, and each vision model is asked about them through LiteLLM's Router,
    with the instructions and questions of a request. Every call is paid for. With --prompt, each model is asked with
    the config's instructions and with those of each file.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise click.UsageError(f"eval needs {', '.join(missing)}: pip install 'litellm-image-analysis[eval]'")
    silence_litellm()
    from filelock import FileLock, Timeout

    from litellm_image_analysis.cli.evaluate import summary
    from litellm_image_analysis.cli.evaluate.results import Results
    from litellm_image_analysis.cli.evaluate.run import Budget, End
    from litellm_image_analysis.errors import ConfigError

    settings, router = _gateway(path)
    subjects = _subjects(models or (settings.vision_model,), prompts, settings, router)
    pictures = _pictures(groups)
    if not is_unlimited:
        _check_prices(router, subjects)
    for file in filter(None, (out, chart)):
        _check_writable(file)
    lock = FileLock(f"{out}.lock", timeout=0)
    try:
        lock.acquire()
        results = Results(out)
    except Timeout:
        raise click.UsageError(f"another evaluation writes {out}. Name another file with --out") from None
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    ctx.call_on_close(lock.release)
    budget = Budget(None if is_unlimited else max_usd)
    end = asyncio.run(_run(router, settings, results, budget, subjects, pictures, concurrency))
    if as_json:
        write_json(summary.as_json(results, subjects, pictures, end.name.lower()))
    else:
        write_lines(_lines(summary.rows(results, subjects, pictures), end, out))
    if chart is not None:
        from litellm_image_analysis.cli.evaluate.chart import draw

        draw(summary.groups_of(results, subjects, pictures), chart)
    is_complete = all(results.of(subject, picture) for subject in subjects for picture in pictures)
    ctx.exit(0 if is_complete and end is End.DONE else 1)


def _gateway(path: Path) -> tuple[ImageAnalysisConfig, Router]:
    from litellm_image_analysis.cli.gateway import ModelListError, apply_module_settings, make_router, read_settings
    from litellm_image_analysis.cli.gateway_config import ConfigFileError, apply_environment, read_config
    from litellm_image_analysis.errors import ConfigError

    try:
        config = read_config(path)
        apply_environment(config)
        apply_module_settings(config)
        return read_settings(config), make_router(config, None)
    except (ConfigFileError, ConfigError) as error:
        raise click.UsageError(str(error)) from None
    except ModelListError as error:
        raise click.UsageError(f"{path}: LiteLLM does not accept model_list or router_settings ({error})") from None


def _check_prices(router: Router, subjects: Sequence[Subject]) -> None:
    unknown = sorted({subject.model for subject in subjects if not _has_price(router, subject.model)})
    if unknown:
        raise click.UsageError(
            f"LiteLLM knows no price of {', '.join(unknown)}, so no budget can be kept. Set input_cost_per_token and"
            " output_cost_per_token in its model_info, or give --no-max-usd."
        )


def _check_writable(file: Path) -> None:
    """Find out before the first call is paid that the results could not be written."""
    try:
        TemporaryFile(dir=file.parent).close()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None


def _subjects(
    models: Sequence[str], prompts: Sequence[Path], settings: ImageAnalysisConfig, router: Router
) -> list[Subject]:
    from litellm_image_analysis.cli.evaluate.results import Subject
    from litellm_image_analysis.engine.routing import serves

    for name in models:
        if not serves(router, name, None):
            raise click.UsageError(f"--model {name}: model_list of the config has no such model")
    texts: list[tuple[str | None, str]] = [(settings.prompt, "built-in" if settings.prompt is None else "config")]
    try:
        texts += [(prompt.read_text(encoding="utf-8").strip(), prompt.name) for prompt in prompts]
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--prompt: a file cannot be read as UTF-8 ({error})") from None
    return [Subject(model, text, name) for model in dict.fromkeys(models) for text, name in texts]


def _pictures(groups: Sequence[str]) -> list[Picture]:
    from litellm_image_analysis.cli.evaluate.pictures import all_pictures

    known = dict.fromkeys(picture.group for picture in all_pictures())
    for group in groups:
        if group not in known:
            raise click.UsageError(f"--group {group}: there are {', '.join(known)}")
    return [picture for picture in all_pictures() if not groups or picture.group in groups]


async def _run(
    router: Router,
    settings: ImageAnalysisConfig,
    results: Results,
    budget: Any,
    subjects: list[Subject],
    pictures: list[Picture],
    concurrency: int,
) -> End:
    from litellm_image_analysis.cli.evaluate.run import Evaluation

    total, done = len(subjects) * len(pictures), [0]
    done[0] = sum(bool(results.of(subject, picture)) for subject in subjects for picture in pictures)
    if done[0]:
        click.echo(f"{done[0]} of {total} reports are there already", err=True)

    def show(subject: Subject, picture: Picture, result: Result) -> None:
        done[0] += 1
        cost = "" if result.usd is None else f", {budget.spent:.4f} USD so far"
        said = f"failed: {result.failure}" if result.report is None else f"{result.seconds:.1f} s"
        click.echo(f"{done[0]}/{total} {subject.name}: {picture.name}, {said}{cost}", err=True)

    evaluation = Evaluation(
        router=cast("CompletionApi", router),
        results=results,
        budget=budget,
        max_output_tokens=settings.max_output_tokens,
        timeout_seconds=settings.timeout_seconds,
        unpriced=frozenset(subject.model for subject in subjects if not _has_price(router, subject.model)),
        show=show,
    )
    return await evaluation.run(subjects, pictures, concurrency)


def _has_price(router: Router, model: str) -> bool:
    """Return whether LiteLLM knows what each deployment of a model costs."""
    import litellm

    def has_price(deployment: Any) -> bool:
        params = deployment["litellm_params"]
        name = str(params.get("model"))
        places = (
            params,
            deployment.get("model_info") or {},
            *map(litellm.model_cost.get, (name, name.partition("/")[2])),
        )
        return any(
            key.startswith("input_cost_per_") and place[key] is not None for place in places if place for key in place
        )

    return all(map(has_price, router.get_model_list(model) or []))


def _lines(rows: Sequence[Sequence[str]], end: End, out: Path) -> list[Line]:
    from litellm_image_analysis.cli.evaluate.run import End
    from litellm_image_analysis.cli.evaluate.summary import HEAD

    table = [HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    lines: list[Line] = []
    for number, row in enumerate(table):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        is_total = number == 0 or not row[0].startswith(" ")
        lines.append([("  ".join(cells).rstrip(), "bold" if is_total else None)])
    note: Line = "" if end is End.DONE else [(f"Not complete: {end.value}. The same command continues.", "yellow")]
    return [*lines, "", *([note] if note else []), f"The reports are in {out}."]
