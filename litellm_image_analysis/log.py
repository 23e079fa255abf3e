"""The process in the logs: a structured INFO line a request, a line when a circuit opens or closes, the rest at DEBUG.

No image and no text of one above it. The logger is a child of LiteLLM's own, so its lines go where LiteLLM's go, in its
format, plain or JSON.
"""

from __future__ import annotations

import json
import logging
import os
import re

LOGGER = logging.getLogger("LiteLLM.image_analysis")
_PLAIN_VALUE = re.compile(r"[\w.:/@+*,-]+")


def show_requests() -> None:
    """Let the INFO line through in a proxy, whose loggers stay at WARNING unless asked otherwise.

    ``LITELLM_LOG`` and ``--detailed_debug`` keep their say.
    """
    if not os.environ.get("LITELLM_LOG") and LOGGER.getEffectiveLevel() > logging.INFO:
        LOGGER.setLevel(logging.INFO)


def quoted(value: object) -> str:
    """Quote what could be mistaken for another field or another line: callers choose ids and model names."""
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text)
