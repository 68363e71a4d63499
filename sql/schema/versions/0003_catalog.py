"""The application's catalog, created or adopted or left out, and what Segue knows of the files it came from."""

from alembic import op

from sql import script, sections
from sql.schema import application_schema
from sql.schema.catalog import ensure_catalog, release_catalog

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make what Segue itself needs, and the catalog unless a table of the application's stands in its way.

    Every later `segue db upgrade` tries again; see `sql.schema.upgrade`.
    """
    connection = op.get_bind()
    connection.exec_driver_sql(sections("schema/ddl/0003_catalog.sql")["segue"])
    for name in ("identity", "text_set"):
        connection.exec_driver_sql(script(f"functions/{name}.sql"))
    ensure_catalog(connection, application_schema(connection))


def downgrade() -> None:
    """Drop what was created; give back what was adopted.

    The functions of identity stay: 0001 makes them from the same file.
    """
    connection = op.get_bind()
    release_catalog(connection)
    connection.exec_driver_sql(sections("schema/ddl/0003_catalog.sql")["segue_down"])
