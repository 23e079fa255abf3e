"""The table and the JSON of an evaluation."""

from __future__ import annotations

from support.scripted_vision import perfect

from litellm_image_analysis.cli.evaluate import summary
from litellm_image_analysis.cli.evaluate.pictures import all_pictures
from litellm_image_analysis.cli.evaluate.results import Result, Results, Subject

PICTURES = all_pictures()
EYES, OTHER = Subject("eyes"), Subject("eyes", "Look.", "look.txt")


def results() -> Results:
    found = Results(None)
    for picture in PICTURES:
        report = None if picture.name == "text-1" else perfect(picture)
        usd = None if picture.name == "text-2" else 0.002
        found.add(Result(EYES.key, "eyes", picture.name, picture.digest, report, None if report else "busy", 1.5, usd))
    return found


def test_the_table() -> None:
    rows = summary.rows(results(), [EYES, OTHER], PICTURES)
    assert {len(row) for row in rows} == {len(summary.HEAD)}
    by_name = {row[0]: row for row in rows}
    assert by_name["eyes"][1:] == ("47 (1 failed)", "97", "100", "100", "0", "0", "1.5", "unknown")
    assert by_name["  text"][1:] == ("4 (1 failed)", "75", "", "", "0", "0", "1.5", "unknown")
    assert by_name["  counting"][1:] == ("4", "", "", "100", "0", "0", "1.5", "0.00200")
    assert by_name["eyes, look.txt"][1:] == ("0", "", "", "", "0", "0", "", "unknown")
    assert len(rows) == 2 + 13


def test_the_json() -> None:
    said = summary.as_json(results(), [EYES], PICTURES, "DONE")
    (eyes,) = said["vision_models"]
    assert (said["end"], eyes["model"], eyes["instructions"]) == ("DONE", "eyes", "built-in")
    assert eyes["groups"]["tables"]["rows"] == 1.0
    assert eyes["all"]["usd"] is None


def test_groups_for_the_chart() -> None:
    assert list(summary.groups_of(results(), [EYES, OTHER], PICTURES)) == ["eyes", "eyes, look.txt"]
