"""Tokens in every state, for the tests of who may do what."""

from datetime import timedelta
from typing import Any

import psycopg

from service.tokens import create_token, revoke_token
from sql.database import Transaction

Token = str


def tokens(connection: psycopg.Connection[Any]) -> dict[str, Token]:
    """Make tokens by name: one for each scope, and one for each reason not to be accepted."""
    made: dict[str, Token] = {}
    with connection.transaction():
        transaction = Transaction(connection)

        def make(name: str, *scopes: str, **further: Any) -> None:
            made[name] = create_token(transaction, f"test {name}", scopes, created_by="test", **further).text

        make("read", "read")
        make("curate", "curate")
        make("operate", "operate")
        make("all", "read", "curate", "operate")
        make("elsewhere", "read", "curate", "operate", networks=["192.0.2.0/24"])
        make("expired", "read", "curate", "operate", expires_in=timedelta(seconds=0.001))
        make("revoked", "read", "curate", "operate")
        revoke_token(transaction, "test revoked")
    made["unknown"] = made["all"][:-1] + ("A" if made["all"][-1] != "A" else "B")
    made["malformed"] = "not-a-token"
    return made
