"""Who refers to rows that a run made: what rollback keeps, and what nobody needs any more."""

from collections.abc import Mapping

from psycopg import sql as psql

from migrator.migration import Mismatch
from migrator.node_persist.tables import REFERENCES
from migrator.node_persist.templates import EDITABLE, recording
from sql.database import Transaction, compose, literal_sql


class References:
    """The rows that others may refer to or edit: users, playlists, tracks, artists, albums and tokens.

    Args:
        names: fragments for the targets' names.
    """

    def __init__(self, names: Mapping[str, psql.Composable]) -> None:
        self.names = names

    def conflicts(self, transaction: Transaction, run_id: int) -> list[Mismatch]:
        """Return rows of the run that rows of others refer to, or that were edited since; they stay locked."""
        found = []
        for table in REFERENCES:
            fragments = self._fragments(transaction, table, of_others=True)
            transaction.one("references.lock_rows", fragments, run_id=run_id)
            rows = transaction.all("references.find_conflicts", fragments, run_id=run_id)
            found += [Mismatch(f"{table} {row['key']}", row["problem"], is_row=False) for row in rows]
        return found

    def release(self, transaction: Transaction, run_id: int, keys: list[str]) -> None:
        """Make these rows the people's own."""
        for table in REFERENCES:
            own = [key.removeprefix(f"{table} ") for key in keys if key.startswith(f"{table} ")]
            if own:
                transaction.run(
                    "references.release_rows", {"target": self.names[table], "id": _id(table)}, run_id=run_id, keys=own
                )

    def delete_orphans(self, transaction: Transaction, run_id: int) -> None:
        """Delete rows of the run to which nothing refers any more; what refers to others goes first."""
        for table in ("tracks", "artists", "albums"):
            transaction.run(
                "references.delete_orphans", self._fragments(transaction, table, of_others=False), run_id=run_id
            )
        fragments = self._fragments(transaction, "users", of_others=False)
        without_file = compose("references.user_without_file")
        is_used = psql.SQL("({} OR {} OR NOT {})").format(fragments["is_used"], fragments["is_edited"], without_file)
        transaction.run("references.delete_orphans", {**fragments, "is_used": is_used}, run_id=run_id)

    def discard(self, transaction: Transaction, run_id: int) -> None:
        """Delete the rows of others that refer to rows of the run."""
        for table in REFERENCES:
            for referring in self._referring(transaction, table):
                fragments = {**referring, "target": self.names[table]}
                transaction.run("references.delete_referring", fragments, run_id=run_id)

    def delete_dangling(self, transaction: Transaction, run_id: int) -> None:
        """Delete rows of the run that refer to rows which are gone; users first, their playlists follow."""
        for table in REFERENCES:
            for referring in self._referring(transaction, table):
                if referring["of_others"] != psql.SQL("true"):  # it knows of runs
                    fragments = {**referring, "target": self.names[table]}
                    transaction.run("references.delete_dangling", fragments, run_id=run_id)

    def _fragments(self, transaction: Transaction, table: str, *, of_others: bool) -> dict[str, psql.Composable]:
        uses = [
            compose(
                "references.refers",
                {**referring, "of_others": referring["of_others"] if of_others else psql.SQL("true")},
            )
            for referring in self._referring(transaction, table)
            if of_others or not _describes(referring["referring"], referring["column"])
        ]
        is_edited = (
            psql.SQL("NOT {}").format(recording(table)["is_as_written"]) if table in EDITABLE else psql.SQL("false")
        )
        return {
            "target": self.names[table],
            "id": _id(table),
            "is_used": psql.SQL("({})").format(psql.SQL(" OR ").join([*uses, psql.SQL("false")])),
            "is_edited": is_edited,
        }

    def _referring(self, transaction: Transaction, table: str) -> list[dict[str, psql.Composable]]:
        """Return every table and column that refers to a table: those of the catalog, and those with a foreign key."""
        name = self.names[table].as_string(None)
        known = [(self.names[referring], column, True) for referring, column in REFERENCES[table]]
        known += [
            (literal_sql(row["table_name"]), row["column_name"], row["has_run_id"])
            for row in transaction.all("references.list_referrers", {"name": psql.Literal(name)})
        ]
        return [
            {
                "referring": referring,
                "id": _id(table),
                "column": psql.Identifier(column),
                "of_others": psql.SQL("r.run_id IS DISTINCT FROM %(run_id)s" if has_run_id else "true"),
            }
            for referring, column, has_run_id in known
        ]


def _id(table: str) -> psql.Composable:
    return psql.SQL(EDITABLE.get(table, "t.id"))


def _describes(referring: psql.Composable, column: psql.Composable) -> bool:
    """Whether a table only describes the row, and so is no use of it: a track's artists, albums and features."""
    name = referring.as_string(None).replace('"', "").rpartition(".")[2]
    return column == psql.Identifier("track_id") and name in {"track_artists", "track_albums", "audio_features"}
