"""Users of the songs, in a process of their own: a few connections that each change one row at a time, steadily.

As a program it writes until its standard input ends, then prints when each write began and how long it took.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_data import WrongResult

#: Users at a time, and mean seconds between two writes of one of them.
CONNECTIONS, PAUSE_SECONDS = 4, 0.005

#: Songs that users write; a tenth of a large table's, so that some are written more than once.
MOST_SONGS = 20_000

_EDIT = "UPDATE songs SET themes = %s WHERE id = %s"
_RENAME = "UPDATE songs SET title = %s WHERE id = %s"


@dataclass(frozen=True)
class Window:
    """What users' writes took while something happened, in ms."""

    seconds: list[float]

    @property
    def p50(self) -> float:
        """The median, in ms."""
        return 1_000 * sorted(self.seconds)[len(self.seconds) // 2]

    @property
    def p99(self) -> float:
        """What 99 of 100 writes stay under, in ms."""
        return 1_000 * sorted(self.seconds)[int(0.99 * (len(self.seconds) - 1))]


class Songs:
    """The songs that may be written, as this process knows them; one connection writes a song.

    Args:
        connection: to read them with.
        share: which of `shares` parts of them.
        shares: how many parts there are.
    """

    def __init__(self, connection: "psycopg.Connection[Any]", share: int = 0, shares: int = 1) -> None:
        rows = connection.execute(
            "SELECT id, themes FROM songs WHERE cardinality(themes) > 0"
            " ORDER BY hashtextextended(id::text, 9) LIMIT %s",
            [MOST_SONGS],
        ).fetchall()
        self.themes: dict[Any, list[str | None]] = dict(rows[share::shares])
        self.keys = list(self.themes)
        self.texts = [text for themes in self.themes.values() for text in themes if text and text.strip()]

    def edited(self, rng: random.Random) -> tuple[Any, list[str | None]]:
        """Return a song's key, and its themes with another text, that is known, in the place of one of them."""
        key = rng.choice(self.keys)
        themes = list(self.themes[key])
        themes[rng.randrange(len(themes))] = rng.choice(self.texts)
        self.themes[key] = themes
        return key, themes

    def replaced(self, rng: random.Random) -> tuple[Any, list[str | None]]:
        """Return a song's key, and themes that are all others."""
        key = rng.choice(self.keys)
        self.themes[key] = [rng.choice(self.texts) for _ in self.themes[key]]
        return key, self.themes[key]


def write(connection: "psycopg.Connection[Any]", songs: Songs, rng: random.Random, kind: str) -> float:
    """Change one row: `edit` one theme, `replace` all, or the `title`; return the seconds until it is committed."""
    key: Any = rng.choice(songs.keys)
    value: Any = f"Title {rng.random()}"
    query = _RENAME
    if kind != "title":
        query = _EDIT
        key, value = songs.edited(rng) if kind == "edit" else songs.replaced(rng)
    started = time.perf_counter()
    done = connection.execute(query, [value, key])
    seconds = time.perf_counter() - started
    if done.rowcount != 1:
        raise WrongResult(f"a user's write of song {key} changed {done.rowcount} rows")
    return seconds


class Users:
    """Users at work in a process of their own; `stop` them, then ask about windows of time."""

    def __init__(self, url: str, seed: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, url, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._writes: list[tuple[float, float]] = []
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise WrongResult("the users' process does not start")

    def stop(self) -> None:
        """Let them finish what they do.

        Raises:
            WrongResult: a write of theirs failed.
        """
        told, _ = self._process.communicate(timeout=60)
        if self._process.returncode:
            raise WrongResult("a user's write failed")
        self._writes = [(at, seconds) for at, seconds in json.loads(told)]

    def kill(self) -> None:
        """End them in any case."""
        self._process.kill()
        self._process.communicate()

    def window(self, start: float, end: float) -> Window:
        """Return the writes that began between two times of `time.time()`."""
        found = [seconds for at, seconds in self._writes if start <= at < end]
        if not found:
            raise WrongResult(f"no user wrote anything in {end - start:.2f} s")
        return Window(found)


@contextmanager
def users_at_work(url: str, seed: int) -> Iterator[Users]:
    """Have users write meanwhile; `stop` has to be called before their windows are read."""
    users = Users(url, seed)
    try:
        yield users
    finally:
        users.kill()


def main() -> None:
    """Write until standard input ends, then print every write's beginning and seconds."""
    url, seed = sys.argv[1], int(sys.argv[2])
    stopping = threading.Event()
    found: list[tuple[float, float]] = []
    errors: list[BaseException] = []

    def work(number: int, connection: "psycopg.Connection[Any]", songs: Songs) -> None:
        rng = random.Random(f"{seed}/{number}")
        try:
            while not stopping.wait(rng.expovariate(1 / PAUSE_SECONDS)):
                at = time.time()
                found.append((at, write(connection, songs, rng, rng.choice(("edit", "title")))))
        except BaseException as error:
            errors.append(error)

    threads = []
    for number in range(CONNECTIONS):
        connection = psycopg.connect(url, autocommit=True)
        songs = Songs(connection, number, CONNECTIONS)
        threads.append(threading.Thread(target=work, args=(number, connection, songs), daemon=True))
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    json.dump(found, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
