"""What every command shares: the database it works on, its schema, and how errors become exit codes."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, NoReturn, ParamSpec

import click

from migrator.errors import Exit, MigratorError
from sql.database import Database
from sql.embedded import EmbeddedServer
from sql.errors import DatabaseError
from sql.server_errors import EmbeddedServerError
from sql.silence import SilenceWatch
from tags.starter import MalformedStarterError

Arguments = ParamSpec("Arguments")


@dataclass
class Session:
    """The options of the `segue` group.

    Attributes:
        url: of the database; None uses the embedded server.
        home: where the embedded server lives.
        pg_bin: its programs, or None to look for them.
        schema: the application's.
        migrations: a directory of further migration files.
        lock_timeout_ms: how long one statement waits for a lock.
    """

    url: str | None
    home: Path
    pg_bin: str | None
    schema: str
    migrations: Path | None
    lock_timeout_ms: int

    @property
    def server(self) -> EmbeddedServer:
        """The embedded server of `home`, running or not."""
        return EmbeddedServer(self.home, pg_bin=self.pg_bin)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the database; without a URL the embedded server is started on demand."""
        if not self.url and not self.server.is_running():
            click.echo(f"segue: no DATABASE_URL, so the embedded PostgreSQL in {self.home} is started", err=True)
        database = Database(self.url or self.server.up(), lock_timeout_ms=self.lock_timeout_ms)
        try:
            with SilenceWatch(database):
                yield database
        finally:
            database.close()


def print_json(body: object) -> None:
    """Print the one JSON object of `--json` on stdout."""
    click.echo(json.dumps(body, ensure_ascii=False, default=str))


def say(text: str = "") -> None:
    """Print a line for people on stdout."""
    click.echo(text)


def fail(error: BaseException, code: int, *, as_json: bool) -> NoReturn:
    """Print an error and leave with its exit code."""
    message = str(error)
    if as_json:
        print_json({"error": message, "exit_code": int(code)})
    click.echo(f"segue: {message}", err=True)
    for line in getattr(error, "__notes__", ()):
        click.echo(f"segue: {line}", err=True)
    sys.exit(int(code))


def command(function: Callable[Concatenate[Session, Arguments], int | None]) -> Callable[Arguments, None]:
    """Turn a function of the session that returns an exit code into one that click can call; errors bring their own."""

    @wraps(function)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        as_json = bool(kwargs.get("as_json"))
        try:
            session = click.get_current_context().find_object(Session)
            assert session is not None, "the group made it"
            code = function(session, *args, **kwargs)
        except (MigratorError, DatabaseError, EmbeddedServerError) as error:
            fail(error, error.exit_code, as_json=as_json)
        except MalformedStarterError as error:
            fail(error, Exit.FAILED, as_json=as_json)
        except OSError as error:
            fail(error, Exit.FAILED, as_json=as_json)
        sys.exit(int(code or 0))

    return run


json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, last."
)
