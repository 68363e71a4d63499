"""Controls of a run that may change while it goes on, and the reason why it waits."""

from alembic import op

from sql import sections

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0005_control.sql")["segue"])


def downgrade() -> None:
    """Drop them."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0005_control.sql")["segue_down"])
