"""The operational schema `segue`: runs, partitions, vocabulary, journal, quarantine, events, functions."""

from alembic import op

from sql import script

revision = "0001"
down_revision = None

_FUNCTIONS = ("normalise", "identity", "digest", "elements")


def upgrade() -> None:
    """Create the operational tables and functions."""
    run = op.get_bind().exec_driver_sql
    run(script("schema/ddl/0001_operational.sql").replace("%", "%%"))
    for name in _FUNCTIONS:
        run(script(f"functions/{name}.sql").replace("%", "%%"))


def downgrade() -> None:
    """Drop everything in `segue` but Alembic's own table, which Alembic still has to write."""
    op.get_bind().exec_driver_sql(script("schema/ddl/0001_operational.down.sql").replace("%", "%%"))
