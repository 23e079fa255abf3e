"""The plugin's logger: a structured INFO line for each request, a line when a circuit opens or closes, and DEBUG lines.

No line has an image or its text. The logger is a child of LiteLLM's logger, so it has the same handlers and format.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading

from cachetools import TTLCache

LOGGER = logging.getLogger("LiteLLM.image_analysis")
_told: TTLCache[str, bool] = TTLCache(1000, ttl=60)
"""The messages to the operator within the last minute."""
_telling = threading.Lock()
_PLAIN_VALUE = re.compile(r"[\w.:/@+*,-]+")


def show_requests() -> None:
    """Set the level to INFO in a proxy, whose loggers have the level WARNING by default.

    ``LITELLM_LOG`` and ``--detailed_debug`` take precedence.
    """
    if not os.environ.get("LITELLM_LOG") and LOGGER.getEffectiveLevel() > logging.INFO:
        LOGGER.setLevel(logging.INFO)


def tell_operator(message: str) -> None:
    """Log a problem that only the operator can correct as an ERROR. Each message is logged at most once a minute.

    Args:
        message: the problem, its place, and what to do.
    """
    with _telling:  # a program may have several event loops
        is_new = message not in _told
        if is_new:
            _told[message] = True
    if is_new:
        LOGGER.error("image analysis: %s", message)


def quoted(value: object) -> str:
    """Quote a value that could look like a further field or line. Callers choose ids and model names."""
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text)
