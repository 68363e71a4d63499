"""Runs that are asked for over HTTP and done by workers."""

from alembic import op

from sql import sections

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the tables."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0009_jobs.sql")["segue"])


def downgrade() -> None:
    """Drop them."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0009_jobs.sql")["segue_down"])
