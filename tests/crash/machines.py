"""Machines, simulated: processes of `segue` with an environment, a home and a user each, on one database."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.crash.state import image

#: `segue` with small partitions, short leases and little patience, so that a few hundred rows are work for three.
#: Named failpoint and number, it stops (SIGSTOP) when it passes that point for the N-th time.
HASTY = """
import os, signal, sys
from migrator import claims, join, lease, source
from sql import database, failpoints
source.SMALLEST_PARTITION, claims.LEAST_CHUNKS = 20, 1
claims.POLL_SECONDS, claims.NEXT_CUT_SECONDS, join.POLL_SECONDS = 0.05, 0.1, 0.1
lease.LEASE_SECONDS, lease.HEARTBEAT_SECONDS = 3, 0.3
database.IDLE_SECONDS = 2
name, left = sys.argv.pop(1), int(sys.argv.pop(1))
def reach(passed):
    global left
    left -= passed == name
    if passed == name and left == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
if name:
    failpoints.reach = reach
from migrator.cli import main
main()
"""


class Machine:
    """One process; `name` is the user that it runs as, in events and in `segue status`."""

    def __init__(self, name: str, url: str, home: Path, *arguments: str, stop_at: tuple[str, int] = ("", 0)) -> None:
        self.name = name
        home.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LOGNAME": name,
            "SEGUE_HOME": str(home / "segue"),
            "DATABASE_URL": url,
        }
        self._files = [(home / f"{stream}-{id(self)}").open("w+") for stream in ("out", "err")]
        self.process = subprocess.Popen(
            [sys.executable, "-c", HASTY, stop_at[0], str(stop_at[1]), *arguments],
            cwd=home,
            env=environment,
            stdout=self._files[0],
            stderr=self._files[1],
        )

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def end(self, seconds: float = 60) -> tuple[int, Any, str]:
        """Wait for its end; return exit code, JSON (or None) and stderr."""
        code = self.process.wait(seconds)
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        lines = texts[0].strip().splitlines()
        return code, json.loads(lines[-1]) if lines else None, texts[1]

    def kill(self) -> None:
        """Kill -9, and close its files."""
        self.process.kill()
        self.process.wait()
        for file in self._files:
            file.close()


Start = Callable[..., Machine]


def shared_image(url: str) -> dict[str, Any]:
    """Return all that must be the same however many processes made it: partitions only in sum, and without a gap."""
    with psycopg.connect(url) as looking:
        found = image(looking)
        ranges = looking.execute(
            "SELECT after_key, upto_key, cursor, is_done FROM segue.partitions ORDER BY after_key::uuid NULLS FIRST"
        ).fetchall()
        found["segue.partitions"] = looking.execute(
            "SELECT sum(row_count), sum(quarantined_rows), sum(elements), sum(linked), sum(merged), sum(blank), sum(quarantined),"
            " sum(created), mod(sum(expected_sum), 18446744073709551616), bit_xor(expected_xor),"
            " mod(sum(created_sum), 18446744073709551616), bit_xor(created_xor),"
            " mod(sum(source_sum), 18446744073709551616), bit_xor(source_xor) FROM segue.partitions"
        ).fetchall()
        assert [] == looking.execute("SELECT * FROM segue.workers").fetchall()
    assert ranges[0][0] is None
    assert ranges[-1][1] is None
    assert [part[1] for part in ranges[:-1]] == [part[0] for part in ranges[1:]]
    assert all(part[3] for part in ranges)
    return found
