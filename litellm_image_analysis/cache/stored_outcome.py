"""How an outcome is written down for other processes. It repeats its key: what was moved or mended is not believed."""

from __future__ import annotations

import json
import time
from typing import Final

from pydantic import BaseModel, ConfigDict

from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome

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
    """An outcome as JSON, for so many seconds and until somebody flushes."""
    record = _Record(key=key, generation=generation, expires=time.time() + ttl_seconds)
    if isinstance(outcome, Analysed):
        record.text, record.truncated = outcome.text, outcome.truncated
    else:
        record.failed, record.retry_after_seconds = outcome.reason.code, outcome.retry_after_seconds
    return json.dumps(record.model_dump())


def load(value: str | bytes, key: str, generation: str) -> tuple[Outcome, float] | None:
    """The outcome and how many seconds it has left; ``None`` for anything but what is valid under this key now."""
    try:
        record = _Record.model_validate(json.loads(value))
    except (ValueError, RecursionError):
        return None
    seconds_left = record.expires - time.time()
    if (record.key, record.generation) != (key, generation) or not seconds_left > 0:  # NaN is not either
        return None
    if record.text:
        return Analysed(record.text, truncated=record.truncated).as_cached(), seconds_left
    if record.failed in _REASONS:
        reason = _REASONS[record.failed]
        return Failed(reason, retry_after_seconds=record.retry_after_seconds), seconds_left
    return None
