"""The one place that knows psycopg's exceptions: which are transient, and what each says to an operator."""

import re

import psycopg
from psycopg import errors as pg

from sql.refusals import EXHAUSTED, refusal

#: SQLSTATEs after which the same transaction may succeed when run again, with the reason in words.
TRANSIENT = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available within lock_timeout",
    "57014": "statement cancelled or timed out",
    "53300": "too many connections",
    "25P03": "session ended because its transaction was idle for too long",
    "57P01": "server is shutting down",
    "57P02": "server crashed and is restarting",
    "57P03": "server is starting up",
    "08000": "connection exception",
    "08001": "connection could not be made",
    "08003": "connection does not exist",
    "08004": "connection was refused",
    "08006": "connection failure",
}

#: SQLSTATEs (or their classes) that mean the session is gone, not only the transaction.
_CONNECTION_STATES = ("08", "25P03", "57P01", "57P02", "57P03", "53300")

#: Messages of these SQLSTATEs quote the value that its type does not take.
_VALUE_REFUSED = {"22003", "22007", "22008", "22P02"}
_QUOTED = re.compile(r':?\s*".*"', re.DOTALL)


class DatabaseError(Exception):
    """The database refused a statement.

    Attributes:
        sqlstate: PostgreSQL's five-character code, or None when the connection itself failed.
        refusal: which rule a row broke, without any of its values; None when the error is no row's fault.
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, *, sqlstate: str | None = None, refusal: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.refusal = refusal

    @property
    def is_transient(self) -> bool:
        """Whether running the transaction again may succeed."""
        return self.sqlstate in TRANSIENT

    @property
    def is_outage(self) -> bool:
        """Whether the server is gone or has run out of something: nobody's mistake, and resumable once it is mended."""
        return self.sqlstate in EXHAUSTED


class ConnectionLost(DatabaseError):
    """The connection to the server was lost or could not be made."""

    @property
    def is_transient(self) -> bool:
        """Always true: the server may come back."""
        return True

    @property
    def is_outage(self) -> bool:
        """Always true."""
        return True


class BadUrl(DatabaseError):
    """What was given is not the URL of a PostgreSQL database."""

    exit_code = 2


class UniqueViolation(DatabaseError):
    """A row with this key exists already."""


class MissingPrivilege(DatabaseError):
    """The role may not do this."""


def wrap(error: psycopg.Error) -> DatabaseError:
    """Turn a driver error into one of ours, with a message for the person who reads it.

    Row values never enter the message: PostgreSQL puts most in DETAIL, which is left out, and quotes the others.
    """
    wrapped = _wrap(error)
    wrapped.refusal = refusal(error)
    return wrapped


def _wrap(error: psycopg.Error) -> DatabaseError:
    state = error.sqlstate
    said = (error.diag.message_primary or str(error) or type(error).__name__).strip()
    if state in _VALUE_REFUSED:
        said = _QUOTED.sub("", said)
    if isinstance(error, pg.UniqueViolation):
        return UniqueViolation(f"{said} (constraint {error.diag.constraint_name})", sqlstate=state)
    if isinstance(error, pg.InsufficientPrivilege):
        return MissingPrivilege(f"{said}; {_grant_hint(said)}", sqlstate=state)
    if state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ConnectionLost(f"lost the database connection: {said}")
    if state is not None and state.startswith(_CONNECTION_STATES):
        return ConnectionLost(said, sqlstate=state)
    if state == "53100":
        said += "; free space on the server: nothing is half-done"
    hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
    return DatabaseError(f"{said}{hint}", sqlstate=state)


def _grant_hint(said: str) -> str:
    """Name the GRANT that is missing, from PostgreSQL's 'permission denied for KIND NAME'."""
    kind, _, name = said.removeprefix("permission denied for ").partition(" ")
    grants = {
        "table": f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO the role",
        "relation": f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO the role",
        "schema": f"GRANT USAGE, CREATE ON SCHEMA {name} TO the role",
        "database": f"GRANT CREATE ON DATABASE {name} TO the role",
        "sequence": f"GRANT USAGE ON SEQUENCE {name} TO the role",
    }
    return grants.get(kind, "grant the role this privilege, or connect as the owner")
