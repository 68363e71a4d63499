"""What the mirror of a migration keeps: notes of users' transactions, and the songs that came late.

Its functions and triggers name the application's tables and one run, so they are made when a run asks for them.
"""

from alembic import op

from sql import sections
from sql.mirrors import drop_mirror
from sql.schema.adoption import transaction_of

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables."""
    op.get_bind().exec_driver_sql(sections("schema/ddl/0006_mirror.sql")["segue"])


def downgrade() -> None:
    """Drop the triggers wherever they are, then what was created."""
    connection = op.get_bind()
    drop_mirror(transaction_of(connection))
    connection.exec_driver_sql(sections("schema/ddl/0006_mirror.sql")["segue_down"])
