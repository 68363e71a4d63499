"""What `segue cleanup` drops, and what brings it back."""

from alembic import op

from sql import sections

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the tables and the function."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0010_cleanup.sql")["segue"])


def downgrade() -> None:
    """Drop them; refuses while a dropped column exists nowhere but in its archive."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0010_cleanup.sql")["segue_down"])
