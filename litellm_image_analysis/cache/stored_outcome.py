"""The stored form of an outcome. It contains its key, so an entry that was moved to another key is not accepted."""

from __future__ import annotations

import json
import time
from typing import Final

from pydantic import BaseModel, ConfigDict

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome

_ESCAPED_CHARACTER: Final = 12
"""Maximum number of bytes of JSON for one character: two escaped surrogates of six bytes."""
_OTHER_CHARACTERS: Final = 1000
"""Maximum number of bytes of an entry without its text."""

_REASONS: Final = {reason.code: reason for reason in FailureReason}


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    key: str
    generation: str
    expires: float
    text: str | None = None
    truncated: bool = False
    failed: str | None = None
    retry_after_seconds: int | None = None


def dump(key: str, outcome: Outcome, generation: str, ttl_seconds: float) -> str:
    """Return an outcome as JSON, valid for a number of seconds and until the cache is flushed."""
    record = _Record(key=key, generation=generation, expires=time.time() + ttl_seconds)
    if isinstance(outcome, Analysed):
        record.text, record.truncated = outcome.text, outcome.truncated
    else:
        record.failed, record.retry_after_seconds = outcome.reason.code, outcome.retry_after_seconds
    return json.dumps(record.model_dump())


def load(value: str | bytes, key: str, generation: str, max_characters: int) -> tuple[Outcome, float] | None:
    """Return the outcome and its remaining seconds, or ``None`` if the entry is not valid for this key now.

    Args:
        value: the stored form.
        key: the cache key.
        generation: changes with each flush.
        max_characters: the maximum length of an analysis. A longer one is not accepted.
    """
    if len(value) > max_characters * _ESCAPED_CHARACTER + _OTHER_CHARACTERS:
        return None
    try:
        record = _Record.model_validate(json.loads(value))
    except (ValueError, RecursionError):
        return None
    seconds_left = record.expires - time.time()
    if (record.key, record.generation) != (key, generation) or not seconds_left > 0:  # false for NaN, too
        return None
    if record.text and len(record.text) <= max_characters:
        return Analysed(record.text, truncated=record.truncated).as_cached(), seconds_left
    if record.failed in _REASONS:
        reason = _REASONS[record.failed]
        return Failed(reason, retry_after_seconds=record.retry_after_seconds), seconds_left
    return None
