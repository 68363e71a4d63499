"""Recording: a process's counters, gauges and histograms, bound once to their places in its row."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol, TypeVar

from monitoring.layout import BLOCKS, Block


class Step(Protocol):
    """Adds to a number."""

    def __call__(self, by: float = 1.0, /) -> None:
        """Add `by`."""


# The bound functions are closures, not methods: on the way of every request, each attribute looked up counts.
# `row[place] += x` is not divided: CPython changes threads at calls and jumps, and there is none between its read and
# its write. tests/monitoring/test_recorder.py would notice an interpreter of another kind.


class Counter:
    """A number that only grows."""

    __slots__ = ("advance_to", "inc")

    inc: Step
    #: Take over the count of somebody who counts for himself from 0 on; one that is lower than before began anew.
    advance_to: Callable[[float], None]

    def __init__(self, row: "memoryview[float]", block: Block, place: int) -> None:  # noqa: ARG002 - as Histogram's
        base, last = row[place], 0.0

        def inc(by: float = 1.0, /) -> None:
            row[place] += by

        def advance_to(total: float) -> None:
            nonlocal base, last
            if total < last:
                base += last
            last = total
            row[place] = base + total

        self.inc, self.advance_to = inc, advance_to


class Gauge:
    """A number that goes up and down; one whose mode is `age` is set to a Unix time."""

    __slots__ = ("inc", "set")

    inc: Step
    set: Callable[[float], None]

    def __init__(self, row: "memoryview[float]", block: Block, place: int) -> None:  # noqa: ARG002 - as Histogram's
        def inc(by: float = 1.0, /) -> None:
            row[place] += by

        def set_(value: float) -> None:
            row[place] = value

        self.inc, self.set = inc, set_


class Histogram:
    """A distribution of seconds."""

    __slots__ = ("observe",)

    observe: Callable[[float], None]

    def __init__(self, row: "memoryview[float]", block: Block, place: int) -> None:
        bounds, find = block.metric.buckets, bisect_left
        total = place + len(bounds) + 1

        def observe(seconds: float) -> None:
            row[place + find(bounds, seconds)] += 1.0
            row[total] += seconds

        self.observe = observe


Bound = TypeVar("Bound", Counter, Gauge, Histogram)


class Recorder:
    """One process's metrics; the same labels give the same object again.

    Each method raises KeyError when the table has no such metric, and ValueError when the number of labels is wrong.

    Args:
        row: from `SharedRows.claim()`.
    """

    def __init__(self, row: "memoryview[float]") -> None:
        self._row = row
        self._bound: dict[tuple[str, tuple[str, ...]], Counter | Gauge | Histogram] = {}
        self._places: dict[int, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, *labels: str) -> Counter:
        """Return a counter of the table."""
        return self._bind(Counter, name, labels)

    def gauge(self, name: str, *labels: str) -> Gauge:
        """Return a gauge of the table."""
        return self._bind(Gauge, name, labels)

    def histogram(self, name: str, *labels: str) -> Histogram:
        """Return a histogram of the table."""
        return self._bind(Histogram, name, labels)

    def _bind(self, kind: type[Bound], name: str, labels: tuple[str, ...]) -> Bound:
        known = self._bound.get((name, labels))
        if isinstance(known, kind):
            return known
        block = BLOCKS.get(name)
        if block is None or block.metric.kind != kind.__name__.lower():
            raise KeyError(f"no {kind.__name__.lower()} {name!r} in monitoring/metrics.py")
        place = block.place(labels)
        made = self._places.get(place) or self._places.setdefault(place, kind(self._row, block, place))
        # Labels that stand for `other` are not kept: clients may make up values without end.
        if all(value in positions for value, positions in zip(labels, block.positions, strict=True)):
            self._bound[name, labels] = made
        assert isinstance(made, kind), "one place is one metric's"
        return made
