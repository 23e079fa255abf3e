"""Settings for all tests: no network, so LiteLLM must not fetch its cost map when it is imported."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

pytest_plugins = [
    *("support.event_loop", "support.no_sockets", "support.redis_worker", "support.routers"),  # fixtures
    *("support.command", "support.uncovered"),
]

# A deadline would be a timing assertion. Examples are the same in every run, so that no run fails by chance. `make
# nightly` uses new and more examples. A failing one becomes an `@example`.
_EXAMPLES = os.environ.get("HYPOTHESIS_EXAMPLES")
settings.register_profile("project", deadline=None, derandomize=_EXAMPLES is None, max_examples=int(_EXAMPLES or 50))
settings.load_profile("project")


_LONGEST = (
    "test_scenarios",
    "test_restarts",
    "test_account",
    "test_conservation",
    "test_cache",
    "test_examples",
    "test_startup",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that wait longest first, because each of several workers runs one file after the other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if not {"e2e", "cluster"} & set(item.path.parts):
        return len(_LONGEST) + 1
    return _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else len(_LONGEST)


@pytest.fixture(autouse=True, scope="module")
def clients_end_with_their_tests() -> Iterator[None]:
    """Remove HTTP clients that LiteLLM keeps for closed event loops. Otherwise they raise warnings in another test."""
    yield
    clients = getattr(sys.modules.get("litellm"), "in_memory_llm_clients_cache", None)
    if clients is not None and clients.cache_dict:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            clients.flush_cache()
            for _ in range(2):  # the finalizer of a session keeps its sockets for one more collection
                gc.collect()
        if not gc.get_freeze_count():
            gc.freeze()  # skips the objects of LiteLLM's modules, which would take a second each time


_CALLBACKS = (
    *("callbacks", "input_callback", "success_callback", "failure_callback", "service_callback"),
    *("_async_input_callback", "_async_success_callback", "_async_failure_callback"),
)


@pytest.fixture(autouse=True)
def callbacks_are_left_as_they_were() -> Iterator[None]:
    """Restore LiteLLM's lists of callbacks. Every router adds some, and LiteLLM accepts at most a hundred."""
    litellm = sys.modules.get("litellm")
    lists: dict[str, list[Any]] = {name: getattr(litellm, name, []) for name in _CALLBACKS}
    before = {name: list(callbacks) for name, callbacks in lists.items()}
    yield
    for name, callbacks in lists.items():
        callbacks[:] = before[name]
        if litellm is not None:
            setattr(litellm, name, callbacks)  # LiteLLM may have put another list there
