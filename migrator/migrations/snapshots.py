"""Plays become listening snapshots: what a user's last month, half year and year sounded like, day by day.

Why: an application that shows or explains moods must not add up a year of plays at every request.
Risk: none to the source, which is only read; snapshots that the application made itself are kept.
Undo: `segue rollback`, which removes what the run made and keeps what insights refer to and people have edited.
"""

from collections.abc import Callable, Mapping
from typing import Any

from psycopg import sql as psql

from migrator.catalog import require_catalog
from migrator.chunk_size import FIRST_SIZE
from migrator.digest import Digest
from migrator.errors import Refused
from migrator.migration import Context, Converted, Counts, Migration, Mismatch, Preview
from migrator.snapshots_image import TABLES, SnapshotsImage
from migrator.source import KeyRange, TableSource
from sql.database import Transaction, compose
from sql.errors import DatabaseError

#: About so many plays make the first chunk; after it the chunk's size follows from the time that it took.
FIRST_PLAYS = 50_000

_FOREIGN_KEY_VIOLATION, _SERIALIZATION = "23503", "40001"

#: What a chunk does besides counting: parts of snapshots.convert.
_WRITE = {"made": "made_by_insert", "mended": "mended_nothing", "recorded": "recorded_in_journal"}
_MEND = {**_WRITE, "mended": "mended_by_update"}
_COUNT = {"made": "made_nothing", "mended": "mended_nothing", "recorded": "recorded_nothing"}

Transact = Callable[[Callable[[Transaction], None]], None]


