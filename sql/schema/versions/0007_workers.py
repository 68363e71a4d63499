"""Processes that join a run and share its partitions."""

from alembic import op

from sql import sections

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table and the view of who holds what."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0007_workers.sql")["segue"])


def downgrade() -> None:
    """Drop them."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0007_workers.sql")["segue_down"])
