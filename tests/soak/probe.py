"""The state of a proxy's process from within: a callback that does nothing until it gets a signal."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger


class Probe(CustomLogger):
    """At each SIGUSR1, writes a file with the number of tasks by name, and the exceptions that were not retrieved.

    At SIGUSR2 it collects garbage, because unretrieved exceptions are reported only then.
    """

    def __init__(self) -> None:
        super().__init__()
        self._file = Path(os.environ["PROBE_FILE"])
        self._loop = asyncio.get_running_loop()
        self._unretrieved: Counter[str] = Counter()
        self._loop.set_exception_handler(self._note)
        self._loop.add_signal_handler(signal.SIGUSR1, self._tell)
        self._loop.add_signal_handler(signal.SIGUSR2, gc.collect)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._unretrieved[f"{context['message']}: {context.get('exception')!r}"] += 1
        loop.default_exception_handler(context)

    def _tell(self) -> None:
        tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks(self._loop))
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps({"tasks": tasks, "unretrieved": self._unretrieved}))
        part.replace(self._file)


probe = Probe()
