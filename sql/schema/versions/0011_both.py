"""What a mirror that works both ways keeps, and how it edits a legacy value."""

from alembic import op

from sql import sections
from sql.mirrors import drop_back
from sql.schema.adoption import transaction_of

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the tables and the functions."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0011_both.sql")["segue"].replace("%", "%%"))


def downgrade() -> None:
    """Drop what carries edits back into legacy columns, then what was created."""
    connection = op.get_bind()
    drop_back(transaction_of(connection))
    connection.exec_driver_sql(sections("schema/ddl/0011_both.sql")["segue_down"])
