"""The scratch database: made, filled from the real one by reading only, dropped whatever happens."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql as psql
from sqlalchemy import make_url

from migrator.errors import Refused, UsageError
from migrator.source import TableSource
from sql.database import Database, Row, Transaction, compose, literal_sql
from sql.schema import upgrade

PREFIX = "segue_rehearsal_"
#: Begins the application name of the session that lives as long as the rehearsal does.
HOLDER = "segue rehearse"

#: Tables of the application that decide what a text becomes, with the columns that are taken along.
_WORDS = {
    "tags": ("id", "name", "normalized_name", "category", "color", "is_standard"),
    "tag_synonyms": ("synonym", "canonical_tag_id"),
}
_DECISIONS = ("normalized", "canonical", "canonical_normalized", "category", "actor", "decided_at")


@dataclass(frozen=True)
class Sample:
    """How many rows are rehearsed with.

    Attributes:
        rows: at most so many; None for a share.
        percent: this share; None for a number.
    """

    rows: int | None = None
    percent: float | None = None

    @classmethod
    def of(cls, text: str) -> "Sample":
        """Read `N`, `N%` or `all`.

        Raises:
            UsageError: it is none of these.
        """
        said = text.strip()
        try:
            if said == "all":
                return cls(percent=100.0)
            if said.endswith("%") and 0 < float(said[:-1]) <= 100:
                return cls(percent=float(said[:-1]))
            if not said.endswith("%") and int(said) > 0:
                return cls(rows=int(said))
        except ValueError:
            pass
        raise UsageError(f"--sample {text!r}: give a number of rows, a share such as 5%, or all")

    def clause(self, total: int) -> psql.SQL:
        """Return what follows the table's name in the query that reads the sample."""
        percent = self.percent if self.percent is not None else 120.0 * (self.rows or 0) / max(total, 1)
        chosen = f"TABLESAMPLE BERNOULLI ({percent:.6f}) REPEATABLE (0)" if percent < 100 else ""
        return literal_sql(chosen + (f" LIMIT {self.rows}" if self.rows is not None else ""))


@contextmanager
def scratch_database(server: Database, *, keep: bool) -> Iterator[Database]:
    """Yield a fresh database on a server, and drop it at the end, or rename it when it shall be kept.

    What a killed rehearsal left behind is dropped first.

    Raises:
        Refused: the role may not create databases.
    """
    with server.transaction() as transaction:
        here = transaction.one("rehearsing.describe_database")
        left = transaction.all("rehearsing.list_left_behind", prefix=PREFIX, holder=HOLDER)
    if not here["may_create"]:
        raise Refused(
            f"role {here['role']} may not create the scratch database; as a superuser: "
            f'ALTER ROLE "{here["role"]}" CREATEDB; or name another server with --scratch URL'
        )
    for row in left:
        _outside(server, "drop_database", name=psql.Identifier(row["name"]))
    name = f"{PREFIX}{os.getpid()}_{secrets.token_hex(4)}"
    names = {part: psql.Literal(here[part]) for part in ("encoding", "collate", "ctype")}
    _outside(server, "create_database", name=psql.Identifier(name), **names)
    url = make_url(server.url).set(database=name).render_as_string(hide_password=False)
    holder = Database(url, application_name=f"{HOLDER} {os.getpid()}")
    scratch = Database(url, lock_timeout_ms=server.lock_timeout_ms, application_name="segue scratch")
    try:
        with holder.session():
            yield scratch
    finally:
        scratch.close()
        holder.close()
        if keep:
            kept = psql.Identifier(name.replace(PREFIX, "segue_kept_"))
            _outside(server, "alter_database_name", name=psql.Identifier(name), kept=kept)
        else:
            _outside(server, "drop_database", name=psql.Identifier(name))


def kept_name(scratch: Database) -> str:
    """Return the name that a scratch database has when it was kept."""
    return str(make_url(scratch.url).database).replace(PREFIX, "segue_kept_")


def clone(real: Database, scratch: Database, source: TableSource, schema: str, sample: Sample) -> tuple[int, int]:
    """Make Segue's schema in the scratch database and fill it with a sample; the real one is only read.

    Cloned are the source's columns and key, with rows; the tags, synonyms and decisions that are no run's. Not cloned
    are further indexes, constraints and triggers of the application's, and links.

    Returns:
        Rows of the sample, and of the whole table.
    """
    with _reading(real) as here:
        columns = here.all("rehearsing.list_columns", table_name=source.fragments["table"].as_string(None))
        total = int(here.one("source.count_rows", source.fragments)["total"])
        with scratch.transaction() as there:
            for name in {schema, source.schema}:
                there.run("rehearsing.create_schema", {"schema": psql.Identifier(name)})
            made = psql.SQL(", ").join([_column(row, source.key) for row in columns])
            there.run("rehearsing.create_table", {**source.fragments, "columns": made})
            _copy(here, there, source.fragments["table"], columns, sample.clause(total))
    fresh = Database(scratch.url)  # Alembic needs a connection that was never in autocommit
    try:
        upgrade(fresh, schema=schema)
    finally:
        fresh.close()
    with _reading(real) as here, scratch.transaction() as there:
        for table, names in _WORDS.items():
            _take_along(here, there, psql.Identifier(schema, table), names, "WHERE run_id IS NULL")
        _take_along(here, there, psql.Identifier("segue", "decisions"), _DECISIONS, "")
        rows = int(there.one("source.count_rows", source.fragments)["total"])
    return rows, total


@contextmanager
def _reading(real: Database) -> Iterator[Transaction]:
    with real.transaction(repeatable_read=True) as transaction:
        transaction.run("rehearsing.begin_read_only")
        yield transaction


def _take_along(
    here: Transaction, there: Transaction, table: psql.Identifier, names: tuple[str, ...], where: str
) -> None:
    name = table.as_string(None)
    if here.one("rehearsing.has_relation", relation=name)["found"]:
        found = {row["name"]: row for row in here.all("rehearsing.list_columns", table_name=name)}
        if "run_id" not in found:
            where = ""
        _copy(here, there, table, [found[one] for one in names if one in found], literal_sql(where))


def _copy(
    here: Transaction, there: Transaction, table: psql.Composable, columns: list[Row], sample: psql.Composable
) -> None:
    read = [psql.Identifier(row["name"]) + psql.SQL("" if row["is_builtin"] else "::text") for row in columns]
    out = {"columns": psql.SQL(", ").join(read), "table": table, "sample": sample}
    names = psql.SQL(", ").join([psql.Identifier(row["name"]) for row in columns])
    with (
        here.connection.cursor() as reader,
        there.connection.cursor() as writer,
        reader.copy(compose("rehearsing.copy_out", out), {}) as rows,
        writer.copy(compose("rehearsing.copy_in", {"table": table, "names": names}), {}) as into,
    ):
        for block in rows:
            into.write(block)


def _column(row: Row, key: str) -> psql.Composed:
    kind = row["type"] if row["is_builtin"] else "text"
    collation = f" COLLATE {row['collation']}" if row["collation"] else ""
    not_null = " NOT NULL" if row["name"] == key else ""
    return psql.SQL("{} {}").format(psql.Identifier(row["name"]), literal_sql(f"{kind}{collation}{not_null}"))


def _outside(server: Database, query: str, **fragments: psql.Composable) -> None:
    """Run what no transaction may hold."""
    with server.session() as connection:
        Transaction(connection).run(f"rehearsing.{query}", fragments)
