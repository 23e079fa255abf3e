"""Whole request bodies of every wire format, through all steps: find images, plan, ask, replace.

::

    python tests/fuzz/bodies.py --executions 1000000

The result must be a rewritten request or a ``RequestError``. Anything else is a crash, and its input is printed. Each
input is a list of choices: one of many requests, and changes of it. If atheris is installed, it searches for choices
that lead to new branches of the package. Otherwise they are random. Memory must not grow after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import importlib.util
import itertools
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

WITH_ATHERIS = importlib.util.find_spec("atheris") is not None and __name__ == "__main__"
if WITH_ATHERIS:
    import atheris

    watched: Any = atheris.instrument_imports(include=["litellm_image_analysis"])
else:
    watched = contextlib.nullcontext()

with watched:
    from litellm_image_analysis.analysis.limits import check_shape
    from litellm_image_analysis.analysis.outcomes import Analysed, Failed, FailureReason, Outcome
    from litellm_image_analysis.analysis.pipeline import VisionTarget, rewrite
    from litellm_image_analysis.analysis.prompt import VisionRequest
    from litellm_image_analysis.analysis.sanitize import FENCE
    from litellm_image_analysis.analysis.tenant import Tenant
    from litellm_image_analysis.cache.cache import Cache
    from litellm_image_analysis.cache.per_request import RequestCache
    from litellm_image_analysis.config import CacheConfig, ImageAnalysisConfig
    from litellm_image_analysis.errors import RequestError
    from litellm_image_analysis.request import WireFormat, chat, generate_content, messages, responses

from hypothesis import HealthCheck, given, settings  # noqa: E402 - atheris must instrument the imports before
from hypothesis import strategies as st  # noqa: E402
from support import strategies  # noqa: E402

Body = dict[str, Any]

MOST_GROWTH_MIB = 64
DRAWN = 50
"""The number of generated bodies for each format, in addition to those of coding agents."""

FORMATS: list[tuple[WireFormat, st.SearchStrategy[Any], str]] = [
    (chat, strategies.chat_bodies, "opencode.json"),
    (messages, strategies.messages_bodies, "claude_code.json"),
    (responses, strategies.responses_bodies, "codex_cli.json"),
    (generate_content, strategies.google_bodies, "gemini_cli.json"),
]
WORDS = ["A cat.", "", f"</{FENCE}-0>", f"<{FENCE}", "\uff1c/image\u200b-analysis>", "<|im_end|>", "\ud800", "\u202e"]
ODD: list[Any] = [
    None,
    True,
    -1,
    0.5,
    10**30,
    "",
    "text",
    "image/png",
    "\ud800",
    "\x00",
    "data:image/png;base64,",
    [],
    {},
]
SETTINGS = [
    ImageAnalysisConfig.from_settings(
        {"on_failure": on_failure, "grouping": grouping, "remote_urls": remote_urls, "max_images": most, **sizes}
    )
    for on_failure in ("placeholder", "reject", "keep")
    for grouping in ("per_image", "per_message")
    for remote_urls in ("pass", "reject")
    for most, sizes in (
        (20, {}),
        (1, {"max_image_bytes": 90, "max_nesting_depth": 20}),
        (2, {"max_request_image_bytes": 250, "max_messages": 8}),
        (20, {"max_total_image_bytes": 250}),
    )
]
OUTCOMES: list[Outcome] = [
    *(Analysed(words, truncated=truncated) for words in WORDS for truncated in (False, True)),
    *map(Failed, FailureReason),
]


def drawn(bodies: st.SearchStrategy[Any], count: int) -> list[Any]:
    """Bodies from Hypothesis, always the same ones."""
    made: list[Any] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies | strategies.spoiled(bodies) | strategies.arbitrary_bodies)
    def collect(body: Any) -> None:
        made.append(body)

    randomness = random.Random(0)
    while len(made) < count:
        collect.hypothesis.fuzz_one_input(randomness.randbytes(8192))  # type: ignore[attr-defined] # Hypothesis's own
    return made


def nodes(value: Any) -> list[Any]:
    """A value and all values within it, at any depth."""
    found = [value]
    for node in found:  # the list grows meanwhile
        found += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return found


def objects(value: Any) -> list[Any]:
    """The ids and keys of all objects in a value. They stay the same if nothing is changed in place."""
    return [(id(node), tuple(node) if isinstance(node, dict) else None) for node in nodes(value)]


@functools.cache
def requests() -> list[tuple[WireFormat, list[Body]]]:
    """The initial requests, by format."""
    fixtures = Path(__file__).parents[1] / "fixtures"
    return [
        (wire_format, [json.loads((fixtures / fixture).read_text()), *drawn(bodies, DRAWN)])
        for wire_format, bodies, fixture in FORMATS
    ]


@functools.cache
def pieces() -> list[Any]:
    """Values from all formats that may be inserted anywhere."""
    return [*ODD, *(node for _, bodies in requests() for body in bodies for node in nodes(body))]


class Choices:
    """Reads choices from bytes. After their end, each choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    @property
    def are_left(self) -> bool:
        """Whether there are more bytes."""
        return self._place < len(self._data)

    def of(self, options: list[Any]) -> Any:
        """Choose one of these values."""
        chosen = int.from_bytes(self._data[self._place : self._place + 2], "big")
        self._place += 2
        return options[chosen % len(options)]


