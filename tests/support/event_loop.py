"""A blocking call of this package on the event loop fails the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture
def no_blocking_calls() -> Iterator[None]:
    with blockbuster_ctx("litellm_image_analysis") as blockbuster:
        # Coverage takes its own lock when a thread runs a file for the first time.
        blockbuster.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", {"lock_data"})
        yield
