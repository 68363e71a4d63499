"""Users: many connections that write songs at random, and a ledger of every write that the server acknowledged.

A song's version grows with every write of it, so the ledger knows the order in which the server took them, whichever
connection they came from. Nothing that a user does here can fail or deadlock by itself: one that holds several rows
takes them from a set of its own, in random order, and everybody else holds one row at a time.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.properties.themes_model import BASE, NASTY, VARIANTS
from tests.storm import linkers

#: How often a text is one that nobody has used before, and how many of those there are.
NEW_SHARE, NEW_TEXTS = 0.08, 2_000

CREATE = "CREATE TABLE songs (id bigint PRIMARY KEY, title text, themes text[], version bigint NOT NULL DEFAULT 1)"
INSERT = "INSERT INTO songs (id, title, themes, version) VALUES (%s, 'a title', %s, %s) RETURNING version, themes"
DELETE = "DELETE FROM songs WHERE id = %s RETURNING version"
EDITS = {
    "set": "UPDATE songs SET themes = %s, version = version + 1 WHERE id = %s RETURNING version, themes",
    "append": "UPDATE songs SET themes = themes || %s::text[], version = version + 1 WHERE id = %s RETURNING version, themes",
    "remove": "UPDATE songs SET themes = themes[2:], version = version + 1 WHERE %s::text[] IS NOT NULL AND id = %s"
    " RETURNING version, themes",
    "title": "UPDATE songs SET title = md5(%s::text), version = version + 1 WHERE id = %s RETURNING version, themes",
}


def texts(rng: random.Random, most: int = 4) -> list[str | None]:
    """Return a theme array: names in many spellings, some of them new, texts for quarantine, blanks and NULLs."""
    found: list[str | None] = []
    for _ in range(rng.randint(0, most)):
        dice = rng.random()
        if dice < NEW_SHARE:
            found.append(rng.choice(VARIANTS)(f"Word {rng.randrange(NEW_TEXTS)}"))
        elif dice < 0.15:
            found.append(rng.choice([None, *NASTY]))
        else:
            found.append(rng.choice(VARIANTS)(rng.choice(BASE)))
    return found


@dataclass
class Ledger:
    """What the server has acknowledged: a song's newest version with its themes, or that it is gone."""

    songs: dict[int, tuple[int, list[str | None] | None, bool]] = field(default_factory=dict)
    writes: int = 0
    seconds: list[float] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, entries: list[tuple[int, int, Any, bool]], seconds: float) -> None:
        """Take note of one transaction's writes: song, version, themes, whether it exists."""
        with self._lock:
            self.writes += len(entries)
            self.seconds.append(seconds)
            for song, version, themes, exists in entries:
                if song not in self.songs or self.songs[song][0] < version:
                    self.songs[song] = (version, themes, exists)

    def due(self) -> dict[int, list[str | None] | None]:
        """Return the songs that must be there, with their themes."""
        return {song: themes for song, (_, themes, exists) in self.songs.items() if exists}


class Writers:
    """Users at work between `start` and `stop`; may be started again.

    Args:
        url: of the database, which has no table of songs yet.
        seed: of all their choices.
        connections: how many users.
        songs: how many songs there are at first.
        pause: mean seconds between two transactions of a user.
        links: the share of their transactions that link songs to tags, or take links away.
    """

    def __init__(
        self,
        url: str,
        seed: int,
        *,
        connections: int = 16,
        songs: int = 4_096,
        pause: float = 0.004,
        links: float = 0.0,
    ) -> None:
        self.url, self.seed, self.count, self.pause = url, seed, connections, pause
        self.links = links
        self.size = songs
        self.ledger = Ledger()
        self._threads: list[threading.Thread] = []
        self._rounds = 0
        self._stopping = threading.Event()
        rng = random.Random(seed)
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(CREATE)
            rows = [(song, texts(rng), 1) for song in range(songs)]
            with cursor.copy("COPY songs (id, themes, version) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            if links:
                cursor.execute(linkers.SETUP)
        self.ledger.acknowledge([(song, version, themes, True) for song, themes, version in rows], 0)
        self.ledger.seconds.clear()

    def start(self) -> None:
        """Let them write."""
        self._stopping.clear()
        self._rounds += 1
        self._threads = [
            threading.Thread(target=self._write, args=(number, self._rounds), daemon=True)
            for number in range(self.count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let them finish what they do; raises what any of them was told by the server."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self.ledger.errors:
            raise self.ledger.errors[0]

    def _write(self, number: int, turn: int) -> None:
        rng = random.Random(f"{self.seed}/{turn}/{number}")
        try:
            with psycopg.connect(self.url, autocommit=True) as connection:
                while not self._stopping.wait(rng.expovariate(1 / self.pause)):
                    started = time.monotonic()
                    entries = self._transaction(connection, rng, number)
                    self.ledger.acknowledge(entries, time.monotonic() - started)
        except BaseException as error:
            error.add_note(f"(user {number})")
            self.ledger.errors.append(error)

    def _transaction(self, connection: psycopg.Connection[Any], rng: random.Random, number: int) -> list[Any]:
        if self.links and rng.random() < self.links:
            return linkers.link(connection, rng, rng.randrange(self.size))
        dice = rng.random()
        if dice < 0.8:
            return self._edit(connection, rng, rng.randrange(self.size))
        # A user's own songs: added and deleted, and several at a time, in random order.
        own = [song * self.count + number for song in rng.sample(range(self.size // self.count), rng.randint(2, 4))]
        entries: list[Any] = []
        with connection.transaction():
            for song in own:
                entries += (
                    self._edit(connection, rng, song) if rng.random() < 0.7 else self._turn(connection, rng, song)
                )
        return entries

    def _edit(self, connection: psycopg.Connection[Any], rng: random.Random, song: int) -> list[Any]:
        kind = rng.choice(["set", "append", "append", "remove", "title"])
        row = connection.execute(EDITS[kind], [texts(rng), song]).fetchone()
        return [(song, row[0], row[1], True)] if row else []

    def _turn(self, connection: psycopg.Connection[Any], rng: random.Random, song: int) -> list[Any]:
        """Delete a song, or add it again: only its owner does, so its version goes on from what he knows."""
        version, _, _ = self.ledger.songs[song]
        row = connection.execute(DELETE, [song]).fetchone()
        if row is not None and rng.random() < 0.6:
            return [(song, row[0] + 1, None, False)]
        version = max(version, row[0] if row else 0) + 2
        row = connection.execute(INSERT, [song, texts(rng), version]).fetchone()
        assert row is not None
        return [(song, row[0], row[1], True)]
