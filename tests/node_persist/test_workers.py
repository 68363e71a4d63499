"""Workers as processes: one that is killed is replaced, none outlives its parent, and signals stop them all."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.node_persist.people import MADE, tables, user
from tests.node_persist.stores import write

FILES = 600


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that is cut into two partitions."""
    for number in range(FILES):
        write(tmp_path / "store", 4, f"user{number:03}", user(f"user{number:03}", number))
    return tmp_path / "store"


def workers_of(parent: psutil.Process, count: int) -> list[psutil.Process]:
    """Wait until a process has so many worker processes, and return them."""
    for _ in range(600):
        found = [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
        if len(found) == count:
            return found
        time.sleep(0.02)
    pytest.fail(f"no {count} workers")


def begun(segue_process, connection, store: Path):
    """Start an import with two workers and return it when both have committed something."""
    running = segue_process("migrate", "node-persist", "--source", str(store), "--workers", "2", "-b", "5", "--json")
    query = "SELECT count(*) FROM segue.partitions WHERE seq > 0"
    for _ in range(600):
        if connection.execute(query).fetchone() == (2,):
            return running
        time.sleep(0.02)
    pytest.fail("the workers do not begin")


def test_two_workers_are_two_processes_and_make_the_same_tables(segue, connection, store: Path) -> None:
    """What a worker does, does not depend on the other one."""
    assert 0 == segue("migrate", "node-persist", "--source", str(store), "--workers", "1").code
    alone = tables(connection, *MADE)
    assert 0 == segue("rollback").code

    assert 0 == segue("migrate", "node-persist", "--source", str(store), "--workers", "2").code

    assert alone == tables(connection, *MADE)
    assert (2,) == connection.execute("SELECT count(*) FROM segue.partitions WHERE run_id = 2").fetchone()


def test_a_killed_worker_is_replaced(segue, segue_process, connection, store: Path) -> None:
    """Its chunk is rolled back and done by its successor; the run ends as if nothing had been."""
    running = begun(segue_process, connection, store)
    victim = workers_of(psutil.Process(running.pid), 2)[0]

    victim.send_signal(signal.SIGKILL)
    said, told = running.communicate(timeout=120)

    assert 0 == running.returncode, told
    assert (FILES,) == connection.execute("SELECT count(*) FROM users WHERE run_id = 1").fetchone()
    assert 0 == segue("validate", "1").code
    assert "traceback" not in (said + told).lower()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(number: int, segue, segue_process, connection, store: Path) -> None:
    """When the parent is killed its workers end after their chunk; when it is asked to stop, with it."""
    running = begun(segue_process, connection, store)
    children = workers_of(psutil.Process(running.pid), 2)

    running.send_signal(number)
    running.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=20)

    assert [] == alive
    assert (6 if number == signal.SIGINT else -signal.SIGKILL) == running.returncode
    assert 0 == segue("migrate", "node-persist", "--source", str(store)).code
    assert (FILES,) == connection.execute("SELECT count(*) FROM users WHERE run_id = 1").fetchone()
