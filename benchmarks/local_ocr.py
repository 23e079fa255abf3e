"""Measure ``local-ocr``, RapidOCR alone and Tesseract side by side: ``python -m benchmarks.local_ocr [folder]``.

They take turns for each picture, on one core. Without a folder, the drawn set is measured, and the figures are written
to ``docs/local-vision.md``. A folder has ``truth.json`` and ``img/``, and its figures are only printed.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypeAlias

from litellm.exceptions import BadRequestError
from rapidocr import RapidOCR

from benchmarks import ocr_measures
from benchmarks.ocr_set import Picture, drawn, from_folder
from litellm_image_analysis.vision.local_ocr import MODEL, LocalOCR, tesseract

LOCAL, BARE, TESSERACT = "local-ocr", "RapidOCR", "Tesseract"
ONE_THREAD = {
    "Global.log_level": "error",
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
_PAGE = Path(__file__).parents[1] / "docs" / "local-vision.md"
_SHOWN = ("columns-2", "table-wrapped", "code-dark", "turned-180", "faint")
_MOST_BYTES = 40_000
_SECONDS = 60
_NOT_INSTALLED = "not installed"

Engine: TypeAlias = Callable[[Picture], str]
Figure: TypeAlias = "float | None"


@dataclass(frozen=True, slots=True)
class Score:
    """What one engine made of one picture. ``None`` stands for what the picture does not have."""

    answer: str
    cpu: float
    accuracy: float
    order: Figure
    rows: Figure
    indentation: Figure
    said_so: Figure


Scores: TypeAlias = "dict[str, Score]"
_FIGURES: dict[str, Callable[[Score], Figure]] = {
    "accuracy": lambda score: score.accuracy,
    "order": lambda score: score.order,
    "rows": lambda score: score.rows,
    "indentation": lambda score: score.indentation,
    "said so": lambda score: score.said_so,
}


def local(handler: LocalOCR) -> Engine:
    """Return a function that reads a picture with ``local-ocr``. A refused picture has no text."""

    def read(picture: Picture) -> str:
        url = f"data:image/png;base64,{base64.b64encode(picture.content).decode()}"
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
        with _tesseract_hidden(picture.hides_tesseract):
            try:
                return str(handler.completion(MODEL, messages).choices[0].message.content)
            except BadRequestError:
                return ""

    return read


def bare(engine: RapidOCR) -> Engine:
    """Return a function that reads a picture with RapidOCR. The lines stay as it returns them."""

    def read(picture: Picture) -> str:
        try:
            found: Any = engine(picture.content)
        except Exception:  # noqa: BLE001 - Pillow and RapidOCR raise what they like for files that they do not know
            return ""
        return "\n".join(found.txts or ())

    return read


def with_tesseract(picture: Picture) -> str:
    """Read a picture with the command ``tesseract``, in the picture's language if its pack is installed."""
    pack = picture.lang if picture.lang in tesseract.packs() else "eng"
    try:
        done = subprocess.run(
            ["tesseract", "-", "-", "-l", pack],
            input=picture.content,
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
    except subprocess.SubprocessError:
        return ""
    return done.stdout.decode("utf-8", "replace").replace("\f", "")


def engines() -> dict[str, Engine]:
    """Return the engines that are installed, after their models are loaded."""
    found = {LOCAL: local(LocalOCR()), BARE: bare(RapidOCR(params=ONE_THREAD))}
    if shutil.which("tesseract"):
        found[TESSERACT] = with_tesseract
    first = drawn("frames")[0]
    for read in found.values():
        read(first)
    return found


def measure(pictures: Iterable[Picture], found: Mapping[str, Engine]) -> Iterator[tuple[Picture, Scores]]:
    """Yield the figures of each picture. The engines take turns."""
    for picture in pictures:
        yield picture, {name: _score(picture, read) for name, read in found.items()}


def with_hidden(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Yield each picture. If Tesseract is installed, text in another script also has a turn without it."""
    for picture in pictures:
        yield picture
        if picture.has_other_script and tesseract.packs():
            group = f"{picture.group}, without Tesseract"
            yield replace(picture, name=f"{picture.name}*", group=group, hides_tesseract=True)


def of_picture(picture: Picture, scores: Scores) -> str:
    """Return a picture's figures as a line to print."""
    cells = [f"{picture.name[:24]:24} {picture.group[:18]:18}"]
    for name, score in scores.items():
        figures = " ".join(_cell(figure(score)) for figure in _FIGURES.values())
        cells.append(f"{name}: {figures} {score.cpu:6.2f} s")
    return " | ".join(cells)


def by_group(results: Sequence[tuple[Picture, Scores]]) -> list[list[str]]:
    """Return a table with one row for each group. Cells have the figures of the engines, divided by a slash."""
    groups: dict[str, list[Scores]] = {}
    for picture, scores in results:
        groups.setdefault(picture.group, []).append(scores)
    return [
        ["Group", "Pictures", *map(str.capitalize, _FIGURES), "CPU, median", "CPU, slowest"],
        *([name, str(len(group)), *_of_group(group)] for name, group in groups.items()),
        ["all", str(len(results)), *_of_group([scores for _, scores in results])],
    ]


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rows = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Measure a set and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="a set with truth.json and img/")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pictures = from_folder(arguments.folder) if arguments.folder else drawn()
    found = engines()
    print(f"For each engine: {', '.join(_FIGURES)}, CPU. A star marks a turn of {LOCAL} without Tesseract.")
    if TESSERACT not in found:
        print(f"{TESSERACT}: {_NOT_INSTALLED}")
    results = []
    for result in measure(with_hidden(pictures), found):
        print(of_picture(*result), flush=True)
        results.append(result)
    table = by_group(results)
    print(f"\n{_legend(results)}\n\n{markdown(table)}")
    if not arguments.folder:
        _write(_PAGE, results)


def _score(picture: Picture, read: Engine) -> Score:
    before = _cpu()
    answer = read(picture)
    cpu = _cpu() - before
    return Score(
        answer,
        cpu,
        ocr_measures.accuracy(picture, answer),
        ocr_measures.order(picture, answer),
        ocr_measures.rows_kept(picture, answer),
        ocr_measures.indentation_kept(picture, answer),
        ocr_measures.said_so(picture, answer),
    )


def _cpu() -> float:
    """Return the CPU time of this process and of the commands that it ran, in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextmanager
def _tesseract_hidden(is_hidden: bool) -> Iterator[None]:
    """Let local OCR find no packs of Tesseract."""
    packs = tesseract.packs
    if is_hidden:
        tesseract.packs = tuple  # type: ignore[assignment]
    try:
        yield
    finally:
        tesseract.packs = packs


def _of_group(group: Sequence[Scores]) -> list[str]:
    names = _names(group)
    cells = [
        " / ".join(_mean(figure(scores[name]) for scores in group) for name in names) for figure in _FIGURES.values()
    ]
    for summary in (median, max):
        baseline = summary([scores[BARE].cpu for scores in group])
        ratios = [summary([scores[name].cpu for scores in group]) / baseline for name in names]
        cells.append(" / ".join(f"{ratio:.2f}" for ratio in ratios))
    return ["" if set(cell) <= set("- /") else cell for cell in cells]


def _names(group: Sequence[Scores]) -> list[str]:
    return list(group[0])


def _mean(figures: Iterable[Figure]) -> str:
    known = [figure for figure in figures if figure is not None]
    return f"{fmean(known):.2f}" if known else "-"


def _cell(figure: Figure) -> str:
    return "   -" if figure is None else f"{figure:4.2f}"


def _legend(results: Sequence[tuple[Picture, Scores]]) -> str:
    names = " / ".join(_names([results[0][1]]))
    missing = "" if TESSERACT in results[0][1] else f" {TESSERACT} was {_NOT_INSTALLED}."
    return f"Each cell has {names}.{missing} CPU is the ratio to {BARE} in the same run, on one core."


def _write(path: Path, results: Sequence[tuple[Picture, Scores]]) -> None:
    """Write the table and the pictures with their transcripts to the page."""
    text = path.read_text()
    text = _replaced(text, "bench-ocr", f"{_legend(results)}\n\n{markdown(by_group(results))}")
    by_name = {picture.name: (picture, scores) for picture, scores in results}
    shown = [_shown(*by_name[name], folder=path.with_suffix("")) for name in _SHOWN]
    path.write_text(_replaced(text, "bench-ocr pictures", "\n\n".join(shown)))


def _shown(picture: Picture, scores: Scores, folder: Path) -> str:
    """Write a picture beside the page, and return it with what was read of it."""
    if len(picture.content) > _MOST_BYTES:
        raise ValueError(f"{picture.name} has {len(picture.content):,} bytes. The page shows at most {_MOST_BYTES:,}.")
    folder.mkdir(exist_ok=True)
    (folder / f"{picture.name}.png").write_bytes(picture.content)
    image = f"![The picture {picture.name} of the set]({folder.name}/{picture.name}.png)"
    return f"{image}\n\n```text\n{scores[LOCAL].answer}\n```"


def _replaced(page: str, name: str, content: str) -> str:
    """Replace what is between the two markers of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    changed, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{content}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"The page has {count} places between {begin} and {end}.")
    return changed


if __name__ == "__main__":
    main()
