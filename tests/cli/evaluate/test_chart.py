"""The chart: every vision model and every group that has something to measure."""

from __future__ import annotations

from pathlib import Path

import imagesize
import pytest
from support.scripted_vision import perfect

from litellm_image_analysis.cli.evaluate import chart
from litellm_image_analysis.cli.evaluate.pictures import all_pictures
from litellm_image_analysis.cli.evaluate.results import Result, Results, Subject, by_group


@pytest.mark.parametrize("pictures", [all_pictures(), all_pictures()[:2], ()])
def test_it_is_drawn(tmp_path: Path, pictures: tuple[object, ...]) -> None:
    results, subject = Results(None), Subject("eyes")
    for picture in all_pictures()[: len(pictures)]:
        results.add(Result(subject.key, "eyes", picture.name, picture.digest, perfect(picture), None, 1.0, 0.0))
    chart.draw({subject.name: by_group(results.measured(subject, all_pictures()))}, tmp_path / "chart.png")
    width, height = imagesize.get(tmp_path / "chart.png")
    assert width >= 800
    assert height >= 500
