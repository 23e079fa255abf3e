"""Pause coverage in tests of other processes and in property tests, where it is slow and adds nothing.

A property test runs fifty examples, which take twice as long when each line is counted. Other tests are counted, so a
line that only random examples reach is reported as not covered.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    coverage = sys.modules.get("coverage")
    running = coverage and coverage.Coverage.current()
    if not running or not (item.get_closest_marker("hypothesis") or {"e2e", "cluster"} & set(item.path.parts)):
        return (yield)
    running.stop()
    try:
        return (yield)
    finally:
        running.start()
