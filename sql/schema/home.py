"""The one schema that holds the application's tables; it can be another one until Segue has done something there."""

from psycopg import sql as psql
from sqlalchemy import Connection, text

from sql import sections
from sql.schema.adoption import adopt_or_create, recorded, release, transaction_of

#: Tables that Segue needs whatever it migrates, each after those that it refers to.
TAGS = tuple(sections("schema/ddl/0002_tags.sql"))


def make_tags(connection: Connection, schema: str) -> None:
    """Create the tag tables that are missing and adopt those that exist.

    Raises:
        sql.schema.adoption.IncompatibleTable: one exists in another shape.
    """
    for table, definition in sections("schema/ddl/0002_tags.sql").items():
        adopt_or_create(connection, schema, table, definition)


def release_tags(connection: Connection) -> None:
    """Drop what was created; give back what was adopted."""
    for table in reversed(TAGS):
        release(connection, table)


def move_in(connection: Connection, schema: str) -> bool:
    """Return whether a schema is the home of Segue's tables, after moving them when nobody has used them.

    An admin who is told at the first upgrade that the application's tables stand in the way can so give another schema.

    Raises:
        sql.schema.adoption.IncompatibleTable: there is a tag table in another shape.
    """
    homes = recorded(connection)
    if set(homes.values()) == {schema}:
        return True
    if set(homes) != set(TAGS) or _is_used(connection, homes["tags"]):
        return False
    release_tags(connection)
    make_tags(connection, schema)
    return True


def _is_used(connection: Connection, home: str) -> bool:
    """Tell whether there was a run, or a table that Segue created has rows."""
    created = connection.execute(text("SELECT name FROM segue.tables WHERE NOT is_adopted")).scalars()
    tables = [psql.Identifier("segue", "runs"), *(psql.Identifier(home, name) for name in created)]
    transaction = transaction_of(connection)
    return not all(transaction.one("guards.is_empty", {"target": table})["found"] for table in tables)
