"""What the serving side needs: the outbox of changes, redirects, bans, the moderation log and tokens.

The triggers that fill the outbox are not made here but by `sql.schema.serving.follow`, when a server starts: a
migration without a server must not pay for them.
"""

from alembic import op

from sql import script, sections
from sql.schema.adoption import transaction_of
from sql.schema.serving import drop_triggers

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables and the functions of their triggers; the application's tables stay untouched."""
    run = op.get_bind().exec_driver_sql
    run(sections("schema/ddl/0004_serving.sql")["segue"].replace("%", "%%"))
    for name in ("outbox", "moderation"):
        run(script(f"functions/{name}.sql").replace("%", "%%"))


def downgrade() -> None:
    """Drop the triggers wherever they are, then what was created."""
    connection = op.get_bind()
    drop_triggers(transaction_of(connection))
    connection.exec_driver_sql(sections("schema/ddl/0004_serving.sql")["segue_down"])
