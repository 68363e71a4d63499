"""Numbers that a server's processes share: one row each, written by its owner alone and read by all, without locks."""

import fcntl
import mmap
import os
import weakref
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monitoring.layout import BLOCKS, PID, STARTED, UNSET, WIDTH

Numbers = npt.NDArray[np.float64]


class NoFreeRow(Exception):
    """More processes live than there are rows."""


class SharedRows:
    """Rows in a memory file, which goes away with the last process that has it: nothing is left over after a crash.

    Made by the parent before its workers start, and inherited by them: by fork, or pickled into a process that
    `multiprocessing` spawns. A counter of a process that died stays; who takes its row over counts on from there.
    """

    def __init__(self, count: int) -> None:
        """Make rows for `count` processes; have some to spare, for during a restart old and new ones live together."""
        self.count = count
        file = os.memfd_create("segue-metrics")
        os.ftruncate(file, count * WIDTH * 8)
        self._map(file)

    def _map(self, file: int) -> None:
        self._file = file
        self._memory = mmap.mmap(file, self.count * WIDTH * 8)
        weakref.finalize(self, os.close, file)

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "file": DupFd(self._file)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        self._map(state["file"].detach())

    def claim(self) -> "memoryview[float]":
        """Take a row for this process and return its numbers; a dead process's, with its counters, before an unused.

        To be called once, in the process that will write, after the fork.

        Raises:
            NoFreeRow: every row belongs to a process that lives.
        """
        # A lock of this kind belongs to the process, so it also holds off siblings that inherited the same open file.
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            owners = [self._owner(row) for row in range(self.count)]
            free = [row for row in range(self.count) if not _lives(*owners[row])]
            if not free:
                raise NoFreeRow(
                    f"all {self.count} rows of the metrics are taken by live processes: {[pid for pid, _ in owners]}; "
                    "make more of them when the server starts"
                )
            used = [row for row in free if owners[row][0]]
            numbers = self._row((used or free)[0])
            for place, value in UNSET.items():
                numbers[place] = value
            numbers[STARTED] = started(os.getpid()) or 0
            numbers[PID] = os.getpid()
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        numbers[BLOCKS["segue_workers"].start] = 1
        return numbers

    def read(self) -> tuple[Numbers, Numbers]:
        """Return the sums of every row that was ever used, and a copy of the rows whose processes live."""
        everything = np.frombuffer(self._memory, np.float64).reshape(self.count, WIDTH)
        owners = [self._owner(row) for row in range(self.count)]
        used = [row for row, (pid, _) in enumerate(owners) if pid]
        live = [row for row in used if _lives(*owners[row])]
        return everything[used].sum(axis=0), everything[live]

    def _row(self, row: int) -> "memoryview[float]":
        return memoryview(self._memory).cast("d")[row * WIDTH : (row + 1) * WIDTH]

    def _owner(self, row: int) -> tuple[int, int]:
        numbers = self._row(row)
        return int(numbers[PID]), int(numbers[STARTED])


def started(pid: int) -> int | None:
    """Return when a process started, in clock ticks after boot; None when it does not run any more."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    # The second field is the program's name in parentheses, with anything in it; state is the third, start the 22nd.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _lives(pid: int, start: int) -> bool:
    # With its start, for numbers of processes are used again.
    return pid > 0 and started(pid) == start