class SnapshotsStep(SnapshotsImage):
    """Converts pages of users by set-based SQL (sql/queries/snapshots.sql); see docs/snapshots.md."""

    shared: tuple[str, ...] = ()

    # -- before and after the chunks

    def prepare(self, transaction: Transaction, context: Context) -> dict[str, Any]:  # noqa: ARG002 - the protocol's
        """Check privileges, and choose the first chunk by how many plays a user has."""
        self._require_privileges(transaction)
        users = self.source.count(transaction)
        history = self.fragments["user_listening_history"].as_string(None)
        plays = int(transaction.one("snapshots.estimate_plays", history=history)["plays"])
        return {"first_chunk": max(1, min(FIRST_SIZE, FIRST_PLAYS * max(users, 1) // max(plays, users, 1)))}

    def rehearse(self, transaction: Transaction, context: Context) -> Preview:  # noqa: ARG002
        """Check privileges; nothing else is planned."""
        self._require_privileges(transaction)
        return Preview()

    def refresh(self, transaction: Transaction, context: Context) -> None:
        """Nothing but plays and features matters."""

    def finish(self, context: Context, transact: Transact) -> None:
        """Nothing waits for the end."""

    def seal(self, context: Context, transact: Transact) -> bool:  # noqa: ARG002
        """Nothing needs the final rows."""
        return False

    def settle(self, transaction: Transaction, context: Context) -> None:
        """Nothing is derived."""

    def discard(self, transaction: Transaction, context: Context) -> None:
        """An insight outlives its snapshot: its foreign key forgets it."""

    def restore(self, context: Context, transact: Transact) -> dict[str, int]:
        """Forget from what the snapshots were made."""

        def forget(transaction: Transaction) -> None:
            transaction.run("snapshots_changes.forget_recorded", run_id=context.run_id, keys=None)

        transact(forget)
        return {}

    # -- chunks

    def convert(self, transaction: Transaction, context: Context, within: KeyRange, limit: int) -> Converted:
        """Convert the first `limit` users of a range."""
        page, bounds = self.source.page(within)
        return self._chunk(transaction, page, _WRITE, {**bounds, "limit": limit, "run_id": context.run_id})

    def reconvert(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Bring these users' snapshots up to date in place; those that are right already are not written."""
        values: dict[str, Any] = {"keys": keys, "run_id": context.run_id}
        self._forget_stale(transaction, values)
        transaction.run("snapshots_changes.forget_recorded", None, **values)
        self._chunk(transaction, self.source.page_of_keys(), _MEND, values)

    def forget(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Remove the run's snapshots of these users; those that insights refer to become the application's own."""
        transaction.run("snapshots_changes.forget_users", self.fragments, run_id=context.run_id, keys=keys)
        transaction.run("snapshots_changes.forget_recorded", run_id=context.run_id, keys=keys)

    def recount(self, transaction: Transaction, context: Context, within: KeyRange) -> Converted:
        """Take a range's accounting anew from plays and features; what was created, from the table."""
        page, bounds = self.source.whole(within)
        counted = self._chunk(transaction, page, _COUNT, {**bounds, "run_id": context.run_id})
        stored = self.stored(transaction, context, within)
        counts = counted.counts + Counts(created=stored.count)
        return Converted(counted.last_key, counts, counted.expected, stored, counted.source)

    def changed(self, transaction: Transaction, context: Context, within: KeyRange, most: int) -> list[Mismatch]:
        """Users whose plays or features are not those that their snapshots were made from; computes no snapshot."""
        page, bounds = self.source.whole(within)
        fragments = {**self.in_range(within), "page": page}
        rows = transaction.all("snapshots_changes.find_changed", fragments, run_id=context.run_id, most=most, **bounds)
        return [Mismatch(row["key"], "other plays or features") for row in rows]

    def _chunk(
        self, transaction: Transaction, page: psql.Composed, parts: Mapping[str, str], values: dict[str, Any]
    ) -> Converted:
        written = {name: compose(f"snapshots.{part}", self.fragments) for name, part in parts.items()}
        row = transaction.one("snapshots.convert", {**self.fragments, **written, "page": page}, **values)
        created = Digest.of(row, "created", "created")
        counts = Counts(
            rows=int(row["row_count"]),
            elements=int(row["elements"]),
            linked=int(row["linked"]),
            merged=int(row["merged"]),
            blank=int(row["blank"]),
            created=created.count,
        )
        expected, source = Digest.of(row, "expected", "linked"), Digest.of(row, "source", "row_count")
        return Converted(row["last_key"], counts, expected, created, source)

    def _forget_stale(self, transaction: Transaction, values: dict[str, Any]) -> None:
        """Remove what is due no longer.

        Raises:
            DatabaseError: transient, when an insight that this snapshot does not show came to refer to a row.
        """
        try:
            transaction.run("snapshots_changes.forget_stale", self.fragments, **values)
        except DatabaseError as error:
            if error.sqlstate != _FOREIGN_KEY_VIOLATION:
                raise
            raise DatabaseError("an insight came to refer to a stale snapshot", sqlstate=_SERIALIZATION) from error

    # -- rollback

    def own_tables(self, context: Context) -> tuple[str, ...]:  # noqa: ARG002
        """None: insights refer to the table, so it cannot be emptied at once."""
        return ()

    def conflicts(self, transaction: Transaction, context: Context) -> list[Mismatch]:
        """Snapshots of the run that insights refer to, or that somebody has edited."""
        used = transaction.all("snapshots_changes.find_used", self.fragments, run_id=context.run_id)
        found = {row["key"]: row["problem"] for row in used}
        touched = transaction.all("snapshots_changes.find_touched", self.fragments, run_id=context.run_id)
        if touched:
            edited = self.edited(transaction, context, [row["key"] for row in touched])
            found |= {key: "the snapshot was edited since" for key in edited if key not in found}
        return [Mismatch(key, problem, is_row=False) for key, problem in sorted(found.items())]

    def release(self, transaction: Transaction, context: Context, keys: list[str]) -> None:
        """Make conflicting snapshots the application's own."""
        transaction.run("snapshots_changes.release_rows", self.fragments, run_id=context.run_id, keys=keys)

    # -- shared

    def details(self, transaction: Transaction, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Nothing that the counts do not say."""
        return {}

    def _require_privileges(self, transaction: Transaction) -> None:
        names = [self.fragments[name].as_string(None) for name in TABLES]
        unwritable = transaction.all("constraints.list_missing_privileges", names=names[:1])
        unreadable = transaction.all("snapshots.list_unreadable", names=names)
        missing = [row["missing"] for row in unwritable] + [" ON ".join(("SELECT", row["name"])) for row in unreadable]
        if missing:
            grants = "; ".join(f"GRANT {privilege} TO the role" for privilege in dict.fromkeys(missing))
            raise Refused(f"missing privileges; as the tables' owner: {grants}")


def open_step(transaction: Transaction, settings: Mapping[str, str | None], schema: str) -> SnapshotsStep:  # noqa: ARG001
    """Find the users.

    Raises:
        UnknownName, Refused: the object, and what to do.
    """
    require_catalog(transaction, schema)
    source = TableSource.find(transaction, table="users", key="id", column="spotify_id", schema=schema)
    return SnapshotsStep(source, schema)


MIGRATION = Migration(
    name="snapshots",
    summary="plays and audio features become listening snapshots",
    options=(),
    open=open_step,
)
