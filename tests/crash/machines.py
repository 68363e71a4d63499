"""Machines, simulated: processes of `segue` with an environment, a home and a user each, on one database.

Started as a script this is their nursery, which imports the command line once and forks for every machine; imported it
is the client. A child opens its own connections and threads, and nothing of that exists before the fork.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

ROOT = Path(__file__).parent.parent.parent
CLONE_NEWNET = 0x40000000


class Nursery:
    """The client of the process that machines are forked from."""

    def __enter__(self) -> "Nursery":
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.stdin.close()

    def ask(self, **call: Any) -> Any:
        """Have a child forked (and return its process id), or its exit code looked at (None while it runs)."""
        with self._lock:
            self._process.stdin.write(json.dumps(call) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


class Machine:
    """One process; `name` is the user that it runs as, in events and in `segue status`.

    With `stop_at` it stops (SIGSTOP) when it passes that failpoint for the N-th time; with `network` it lives in that
    network namespace (of `ip netns`).
    """

    def __init__(
        self,
        nursery: Nursery,
        name: str,
        url: str,
        home: Path,
        *arguments: str,
        stop_at: tuple[str, int] = ("", 0),
        network: str = "",
    ) -> None:
        home.mkdir(exist_ok=True)
        self._nursery, self._home, self._code = nursery, home, None
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LOGNAME": name,
            "SEGUE_HOME": str(home / "segue"),
            "DATABASE_URL": url,
        }
        # Who is to be taken for dead while it lives has a short lease; for all others a busy machine's pause is no death.
        lease = 3 if stop_at[0] or network else 15
        call = {"arguments": arguments, "environment": environment, "home": str(home), "stop_at": stop_at}
        self.pid = nursery.ask(**call, network=network, lease=lease)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        if self._code is None:
            self._code = self._nursery.ask(pid=self.pid)
        return self._code is None

    def end(self, seconds: float = 60) -> tuple[int, Any, str]:
        """Wait for its end; return exit code, JSON (or None) and stderr."""
        deadline = time.monotonic() + seconds
        while self.is_running:
            assert time.monotonic() < deadline, f"{self._home.name} has not ended: {self._said('err')[-2_000:]}"
            time.sleep(0.02)
        lines = self._said("out").strip().splitlines()
        return self._code, json.loads(lines[-1]) if lines else None, self._said("err")

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill -9 it, unless it has ended."""
        if self.is_running:
            os.kill(self.pid, signal.SIGKILL)
            while self.is_running:
                time.sleep(0.01)

    def _said(self, stream: str) -> str:
        return (self._home / f"{stream}-{self.pid}").read_text()


def shared_image(url: str) -> dict[str, Any]:
    """Return all that must be the same however many processes made it: partitions only in sum, and without a gap."""
    from tests.crash.state import image  # not in the nursery

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


def _serve() -> None:
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401 - imported late by SQLAlchemy otherwise

    from migrator import cli
    from tags import starter

    starter.load()
    for name in cli.OWN:  # so that children need not import it
        cli.segue.get_command(None, name)
    for line in sys.stdin:
        call = json.loads(line)
        if "pid" in call:
            pid, status = os.waitpid(call["pid"], os.WNOHANG)
            print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        elif child := os.fork():
            print(child, flush=True)
        else:
            _be(call)


def _be(call: dict[str, Any]) -> None:
    """Be a machine: small partitions, a short lease and little patience, so that some hundred rows are work for three."""
    from migrator import claims, join, lease, source
    from migrator.cli import main
    from migrator.node_persist import manifest
    from sql import database, failpoints

    source.SMALLEST_PARTITION, manifest.SMALLEST_SHARE, claims.LEAST_CHUNKS = 20, 10, 1
    claims.POLL_SECONDS, claims.NEXT_CUT_SECONDS, join.POLL_SECONDS = 0.1, 0.1, 0.2
    lease.LEASE_SECONDS, lease.HEARTBEAT_SECONDS = call["lease"], 0.3
    database.IDLE_SECONDS = 2
    signal.alarm(90)
    if call["network"]:
        with Path("/run/netns", call["network"]).open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {call['network']}")
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{call['home']}/{name}-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(call["home"])
    os.environ.clear()
    os.environ.update(call["environment"])
    point, left = call["stop_at"]

    def reach(passed: str) -> None:
        nonlocal left
        left -= passed == point
        if passed == point and left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)

    if point:
        failpoints.reach = reach
    sys.argv[1:] = call["arguments"]
    main()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _serve()
