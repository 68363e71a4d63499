"""The schema's revisions, applied by Alembic; every revision can be taken back."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from sql.database import Database
from sql.errors import wrap
from sql.schema.adoption import transaction_of
from sql.schema.catalog import ensure_catalog

__all__ = ["application_schema", "downgrade", "upgrade"]


def upgrade(database: Database, *, schema: str = "public", revision: str = "head") -> dict[str, list[str]]:
    """Bring the database to a revision in one transaction; touches nothing of the application's own.

    The catalog that an earlier upgrade had to leave out is made or adopted as soon as nothing stands in its way.

    Args:
        database: where.
        schema: the application's schema, home of ``tags``, ``song_tags``, ``tag_synonyms`` and the catalog.
        revision: an Alembic revision.

    Returns:
        Per table of the application's, with its schema, what keeps Segue from using it for the catalog, of which then
        no table was made or adopted; empty when the catalog is there.

    Raises:
        sql.schema.adoption.IncompatibleTable: a tag table exists in another shape; nothing was changed.
    """
    with _config(database, schema) as config:
        command.upgrade(config, revision)
        connection: Connection = config.attributes["connection"]
        if not transaction_of(connection).one("adoption.has_catalog_revision")["found"]:
            return {}
        return ensure_catalog(connection, schema)


def downgrade(database: Database, *, schema: str = "public", revision: str = "base") -> None:
    """Take revisions back; adopted tables lose only the columns that Segue added."""
    with _config(database, schema) as config:
        command.downgrade(config, revision)


@contextmanager
def _config(database: Database, schema: str) -> Iterator[Config]:
    config = Config()
    config.set_main_option("script_location", "sql:schema")
    try:
        with database.engine.begin() as connection:
            config.attributes.update(connection=connection, schema=schema, lock_timeout_ms=database.lock_timeout_ms)
            yield config
    except DBAPIError as error:
        if error.orig is None:
            raise
        raise wrap(error.orig) from error  # type: ignore[arg-type]  # the driver is always psycopg


def application_schema(connection: Connection) -> str:
    """Return the schema that the running revision works in."""
    return str(connection.info["segue_schema"])
