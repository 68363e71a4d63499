"""The database that is examined, and the names in it."""

from dataclasses import dataclass

from psycopg import sql as psql

from sql.database import Database

TARGETS = ("tags", "song_tags", "tag_synonyms")


@dataclass(frozen=True)
class Patient:
    """What is examined.

    Attributes:
        database: where.
        schema: the application's.
        table: the legacy table.
    """

    database: Database
    schema: str
    table: str

    def name(self, table: str) -> str:
        """Return a table's qualified, quoted name."""
        return psql.Identifier(self.schema, table).as_string(None)

    @property
    def tables(self) -> list[str]:
        """The tables that a migration of themes reads and writes."""
        return [self.name(table) for table in (*TARGETS, self.table)]
