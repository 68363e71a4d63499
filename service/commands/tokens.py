"""`segue tokens`: who may use the HTTP interface for more than reading what is public."""

from datetime import timedelta
from typing import Any

import click

from service.commands.base import Session, actor, command, json_option, print_json, require_schema, say
from service.tokens import ApiToken, Scope, create_token, list_tokens, revoke_token


@click.group()
def tokens() -> None:
    """Tokens of the HTTP interface; only their hashes are stored."""


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    help="What it may do; can be given several times. None includes another.",
)
@click.option("--network", "networks", metavar="CIDR", multiple=True, help="From where; can be given several times.")
@click.option("--expires-days", type=click.IntRange(1, 36_500), help="Until when. [default: until it is revoked]")
@json_option
@command
def create(
    session: Session,
    *,
    name: str,
    scopes: tuple[str, ...],
    networks: tuple[str, ...],
    expires_days: int | None,
    as_json: bool,
) -> None:
    """Make a token called NAME and print it, alone on stdout; it is shown only this time."""
    expires_in = None if expires_days is None else timedelta(days=expires_days)
    with session.database() as database:
        require_schema(database, session.schema)
        with database.transaction() as transaction:
            made = create_token(transaction, name, scopes, created_by=actor(), networks=networks, expires_in=expires_in)
    if as_json:
        print_json({"token": made.text, **_as_json(made.token)})
        return
    say(made.text)
    click.echo(f"{_line(made.token)}\nKeep it where secrets are kept: it is shown only now.", err=True)


@tokens.command()
@click.argument("name", metavar="NAME|ID")
@json_option
@command
def revoke(session: Session, *, name: str, as_json: bool) -> None:
    """Revoke a token; every server refuses it within seconds."""
    with session.database() as database:
        require_schema(database, session.schema)
        with database.transaction() as transaction:
            token = revoke_token(transaction, name)
    if as_json:
        print_json(_as_json(token))
    else:
        say(_line(token))


@tokens.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Also revoked ones.")
@json_option
@command
def list_(session: Session, *, with_revoked: bool, as_json: bool) -> None:
    """List tokens, the oldest first; what they are is not known any more."""
    with session.database() as database:
        require_schema(database, session.schema)
        with database.transaction() as transaction:
            found = list_tokens(transaction, with_revoked=with_revoked)
    if as_json:
        print_json({"tokens": [_as_json(token) for token in found]})
        return
    for token in found:
        say(_line(token))


def _line(token: ApiToken) -> str:
    """Describe a token in one line."""
    where = ", ".join(map(str, token.networks)) or "anywhere"
    until = ""
    if token.revoked_at is not None:
        until = f", revoked {token.revoked_at:%Y-%m-%d %H:%M} UTC"
    elif token.expires_at is not None:
        until = f", {'expired' if token.state == 'expired' else 'until'} {token.expires_at:%Y-%m-%d %H:%M} UTC"
    made = f"made {token.created_at:%Y-%m-%d} by {token.created_by}"
    return f"{token.id}  {token.name}: {', '.join(sorted(token.scopes))}; from {where}{until}; {made}"


def _as_json(token: ApiToken) -> dict[str, Any]:
    """Return everything that is known of a token."""
    return {
        "id": token.id,
        "name": token.name,
        "state": token.state,
        "scopes": sorted(token.scopes),
        "networks": [str(network) for network in token.networks],
        "created_at": token.created_at.isoformat(),
        "created_by": token.created_by,
        "expires_at": token.expires_at and token.expires_at.isoformat(),
        "revoked_at": token.revoked_at and token.revoked_at.isoformat(),
    }
