"""One storm: users write while a mirrored migration is killed, resumed, paused, completed and rolled back under them."""

import random
import threading
import time
from typing import Any

import psycopg

from tests.crash.zygote import Zygote
from tests.storm.agreement import late_songs, legacy_differences, stale_links, tag_differences
from tests.storm.linkers import carried
from tests.storm.writers import Writers

#: Calls of `segue migrate` before it must be complete.
MOST_CALLS = 5

#: Songs that may be late on a machine that has no time for its processes: who waits 100 ms at a commit gives up.
MOST_LATE = 20


class Storm:
    """A database, its users, and what is done beneath them.

    Args:
        url: of a database with Segue's schema.
        zygotes: two; one migrates, the other pauses it.
        seed: of everything.
        writers: the users.
        mirror: the mirror's direction.
    """

    def __init__(self, url: str, zygotes: list[Zygote], seed: int, writers: Writers, mirror: str = "forward") -> None:
        self.url, self.zygotes, self.writers = url, zygotes, writers
        self.rng = random.Random(seed)
        self.arguments = ("migrate", "--mirror", mirror, "--json", "--workers", "1")
        #: What a rollback ends with: tags that people use are kept.
        self.rolled = (0, 7) if writers.links else (0,)
        self.log: list[str] = []
        self.started = time.monotonic()

    def segue(self, *arguments: str, failpoint: str = "", zygote: int = 0) -> tuple[int, str]:
        """Run a command beneath the users; return its exit code and everything that it said."""
        code, out, err = self.zygotes[zygote].run(self.url, *arguments, failpoint=failpoint)
        self.log.append(f"{time.monotonic() - self.started:.1f} s: {' '.join(arguments)} {failpoint} -> {code}")
        return code, out + err

    def migrate(self) -> None:
        """Migrate to the end: killed, paused or stopped on the way."""
        for _ in range(MOST_CALLS):
            size = str(self.rng.choice([300, 1_000]))
            kind = self.rng.choice(["kill", "kill", "pause", "limit", "limit", "none"])
            failpoint = f"*#{self.rng.randint(1, 250)}" if kind == "kill" else ""
            limit = ("--max-chunks", str(self.rng.randint(1, 6))) if kind == "limit" else ()
            pauser = threading.Timer(0.3, lambda: self.segue("pause", "1", zygote=1))
            if kind == "pause":
                pauser.start()
            code, said = self.segue(*self.arguments, "--batch-size", size, *limit, failpoint=failpoint)
            if kind == "pause":
                pauser.join()
            if code in (0, 4):
                return
            assert code in (-9, 6), (code, said, self.log)
            self.look_half_way()
        code, said = self.segue(*self.arguments)
        assert code in (0, 4), (code, said, self.log)

    def look_half_way(self) -> None:
        """While nobody writes, no link is there that is not due; what is missing the run has not come to yet."""
        self.writers.stop()
        with psycopg.connect(self.url) as connection:
            self.take_carried(connection)
            stale = stale_links(connection, self.writers.ledger.due())
        self.writers.start()
        assert stale == [], self.log

    def take_carried(self, connection: psycopg.Connection[Any]) -> None:
        """Tell the ledger what Segue has carried into the arrays by itself."""
        if self.writers.links:
            self.writers.ledger.acknowledge(carried(connection), 0)

    def rollback(self) -> None:
        """Roll back to the end, killed on the way."""
        for _ in range(2):
            code, said = self.segue("rollback", failpoint=f"*#{self.rng.randint(1, 120)}")
            assert code in (-9, *self.rolled), (code, said, self.log)
            if code in self.rolled:
                return
        code, said = self.segue("rollback")
        assert code in self.rolled, (code, said, self.log)

    def rest(self, seconds: float) -> None:
        """Let the users write on."""
        time.sleep(seconds)

    def catch_up(self) -> list[str]:
        """Have late songs brought up to date and all proven, then compare once more; nothing may be late."""
        code, said = self.segue("validate")
        with psycopg.connect(self.url) as connection:
            late = late_songs(connection)
        found = [f"validate exits {code}: {said}"] if code else []
        return found + [f"song {song} is still late" for song in late] + self.differences(is_migrated=True)

    def differences(self, *, is_migrated: bool) -> list[str]:
        """Return everything on which the ledger, the legacy arrays and the tags differ, while nobody writes."""
        with psycopg.connect(self.url) as connection:
            self.take_carried(connection)
            due = self.writers.ledger.due()
            found = legacy_differences(connection, due)
            if is_migrated:
                found += tag_differences(connection, due)
                late = late_songs(connection)
                found += [f"{len(late)} songs are late"] if len(late) > MOST_LATE else []
            else:
                found += leftovers(connection, kept=" WHERE run_id IS NOT NULL" if self.writers.links else "")
        return found


def leftovers(connection: psycopg.Connection[Any], kept: str = "") -> list[str]:
    """Return what a rollback should have taken away; `kept` is a condition that leaves out what people made."""
    queries = {
        "links": f"SELECT count(*) FROM song_tags{kept}",
        "tags": f"SELECT count(*) FROM tags{kept}",
        "synonyms": f"SELECT count(*) FROM tag_synonyms{kept}",
        "quarantine": "SELECT count(*) FROM segue.quarantine",
        "late songs": "SELECT count(*) FROM segue.mirror_late",
        "triggers": "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%mirror%'",
    }
    counts = {name: connection.execute(query).fetchone() for name, query in queries.items()}
    return [f"{row[0]} {name} are left" for name, row in counts.items() if row and row[0]]
