"""Any schedule of claims, cuts, checkpoints, deaths and supersessions converts every key exactly once."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql as psql

from migrator import claims, run_store
from migrator.chunk import Chunks
from migrator.claims import Desk, Share, cut_largest
from migrator.digest import Digest
from migrator.errors import LeaseLost
from migrator.migration import Context, Converted, Counts
from migrator.source import KeyRange, TableSource
from migrator.stop import StopSignal
from sql.database import Database, Transaction
from sql.errors import DatabaseError

KEYS = 60
WORKERS = st.integers(0, 3)
#: What happens: somebody claims, converts, dies, sleeps through its lease, or takes half of another's rest.
ACTS = st.tuples(
    st.sampled_from(["claim", "chunk", "chunk", "cut", "die", "expire", "lead"]), WORKERS, st.integers(1, 9)
)
#: Acts, each with those that happen while its chunk is under way.
SCHEDULE = st.lists(st.tuples(ACTS, st.lists(ACTS, max_size=3)), max_size=14)


@dataclass
class LoggingStep:
    """Converts a key by writing it down; what happens meanwhile happens when it has."""

    source: TableSource
    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def convert(self, transaction: Transaction, _: Context, within: KeyRange, limit: int) -> Converted:
        """Log the first keys of a range."""
        page, values = self.source.page(within)
        query = psql.SQL("INSERT INTO log SELECT p.k FROM ({}) AS p RETURNING k").format(page)
        keys = sorted(row[0] for row in transaction.connection.execute(query, {**values, "limit": limit}).fetchall())
        acts, self.meanwhile[:] = list(self.meanwhile), []
        for act in acts:
            act()
        digest = Digest(len(keys), sum(keys), 0)
        for key in keys:
            digest = Digest(digest.count, digest.sum, digest.xor ^ key)
        last = str(keys[-1]) if keys else None
        return Converted(last, Counts(rows=len(keys)), Digest(), Digest(), digest)


class World:
    """A run with 60 keys, and processes that work on it; process 0 leads."""

    def __init__(self, database: Database, connection: psycopg.Connection[Any]) -> None:
        self.database, self.connection = database, connection
        connection.execute(
            "TRUNCATE log; DELETE FROM segue.partitions; DELETE FROM segue.workers; DELETE FROM segue.runs"
        )
        source = TableSource("public", "keys", "k", "k", "bigint", "bigint", psql.Identifier("k"))
        self.step = LoggingStep(source)
        with database.transaction() as transaction:
            run = run_store.create(transaction, "themes", {})
        connection.execute("UPDATE segue.runs SET status = 'migrating', total_rows = %s", [KEYS])
        connection.execute(
            "INSERT INTO segue.partitions (run_id, ordinal, after_key, upto_key, cursor, chunk_size)"
            " VALUES (%(run)s, 0, NULL, '20', NULL, 5), (%(run)s, 1, '20', NULL, '20', 5)",
            {"run": run.id},
        )
        self.run_id = run.id
        self.tokens = [""] * 4
        self.shares: list[dict[int, Share]] = [{} for _ in range(4)]
        for number in range(4):
            self.arrive(number)

    def arrive(self, number: int) -> None:
        """Let a process begin (again), as the leader or as one that joins."""
        self.tokens[number] = token = str(uuid.uuid4())
        self.shares[number] = {}
        if number == 0:
            set_ = "UPDATE segue.runs SET lease_token = %s, holder = 'me', lease_until = now() + interval '1 hour'"
            self.connection.execute(set_, [token])
            with self.database.transaction() as transaction:
                transaction.run("runs.fence_partitions", run_id=self.run_id, token=token, is_exclusive=False)
                transaction.run("claims.offer_partitions", run_id=self.run_id, token=token, kept=[])
        else:
            values = {"run_id": self.run_id, "token": token, "holder": "me", "lease": "1 hour", "backend_pid": None}
            with self.database.transaction() as transaction:
                assert transaction.first("claims.join_run", **values) is not None

    def act(self, act: tuple[str, int, int], meanwhile: list[tuple[str, int, int]]) -> None:
        """Let one thing happen."""
        name, number, size = act
        if name == "claim":
            self.claim(number)
        elif name == "chunk" and self.shares[number]:
            self.step.meanwhile[:] = [lambda other=other: self.act(other, []) for other in meanwhile]
            self.chunk(number, sorted(self.shares[number])[size % len(self.shares[number])], size)
        elif name == "cut":
            share = cut_largest(self.database, self.step.source, self.run_id, self.tokens[number], KEYS)
            if share is not None:
                self.shares[number][share.ordinal] = share
        elif name == "die" and number:
            with self.database.transaction() as transaction:
                transaction.run("claims.leave_run", token=self.tokens[number])
            self.arrive(number)
        elif name == "expire":  # and it does not know
            lease = "lease_until = now() - interval '1 second'"
            which = f"workers SET {lease} WHERE token" if number else f"runs SET {lease} WHERE lease_token"
            self.connection.execute(f"UPDATE segue.{which} = %s", [self.tokens[number]])
        elif name == "lead":
            self.arrive(0)

    def claim(self, number: int) -> None:
        """Let a process claim what is free."""
        with self.database.transaction() as transaction:
            run = run_store.find(transaction, self.run_id)
        desk = Desk(self.database, self.step.source, run, self.tokens[number], StopSignal(), (), lambda *_: None)
        busy = sorted(self.shares[number])
        with self.database.transaction() as transaction:
            row = transaction.one("claims.claim_partition", run_id=self.run_id, token=desk.token, busy=busy)
        if row["ordinal"] is not None:
            self.shares[number][row["ordinal"]] = Share(row["ordinal"], row["chunk_size"])

    def chunk(self, number: int, ordinal: int, size: int) -> None:
        """Let a process convert a chunk; it may be told that the partition is another's, or shorter, by now."""
        chunks = Chunks(self.database, self.step, Context(self.run_id, None), self.tokens[number])  # type: ignore[arg-type]
        try:
            chunks.convert(ordinal, size)
        except LeaseLost:
            self.shares[number].pop(ordinal, None)
        except DatabaseError as error:
            if error.sqlstate != "40001":
                raise

    def check(self) -> None:
        """Exactly the keys up to each checkpoint are converted, once; the ranges have neither gap nor overlap."""
        with self.database.transaction() as transaction:
            parts = run_store.partitions(transaction, self.run_id)
        parts.sort(key=lambda part: int(part.within.after or 0))
        assert parts[0].within.after is None
        assert parts[-1].within.upto is None
        assert all(left.within.upto == right.within.after for left, right in pairwise(parts))
        logged = [row[0] for row in self.connection.execute("SELECT k FROM log ORDER BY k").fetchall()]
        due = []
        for part in parts:
            end = int(part.within.upto or KEYS) if part.is_done else int(part.cursor or 0)
            mine = range(int(part.within.after or 0) + 1, min(end, KEYS) + 1)
            due += mine
            xor = 0
            for key in mine:
                xor ^= key
            assert (part.counts.rows, part.source) == (len(mine), Digest(len(mine), sum(mine), xor))
        assert logged == due

    def finish(self) -> None:
        """Let all die but a new leader, which does the rest."""
        self.connection.execute("DELETE FROM segue.workers")
        self.arrive(0)
        left = "SELECT count(*) FROM segue.partitions WHERE NOT is_done"
        for _ in range(100):
            if self.connection.execute(left).fetchone() == (0,):
                break
            self.claim(0)
            for ordinal in list(self.shares[0]):
                self.chunk(0, ordinal, 20)
        assert self.connection.execute(left).fetchone() == (0,)
        self.check()
        assert self.connection.execute("SELECT count(*), count(DISTINCT k) FROM log").fetchone() == (KEYS, KEYS)


