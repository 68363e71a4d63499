"""Everything that the database holds about one user, as one JSON document written row by row."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql as psql

from migrator.personal_data.subject import find, unknown
from migrator.personal_data.tables import TOKENS, application_names, personal_tables
from sql.database import Database, Transaction

#: Rows in memory at a time.
PAGE_ROWS = 1_000


@dataclass
class Exported:
    """What an export holds.

    Attributes:
        rows: how many, by table.
        not_covered: tables of the application's own that refer to `users`; Segue does not know what is in them.
    """

    rows: dict[str, int] = field(default_factory=dict)
    not_covered: list[str] = field(default_factory=list)


def export(
    database: Database, schema: str, name: str, write: Callable[[str], object], *, newline: str = ""
) -> Exported:
    """Write the document of one user: `{"spotify_id", "id", "tables": {TABLE: [ROW]}, "rows": {TABLE: N}, ...}`.

    All of it is one snapshot. Tables and rows have a stable order. Tokens are left out; that they exist, when they
    expire and the id of their key are in.

    Args:
        database: where.
        schema: the application's.
        name: Spotify id or `users.id`.
        write: takes the document, part by part.
        newline: put after each row; nothing keeps the document on one line.

    Raises:
        UnknownName: nothing is stored about such a user; nothing was written.
    """
    with database.transaction(repeatable_read=True) as transaction:
        subject = find(transaction, schema, name)
        if subject is None:
            raise unknown(name)
        result = Exported(not_covered=not_covered(transaction, schema))
        head = {"spotify_id": subject.spotify_id, "id": subject.user_id, "is_user": subject.has_row}
        write(_json(head)[:-1] + ', "tables": {' + newline)
        for number, table in enumerate(personal_tables(transaction)):
            write(("," + newline if number else "") + f"{_json(table.name)}: [")
            rows = 0
            fragments = table.fragments(schema)
            values = {**subject.values, "withheld": list(TOKENS)}
            for page in transaction.stream(f"users.{table.exported}", fragments, size=PAGE_ROWS, **values):
                for row in page:
                    write(("," if rows else "") + newline + _json(row["record"]))
                    rows += 1
            write("]")
            result.rows[table.name] = rows
        tail = {"rows": result.rows, "not_covered": result.not_covered}
        write("}, " + _json(tail)[1:] + "\n")
    return result


def not_covered(transaction: Transaction, schema: str) -> list[str]:
    """Return tables of the application's own that refer to `users`."""
    names = application_names(schema)
    known = psql.SQL("ARRAY[{}]").format(
        psql.SQL(", ").join(psql.Literal(name.as_string(None)) for name in names.values())
    )
    fragments = {"users_name": psql.Literal(names["users"].as_string(None)), "known": known}
    return [row["name"] for row in transaction.all("users.list_foreign_tables", fragments)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
