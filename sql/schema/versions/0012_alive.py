"""One answer to whether a holder is alive; workers that wait for jobs, and jobs that wait too long."""

from alembic import op

from sql import sections

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the function and the table; jobs learn since when they wait."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0012_alive.sql")["segue"])


def downgrade() -> None:
    """Drop them."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0012_alive.sql")["segue_down"])
