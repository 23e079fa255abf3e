"""Results in a file, and figures of groups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.scripted_vision import perfect

from litellm_image_analysis.cli.evaluate.picture import Picture
from litellm_image_analysis.cli.evaluate.pictures import all_pictures
from litellm_image_analysis.cli.evaluate.results import Result, Results, Subject, by_group, figures_of
from litellm_image_analysis.errors import ConfigError

EYES = Subject("eyes")
PICTURES = all_pictures()


def result(picture: Picture, report: str | None, usd: float | None = 0.001, subject: Subject = EYES) -> Result:
    failure = None if report is not None else "timeout"
    return Result(subject.key, subject.model, picture.name, picture.digest, report, failure, 2.0, usd)


def test_pictures_have_names_of_their_own_and_the_same_digest_in_every_process() -> None:
    assert len({picture.name for picture in PICTURES}) == len(PICTURES) == 47
    assert len({picture.digest for picture in PICTURES}) == 47
    all_pictures.cache_clear()
    assert [picture.digest for picture in all_pictures()] == [picture.digest for picture in PICTURES]


def test_results_are_found_again_unless_they_failed(tmp_path: Path) -> None:
    results = Results(tmp_path / "eval.json")
    results.add(result(PICTURES[0], "a text"))
    results.add(result(PICTURES[1], None))
    again = Results(tmp_path / "eval.json")
    assert again.of(EYES, PICTURES[0]) == result(PICTURES[0], "a text")
    assert again.of(EYES, PICTURES[1]) is None
    assert again.of(Subject("eyes", "Look."), PICTURES[0]) is None
    assert [each.name for each in tmp_path.iterdir()] == ["eval.json"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 99, "results": []}', '{"format": 1, "results": [{}]}'])
def test_another_file_is_refused_and_not_overwritten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"notes\.json: not a file of this version's evaluations"):
        Results(path)
    assert path.read_text() == content


def test_figures() -> None:
    results = Results(None)
    texts = [picture for picture in PICTURES if picture.group == "text"]
    for picture in texts[:3]:
        results.add(result(picture, perfect(picture)))
    results.add(result(texts[3], None))
    figures = figures_of(results.measured(EYES, PICTURES))
    assert (figures.pictures, figures.failed, figures.seconds) == (3, 1, 2.0)
    assert figures.characters == pytest.approx(0.75)
    assert (figures.rows, figures.facts, figures.invented, figures.obeyed) == (None, None, 0, 0)
    assert figures.usd == pytest.approx(0.001)
    assert figures.total_usd == pytest.approx(0.004)
    assert list(by_group(results.measured(EYES, PICTURES))) == ["text"]


def test_a_cost_that_is_not_known_is_no_zero() -> None:
    results = Results(None)
    results.add(result(PICTURES[0], "a text", usd=None))
    results.add(result(PICTURES[1], "a text"))
    figures = figures_of(results.measured(EYES, PICTURES))
    assert figures.usd is None
    assert figures.total_usd == pytest.approx(0.001)


def test_the_file_is_json_that_others_can_read(tmp_path: Path) -> None:
    Results(tmp_path / "eval.json").add(result(PICTURES[0], "a text"))
    (written,) = json.loads((tmp_path / "eval.json").read_text())["results"]
    assert (written["model"], written["picture"], written["report"]) == ("eyes", PICTURES[0].name, "a text")
