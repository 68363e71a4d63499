"""The application's `tags`, `song_tags`, `tag_synonyms`: created, or adopted when a compatible one exists."""

from alembic import op

from sql.schema import application_schema
from sql.schema.home import make_tags, release_tags

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create what is missing; adopt what exists, or refuse with the difference."""
    connection = op.get_bind()
    make_tags(connection, application_schema(connection))


def downgrade() -> None:
    """Drop what was created; give back what was adopted."""
    release_tags(op.get_bind())
