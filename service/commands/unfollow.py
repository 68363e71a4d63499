"""`segue unfollow`: take away what `segue serve` made to hear of changes."""

from typing import Any

import click

from service.commands.base import Refused, Session, command, json_option, print_json, require_schema, say
from sql.database import Database
from sql.schema.serving import unfollow as drop_triggers


@click.command()
@json_option
@command
def unfollow(session: Session, *, as_json: bool) -> None:
    """Drop the triggers that `segue serve` made, and forget what they noted.

    For when no server is to run any more: nobody would read the outbox that they fill. The next `segue serve` makes
    them again.
    """
    with session.database() as database:
        require_schema(database, session.schema)
        _refuse_beside_a_server(database)
        tables = drop_triggers(database)
        with database.transaction() as transaction:
            noted = transaction.run("outbox.forget_noted")
    result: dict[str, Any] = {"tables": tables, "forgotten": noted}
    if as_json:
        print_json(result)
        return
    say(f"dropped the triggers of {', '.join(tables)}" if tables else "no table had triggers of a server")
    say(f"forgot {noted:,} noted changes that nobody has read")


def _refuse_beside_a_server(database: Database) -> None:
    with database.transaction() as transaction:
        state = transaction.one("outbox.read_state")
    if state["is_relayed"]:
        raise Refused("a server follows this database; stop every `segue serve` first, then try again in 2 s")
