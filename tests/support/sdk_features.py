"""Features of the installed LiteLLM as a library. Its proxy need not be installed."""

from __future__ import annotations

import pytest
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.router import Router


def needs(what: str, *, there: bool) -> pytest.MarkDecorator:
    """Skip a test if LiteLLM lacks a feature, with the feature as the reason."""
    return pytest.mark.skipif(not there, reason=f"this LiteLLM has no {what}")


_fallbacks = getattr(
    Router, "async_function_with_fallbacks", None
)  # LiteLLM 1.110 does not have it, but has the metadata
needs_fallback_notes = needs(
    "note of what a fallback stands in for",
    there=_fallbacks is None or "original_model_group" in _fallbacks.__code__.co_consts,
)

# These features came in the same version as the calculator's new name. Nothing else shows that they exist.
_has_new_calculator = hasattr(Logging, "response_cost_calculator")
needs_stream_prices = needs("price for a stream that tells its usage unasked", there=_has_new_calculator)
needs_bridge_prices = needs("price for a deployment behind its bridge from generateContent", there=_has_new_calculator)
needs_logging_in_hooks = needs("name for what was passed by position", there=_has_new_calculator)
