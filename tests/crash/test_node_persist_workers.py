"""Two worker processes of one import: one of them, or all, are killed; the source is as large as two workers need."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from migrator.node_persist.manifest import SMALLEST_SHARE
from tests.crash.conftest import wait_until
from tests.crash.test_kill_node_persist import image, require_like
from tests.crash.zygote import Zygote
from tests.node_persist.people import user
from tests.node_persist.stores import write

#: Where the parent is killed; the workers are killed by another test.
POINTS = ["after:runs.save_plan", "after:guards.add_constraint", "after:guards.validate_constraint"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is cut into two partitions."""
    store = tmp_path_factory.mktemp("two") / "storage"
    for number in range(2 * SMALLEST_SHARE + 10):
        write(store, 4, f"u{number:04}", user(f"u{number:04}", number))
    return store


def arguments(store: Path) -> tuple[str, ...]:
    """Return the command that imports it with two workers."""
    return ("migrate", "node-persist", "--source", str(store), "-b", "25", "--workers", "2", "--json")


@pytest.fixture
def clean(store: Path, database_url: str, copy_of: Any, zygotes: list[Zygote]) -> dict[str, Any]:
    """Return what one uninterrupted run makes."""
    with copy_of(database_url) as url:
        code, _, stderr = zygotes[0].run(url, *arguments(store))
        assert 0 == code, stderr
        return image(url)


def require_two(url: str) -> None:
    """Assert that there were two partitions."""
    with psycopg.connect(url) as connection:
        assert 2 == connection.execute("SELECT count(*) FROM segue.partitions").fetchone()[0]  # type: ignore[index]


@pytest.mark.slow
def test_killed_parent(
    store: Path, clean: dict[str, Any], database_url: str, copy_of: Any, zygotes: list[Zygote]
) -> None:
    """The process that owns the workers is killed; its workers end, and the same command goes on."""
    for point in POINTS:
        with copy_of(database_url) as url:
            assert -9 == zygotes[0].run(url, *arguments(store), failpoint=point)[0], point
            code, _, stderr = zygotes[0].run(url, *arguments(store))
            assert 0 == code, stderr
            require_like(clean, url)
            require_two(url)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["one worker", "both workers", "parent"])
def test_killed_in_the_middle(
    whom: str, store: Path, clean: dict[str, Any], database_url: str, segue_process: Any
) -> None:
    """A worker that is killed is replaced; when the parent is killed, the run goes on with the next command."""

    def chunks() -> int:
        with psycopg.connect(database_url) as connection:
            return int(connection.execute("SELECT coalesce(sum(seq), 0) FROM segue.partitions").fetchone()[0])  # type: ignore[index]

    process = segue_process(*arguments(store))
    wait_until(lambda: chunks() >= 2 or process.poll() is not None, "two chunks are committed")
    workers = [
        child for child in psutil.Process(process.pid).children() if "resource_tracker" not in " ".join(child.cmdline())
    ]
    assert 2 == len(workers)
    victims = {"one worker": workers[:1], "both workers": workers, "parent": [psutil.Process(process.pid)]}[whom]
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=120)
    if whom == "parent":
        assert -signal.SIGKILL == process.returncode
        psutil.wait_procs(workers, timeout=30)
        assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
        again = segue_process(*arguments(store))
        _, stderr = again.communicate(timeout=120)
        assert 0 == again.returncode, stderr
    else:
        assert 0 == process.returncode, stderr
    require_like(clean, database_url)
    require_two(database_url)
