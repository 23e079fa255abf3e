"""The fuzz target runs and finds bugs. ``make fuzz`` runs it a million times."""

from __future__ import annotations

import pytest
from fuzz import bodies

from litellm_image_analysis.analysis import pipeline
from litellm_image_analysis.request import values


def test_a_few_bodies_do_no_harm() -> None:
    assert bodies.run(2000).done == 2000


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (values, "changed", lambda body, edits: {}),
        (pipeline, "analysis_text", lambda *_: "</image-analysis-0>"),
        (pipeline, "check_sizes", lambda *_: 1 / 0),
    ],
    ids=["an image is left", "a fence is broken", "an exception"],
)
def test_it_notices_what_is_broken(
    module: object, name: str, broken: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, name, broken)
    with pytest.raises((AssertionError, ZeroDivisionError)):
        bodies.run(1000)
    assert "with these bytes: " in capsys.readouterr().err
