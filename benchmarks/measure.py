"""How a scenario measures: variants that take turns in one process, CPU time beside wall time, medians of rounds.

Absolute times depend on the machine, so a scenario compares with a baseline that runs in the same rounds.
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

Prepared = TypeVar("Prepared")

Unit = Literal["µs", "ms", "s", "ratio", "calls", "round trips", "bytes", "models", "modules", "chunks", "texts"]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: what was measured, such as ``5 MB, chat``.
        value: the figure.
        unit: its unit. Ratios say in ``what`` to what they relate.
        at_most: the value that it may not exceed, if there is one.
        at_least: the value that it has to reach, if there is one.
        is_exact: whether it counts, so that it is the same in every run. Only these are judged with ``--quick``.
    """

    what: str
    value: float
    unit: Unit
    at_most: float | None = None
    at_least: float | None = None
    is_exact: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its bounds."""
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


@dataclass(frozen=True)
class Curve:
    """Growth of a figure, for a plot.

    Attributes:
        title: what the plot shows.
        x: name of the horizontal axis, such as ``turns``.
        y: name of the vertical axis with its unit.
        lines: points by name of the line.
    """

    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Result:
    """What a scenario found."""

    rows: Sequence[Row]
    curves: Sequence[Curve] = ()

    def as_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "rows": [{**asdict(row), "is_met": row.is_met} for row in self.rows],
            "curves": list(map(asdict, self.curves)),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Result:
        """Return the result that a JSON object tells."""
        rows = [Row(**{key: cell for key, cell in row.items() if key != "is_met"}) for row in value["rows"]]
        return cls(rows, [Curve(**curve) for curve in value["curves"]])


@dataclass(frozen=True)
class Times:
    """Medians of one variant, in seconds a call.

    Attributes:
        cpu: CPU time of the process that did the work.
        wall: wall time.
    """

    cpu: float
    wall: float


@dataclass(frozen=True)
class Variant(Generic[Prepared]):
    """One of the things that are compared.

    Attributes:
        act: what is measured. It may be asynchronous. It gets what ``prepare`` returned.
        prepare: makes the input of one call. It is not measured.
        cpu: CPU time so far of the process that does the work, in seconds.
    """

    act: Callable[[Prepared], Any]
    prepare: Callable[[], Prepared]
    cpu: Callable[[], float] = time.process_time


@dataclass(frozen=True)
class Run:
    """How much is measured.

    Attributes:
        is_quick: as little as shows that the scenario works. Its times mean nothing.
        options: options for single scenarios, such as ``peer``.
    """

    is_quick: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def many(self, count: int, quick: int = 1) -> int:
        """Return the count, or the one for a quick run."""
        return quick if self.is_quick else count

    async def compare(
        self, variants: Mapping[str, Variant[Any]], *, rounds: int = 9, calls: int = 1
    ) -> dict[str, Times]:
        """Measure variants that take turns.

        Args:
            variants: by name. The first turn of each is not counted: it pays for imports.
            rounds: how often each is measured. At least 5, unless the run is quick.
            calls: calls in each round.

        Returns:
            Medians of the rounds, in seconds a call, by name.
        """
        rounds, calls = self.many(rounds), self.many(calls)
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        for turn in range(rounds + 1):
            order = list(variants)[:: 1 if turn % 2 else -1]
            for name in order:
                taken = await _taken(variants[name], calls)
                if turn:
                    seen[name].append(taken)
        return {
            name: Times(*(statistics.median(column) / calls for column in zip(*turns, strict=True)))
            for name, turns in seen.items()
        }


async def _taken(variant: Variant[Any], calls: int) -> tuple[float, float]:
    """Return CPU and wall time of so many calls, in seconds."""
    prepared = [variant.prepare() for _ in range(calls)]
    act = variant.act
    cpu, wall = variant.cpu(), time.perf_counter()
    if inspect.iscoroutinefunction(act):
        for each in prepared:
            await act(each)
    else:
        for each in prepared:
            act(each)
    wall = time.perf_counter() - wall
    return variant.cpu() - cpu, wall


@dataclass(frozen=True)
class Scenario:
    """A scenario.

    Attributes:
        title: what it measures, in one line.
        measure: measures it.
        method: how, in two or three sentences for the documentation.
    """

    title: str
    measure: Callable[[Run], Coroutine[Any, Any, Result]]
    method: str


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all its descendants so far, in seconds. Linux only."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return time.clock_gettime(_cpu_clock_of(pid)) + sum(map(cpu_seconds, map(int, children)))


def _cpu_clock_of(pid: int) -> int:
    """Return what ``clock_getcpuclockid`` returns for a process: a clock that counts nanoseconds, not ticks."""
    return (~pid << 3) | 2
