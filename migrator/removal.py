"""Removing a run's rows table by table, in bounded transactions that each write down how far they came."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from psycopg import sql as psql
from psycopg.types.json import Jsonb

from migrator import run_store
from migrator.errors import LeaseLost, Stopped
from migrator.events import Observer, RowsRemoved, tell
from migrator.migration import Context, Mismatch
from migrator.retry import retrying
from migrator.states import RunState
from migrator.stop import StopSignal
from sql.database import Database, Row, Transaction
from sql.errors import DatabaseError

#: Table blocks (8 KiB) scanned by one transaction, adapted to time below.
FIRST_BLOCKS, MOST_BLOCKS = 512, 16_384
TARGET_SECONDS = 0.25

#: Rows edited since that a dry run lists.
MOST_EDITS = 100

#: A table up to this many blocks (256 MiB) is scanned under an exclusive lock within some 100 ms.
MOST_BLOCKS_LOCKED = 32_768
#: How long to ask for that lock; everybody who comes after us in the queue waits as long.
LOCK_WAIT_MS = 100
#: How long a deletion waits for a row: with its own time well below deadlock_timeout (1 s).
ROW_WAIT_MS = 300


@dataclass(frozen=True)
class Edits:
    """Rows that people have edited since a run began.

    Attributes:
        total: how many there are.
        listed: the first of them: object, key, edit, fate, and what the legacy column says of it.
    """

    total: int
    listed: list[dict[str, str | None]]


@runtime_checkable
class Explaining(Protocol):
    """A step that can say what a rollback would do to rows edited since."""

    def list_edits(self, transaction: Transaction, context: Context, on_conflict: str, most: int) -> Sequence[Row]:
        """Return some of them, with `total` in each."""
        ...


@dataclass
class RolledBack:
    """What a rollback did, or in a dry run would do; `edits`, of a dry run, tells of rows that people edited since."""

    run_id: int
    status: RunState
    removed: dict[str, int] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    conflicts: list[Mismatch] = field(default_factory=list)
    edits: Edits | None = None
    seconds: float = 0.0


def edits_of(transaction: Transaction, step: object, context: Context, on_conflict: str) -> Edits | None:
    """Return the rows edited since, of a step that can say; None of another."""
    if not isinstance(step, Explaining):
        return None
    rows = step.list_edits(transaction, context, on_conflict, MOST_EDITS)
    names = ("object", "key", "edit", "fate", "legacy")
    return Edits(rows[0]["total"] if rows else 0, [{name: row[name] for name in names} for row in rows])


@dataclass(frozen=True)
class Removal:
    """Deletes a run's rows, fenced by the lease of the rollback.

    Attributes:
        database: where.
        run_id: whose rows.
        names: the targets.
        own: targets that Segue made, which may be emptied at once when nothing of others is in them.
        token: the lease's.
        stop: why to stop, or not yet.
        observers: told of retries, and of rows that are removed.
    """

    database: Database
    run_id: int
    names: dict[str, psql.Identifier]
    own: tuple[str, ...]
    token: str
    stop: StopSignal
    observers: tuple[Observer, ...]

    def delete_rows(self, name: str, result: RolledBack) -> None:
        """Delete a table's rows of the run in passes over its blocks, until a whole look finds none."""
        target = {"target": self.names[name], "target_name": psql.Literal(self.names[name].as_string(None))}
        result.removed.setdefault(name, 0)
        self._empty_at_once(name, target, result)
        while self._one("rollback.has_rows", target)["found"]:
            first, step = 0, FIRST_BLOCKS
            blocks = int(self._one("rollback.count_blocks", target)["blocks"])
            while first < blocks:
                if self.stop.is_set:
                    raise Stopped(self.stop.reason or "stop")
                started = time.monotonic()
                end = min(first + step, blocks)
                before = result.removed.get(name, 0)
                result.removed = self._delete_range(name, target, first, end, result)
                tell(self.observers, RowsRemoved(self.run_id, name, result.removed[name] - before))
                first = end
                pace = TARGET_SECONDS / max(time.monotonic() - started, 1e-3)
                step = int(max(16, min(step * min(pace, 2.0), MOST_BLOCKS)))

    def _empty_at_once(self, name: str, target: dict[str, psql.Composable], result: RolledBack) -> None:
        """Empty a table of ours that holds nothing but the run's rows; leave it be when it is large or in use.

        Nobody waits long: the lock is given up when it is not had at once, and held for one scan of a bounded table.
        """
        if name not in self.own:
            return
        with suppress(DatabaseError), self.database.waiting_at_most(LOCK_WAIT_MS).transaction() as transaction:
            blocks = transaction.one("rollback.count_blocks", target)["blocks"]
            if blocks > MOST_BLOCKS_LOCKED or not transaction.one("rollback.can_be_emptied", target)["found"]:
                return
            transaction.run("rollback.lock_target", target)
            rows = transaction.one("rollback.count_all", target, run_id=self.run_id)
            if rows["found"] == 0 or rows["of_others"]:
                return
            transaction.run("rollback.empty_target", target)
            after = RolledBack(result.run_id, result.status, self.counted(transaction, result, name, rows["found"]))
            self.save(transaction, after)
        before = result.removed[name]
        self._reload(result)  # what is stored says whether it was committed
        if result.removed[name] > before:
            tell(self.observers, RowsRemoved(self.run_id, name, result.removed[name] - before))

    def _reload(self, result: RolledBack) -> None:
        """Take the counts that are stored, whatever this process remembers."""

        def read() -> dict[str, int]:
            with self.database.transaction() as transaction:
                return dict(run_store.find(transaction, self.run_id).row["rollback"]["removed"])

        result.removed = {**result.removed, **retrying(read, self.run_id, self.observers, self.stop)}

    def _delete_range(
        self, name: str, target: dict[str, psql.Composable], first: int, end: int, result: RolledBack
    ) -> dict[str, int]:
        def delete() -> dict[str, int]:
            # Users' transactions delete links with their songs, in any order: rather ours gives way than one of theirs.
            with self.database.waiting_at_most(ROW_WAIT_MS).transaction() as transaction:
                removed = transaction.run(
                    "rollback.delete_block_range", target, first=f"({first},0)", end=f"({end},0)", run_id=self.run_id
                )
                after = RolledBack(result.run_id, result.status, self.counted(transaction, result, name, removed))
                self.save(transaction, after)
                return after.removed

        return retrying(delete, self.run_id, self.observers, self.stop)

    def counted(self, transaction: Transaction, result: RolledBack, name: str, removed: int) -> dict[str, int]:
        """Add to what is stored, not to what is remembered: the reply to an earlier COMMIT may have been lost."""
        stored = run_store.find(transaction, self.run_id).row["rollback"]["removed"]
        return {**result.removed, **stored, name: stored.get(name, 0) + removed}

    def save(self, transaction: Transaction, result: RolledBack) -> None:
        """Write the progress into the run, fenced: a superseded process finds no row and rolls back."""
        record = {"removed": result.removed, "conflicts": [vars(conflict) for conflict in result.conflicts]}
        if transaction.run("runs.save_rollback", run_id=self.run_id, rollback=Jsonb(record), token=self.token) != 1:
            raise LeaseLost(f"run {self.run_id} was taken over by another process")

    def _one(self, query: str, target: dict[str, psql.Composable]) -> dict[str, Any]:
        def look() -> dict[str, Any]:
            with self.database.transaction() as transaction:
                return transaction.one(query, target, **({"run_id": self.run_id} if "has" in query else {}))

        return retrying(look, self.run_id, self.observers, self.stop)
