"""The connection factory: one SQLAlchemy engine per URL, and short transactions that run named queries."""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from typing import Any, cast

import psycopg
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401 - every command needs it; loaded with the rest, not at the first URL
from psycopg import sql as psql
from psycopg.rows import dict_row
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from sql import failpoints, query
from sql.errors import BadUrl, ConnectionLost, DatabaseError, wrap

#: The oldest server that Segue supports: it uses string_to_table, hash_record_extended and TID range scans.
OLDEST_SERVER = 14

#: How long the server keeps a transaction whose client says nothing: a stopped or unplugged process must not hold its
#: locks, and so its run, for ever.
IDLE_SECONDS = 300

_SECRET_PARAMETERS = ("password", "sslpassword", "passfile")

Row = dict[str, Any]
Fragments = Mapping[str, psql.Composable]


class Transaction:
    """One open transaction; every statement goes through here, so driver errors are wrapped in one place."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def all(self, name: str, fragments: Fragments | None = None, **values: object) -> list[Row]:
        """Run a named query and return its rows as dictionaries."""
        with _wrapped():
            return list(self._execute(name, fragments, values).fetchall())

    def one(self, name: str, fragments: Fragments | None = None, **values: object) -> Row:
        """Run a named query that returns exactly one row."""
        rows = self.all(name, fragments, **values)
        if len(rows) != 1:
            raise DatabaseError(f"query {name} returned {len(rows)} rows where one was due")
        return rows[0]

    def first(self, name: str, fragments: Fragments | None = None, **values: object) -> Row | None:
        """Run a named query and return its first row, or None."""
        rows = self.all(name, fragments, **values)
        return rows[0] if rows else None

    def run(self, name: str, fragments: Fragments | None = None, **values: object) -> int:
        """Run a named statement and return how many rows it touched."""
        with _wrapped():
            return self._execute(name, fragments, values).rowcount

    def stream(
        self, name: str, fragments: Fragments | None = None, *, size: int, **values: object
    ) -> Iterator[list[Row]]:
        """Run a named query with a server-side cursor and yield its rows in lists of at most ``size``."""
        with _wrapped(), self.connection.cursor(name=f"stream_{id(values)}", row_factory=dict_row) as cursor:
            cursor.execute(compose(name, fragments), values)
            while rows := cursor.fetchmany(size):
                yield rows

    def copy_in(
        self,
        name: str,
        rows: Iterable[tuple[object, ...]],
        fragments: Fragments | None = None,
        types: Iterable[str] | None = None,
    ) -> int:
        """Send rows through the named ``COPY … FROM STDIN`` and return how many there were.

        `types` names the columns' types for a COPY in binary format, which costs both sides a third of the text's.
        """
        count = 0
        failpoints.reach(f"before:{name}")
        with _wrapped(), self.connection.cursor() as cursor, cursor.copy(compose(name, fragments), {}) as copy:
            if types is not None:
                copy.set_types(list(types))
            for count, row in enumerate(rows, 1):  # noqa: B007 - the count is used after the loop
                copy.write_row(row)
        failpoints.reach(f"after:{name}")
        return count

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what happened inside the block when it raises."""
        with _wrapped(), self.connection.transaction():
            yield

    def _execute(self, name: str, fragments: Fragments | None, values: Mapping[str, object]) -> psycopg.Cursor[Row]:
        cursor = self.connection.cursor(row_factory=dict_row)
        failpoints.reach(f"before:{name}")
        cursor.execute(compose(name, fragments), values)
        failpoints.reach(f"after:{name}")
        return cursor


def compose(name: str, fragments: Fragments | None = None) -> psql.Composed:
    """Fill a named query's ``{fragments}``; identifiers arrive quoted, and a % in one is no placeholder."""
    return psql.SQL(query(name)).format(**{key: _doubled(part) for key, part in (fragments or {}).items()})


def _doubled(part: psql.Composable) -> psql.Composable:
    if isinstance(part, psql.Composed):
        return psql.Composed([_doubled(inner) for inner in part])
    if isinstance(part, psql.Identifier | psql.Literal) and "%" in (text := part.as_string(None)):
        return literal_sql(text.replace("%", "%%"))
    return part


def literal_sql(text: str) -> psql.SQL:
    """Take SQL that the catalog or this package wrote as a fragment."""
    return psql.SQL(text)


@contextmanager
def _wrapped() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise wrap(error) from error


