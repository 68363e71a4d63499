"""The table of links while a run fills it: what guards it, what may wait until the end, and how to put it back."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from psycopg import sql as psql

from migrator.chunk_size import FIRST_SIZE
from migrator.errors import Refused
from migrator.migration import Context
from migrator.source import KEY_TYPES, TableSource
from sql.database import Fragments, Transaction, compose, literal_sql
from sql.errors import DatabaseError, MissingPrivilege, UniqueViolation

Transact = Callable[[Callable[[Transaction], None]], None]

SONGS_KEY = "song_tags_song_id_fkey"
FOREIGN_KEY_VIOLATION = "23503"

#: A fresh load starts with larger chunks: nobody uses the table yet, so nobody can be made to wait for one.
FRESH_FIRST_SIZE = 25_000


class LinkTable:
    """`song_tags` of one application schema.

    A run that may (Segue made the table, and it is empty) loads it without keys and makes them at the end, which is
    4 x faster than keeping them up to date row by row; otherwise primary key and index stay and only Segue's own
    foreign keys wait. What is taken away is written into the plan first, so a resumed run or a rollback restores it.
    """

    def __init__(self, source: TableSource, schema: str, fragments: Fragments) -> None:
        self.source = source
        self.schema = schema
        self.fragments = {**fragments, **source.fragments}
        self.name = psql.Identifier(schema, "song_tags").as_string(None)
        self._names = {"song_tags": self.name, "songs": psql.Identifier(source.schema, source.table).as_string(None)}

    def plan(self, transaction: Transaction, load: str) -> dict[str, Any]:
        """Decide how to load, and write down what `prepare` will take away.

        Args:
            transaction: to look with.
            load: `fresh`, `live`, or `auto` to choose by what the table holds.

        Raises:
            Refused: the table's key column cannot hold the source's keys, it belongs to the songs of another table, or
                `fresh` is asked for a table in use.
        """
        found = transaction.one("constraints.describe_links", self.fragments, **self._names)
        may_be_fresh = found["is_ours"] and found["is_empty"]
        if load == "fresh" and not may_be_fresh:
            raise Refused(
                f"{self.name} {'holds rows' if found['is_ours'] else 'is the application’s own'}; "
                "--load fresh needs an empty table that Segue made"
            )
        mode = "fresh" if may_be_fresh and load != "live" else "live"
        wanted = KEY_TYPES[self.source.key_type]
        fits = KEY_TYPES.get(found["key_type"]) == wanted
        if not fits and not may_be_fresh:
            raise Refused(
                f"{self.name}.song_id is {found['key_type']} but {self.source}.{self.source.key} is "
                f"{self.source.key_type}; change the column's type, or use an empty table"
            )
        foreign = [guard for guard in found["constraints"] if guard["kind"] == "f"]
        for guard in foreign:
            # Its links would be taken for those of songs that are gone, or for those of ours with the same keys.
            if guard["is_for_others"]:
                raise Refused(
                    f"{self.name} belongs to {guard['references']} (foreign key {guard['name']}), so it cannot take "
                    f"the links of {self.source}; roll back the run that made it so ('segue status' lists runs), or "
                    f"move the rows into {guard['references']}"
                )
        taken = found["constraints"] if mode == "fresh" else (foreign if found["is_ours"] else [])
        notes = []
        if foreign and not found["is_ours"]:
            notes.append(f"{self.name} has foreign keys of the application's; checking each new row costs about 4 x")
        return {
            "load": mode,
            "first_chunk": FRESH_FIRST_SIZE if mode == "fresh" else FIRST_SIZE,
            "is_ours": found["is_ours"],
            "is_empty": found["is_empty"],
            "key_type_before": None if fits else found["key_type"],
            "constraints": taken,
            "indexes": found["indexes"] if mode == "fresh" else [],
            "had_songs_key": any(guard["name"] == SONGS_KEY for guard in foreign),
            "notes": notes,
        }

    def fit_key_type(self, transaction: Transaction, plan: dict[str, Any]) -> None:
        """Give the empty table the type of the source's key, and its order."""
        if plan["key_type_before"] is not None:
            key_type = self.source.ordered(literal_sql(KEY_TYPES[self.source.key_type]))
            self._run(transaction, "change_key_type", key_type=key_type)

    def strip(self, transaction: Transaction, plan: dict[str, Any]) -> None:
        """Take away the guards that the plan names."""
        for guard in sorted(plan["constraints"], key=lambda guard: guard["kind"]):
            self._run(transaction, "drop_constraint", name=psql.Identifier(guard["name"]))
        for index in plan["indexes"]:
            self._run(transaction, "drop_index", name=psql.Identifier(self.schema, index["name"]))

    def guard(self, context: Context, transact: Transact) -> None:
        """Make keys and indexes that the plan took away; foreign keys guard new rows from here on (NOT VALID)."""
        plan = context.plan
        primary = [guard["name"] for guard in plan["constraints"] if guard["kind"] == "p"]
        with ThreadPoolExecutor(2) as side_by_side:
            # Two index builds share a SHARE lock, so they may run at the same time.
            builds = [
                side_by_side.submit(transact, partial(self._build_index, definition=index["definition"]))
                for index in plan["indexes"]
            ]
            for name in primary:
                self._build_unique(context, name, transact)
            for build in builds:
                build.result()
        for name in primary:
            transact(partial(self._add_primary_key, name=name))
        for name, definition in self._foreign_keys(context):
            transact(partial(self._add_foreign_key, name=name, definition=definition))

    def validate_keys(self, context: Context, transact: Transact) -> bool:
        """Prove the foreign keys for old rows; links of songs or tags deleted meanwhile are removed.

        Returns:
            Whether any were.
        """
        has_removed = False
        found: list[str] = []

        def look(transaction: Transaction) -> None:
            found.extend(row["name"] for row in transaction.all("constraints.list_not_valid", song_tags=self.name))

        transact(look)
        ours = {name for name, _ in self._foreign_keys(context)}
        for name in ours.intersection(found):
            prove = partial(self._run, query="validate_foreign_key", name=psql.Identifier(name))
            try:
                transact(prove)
            except DatabaseError as error:
                if error.sqlstate != FOREIGN_KEY_VIOLATION:
                    raise
                transact(partial(self._run, query="delete_orphan_links"))
                has_removed = True
                transact(prove)
        return has_removed

    def restore(self, context: Context, transact: Transact) -> None:
        """Put the table's guards back as they were before the run, also when it was interrupted half-way."""
        if not context.plan:
            return
        self.guard(context, transact)
        self.validate_keys(context, transact)

        def give_back(transaction: Transaction) -> None:
            is_there = SONGS_KEY in self._guards(transaction)
            if is_there and context.plan["is_ours"] and not context.plan["had_songs_key"]:
                self._lock_songs(transaction, "ACCESS EXCLUSIVE")
                self._run(transaction, "drop_constraint", name=psql.Identifier(SONGS_KEY))
            before = context.plan["key_type_before"]
            found = transaction.one("constraints.describe_links", self.fragments, **self._names)
            if before is not None and found["is_empty"] and found["key_type"] != before:
                self._run(transaction, "change_key_type", key_type=literal_sql(before))

        transact(give_back)

    def _foreign_keys(self, context: Context) -> Iterator[tuple[str, str]]:
        for guard in context.plan["constraints"]:
            if guard["kind"] == "f" and guard["name"] != SONGS_KEY:
                yield guard["name"], guard["definition"].removesuffix(" NOT VALID").replace("%", "%%")
        if context.plan["is_ours"]:
            yield SONGS_KEY, compose("constraints.foreign_key_to_songs", self.fragments).as_string(None)

    def _build_index(self, transaction: Transaction, definition: str) -> None:
        again = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX IF NOT EXISTS ", definition)
        self._run(transaction, "create_index", definition=literal_sql(again.replace("%", "%%")))

    def _build_unique(self, context: Context, name: str, transact: Transact) -> None:
        def build(transaction: Transaction) -> None:
            if name not in self._guards(transaction):
                self._run(transaction, "create_unique_index", name=psql.Identifier(name))

        try:
            transact(build)
        except UniqueViolation:
            transact(partial(self._run, query="delete_duplicate_links", values={"run_id": context.run_id}))
            transact(build)

    def _add_primary_key(self, transaction: Transaction, name: str) -> None:
        if name not in self._guards(transaction):
            self._run(transaction, "add_primary_key", name=psql.Identifier(name))

    def _add_foreign_key(self, transaction: Transaction, name: str, definition: str) -> None:
        if name in self._guards(transaction):
            return
        if name == SONGS_KEY:
            self._lock_songs(transaction, "SHARE ROW EXCLUSIVE")
        # Without REFERENCES on the songs the links are as right, only not guarded against later deletions.
        with suppress(MissingPrivilege), transaction.savepoint():
            self._run(transaction, "add_foreign_key", name=psql.Identifier(name), definition=literal_sql(definition))

    def _lock_songs(self, transaction: Transaction, mode: str) -> None:
        """Lock the songs before their links, as a user's transaction does that deletes songs.

        The statement that follows would take the links first, and the server might end the user's transaction.
        """
        with suppress(MissingPrivilege), transaction.savepoint():
            self._run(transaction, "lock_songs", mode=literal_sql(mode))

    def _guards(self, transaction: Transaction) -> set[str]:
        """Return the names of the constraints that the table has now."""
        found = transaction.one("constraints.describe_links", self.fragments, **self._names)
        return {guard["name"] for guard in found["constraints"]}

    def _run(
        self,
        transaction: Transaction,
        query: str,
        values: dict[str, object] | None = None,
        **fragments: psql.Composable,
    ) -> None:
        transaction.run(f"constraints.{query}", {**self.fragments, **fragments}, **(values or {}))
