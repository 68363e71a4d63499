"""Progress on stderr: a live bar on a terminal, one JSON line an event otherwise."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from migrator.events import (
    ChunkCommitted,
    ChunkRetried,
    Event,
    Observer,
    PhaseStarted,
    RunAdvanced,
    RunClosed,
    Throttled,
)
from monitoring.logs import logger


class Meter:
    """Rows done and the time they took; rates and ETA come from rows really converted, not from chunk sizes."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.rows = 0
        self.quarantined = 0
        self.chunk_size = 0
        self.phase = "starting"
        self.note = ""
        self._started = time.monotonic()

    def take(self, event: Event) -> None:
        """Take in an event."""
        if isinstance(event, PhaseStarted):
            self.phase, self.note = event.phase, ""
            if event.total is not None:
                self.total, self.rows, self._started = event.total, 0, time.monotonic()
        elif isinstance(event, ChunkCommitted):
            self.rows += event.rows
            self.quarantined += event.quarantined
            self.chunk_size, self.note = event.chunk_size, ""
        elif isinstance(event, ChunkRetried):
            self.note = f"retry {event.attempt} in {event.wait_seconds:.1f} s: {event.reason}"
        elif isinstance(event, Throttled):
            self.note = f"waiting {event.seconds:.0f} s: {event.reason}"
        elif isinstance(event, RunAdvanced):
            self.rows, self.quarantined = event.rows, event.quarantined
        elif isinstance(event, RunClosed):
            self.phase = event.status

    @property
    def rows_per_second(self) -> float:
        """The mean rate of the phase."""
        return self.rows / max(time.monotonic() - self._started, 1e-6)

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to go; None before one percent is done."""
        if not self.total or self.rows < self.total / 100:
            return None
        return max(self.total - self.rows, 0) / self.rows_per_second


@contextmanager
def observing(*, is_quiet: bool = False) -> Iterator[tuple[Observer, ...]]:
    """Yield the observers that show a command's progress."""
    if is_quiet:
        yield ()
    elif sys.stderr.isatty():
        with _bar() as observer:
            yield (observer,)
    else:
        yield (_lines(),)


def _lines() -> Observer:
    meter, lock, log = Meter(), threading.Lock(), logger()

    def observe(event: Event) -> None:
        with lock:
            meter.take(event)
            fields = {name: value for name, value in vars(event).items() if value is not None}
            if isinstance(event, ChunkCommitted):
                fields["rows_per_second"] = round(meter.rows_per_second)
                if meter.eta_seconds is not None:
                    fields["eta_seconds"] = round(meter.eta_seconds, 1)
            log.info(type(event).__name__, **fields)

    return observe


@contextmanager
def _bar() -> Iterator[Observer]:
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} rows/s  ETA {task.fields[eta]}  chunk {task.fields[chunk]}"),
        TextColumn("errors {task.fields[errors]} {task.fields[note]}"),
    )
    meter, lock = Meter(), threading.Lock()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, rate=0, eta="-", chunk="-", errors=0, note="")

        def observe(event: Event) -> None:
            with lock:
                meter.take(event)
                eta = meter.eta_seconds
                bar.update(
                    task,
                    description=meter.phase,
                    total=meter.total,
                    completed=meter.rows,
                    rate=meter.rows_per_second,
                    eta="-" if eta is None else f"{eta:.0f} s",
                    chunk=meter.chunk_size or "-",
                    errors=meter.quarantined,
                    note=meter.note,
                )

        yield observe