@pytest.fixture
def world(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], World]]:
    """Return a function that makes the world anew."""
    monkeypatch.setattr("migrator.source.SMALLEST_PARTITION", 3)
    monkeypatch.setattr(claims, "LEAST_CHUNKS", 1)
    database = Database(database_url, lock_timeout_ms=1_000)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE keys (k bigint PRIMARY KEY); CREATE TABLE log (k bigint)")
        connection.execute("INSERT INTO keys SELECT generate_series(1, %s)", [KEYS])
        yield lambda: World(database, connection)
    database.close()


def test_every_key_is_converted_once(world: Callable[[], World]) -> None:
    """Whatever happens, and in the middle of a chunk too: no key is lost or converted twice, and the digests agree."""

    @settings(max_examples=30)
    @given(SCHEDULE)
    def hold(schedule: Any) -> None:
        here = world()
        for act, meanwhile in schedule:
            here.act(act, meanwhile)
            here.check()
        here.finish()

    hold()


def test_a_chunk_whose_range_was_cut_is_not_committed(world: Callable[[], World]) -> None:
    """The chunk under way goes beyond the cut: it fails as one that may be run again, and then stops at the cut."""
    here = world()
    here.claim(0)
    here.claim(1)
    tails: list[Any] = []
    here.step.meanwhile.append(
        lambda: tails.append(cut_largest(here.database, here.step.source, here.run_id, here.tokens[2], KEYS))
    )
    here.chunk(1, 1, 40)
    assert tails == [Share(2, 5)]
    here.check()
    assert here.connection.execute("SELECT count(*) FROM log").fetchone() == (0,)
    here.chunk(1, 1, 40)
    assert here.connection.execute("SELECT min(k), max(k) FROM log").fetchone() == (21, 40)
    here.finish()


def test_two_cuts_of_one_rest(world: Callable[[], World]) -> None:
    """A rest that has become too small is not cut, and a run that is asked to stop is neither cut nor claimed."""
    here = world()
    cut = lambda: cut_largest(here.database, here.step.source, here.run_id, here.tokens[0], KEYS)  # noqa: E731
    tails = []
    while (share := cut()) is not None:
        tails.append(share.ordinal)
    assert tails == list(range(2, 2 + len(tails)))
    here.check()
    # Two chunks of five to each half is the least.
    rests = here.connection.execute(
        "SELECT upto_key::int - after_key::int FROM segue.partitions WHERE ordinal > 1 AND upto_key IS NOT NULL"
    )
    assert all(rest >= 5 for (rest,) in rests.fetchall())
    here.connection.execute("UPDATE segue.runs SET request = 'pause'")
    here.connection.execute("DELETE FROM segue.partitions WHERE ordinal > 1")
    assert cut() is None
    here.claim(1)
    assert here.shares[1] == {}
