"""A stand-in for a text-only model, for use without an API key. It answers with the text that it was given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from litellm.llms.custom_llm import CustomLLM, CustomLLMError
from litellm.types.utils import Choices, GenericStreamingChunk, Message, ModelResponse, Usage

INTRODUCTION = "I am a stand-in for a text-only model and only repeat what I have read:"


class StandIn(CustomLLM):
    """Answers with the text of the last message, and refuses images as text-only models do."""

    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Repeat the last message."""
        return ModelResponse(
            model=kwargs["model"],
            choices=[Choices(message=Message(role="assistant", content=_answer(kwargs["messages"])))],
            usage=Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),
        )

    async def astreaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[GenericStreamingChunk]:  # type: ignore[override]
        """Repeat the last message in one chunk."""
        yield {
            "text": _answer(kwargs["messages"]),
            "is_finished": True,
            "finish_reason": "stop",
            "index": 0,
            "tool_use": None,
            "usage": None,
        }


def _answer(messages: list[dict[str, Any]]) -> str:
    content = messages[-1]["content"]
    if not isinstance(content, str):
        raise CustomLLMError(400, "I am a text-only model: I take no images.")  # type: ignore[no-untyped-call]
    return f"{INTRODUCTION}\n\n{content}"


stand_in = StandIn()
