"""Rows in quarantine as a whole: those that the application's own rules refuse."""

from alembic import op

from sql import sections

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column, its index and an outcome of files."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0008_aside.sql")["segue"])


def downgrade() -> None:
    """Take them away; refused files become damaged ones."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0008_aside.sql")["segue_down"])