def changed(value: Any, choices: Choices) -> Any:
    """A value with another value at one place in it. The rest is shared."""
    if value and isinstance(value, (dict, list)) and choices.are_left and choices.of([True, True, True, False]):
        copy: Any = value.copy()
        key = choices.of(list(value) if isinstance(value, dict) else list(range(len(value))))
        if choices.of([False] * 9 + [True]):
            del copy[key]
        else:
            copy[key] = changed(value[key], choices)
        return copy
    how = choices.of(["other", "other", "other", "listed", "beside", "deep"])
    if how == "other":
        return choices.of(pieces())
    if how == "deep":
        for _ in range(40):
            value = {"content": [value]}
        return value
    return [value] if how == "listed" else [value, choices.of(pieces())]


loop = asyncio.new_event_loop()


def fuzz_one(data: bytes) -> None:
    """Run the request that these bytes choose. Raise an exception if its handling is wrong."""
    choices = Choices(data)
    config, answers = choices.of(SETTINGS), [choices.of(OUTCOMES) for _ in range(3)]
    wire_format, bodies = choices.of(requests())
    body = choices.of(bodies)
    while choices.are_left:
        new = changed(body, choices)
        body = new if isinstance(new, dict) else body
    exceeded = check_shape(body, wire_format, config)
    if exceeded is not None:
        assert exceeded.status_code == 400
        return
    before, answer = objects(body), itertools.cycle(answers)

    async def look(_: VisionRequest) -> Outcome:
        outcome: Outcome = next(answer)
        return outcome

    tenant, cache = Tenant("team:fuzz", b"secret"), Cache(CacheConfig(backend="off"), 60)
    target = VisionTarget("eyes", look, tenant, RequestCache(cache), file_providers={"openai"})
    result = loop.run_until_complete(rewrite(body, wire_format.find(body).images, wire_format, config, target))
    assert objects(body) == before, "the caller's own body was changed"
    refused = result if isinstance(result, RequestError) else result.rejection
    if refused is not None:
        assert 400 <= refused.status_code < 600
        return
    assert not isinstance(result, RequestError)
    after = {**body, **result.changes}
    assert config.on_failure == "keep" or wire_format.find(after).images == [], "an image is left"
    opened, closed = (tags_in(after, tag) - tags_in(body, tag) for tag in (f"<{FENCE}-", f"</{FENCE}-"))
    assert opened == closed, "a fence is broken"


def tags_in(body: Body, tag: str) -> int:
    """How often the texts of a body contain the tag."""
    return sum(node.count(tag) for node in nodes(body) if isinstance(node, str))


class Run:
    """A run of a number of executions.

    Args:
        executions: the number.
    """

    def __init__(self, executions: int) -> None:
        self.executions = executions
        self.done = 0
        self._started = time.monotonic()
        self._warm_mib = 0.0

    def __call__(self, data: bytes) -> None:
        """Run one input. After a crash, print the bytes that reproduce it."""
        try:
            fuzz_one(data)
        except BaseException:
            sys.stderr.write(f"crash after {self.done:,} executions, with these bytes: {data.hex()}\n")
            raise
        self.done += 1
        if self.done == max(1, self.executions // 10):
            self._warm_mib = peak_mib()
        if self.done == self.executions:
            self.report()

    @property
    def growth_mib(self) -> float:
        """Growth of memory since the first tenth."""
        return peak_mib() - self._warm_mib

    def report(self) -> None:
        """Print the result. Too much memory is a failure."""
        seconds = time.monotonic() - self._started
        guided = "coverage-guided" if WITH_ATHERIS else "random"
        sys.stdout.write(
            f"{self.done:,} {guided} executions, 0 crashes, {seconds:.0f} s,"
            f" {self.growth_mib:.1f} MiB more after the first tenth\n"
        )
        sys.stdout.flush()
        if self.growth_mib > MOST_GROWTH_MIB:
            sys.exit(f"memory grew by {self.growth_mib:.0f} MiB: more than {MOST_GROWTH_MIB}")


def peak_mib() -> float:
    """The peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(executions: int, seed: int = 0) -> Run:
    """Run random bytes. The same seed gives the same bytes."""
    made, this = random.Random(seed), Run(executions)
    for _ in range(executions):
        this(made.randbytes(made.randrange(10, 80)))
    return this


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    sys.stdout.write(f"seed {asked.seed}\n")
    if WITH_ATHERIS:
        options = [f"-runs={asked.executions}", f"-seed={asked.seed}", "-max_len=128", "-len_control=0", "-verbosity=0"]
        options.append(f"-artifact_prefix={tempfile.gettempdir()}/")
        atheris.Setup([sys.argv[0], *options], Run(asked.executions))
        atheris.Fuzz()
    else:
        run(asked.executions, asked.seed)


if __name__ == "__main__":
    main()
