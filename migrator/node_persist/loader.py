"""Writing a chunk of files: staged by COPY, merged by set-based SQL, accounted for file by file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql as psql

from migrator.digest import Digest
from migrator.migration import Context
from migrator.node_persist.batch import Batch, Statements, together
from migrator.node_persist.staging import Read, fill_stage, make_stage, save_problems
from migrator.node_persist.tables import BULK, OF_USERS, SHARED, staged_records, stored_records
from migrator.node_persist.templates import EDITABLE, recording
from sql.database import Fragments, Transaction, compose

_DESCRIBED = {table.name: table for table in (*BULK, *SHARED)}
_COUNTED = (*(table.name for table in OF_USERS), "spotify_tokens")
#: How a statement differs between a first load into empty tables and a load beside other rows.
_MODES: Mapping[str, dict[str, psql.Composable]] = {
    "fresh": {"on_conflict": psql.SQL(""), "mine": psql.SQL("t.run_id = %(run_id)s")},
    "live": {"on_conflict": psql.SQL("ON CONFLICT DO NOTHING"), "mine": psql.SQL("true")},
}


@dataclass(frozen=True)
class Written:
    """What writing a chunk did.

    Attributes:
        created: digest of the users' rows that are the run's now; None when plain INSERTs made everything that is due.
        rows: how many rows went into each table of users' rows.
    """

    created: Digest | None
    rows: Mapping[str, int]


@dataclass
class Loader:
    """Writes what was read; knows the names of the targets and nothing of files.

    Attributes:
        names: fragments for the targets' names.
    """

    names: Mapping[str, psql.Composable]
    _rehearsed: set[int] = field(default_factory=set)
    _statements: Statements = field(default_factory=Statements)

    def write(
        self,
        transaction: Transaction,
        context: Context,
        chunk: list[Read],
        again: list[str] | None = None,
        staged: Callable[[], None] | None = None,
    ) -> Written:
        """Write a chunk and save every file's accounting.

        Args:
            transaction: the caller's.
            context: the run.
            chunk: what reading its files gave.
            again: users that the run has written before; what is left of that is brought up to date.
            staged: called when the rows have been sent; what follows is the server's work.
        """
        filled = fill_stage(transaction, chunk)
        save_problems(transaction, context.run_id, chunk)
        if staged is not None:
            staged()
        new = self._count_new(transaction) if context.run_id < 0 else {}
        mode = "fresh" if context.plan.get("load") == "fresh" and again is None else "live"
        values = {"run_id": context.run_id, "at": context.at}
        if mode == "live":
            # With foreign keys in place, what is referred to comes first; without them it comes last, because another
            # worker's rows of the same key make this one wait until that one commits.
            self._merge(transaction, values, filled)
        kept = transaction.run("node_persist.keep_user_images", self.names, run_id=context.run_id) if filled else 0
        with together(transaction) as batch:
            rows = self._write_users(batch, values, filled, mode=mode, has_images=kept > 0)
            if again is not None:
                self._send(batch, "node_persist.rewrite_playlists", "playlists", values)
                self._send(batch, "stage.name_users", "", {"users": again})
                self._send(batch, "node_persist.forget_playlists", "playlists", values)
            for table in SHARED if mode == "fresh" else ():
                if table.name in filled:
                    self._send(batch, "node_persist.merge_rows", table.name, values, mode)
            self._save_files(batch, values, filled)
        found = {**dict.fromkeys(_COUNTED, 0), **{name: cursor.rowcount for name, cursor in rows.items()}}
        return Written(None if mode == "fresh" else self.digest_created(transaction, context.run_id), {**found, **new})

    def forget(self, transaction: Transaction, run_id: int, users: list[str]) -> None:
        """Delete the run's rows of some users; users, playlists and tokens themselves are brought up to date."""
        make_stage(transaction)
        transaction.run("stage.name_users", self.names, users=users)
        for table in BULK:
            transaction.run("node_persist.forget_rows", table.fragments(self.names), run_id=run_id)
        transaction.run("stage.empty_stage")

    def name_owners(self, transaction: Transaction) -> None:
        """Find the users and playlists that the staged rows belong to, whether they exist yet or not."""
        transaction.run("stage.find_who", self.names)
        transaction.run("stage.find_lists", self.names)

    def digest_created(self, transaction: Transaction, run_id: int) -> Digest:
        """Return the digest of the rows of the staged users that are the run's."""
        records = stored_records(self.names, lambda table: compose("stage.of_staged_users", table))
        row = transaction.one("node_persist_image.digest_stored", {"records": records}, run_id=run_id)
        return Digest.of(row, "created", "created")

    def _write_users(
        self, batch: Batch, values: Mapping[str, object], filled: frozenset[str], *, mode: str, has_images: bool
    ) -> dict[str, "psycopg.Cursor[tuple[object, ...]]"]:
        """Send the rows of users, and what tells whose they are; return what will know how many there were."""
        rows = {}
        if "users" in filled:
            rows["users"] = self._send(batch, "node_persist.write_users", "users", values)
            if has_images:
                self._send(batch, "node_persist.keep_after_images", "users", values)
            self._send(batch, "stage.find_who", "", values)
        if "playlists" in filled:
            rows["playlists"] = self._send(batch, "node_persist.write_playlists", "playlists", values)
            self._send(batch, "stage.find_lists", "", values)
        for table in BULK:
            if table.name in filled:
                rows[table.name] = self._send(batch, "node_persist.write_rows", table.name, values, mode)
        if "spotify_tokens" in filled:
            rows["spotify_tokens"] = self._send(batch, "node_persist.write_tokens", "spotify_tokens", values)
        return rows

    def _save_files(self, batch: Batch, values: Mapping[str, object], filled: frozenset[str]) -> None:
        text = self._statements.text(
            "node_persist.save_files", filled, lambda: {"records": staged_records(self.names, filled)}
        )
        batch.run("node_persist.save_files", text, values)

    def _merge(self, transaction: Transaction, values: Mapping[str, object], filled: frozenset[str]) -> None:
        """Merge what files say of shared rows, beside rows of others, of which before-images are kept."""
        for table in SHARED:
            if table.name in filled:
                fragments = {**table.fragments(self.names), **_MODES["live"]}
                kept = transaction.run("node_persist.keep_images", fragments, run_id=values["run_id"])
                transaction.run("node_persist.merge_rows", fragments, **values)
                if kept:
                    transaction.run("node_persist.keep_after_images", fragments, run_id=values["run_id"])

    def _send(
        self, batch: Batch, name: str, table: str, values: Mapping[str, object], mode: str = "live"
    ) -> "psycopg.Cursor[tuple[object, ...]]":
        """Send a statement about one table, or about none in particular."""
        return batch.run(name, self._statements.text(name, (table, mode), lambda: self._fragments(table, mode)), values)

    def _fragments(self, table: str, mode: str) -> Fragments:
        fragments = {**self.names, **_MODES[mode]}
        if table in _DESCRIBED:
            fragments |= _DESCRIBED[table].fragments(self.names)
        if table in EDITABLE:
            fragments |= recording(table)
        if table == "users":
            fragments |= {"target": self.names[table], "name": psql.Literal(table), "key_text": psql.SQL("t.id::text")}
        return fragments

    def _count_new(self, transaction: Transaction) -> dict[str, int]:
        """Count the shared rows that a dry run's chunk would make and no chunk before it; each chunk is rolled back."""
        found = {}
        for table in SHARED:
            rows = transaction.all("node_persist_image.list_new", table.fragments(self.names))
            new = {hash((table.name, row["key"])) for row in rows} - self._rehearsed
            self._rehearsed |= new
            found[table.name] = len(new)
        return found
