"""Rows shared by real processes: nothing is lost when they die, and what is only true while they live goes with them."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from monitoring.layout import BLOCKS, PID
from monitoring.recorder import Recorder
from monitoring.shared_rows import NoFreeRow, SharedRows, started

# Newer Pythons warn of forks in processes with threads, such as pytest-xdist's; these children call nothing of theirs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

COUNTER = ("segue_autocomplete_results_total", "prefix")
GAUGE = ("segue_index_entries",)


@contextmanager
def child(action: Callable[[], None]) -> Iterator[int]:
    """Fork a process that does something and then waits to be killed; yield its id once it has done it."""
    done, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os.write(tell, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(done, 1) == b"1"
        yield pid
    finally:
        os.close(done)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def counting(rows: SharedRows, count: int, entries: float) -> Callable[[], None]:
    """Return what a worker does: count, and say how large its index is."""

    def work() -> None:
        recorder = Recorder(rows.claim())
        for _ in range(count):
            recorder.counter(*COUNTER).inc()
        recorder.gauge(*GAUGE).set(entries)

    return work


def state(rows: SharedRows) -> tuple[float, list[float], float]:
    """Return the counter's sum, the gauges of live processes, and how many live."""
    totals, live = rows.read()
    gauge = BLOCKS[GAUGE[0]].place(GAUGE[1:])
    return (
        totals[BLOCKS[COUNTER[0]].place(COUNTER[1:])],
        sorted(live[:, gauge].tolist()),
        live[:, BLOCKS["segue_workers"].start].sum(),
    )


def test_every_process_is_counted() -> None:
    """Three processes at work: counters add up, each gauge is there."""
    rows = SharedRows(4)
    with child(counting(rows, 1000, 1)), child(counting(rows, 200, 2)), child(counting(rows, 30, 3)):
        assert state(rows) == (1230, [1, 2, 3], 3)


def test_a_killed_process_stays_counted_and_its_gauges_vanish() -> None:
    """After kill -9 the counter is what it was, the gauge is gone; the next process takes the row and counts on."""
    rows = SharedRows(2)
    with child(counting(rows, 50, 1)):
        with child(counting(rows, 1000, 2)):
            assert state(rows) == (1050, [1, 2], 2)
        assert state(rows) == (1050, [1], 1)
        with child(counting(rows, 7, 3)):
            assert state(rows) == (1057, [1, 3], 2)


def test_a_zombie_is_dead() -> None:
    """A process that ended, but whose parent has not asked for its exit code, has no gauges and no row."""
    rows = SharedRows(1)
    with child(counting(rows, 5, 1)) as pid:
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while started(pid) is not None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert state(rows)[1:] == ([], 0)
        rows.claim()


def test_the_number_of_another_process_is_not_taken_for_the_owner() -> None:
    """A row whose process number now belongs to a program started later is free."""
    rows = SharedRows(1)
    row = rows.claim()
    with pytest.raises(NoFreeRow):
        rows.claim()
    row[PID] = os.getppid()  # lives, and started at another time

    rows.claim()


def test_more_processes_than_rows_is_an_error_that_says_so() -> None:
    """The message names the processes and what to do."""
    rows = SharedRows(1)
    rows.claim()

    with pytest.raises(NoFreeRow, match=rf"all 1 rows .* live processes: \[{os.getpid()}\]; make more of them"):
        rows.claim()


def claim_one(rows: SharedRows, barrier: Any, claimed: Any) -> None:
    """Claim a row at the same moment as the others, and count in it."""
    barrier.wait(30)
    Recorder(rows.claim()).counter(*COUNTER).inc()
    claimed.wait(30)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_that_start_together_get_rows_of_their_own(method: str) -> None:
    """Under either way of starting processes, claims at one moment do not give two the same row."""
    context = multiprocessing.get_context(method)
    count = 12 if method == "fork" else 2
    rows, barrier, claimed = SharedRows(count), context.Barrier(count), context.Barrier(count + 1)
    workers = [context.Process(target=claim_one, args=(rows, barrier, claimed)) for _ in range(count)]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 30
    while rows.read()[0][BLOCKS[COUNTER[0]].place(COUNTER[1:])] < count and time.monotonic() < deadline:
        time.sleep(0.002)

    assert state(rows)[0::2] == (count, count)
    claimed.wait(30)
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * count


def test_nothing_is_left_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory has no file that somebody would have to remove."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(os.listdir("/dev/shm"))  # noqa: PTH208
    rows = SharedRows(2)
    rows.claim()

    assert list(tmp_path.iterdir()) == []
    assert set(os.listdir("/dev/shm")) <= before  # noqa: PTH208
