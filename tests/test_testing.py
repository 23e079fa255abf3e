"""The double for tests of programs. Everything except the vision call is real."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from litellm.exceptions import Timeout
from support.images import data_uri, image, message, text

from litellm_image_analysis import ImageAnalysis, RequestError
from litellm_image_analysis.testing import FakeCall, FakeVision
from litellm_image_analysis.testing import fake_vision as answering

QUESTION = "The image came with this question, which another model will answer:\n\nWhat is it?"
MESSAGES = [message(text("What is it?"), image("a"))]


async def read(plugin: ImageAnalysis | None = None, messages: list[Any] = MESSAGES) -> str:
    """The messages that the text model reads."""
    [rewritten] = await (plugin or ImageAnalysis()).rewrite(messages)
    return str(rewritten["content"])


async def test_an_answer_stands_where_the_image_stood() -> None:
    with answering("A cat.", cost=0.5) as vision:
        assert "\n\nA cat.\n</image-analysis-" in await read(ImageAnalysis(vision_model="some-eyes"))
    assert vision.calls == [FakeCall("some-eyes", QUESTION, (data_uri("a"),))]


async def test_the_answer_may_change_and_is_not_cached() -> None:
    plugin = ImageAnalysis()
    with answering("A cat.") as vision:
        assert "A cat." in await read(plugin)
        vision.answer = "A dog."
        assert "A dog." in await read(plugin)
    with answering(lambda call: f"{len(call.images)} image"):
        assert "1 image" in await read(plugin)
    assert len(vision.calls) == 2


async def test_an_exception_is_a_failure_and_opens_no_circuit() -> None:
    late = Timeout("late", model="gpt-4o-mini", llm_provider="openai")
    plugin, strict = ImageAnalysis(), ImageAnalysis(on_failure="reject")
    with answering(late):
        for _ in range(10):
            assert "the vision model did not answer in time" in await read(plugin)
        with pytest.raises(RequestError) as caught:
            await read(strict)
    assert caught.value.code == "image_analysis_timeout"
    assert [status.is_open for status in plugin.stats().values()] in ([], [False])


async def test_a_file_at_a_provider_is_named_by_its_id() -> None:
    stored = {"type": "file", "file": {"file_id": "file-abc", "format": "image/png"}}
    with answering("A cat.") as vision:
        await read(ImageAnalysis(vision_model="openai/gpt-4o"), [message(text("What is it?"), stored)])
    assert vision.calls == [FakeCall("openai/gpt-4o", QUESTION, ("file-abc",))]


async def test_pytest_has_it_as_a_fixture(fake_vision: FakeVision) -> None:
    fake_vision.answer, fake_vision.cost = "A cat.", Decimal("0.25")
    assert "A cat." in await read()
    assert len(fake_vision.calls) == 1


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "testing.md").read_text()
    with_pytest, without = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "test_example.py").write_text(with_pytest)
    (tmp_path / "example.py").write_text(without)
    for command in (["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"], ["example.py"]):
        ran = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_pytest_does_not_import_litellm_for_it(tmp_path: Path) -> None:
    check = "import sys\n\ndef test_it():\n    assert 'litellm' not in sys.modules\n"
    (tmp_path / "test_light.py").write_text(check)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_what_a_function_raises_does_not_let_a_test_pass() -> None:
    def check(call: FakeCall) -> str:
        raise AssertionError(call.model)

    with pytest.raises(AssertionError, match="gpt-4o-mini"), answering(check):
        assert "image analysis failed within the gateway" in asyncio.run(read())


def test_nor_does_an_answer_of_another_type() -> None:
    answer: Any = ["A cat."]
    with pytest.raises(TypeError, match="answer is a list; it must be a text or an exception"), answering(answer):
        asyncio.run(read())


@pytest.mark.parametrize("answer", ["", " \n", "<think>A cat?</think>"])
async def test_an_answer_without_words_is_a_failure_as_in_reality(answer: str) -> None:
    with answering(answer):
        assert "the vision model returned no text" in await read()


async def test_thoughts_are_no_part_of_an_answer() -> None:
    with answering("<think>A dog?</think>A cat."):
        assert "\n\nA cat.\n</image-analysis-" in await read()
