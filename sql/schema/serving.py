"""Triggers that write changes of tags and songs into the outbox: made when a server starts, not by a revision."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from psycopg import sql as psql

from sql.database import Database, Fragments, Transaction, literal_sql
from sql.errors import DatabaseError

#: The events of a table, each with the transition tables that the functions read.
_EVENTS = {
    "insert": "REFERENCING NEW TABLE AS changed",
    "update": "REFERENCING OLD TABLE AS removed NEW TABLE AS added",
    "delete": "REFERENCING OLD TABLE AS changed",
    "truncate": "",
}
_PREFIX = "segue_outbox_"

#: A trigger waits for the transactions that write its table now, and new writers wait behind it: briefly at first.
_LOCK_WAITS_MS = (100, 200, 500, 1_000, 2_000)
PATIENCE_SECONDS = 30.0
_LOCKED = {"55P03", "40P01"}

_NAME = re.compile(r'(?:"((?:[^"]|"")+)"|([^".]+))')


class CannotFollow(DatabaseError):
    """Triggers cannot be made or dropped; the message names the table, the reason and what helps."""

    exit_code = 5


@dataclass(frozen=True)
class _Followed:
    """A table, the kind of its changes, the function of its triggers and that function's arguments."""

    schema: str
    table: str
    kind: str
    function: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        return psql.Identifier(self.schema, self.table).as_string(None)

    def triggers(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Return function and arguments by event."""
        changes = dict.fromkeys(_EVENTS, (self.function, self.arguments))
        return {**changes, "truncate": ("note_truncate", (self.kind,))}


def follow(
    database: Database,
    schema: str,
    songs_table: str | None = None,
    *,
    key: str = "id",
    title: str | None = "title",
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[str]:
    """Make the triggers that are missing; nothing is locked when none is.

    Args:
        database: where; the role needs TRIGGER on the tables, once.
        schema: the application's.
        songs_table: the searched songs, ``[schema.]table`` with parts in double quotes where they hold a dot.
        key: the songs' key column.
        title: the songs' title column, or None when there is none.
        patience_seconds: how long to try, per table, while others write it; one try waits 2 s at most.

    Returns:
        The tables that got triggers, quoted.

    Raises:
        CannotFollow: a table is missing or no table, a privilege is missing, or others held its lock all the time.
    """
    made = []
    for followed in _tables(schema, songs_table, key, title):
        with database.transaction() as transaction:
            missing = _missing(transaction, followed)
            if missing:
                _check(transaction, followed)
        if missing:
            _patiently(database, str(followed), partial(_make, followed=followed, events=missing), patience_seconds)
            made.append(str(followed))
    return made


def unfollow(database: Database, *, patience_seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Drop the triggers from every table that has them, and return those tables, quoted.

    Raises:
        CannotFollow: the role does not own a table, or others held its lock all the time.
    """
    with database.transaction() as transaction:
        places = [(row["schema"], row["table"]) for row in transaction.all("outbox.list_followed")]
    for schema, table in places:
        _patiently(database, _quoted(schema, table), partial(_drop, schema=schema, table=table), patience_seconds)
    return [_quoted(*place) for place in places]


def identify(transaction: Transaction) -> frozenset[tuple[int, int]]:
    """Return what tells the triggers that work now from those after one was dropped, disabled or made anew."""
    return frozenset((row["oid"], row["version"]) for row in transaction.all("outbox.list_triggers"))


def drop_triggers(transaction: Transaction) -> None:
    """Drop the triggers from every table that has them, in one transaction.

    Raises:
        CannotFollow: the role does not own a table.
    """
    for row in transaction.all("outbox.list_followed"):
        _drop(transaction, row["schema"], row["table"])


def split_name(name: str, schema: str) -> tuple[str, str]:
    """Split ``[schema.]table``, either part in double quotes where it holds a dot.

    Raises:
        CannotFollow: it is no table's name.
    """
    parts = [quoted.replace('""', '"') or plain for quoted, plain in _NAME.findall(name)]
    if ".".join(match[0] for match in _NAME.finditer(name)) != name or len(parts) not in (1, 2):
        raise CannotFollow(f'{name!r} is not a table name; write table, schema.table or "odd.name"')
    return (schema, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _tables(schema: str, songs_table: str | None, key: str, title: str | None) -> Iterable[_Followed]:
    yield _Followed(schema, "tags", "tags", "note_tags")
    yield _Followed(schema, "tag_synonyms", "tags", "note_synonyms")
    yield _Followed("segue", "banned_tags", "tags", "note_bans")
    yield _Followed("segue", "tag_redirects", "tags", "note_redirects")
    yield _Followed(schema, "song_tags", "songs", "note_links")
    if songs_table is not None:
        yield _Followed(*split_name(songs_table, schema), "songs", "note_songs", (key, title or key))


def _missing(transaction: Transaction, followed: _Followed) -> list[str]:
    """Return the events without a working trigger, or with one for other columns."""
    there = {
        row["name"].removeprefix(_PREFIX): bytes.fromhex(row["arguments"])
        for row in transaction.all("outbox.list_triggers")
        if (row["schema"], row["table"]) == (followed.schema, followed.table)
    }
    return [
        event
        for event, (_, arguments) in followed.triggers().items()
        if there.get(event) != b"".join(argument.encode() + b"\0" for argument in arguments)
    ]


def _check(transaction: Transaction, followed: _Followed) -> None:
    found = transaction.first("outbox.describe_table", schema=followed.schema, table=followed.table)
    if found is None:
        reason = "there is no such table; run `segue db upgrade`, or name another table"
    elif not found["has_functions"]:
        reason = "the database lacks the newest revision; run `segue db upgrade`"
    elif not found["is_table"]:
        reason = "it is not a table; name the table that holds the rows"
    elif unknown := [column for column in followed.arguments if column not in found["columns"]]:
        reason = f"it has no column {unknown[0]!r}; name its key and title columns"
    elif not found["may_make_triggers"]:
        role = psql.Identifier(found["role"]).as_string(None)
        reason = (
            f"role {role} may not make triggers on it. As its owner {found['owner']!r}: "
            f"GRANT TRIGGER ON {followed} TO {role}; or start the server once as the owner"
        )
    else:
        return
    raise CannotFollow(f"cannot follow the changes of {followed}: {reason}")


def _make(transaction: Transaction, followed: _Followed, events: Iterable[str]) -> None:
    for event in events:
        function, arguments = followed.triggers()[event]
        fragments: Fragments = {
            "name": psql.Identifier(_PREFIX + event),
            "event": literal_sql(event.upper()),
            "table": psql.Identifier(followed.schema, followed.table),
            "transition": literal_sql(_EVENTS[event]),
            "function": psql.Identifier("segue", function),
            "arguments": psql.SQL(", ").join(psql.Literal(argument) for argument in arguments),
        }
        transaction.run("outbox.create_trigger", fragments)


def _drop(transaction: Transaction, schema: str, table: str) -> None:
    found = transaction.first("outbox.describe_table", schema=schema, table=table)
    if found is None:
        return
    if not found["is_owner"]:
        raise CannotFollow(
            f"cannot drop the triggers of {_quoted(schema, table)}: role {found['role']!r} does not own it; "
            f"do it as its owner {found['owner']!r}"
        )
    for event in _EVENTS:
        name = {"name": psql.Identifier(_PREFIX + event), "table": psql.Identifier(schema, table)}
        transaction.run("outbox.drop_trigger", name)


def _patiently(database: Database, table: str, action: Callable[[Transaction], None], patience_seconds: float) -> None:
    """Run an action that needs a table's lock in a transaction of its own, several times when others hold the lock."""
    end = time.monotonic() + patience_seconds
    waits = list(_LOCK_WAITS_MS)
    while True:
        wait = waits.pop(0) if len(waits) > 1 else waits[0]
        try:
            with database.waiting_at_most(wait).transaction() as transaction:
                action(transaction)
        except DatabaseError as error:
            if error.sqlstate not in _LOCKED:
                raise
            if time.monotonic() >= end:
                raise CannotFollow(
                    f"{table} was locked by others for {patience_seconds:.0f} s, so its triggers could not be changed; "
                    "look for long transactions in pg_stat_activity, end them or try again later",
                    sqlstate=error.sqlstate,
                ) from error
            # Those who waited behind this statement go first.
            time.sleep(wait / 1_000)
        else:
            return


def _quoted(schema: str, table: str) -> str:
    return psql.Identifier(schema, table).as_string(None)
