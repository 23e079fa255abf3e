"""Asking vision models about the pictures: budget, failures, and continuing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, cast

import pytest
from litellm import ModelResponse
from support.scripted_vision import inventing, obeying, perfect

from litellm_image_analysis.analysis.prompt import INSTRUCTIONS
from litellm_image_analysis.cli.evaluate.picture import Picture
from litellm_image_analysis.cli.evaluate.pictures import all_pictures
from litellm_image_analysis.cli.evaluate.results import Results, Subject, figures_of
from litellm_image_analysis.cli.evaluate.run import Budget, End, Evaluation
from litellm_image_analysis.vision.call import CompletionApi

PICTURES = all_pictures()
EYES = Subject("eyes")
PRICE = 0.01


class Scripted:
    """Answers vision calls by a script, and counts them."""

    def __init__(self, script: Callable[[Picture], str | Exception], price: float | None = PRICE) -> None:
        self.script, self.price = script, price
        self.calls: list[dict[str, Any]] = []

    async def acompletion(self, **arguments: Any) -> ModelResponse:
        self.calls.append(arguments)
        said = self.script(self._picture(arguments))
        if isinstance(said, Exception):
            raise said
        message = {"role": "assistant", "content": said}
        response = ModelResponse(choices=[{"message": message, "finish_reason": "stop"}])
        response._hidden_params = {"response_cost": self.price}
        return response

    async def aresponses(self, **arguments: Any) -> Any:
        raise AssertionError(arguments)

    @staticmethod
    def _picture(arguments: dict[str, Any]) -> Picture:
        (url,) = [part["image_url"]["url"] for part in arguments["messages"][1]["content"] if "image_url" in part]
        png = base64.b64decode(url.partition(",")[2])
        return next(picture for picture in PICTURES if picture.png == png)


async def run(
    scripted: Scripted,
    results: Results,
    *subjects: Subject,
    limit: float | None = None,
    concurrency: int = 1,
    pictures: tuple[Picture, ...] = PICTURES,
) -> End:
    shown: list[str] = []
    evaluation = Evaluation(
        cast("CompletionApi", scripted),
        results,
        Budget(limit),
        500,
        30.0,
        frozenset(),
        lambda subject, picture, result: shown.append(picture.name),
    )
    end = await evaluation.run(subjects or (EYES,), pictures, concurrency)
    assert len(shown) == len(scripted.calls)
    return end


async def test_figures_differ_as_the_vision_models_do() -> None:
    figures = {}
    for name, script in {"perfect": perfect, "inventing": inventing, "obeying": obeying}.items():
        results = Results(None)
        assert await run(Scripted(script), results) is End.DONE
        figures[name] = figures_of(results.measured(EYES, PICTURES))
    best = figures["perfect"]
    assert (best.characters, best.rows, best.facts, best.invented, best.obeyed) == (1.0, 1.0, 1.0, 0, 0)
    assert best.total_usd == pytest.approx(47 * PRICE)
    assert figures["inventing"].invented >= 45
    assert figures["inventing"].characters == 1.0
    assert figures["obeying"].obeyed == 4
    assert figures["obeying"].invented == 0


async def test_the_question_and_the_instructions_are_those_of_a_request() -> None:
    scripted = Scripted(perfect)
    table = next(picture for picture in PICTURES if picture.group == "tables")
    await run(scripted, Results(None), EYES, Subject("eyes", "Look.", "look.txt"), pictures=(table,))
    own, other = (call["messages"] for call in scripted.calls)
    assert (own[0]["content"], other[0]["content"]) == (INSTRUCTIONS, "Look.")
    assert "Which row has the highest value?" in own[1]["content"][0]["text"]
    assert scripted.calls[0]["max_tokens"] == 500


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_it_stops_before_the_budget_is_exceeded_and_continues_later(concurrency: int) -> None:
    results, scripted = Results(None), Scripted(perfect)
    assert await run(scripted, results, limit=10.5 * PRICE, concurrency=concurrency) is End.BUDGET
    assert 0 < len(scripted.calls) * PRICE <= 10.5 * PRICE
    more = Scripted(perfect)
    assert await run(more, results, concurrency=concurrency) is End.DONE
    assert len(scripted.calls) + len(more.calls) == 47


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_budget_below_two_calls_makes_one(concurrency: int) -> None:
    scripted = Scripted(perfect)
    assert await run(scripted, Results(None), limit=1.5 * PRICE, concurrency=concurrency) is End.BUDGET
    assert len(scripted.calls) == 1


async def test_a_budget_needs_a_price() -> None:
    results, scripted = Results(None), Scripted(perfect, price=None)
    assert await run(scripted, results, limit=1.0) is End.NO_PRICE
    assert len(scripted.calls) == 1
    assert await run(Scripted(perfect, price=None), results) is End.DONE


async def test_a_failure_is_a_result_and_is_tried_again() -> None:
    results = Results(None)
    assert await run(Scripted(lambda _: ValueError("no")), results, pictures=PICTURES[:3]) is End.DONE
    figures = figures_of(results.measured(EYES, PICTURES))
    assert (figures.failed, figures.characters, figures.total_usd) == (3, 0.0, 0.0)
    again = Scripted(perfect)
    await run(again, results, pictures=PICTURES[:3])
    assert len(again.calls) == 3
    assert figures_of(results.measured(EYES, PICTURES)).characters == 1.0
