"""Alembic's entry: runs the revisions on the connection that it is given, or on ``-x url=…``."""

from alembic import context
from sqlalchemy import Connection, create_engine, text


def _run(connection: Connection, schema: str, lock_timeout_ms: int) -> None:
    connection.info["segue_schema"] = schema
    connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": f"{lock_timeout_ms}ms"})
    # Before anything else: a second upgrade at the same time waits here instead of failing half-way.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('segue schema'))"))
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS segue"))
    context.configure(connection=connection, version_table="alembic_version", version_table_schema="segue")
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes
if "connection" in given:
    _run(given["connection"], given["schema"], given["lock_timeout_ms"])
else:
    arguments = context.get_x_argument(as_dictionary=True)
    with create_engine(arguments["url"]).begin() as own:
        _run(own, arguments.get("schema", "public"), 5_000)
