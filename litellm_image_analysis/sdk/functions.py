"""LiteLLM's functions with image analysis, also for positional arguments and blocking calls.

LiteLLM does not show these to callbacks. The functions here have LiteLLM's signatures and return values. The registered
instance of ``ImageAnalysis`` does the work. If there is none, ``litellm_image_analysis.image_analysis`` is registered,
with the settings in ``litellm.callback_settings`` or the defaults.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import litellm

import litellm_image_analysis
from litellm_image_analysis.sdk.blocking import blocking, by_name, called, parameters

P = ParamSpec("P")
R = TypeVar("R")


def _named(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Return a function that passes all arguments by name, so that LiteLLM shows them to callbacks."""
    signature = parameters(function)

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        _register()
        response: R = await called(function, by_name(signature, args, kwargs))
        return response

    return call


def _blocking(function: Callable[P, R], in_loop: Callable[..., Awaitable[object]]) -> Callable[P, R]:
    call_it = blocking(function, in_loop)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        _register()
        return call_it(*args, **kwargs)

    return call


def _register() -> None:
    if not any(isinstance(callback, litellm_image_analysis.ImageAnalysis) for callback in litellm.callbacks):
        litellm.callbacks.append(litellm_image_analysis.image_analysis)


acompletion = _named(litellm.acompletion)
"""``litellm.acompletion`` with image analysis."""

aresponses = _named(litellm.aresponses)
"""``litellm.aresponses`` with image analysis."""

anthropic_messages = _named(litellm.anthropic_messages)
"""``litellm.anthropic_messages`` with image analysis, in an event loop."""

completion = _blocking(litellm.completion, litellm.acompletion)
"""``litellm.completion`` with image analysis. It runs in an event loop in a thread of its own."""

responses = _blocking(litellm.responses, litellm.aresponses)
"""``litellm.responses`` with image analysis. It runs in an event loop in a thread of its own."""
