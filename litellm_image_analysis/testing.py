"""A double for the vision model, for the tests of programs and gateways that use this package.

The vision calls are answered in this process, without a network and without LiteLLM. Everything else is real: images
are found, checked and replaced, and ``on_failure`` applies. With pytest, the fixture ``fake_vision`` does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest import mock

from litellm_image_analysis.cache.per_request import RequestCache
from litellm_image_analysis.engine import analyzer
from litellm_image_analysis.vision.call import outcome_of_text
from litellm_image_analysis.vision.failures import failure_of

if TYPE_CHECKING:
    from litellm_image_analysis.analysis.outcomes import Outcome
    from litellm_image_analysis.analysis.ports import AskVision
    from litellm_image_analysis.analysis.prompt import VisionRequest


@dataclass(frozen=True, slots=True)
class FakeCall:
    """A vision call that was answered.

    Attributes:
        model: the name of the vision model.
        question: the text that came with the image, as the vision model would get it.
        images: the images, as ``data:`` URIs, URLs or file ids.
    """

    model: str
    question: str
    images: tuple[str, ...]


Answer: TypeAlias = str | Exception | Callable[[FakeCall], "str | Exception"]
"""The text of the vision model, a LiteLLM exception such as ``litellm.Timeout``, or a function that returns one of
both."""


@dataclass(slots=True)
class FakeVision:
    """The vision model of a test.

    Attributes:
        answer: its answer to each call from now on.
        cost: USD of each call.
        calls: the calls so far.
    """

    answer: Answer = "A picture."
    cost: Decimal | float = Decimal(0)
    calls: list[FakeCall] = field(default_factory=list)
    _mistakes: list[Exception] = field(default_factory=list, repr=False)

    def _reply(self, request: VisionRequest) -> Outcome:
        call = FakeCall(request.model, *_asked(request))
        self.calls.append(call)
        try:
            answer, cost = self._answer_to(call), Decimal(str(self.cost))
        except Exception as mistake:
            self._mistakes.append(mistake)  # image analysis treats it like a bug and continues, but the test must fail
            raise
        if isinstance(answer, Exception):
            return replace(failure_of(answer), blames_model=False)  # an open circuit would affect later tests
        return outcome_of_text(answer, request.max_characters, cost=cost, call_id=f"fake-{len(self.calls)}")

    def _answer_to(self, call: FakeCall) -> str | Exception:
        answer = self.answer(call) if callable(self.answer) else self.answer
        if not isinstance(answer, (str, Exception)):
            raise TypeError(f"fake_vision: answer is a {type(answer).__name__}; it must be a text or an exception")
        return answer


@contextmanager
def fake_vision(answer: Answer = "A picture.", *, cost: Decimal | float = 0) -> Iterator[FakeVision]:
    """Answer all vision calls of this process. Analyses are neither taken from the cache nor stored in it.

    Args:
        answer: the text of the vision model, a LiteLLM exception, or a function of the call that returns one of both.
        cost: USD of each vision call.

    Yields:
        The vision model, with its calls. The test may change its answer.

    Raises:
        Exception: at the end, the exception of a function for the answer. ``TypeError`` if the answer is of another
            type.
    """
    fake = FakeVision(answer, cost)

    def make_ask(*_: Any) -> AskVision:
        async def ask(request: VisionRequest) -> Outcome:
            return fake._reply(request)  # noqa: SLF001 - both belong together

        return ask

    without_cache = partial(_without_cache, RequestCache)
    with (
        mock.patch.object(analyzer, "make_ask", make_ask),
        mock.patch.object(analyzer, "RequestCache", without_cache),
    ):
        yield fake
    if fake._mistakes:  # noqa: SLF001
        raise fake._mistakes[0]  # noqa: SLF001


def _without_cache(make: type[RequestCache], *arguments: Any, **options: Any) -> RequestCache:
    return make(*arguments, **{**options, "no_cache": True, "no_store": True})


def _asked(request: VisionRequest) -> tuple[str, tuple[str, ...]]:
    """Return the text and the images of a vision request."""
    texts: list[str] = []
    images: list[str] = []
    for part in request.messages[1]["content"]:
        if part["type"] == "text":
            texts.append(part["text"])
        else:
            images.append(_image(part))
    return "\n\n".join(texts), tuple(images)


def _image(part: Mapping[str, Any]) -> str:
    return str(part["image_url"]["url"] if part["type"] == "image_url" else part["file"]["file_id"])
