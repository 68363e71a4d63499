"""Databases by the dozen from one template, and processes that cost milliseconds."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Server, create_copy
from tests.crash.machines import Machine, Nursery
from tests.crash.zygote import Zygote

#: Kills under way at a time.
AT_A_TIME = 2


def boundary(number: int, *named: str) -> str:
    """Return where the number-th kill of a sweep is to be: at the named points first, then at the end of transactions.

    All that outlives a killed process is what it has committed, so of a transaction's boundaries one stands for all:
    the last, when everything is done and nothing is committed. With SEGUE_TEST_KILL_EVERY=1 it is every boundary.
    """
    if os.environ.get("SEGUE_TEST_KILL_EVERY") == "1":
        return f"*#{number}"
    return named[number - 1] if number <= len(named) else f"before:commit#{number - len(named)}"


def wait_until(is_true: Callable[[], object], fact: str, *, seconds: float = 30) -> None:
    """Poll until something is true; fail with the fact that did not come true."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {fact}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def zygotes() -> Iterator[list[Zygote]]:
    """As many as there are threads in `sweep`."""
    with Zygote() as first, Zygote() as second:
        yield [first, second]


Copies = Callable[[], "contextmanager[str]"]


@pytest.fixture
def copy_of(server: Server) -> Callable[[str], "contextmanager[str]"]:
    """Return a function that lends a copy of a database to which nobody is connected, by URL."""
    numbers = iter(range(1_000_000))

    @contextmanager
    def copy(template: str) -> Iterator[str]:
        name = f"copy_{os.getpid()}_{threading.get_native_id()}_{next(numbers)}"
        source = psycopg.conninfo.conninfo_to_dict(template)["dbname"]
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            create_copy(connection, name, str(source))
            yield server.url(name)
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    return copy


@pytest.fixture
def sweep(zygotes: list[Zygote]) -> Callable[[Callable[[Zygote, int], bool]], int]:
    """Return a function that calls `attempt(zygote, K)` for K = 1, 2, … until one says that it was not interrupted."""

    def run(attempt: Callable[[Zygote, int], bool]) -> int:
        numbers, is_over = iter(range(1, 10_000)), threading.Event()

        def work(zygote: Zygote) -> list[int]:
            done = []
            while not is_over.is_set():
                number = next(numbers)
                try:
                    if attempt(zygote, number):
                        done.append(number)
                    else:
                        is_over.set()
                except BaseException as error:
                    is_over.set()
                    error.add_note(f"(at boundary {number})")
                    raise
            return done

        with ThreadPoolExecutor(AT_A_TIME) as threads:
            found = [number for numbers in threads.map(work, zygotes) for number in numbers]
        assert list(range(1, len(found) + 1)) == sorted(found)
        return len(found)

    return run


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What machines are forked from."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def start(nursery: Nursery, database_url: str, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Start `segue` as if on a machine of its own; it is killed in the end whatever happens."""
    started = []

    def begin(
        name: str, *arguments: str, stop_at: tuple[str, int] = ("", 0), url: str = database_url, network: str = ""
    ) -> Machine:
        machine = Machine(nursery, name, url, tmp_path / name, *arguments, stop_at=stop_at, network=network)
        started.append(machine)
        return started[-1]

    yield begin
    for machine in started:
        machine.kill()
