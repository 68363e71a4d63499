"""A file that another process rewrites is read whole or not at all, never as a mixture of two versions."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from migrator.node_persist.reading import TICK_NS
from migrator.node_persist.store import Damaged, Gone, Store
from tests.node_persist import rewriter
from tests.node_persist.stores import NOW_MS, file_name, stringify, write

NAME = file_name(4, "ann")
SECONDS = 2


VALUES = {rewriter.value(n) for n in range(rewriter.DIGITS)}


@dataclass
class Seen:
    """How often a file gave what, read carefully (`Store.read`) and carelessly."""

    whole: int = 0
    given_up: int = 0
    careless_torn: int = 0


def look(store: Store, is_going_on: Callable[[], bool]) -> Seen:
    """Read both ways until the writer is done; a careful read is never a mixture."""
    seen = Seen()
    while is_going_on():
        for _ in range(5):
            with suppress(FileNotFoundError):
                data = (store.directory / NAME).read_bytes()
                seen.careless_torn += data[21:-1] not in VALUES
        try:
            item = store.read(NAME)
        except Damaged:
            seen.given_up += 1
        else:
            assert bytes(item.value) in VALUES, "a mixture"
            seen.whole += 1
    return seen


@pytest.mark.parametrize("way", ["truncate", "rename"])
def test_never_a_mixture(way: str, store_directory: Path) -> None:
    """Truncate and write, as the library does, tears for a careless reader; replace by a rename does not."""
    store_directory.mkdir()
    (store_directory / NAME).write_bytes(rewriter.version(0))
    command = [sys.executable, rewriter.__file__, way, str(store_directory / NAME), str(SECONDS)]
    with subprocess.Popen(command) as writer:
        seen = look(Store.open(str(store_directory), None), lambda: writer.poll() is None)

    assert writer.returncode == 0
    assert seen.whole > 3
    assert (seen.careless_torn > 0) == (way == "truncate"), "the test would show nothing"


def test_never_a_mixture_of_what_the_library_writes(library: Callable[..., Any], store_directory: Path) -> None:
    """The real 4.x rewrites the file while it is read."""
    write(store_directory, 4, "ann", rewriter.value(0))
    job = threading.Thread(
        target=library,
        args=("rewrite", 4, store_directory),
        kwargs={"key": "ann", "size": rewriter.SIZE, "seconds": SECONDS, "digits": rewriter.DIGITS},
    )
    job.start()
    seen = look(Store.open(str(store_directory), None), job.is_alive)

    assert seen.whole > 3


def test_a_rewrite_between_two_reads(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of the same length, written in the middle of a read, is never joined to the one before.

    A reader that the scheduler halts between two reads cannot be had at will, so the rewrite is put there. The file is
    a moment old: its time of change may well be the same before and after.
    """
    store_directory.mkdir()
    file = store_directory / NAME
    store = Store.open(str(store_directory), None)
    first, second = ({"key": "ann", "value": [n] * 5000} for n in (1, 2))
    really_read = os.read
    is_halted = False

    def read(descriptor: int, size: int) -> bytes:
        nonlocal is_halted
        if is_halted or size < 6000:
            return really_read(descriptor, size)
        is_halted = True
        data = really_read(descriptor, 6000)
        file.write_text(stringify(second))
        return data

    monkeypatch.setattr(os, "read", read)
    for _ in range(8):
        is_halted = False
        file.write_text(stringify(first))
        assert bytes(store.read(NAME).value) == stringify(second["value"]).encode()
        assert is_halted


def test_a_writer_that_pauses_is_waited_for(store_directory: Path) -> None:
    """A file that is half-written now is read when its writer has finished."""
    content = rewriter.version(3)
    store_directory.mkdir()
    file = store_directory / NAME
    file.write_bytes(content[:1000])

    def finish() -> None:
        time.sleep(0.25)
        with file.open("ab") as stream:
            stream.write(content[1000:])

    finisher = threading.Thread(target=finish)
    finisher.start()
    item = Store.open(str(store_directory), None).read(NAME)
    finisher.join()

    assert item.size == len(content)
    assert bytes(item.value) == rewriter.value(3)


