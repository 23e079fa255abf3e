"""What the installed LiteLLM can do as a library, found by looking at it; its proxy need not be there."""

from __future__ import annotations

import pytest
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.router import Router


def needs(what: str, *, there: bool) -> pytest.MarkDecorator:
    """Skip a test, and say what LiteLLM lacks, unless it is there."""
    return pytest.mark.skipif(not there, reason=f"this LiteLLM has no {what}")


_fallbacks = getattr(Router, "async_function_with_fallbacks", None)  # not in LiteLLM 1.110, which has the note
needs_fallback_notes = needs(
    "note of what a fallback stands in for",
    there=_fallbacks is None or "original_model_group" in _fallbacks.__code__.co_consts,
)

# These came with the calculator's new name; nothing of their own tells that they are there.
_has_new_calculator = hasattr(Logging, "response_cost_calculator")
needs_stream_prices = needs("price for a stream that tells its usage unasked", there=_has_new_calculator)
needs_bridge_prices = needs("price for a deployment behind its bridge from generateContent", there=_has_new_calculator)
needs_logging_in_hooks = needs("name for what was passed by position", there=_has_new_calculator)
