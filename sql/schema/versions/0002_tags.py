"""The application's `tags`, `song_tags`, `tag_synonyms`: created, or adopted when a compatible one exists."""

from alembic import op

from sql import sections
from sql.schema import application_schema
from sql.schema.adoption import adopt, release

revision = "0002"
down_revision = "0001"

_TABLES = ("tags", "song_tags", "tag_synonyms")


def upgrade() -> None:
    """Create what is missing; adopt what exists, or refuse with the difference."""
    connection = op.get_bind()
    schema = application_schema(connection)
    quoted = connection.dialect.identifier_preparer.quote(schema)
    for table in _TABLES:
        if not adopt(connection, schema, table):
            ddl = sections("schema/ddl/0002_tags.sql")[table].format(schema=quoted)
            connection.exec_driver_sql(ddl.replace("%", "%%"))


def downgrade() -> None:
    """Drop what was created; give back what was adopted."""
    connection = op.get_bind()
    for table in reversed(_TABLES):
        release(connection, table)