def test_a_file_that_always_changes_is_given_up(store_directory: Path) -> None:
    """The wait is bounded."""
    file = write(store_directory, 4, "ann", 1)
    stop = threading.Event()

    def touch() -> None:
        while not stop.is_set():
            os.utime(file)
            time.sleep(TICK_NS / 1e9 / 10)

    toucher = threading.Thread(target=touch)
    toucher.start()
    started = time.monotonic()
    try:
        with pytest.raises(Damaged, match="it is being written: it changed at every look"):
            Store.open(str(store_directory), None).read(NAME)
    finally:
        stop.set()
        toucher.join()

    assert 3 < time.monotonic() - started < 6


def test_a_settled_store_is_read_without_waiting(store_directory: Path) -> None:
    """Good files cost no wait, also a moment after they were written and with times of the future."""
    paths = [write(store_directory, 4, f"user{number}", number) for number in range(200)]
    os.utime(paths[0], (4_000_000_000, 4_000_000_000))
    store = Store.open(str(store_directory), None)
    time.sleep(TICK_NS / 1e9)
    started = time.monotonic()

    assert 200 == sum(1 for path in paths if store.read(path.name))
    assert time.monotonic() - started < 1


def test_a_file_deleted_and_made_again(store_directory: Path) -> None:
    """The library removes items: the file is gone, or there."""
    store = Store(store_directory, ("{id}",))
    stop = threading.Event()
    seen = {"gone": 0, "read": 0}

    def churn() -> None:
        while not stop.is_set():
            file = write(store_directory, 4, "ann", {"n": 1})
            time.sleep(0.04)
            file.unlink()
            time.sleep(0.01)

    churner = threading.Thread(target=churn)
    churner.start()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            assert b'{"n":1}' == bytes(store.read(NAME).value)
            seen["read"] += 1
        except Gone:
            seen["gone"] += 1
    stop.set()
    churner.join()

    assert min(seen.values()) > 0


@pytest.mark.parametrize("generation", [0, 1])
def test_an_expiry_not_yet_written(generation: int, store_directory: Path) -> None:
    """0.x and 1.x write the item first: the expiry of the item before does not make the new one expired."""
    write(store_directory, generation, "ann-1", {"n": 1}, ttl=5, now_ms=NOW_MS)
    time.sleep(0.05)
    file = write(store_directory, generation, "ann-1", {"n": 2})

    def finish() -> None:
        time.sleep(0.2)
        write(store_directory, generation, "ann-1", {"n": 2}, ttl=5, now_ms=NOW_MS + 1000)

    finisher = threading.Thread(target=finish)
    finisher.start()
    item = Store.open(str(store_directory), None).read(file.name)
    finisher.join()

    assert item.expires_at_ms == NOW_MS + 1005
    assert bytes(item.value) == b'{"n":2}'


@pytest.mark.parametrize("kind", ["ASCII", "UTF-8", "bare", "padded"])
def test_a_large_file_needs_memory_once(kind: str, store_directory: Path) -> None:
    """Reading 40 MB needs no more than 44 MB above what the process had before."""
    size = 40_000_000
    fill = ("é" * (size // 2) if kind == "UTF-8" else "x" * size).encode()
    value = b'{"fill":"' + fill + b'"}'
    file = write(store_directory, 0 if kind == "bare" else 4, "ann-1", value)
    if kind == "padded":
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes() + bytes(1_000_000))
    script = (
        "import re, sys; from pathlib import Path; from migrator.node_persist.store import Store\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) * 1024\n"
        "store = Store.open(sys.argv[1], None); (found,) = store.scan(); before = peak()\n"
        "item = store.read(found.path); print(peak() - before, len(item.value))\n"
    )
    command = [sys.executable, "-c", script, str(store_directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    needed, length = map(int, done.stdout.split())

    assert length == len(value)
    assert needed < 44_000_000
