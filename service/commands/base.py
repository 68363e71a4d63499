"""What the serving side's commands share: the session that the `segue` group gives them, exit codes, error output."""

import getpass
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import IntEnum
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec, Protocol, cast

import click

from sql.database import OLDEST_SERVER, Database
from sql.revision import LATEST

Arguments = ParamSpec("Arguments")


class Exit(IntEnum):
    """The exit codes of these commands, a part of those of `segue`; docs/reference.md has all of them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 5


class Session(Protocol):
    """The options of the `segue` group, as far as these commands need them."""

    schema: str

    def database(self) -> AbstractContextManager[Database]:
        """Open the database; without a URL the embedded server is started on demand."""


class Refused(Exception):
    """A precondition is not met; nothing was changed.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = Exit.REFUSED


def command(function: Callable[Concatenate[Session, Arguments], int | None]) -> Callable[Arguments, None]:
    """Turn a function of the session that returns an exit code into one that click can call.

    An error that has an `exit_code` is told to the person who called, and so is one of the operating system; any other
    is a mistake of ours and shows where it is.
    """

    @wraps(function)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        as_json = bool(kwargs.get("as_json"))
        session = cast("Session", click.get_current_context().find_root().obj)
        try:
            code = function(session, *args, **kwargs)
        except OSError as error:
            fail(error, Exit.FAILED, as_json=as_json)
        except Exception as error:
            exit_code = getattr(error, "exit_code", None)
            if exit_code is None or isinstance(error, click.ClickException | click.exceptions.Exit):
                raise
            fail(error, int(exit_code), as_json=as_json)
        sys.exit(int(code or Exit.DONE))

    return run


def require_schema(database: Database, schema: str) -> None:
    """Check the server's version, that it accepts writes, and that Segue's schema is there, current, and for `schema`.

    Raises:
        ConnectionLost: the server cannot be reached.
        Refused: what is missing, and the command that helps.
    """
    with database.transaction() as transaction:
        server = transaction.one("session.describe_server")
        revision = transaction.first("session.read_revision") if server["has_schema"] else None
    if server["major"] < OLDEST_SERVER:
        raise Refused(f"PostgreSQL {server['version']} at {database} is too old; Segue needs {OLDEST_SERVER} or newer")
    if server["in_recovery"]:
        raise Refused(f"{database} is a read-only standby; connect to the primary")
    if revision is None:
        raise Refused(f"{database} has no Segue schema yet; run: segue db upgrade")
    if revision["schema_name"] not in {None, schema}:
        raise Refused(
            f"the Segue schema at {database} was made for the application schema {revision['schema_name']!r}, not for "
            f"{schema!r}; give --schema {revision['schema_name']}"
        )
    if revision["version_num"] != LATEST:
        is_older = revision["version_num"] < LATEST
        raise Refused(
            f"the Segue schema at {database} is at revision {revision['version_num']}, this version needs {LATEST}; "
            f"{'run: segue db upgrade' if is_older else 'install the newer Segue that made it'}"
        )


def actor() -> str:
    """Return who calls: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def print_json(body: object) -> None:
    """Print the one JSON object of `--json` on stdout."""
    click.echo(json.dumps(body, ensure_ascii=False, default=str))


def say(text: str = "") -> None:
    """Print a line for people on stdout."""
    click.echo(text)


def fail(error: BaseException, code: int, *, as_json: bool) -> NoReturn:
    """Print an error and leave with its exit code."""
    if as_json:
        print_json({"error": str(error), "exit_code": int(code)})
    click.echo(f"segue: {error}", err=True)
    sys.exit(int(code))


json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, last."
)
