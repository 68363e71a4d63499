"""Synthetic users: they write the legacy column at a steady pace, and keep a ledger of what was acknowledged."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql as psql

from migrator.source import TableSource
from sql.database import Database, Transaction
from sql.errors import DatabaseError

#: The application name of their sessions.
WRITER = "segue rehearsal writer"
#: Pause between two writes of one user, seconds.
PAUSE_SECONDS = 0.005
#: Songs that they write at most.
MOST_KEYS = 4_096


@dataclass
class Writers:
    """So many users, each with songs of their own, so that the last acknowledged word on each is known.

    Attributes:
        database: the scratch one.
        source: the legacy column.
        count: of users; 0 for none.
        ledger: key → hash of the value acknowledged last.
        unsure: keys whose last write failed, so that either value may stand.
        seconds: how long each write took, since `lap` was called last.
        longest_lock_wait: seconds, as seen every 10 ms.
    """

    database: Database
    source: TableSource
    count: int
    ledger: dict[str, str | None] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    longest_lock_wait: float = 0.0
    _end: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Writers":
        with self.database.transaction() as transaction:
            rows = transaction.all("rehearsing.read_keys", self._names, most=MOST_KEYS)
        keys = [row["key"] for row in rows]
        if keys and self.count:
            self._threads = [
                threading.Thread(target=self._write, args=(keys[number :: self.count], keys), daemon=True)
                for number in range(min(self.count, len(keys)))
            ]
            self._threads.append(threading.Thread(target=self._watch, daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every user finish the write under way."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def lap(self) -> list[float]:
        """Return the times of the writes since the last lap, in order of size."""
        taken, self.seconds = self.seconds, []
        return sorted(taken)

    def lost(self) -> list[str]:
        """Return the keys whose stored value is not the one acknowledged last."""
        keys = [key for key in self.ledger if key not in self.unsure]
        with self.database.transaction() as transaction:
            rows = transaction.all("rehearsing.read_hashes", self._names, keys=keys)
        found = {row["key"]: row["hash"] for row in rows}
        return [key for key in keys if found.get(key) != self.ledger[key]]

    @property
    def _names(self) -> dict[str, psql.Composable]:
        return {**self.source.fragments, "column": psql.Identifier(self.source.column)}

    @contextmanager
    def _session(self) -> Iterator[Transaction]:
        users = Database(self.database.url, application_name=WRITER)
        try:
            with users.session() as connection:
                yield Transaction(connection)
        finally:
            users.close()

    def _write(self, own: list[str], others: list[str]) -> None:
        chance = random.Random(own[0])
        with self._session() as session:
            while not self._end.wait(PAUSE_SECONDS):
                key, other = chance.choice(own), chance.choice(others)
                started = time.monotonic()
                try:
                    row = session.first("rehearsing.write_row", self._names, key=key, other=other)
                except DatabaseError:
                    self.unsure.add(key)
                    continue
                self.seconds.append(time.monotonic() - started)
                if row is not None:
                    self.ledger[key] = row["hash"]
                    self.unsure.discard(key)

    def _watch(self) -> None:
        with self.database.session() as connection:
            session = Transaction(connection)
            while not self._end.wait(0.01):
                seen = session.one("rehearsing.read_lock_wait", writer=WRITER)["seconds"]
                self.longest_lock_wait = max(self.longest_lock_wait, seen)