class Database:
    """A PostgreSQL database by URL.

    Args:
        url: ``postgresql://…``; a plain ``postgres://`` is understood too.
        lock_timeout_ms: how long one statement waits for a lock before it fails as transient.
        application_name: shown in ``pg_stat_activity``.
    """

    def __init__(self, url: str, *, lock_timeout_ms: int = 5_000, application_name: str = "segue") -> None:
        self.url = _driver_url(url)
        self.lock_timeout_ms = lock_timeout_ms
        self.is_serial = False
        self._open: set[psycopg.Connection[Any]] = set()
        self._guard = threading.Lock()
        self.engine: Engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=8,
            connect_args={
                "application_name": application_name,
                "connect_timeout": 10,
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                # What was sent and not acknowledged for so long never will be: the network has lost the server.
                "tcp_user_timeout": 30_000,
                # A transaction-mode pooler hands each transaction to any server session, so nothing is prepared.
                "prepare_threshold": None,
            },
        )

    def __str__(self) -> str:
        """Return the URL without its password."""
        shown = make_url(self.url).set(drivername="postgresql").difference_update_query(_SECRET_PARAMETERS)
        # SQLAlchemy writes a space as '+', which libpq does not read as one.
        return shown.render_as_string(hide_password=True).replace("+", "%20")

    @contextmanager
    def transaction(self, *, repeatable_read: bool = False, rolled_back: bool = False) -> Iterator[Transaction]:
        """Open a transaction; commit at the end of the block, roll back when it raises.

        Args:
            repeatable_read: give all statements of the block one snapshot.
            rolled_back: roll back at the end even on success (dry runs).

        Raises:
            ConnectionLost: also when the connection broke during COMMIT, whose outcome is then unknown here.
        """
        with self.session() as connection, _wrapped():
            with connection.transaction(force_rollback=rolled_back):
                transaction = Transaction(connection)
                transaction.run("session.begin_repeatable_read" if repeatable_read else "session.begin_read_committed")
                transaction.run(
                    "session.bound_waits",
                    lock_timeout=f"{self.lock_timeout_ms}ms",
                    idle_timeout=f"{IDLE_SECONDS}s",
                    parallel="0" if self.is_serial else None,
                )
                yield transaction
                failpoints.reach("before:commit")
            failpoints.reach("after:commit")

    def waiting_at_most(self, lock_timeout_ms: int) -> "Database":
        """Return this database, on the same connections, with another bound on waits for locks."""
        other = copy(self)
        other.lock_timeout_ms = lock_timeout_ms
        return other

    def in_parallel(self, *, is_allowed: bool) -> "Database":
        """Return this database, on the same connections; a statement may use several server processes, or only one."""
        other = copy(self)
        other.is_serial = not is_allowed
        return other

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection in autocommit mode; a broken one is not reused."""
        try:
            pooled = self.engine.raw_connection()
        except (DBAPIError, psycopg.Error) as error:
            raise _unreachable(self, error) from error
        connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
        with self._guard:
            self._open.add(connection)
        try:
            if not connection.autocommit:
                connection.autocommit = True
            yield connection
        except ConnectionLost:
            pooled.invalidate()
            raise
        finally:
            with self._guard:
                self._open.discard(connection)
            if connection.closed and pooled.is_valid:
                pooled.invalidate()
            pooled.close()

    def lent(self) -> list[psycopg.Connection[Any]]:
        """Return the connections that are in use now."""
        with self._guard:
            return list(self._open)

    def cancel_running(self) -> None:
        """Ask the server to cancel what this process's sessions run now (the second Ctrl-C)."""
        for connection in self.lent():
            # One that cannot be cancelled any more must not keep the others from it.
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=2)

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()


def _driver_url(url: str) -> str:
    try:
        parsed = make_url(re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url.strip()))
    except (ArgumentError, ValueError) as error:
        raise BadUrl("DATABASE_URL is not a database URL; it looks like postgresql://user@host:5432/name") from error
    if parsed.drivername != "postgresql+psycopg":
        raise BadUrl(f"DATABASE_URL names {parsed.drivername}; Segue works with PostgreSQL (postgresql://…)")
    if "@" in (parsed.host or ""):
        raise BadUrl("DATABASE_URL holds an '@' in its user or password; write it as %40")
    return parsed.render_as_string(hide_password=False)


def _unreachable(database: Database, error: Exception) -> ConnectionLost:
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = str(cause).strip().splitlines()[0]
    return ConnectionLost(
        f"cannot connect to {database}: {said}; check that the server runs and that DATABASE_URL is right",
        sqlstate=getattr(cause, "sqlstate", None),
    )
